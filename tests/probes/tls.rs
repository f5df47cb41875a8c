//! Probes over TLS: which certificates are good.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rhumb::state::monitors::Kind;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::servers::{respond, serve};
use super::{check, said};

/// An authority, and a server with a certificate of it.
pub struct Tls {
    pub authority: CertificateDer<'static>,
    pub acceptor: TlsAcceptor,
}

/// A certificate for names, with days from now between which it is good.
pub fn tls(names: &[&str], from_days: i64, to_days: i64) -> Tls {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let mut own = CertificateParams::new(vec![]).unwrap();
    own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(own, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    // An hour further away, so that a second more or less is the same number of days.
    let day = |days: i64| {
        let seconds = days * 86_400 + days.signum() * 3600;
        let since_1970 = Duration::from_secs(now_s().checked_add_signed(seconds).unwrap());
        rcgen::date_time_ymd(1970, 1, 1) + since_1970
    };
    (params.not_before, params.not_after) = (day(from_days), day(to_days));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    Tls { authority: authority.der().clone(), acceptor: TlsAcceptor::from(Arc::new(server)) }
}

fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

async fn responding_over_tls(acceptor: TlsAcceptor, response: &str) -> SocketAddr {
    let response = response.replace('\n', "\r\n");
    serve(move |stream| {
        let (acceptor, response) = (acceptor.clone(), response.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                respond(stream, response).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn certificates() {
    let good = "HTTP/1.1 200 OK\n\n";
    for (names, from, to, asked, words) in [
        (&["www.example.com"][..], -1, 90, "www.example.com", ""),
        (&["*.example.com"], -1, 90, "www.example.com", ""),
        (&["127.0.0.1"], -1, 90, "", ""),
        (&["www.example.com"], -1, 7, "www.example.com", "certificate ends in 7 days"),
        (&["www.example.com"], -30, -3, "www.example.com", "TLS: certificate expired 3 days ago"),
        (&["www.example.com"], 2, 90, "www.example.com", "TLS: certificate is valid only in 2 days"),
        (
            &["a.example.com", "b.example.com"],
            -1,
            90,
            "www.example.com",
            "TLS: certificate is not for www.example.com, but for a.example.com, b.example.com",
        ),
    ] {
        let server = tls(names, from, to);
        let target = responding_over_tls(server.acceptor, good).await;
        for kind in [Kind::Https, Kind::Tls] {
            let mut wanted = check(kind);
            wanted.tls.name = Some(asked.to_string()).filter(|name| !name.is_empty());
            wanted.tls.authorities = Some(vec![server.authority.clone()]);
            assert_eq!(said(&wanted, target).await, words, "{names:?} {from} {to}");
            // The system's authorities do not know it.
            wanted.tls.authorities = None;
            if words.is_empty() {
                let unknown = "TLS: certificate of an unknown authority; name one of your own with tls.ca";
                assert_eq!(said(&wanted, target).await, unknown);
            }
            // Nobody looks.
            wanted.tls.verify = false;
            wanted.tls.expiry_warning_days = 0;
            assert_eq!(said(&wanted, target).await, "");
        }
        // The host is the name when no other is written.
        if asked == "www.example.com" && words.is_empty() {
            let mut wanted = check(Kind::Https);
            wanted.http.host = Some("www.example.com:443".into());
            wanted.tls.authorities = Some(vec![server.authority.clone()]);
            assert_eq!(said(&wanted, target).await, "");
            wanted.http.status = vec![404..=404];
            assert_eq!(said(&wanted, target).await, "HTTP 200, expected 404");
        }
    }
    let plain = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let words = said(&check(Kind::Tls), plain).await;
    assert!(words.starts_with("TLS: "), "{words}");
}
