//! tls: a handshake, the certificate's name and its end.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connect::{connect, in_words};
use super::{Ask, Clock, Passed, ProbeError};
use crate::state::model::Time;
use crate::state::monitors::{Check, Kind};

const DAY_S: u64 = 86_400;

/// Shakes hands, and says when the certificate ends soon.
pub async fn probe(ask: &Ask, target: SocketAddr, clock: Clock) -> Result<Passed, ProbeError> {
    let stream = connect(&ask.check, target, clock).await?;
    let stream = handshake(ask, target, stream, clock).await?;
    Ok(certificate(ask, &stream))
}

/// TLS over a connection.
pub async fn handshake(
    ask: &Ask,
    target: SocketAddr,
    stream: TcpStream,
    clock: Clock,
) -> Result<TlsStream<TcpStream>, ProbeError> {
    let Some(client) = &ask.tls else { return Err(ProbeError::new("TLS: not for this kind")) };
    let name = name(&ask.check, target)?;
    let handshake = TlsConnector::from(client.clone()).connect(name, stream);
    clock.within("TLS handshake", handshake).await?.map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(inner) => ProbeError::new(format!("TLS: {}", tls_in_words(inner))),
            None => ProbeError::new(format!("TLS: {}", in_words(&error))),
        }
    })
}

/// The name the certificate must be for: `tls.name`, the host without its port, or the address.
fn name(check: &Check, target: SocketAddr) -> Result<ServerName<'static>, ProbeError> {
    let host = check.http.host.as_deref().map(|host| match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => name,
        _ => host,
    });
    let Some(name) = check.tls.name.as_deref().or(host) else {
        return Ok(ServerName::IpAddress(target.ip().into()));
    };
    let name = name.trim_start_matches('[').trim_end_matches(']').to_string();
    ServerName::try_from(name).map_err(|_| ProbeError::new("TLS: the host is no name; write tls.name"))
}

/// When the certificate ends, and what says `certificate ends in 6 days` where the check wants to know.
pub fn certificate(ask: &Ask, stream: &TlsStream<TcpStream>) -> Passed {
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let Some(end) = certificates.first().and_then(not_after) else { return Passed::default() };
    let certificate_ends = i64::try_from(end).ok().and_then(|end| Time::from_second(end).ok());
    Passed { warning: expiry_warning(ask, end), certificate_ends, ..Passed::default() }
}

fn expiry_warning(ask: &Ask, end: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let days = end.saturating_sub(now) / DAY_S;
    match days < u64::from(ask.check.tls.expiry_warning_days) {
        true if end <= now => format!("certificate expired {} ago", span(now - end)),
        true => format!("certificate ends in {}", span(end - now)),
        false => String::new(),
    }
}

/// The end of a certificate, in seconds since 1970.
fn not_after(certificate: &CertificateDer) -> Option<u64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    parsed.validity().not_after.timestamp().try_into().ok()
}

/// Days, or hours where it is less than one.
fn span(seconds: u64) -> String {
    let (number, unit) = match seconds / DAY_S {
        0 => (seconds / 3600, "hour"),
        days => (days, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

fn tls_in_words(error: &Error) -> String {
    let Error::InvalidCertificate(certificate) = error else { return error.to_string() };
    let between = |one: &UnixTime, other: &UnixTime| span(one.as_secs().abs_diff(other.as_secs()));
    match certificate {
        CertificateError::ExpiredContext { time, not_after } => {
            format!("certificate expired {} ago", between(time, not_after))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("certificate is valid only in {}", between(time, not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            // They come as `DnsName("www.example.com")`.
            let names = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name));
            let names = names.collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "no name at all" } else { &names };
            format!("certificate is not for {}, but for {names}", expected.to_str())
        }
        CertificateError::UnknownIssuer => {
            "certificate of an unknown authority; name one of your own with tls.ca".into()
        }
        CertificateError::BadSignature => "certificate with a bad signature".into(),
        other => format!("certificate: {other}"),
    }
}

/// What a check does TLS with. Sessions are not resumed: a resumed one shows no certificate.
pub fn client(check: &Check) -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring has what both versions need");
    let mut client = match (check.tls.verify, &check.tls.authorities) {
        (false, _) => {
            let anyone = Arc::new(Anyone(provider));
            builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()
        }
        (true, None) => builder.with_root_certificates(system_authorities()).with_no_client_auth(),
        (true, Some(own)) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(own.iter().cloned());
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    client.resumption = Resumption::disabled();
    if check.kind != Kind::Tls {
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    Arc::new(client)
}

/// The system's authorities, read once. A system without any makes every certificate one of an unknown
/// authority, which is what each verdict then says.
pub fn system_authorities() -> Arc<RootCertStore> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            tracing::warn!("the system has no certificate authorities; monitors over TLS need tls.ca");
        }
        Arc::new(roots)
    };
    SYSTEM.get_or_init(read).clone()
}

/// Takes every certificate, for `verify = false`. That the other side has its key is still checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer,
        _: &[CertificateDer],
        _: &ServerName,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
