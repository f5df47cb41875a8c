//! TLS of the control plane: read from files, and again when they change.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::server::Unusable;
use crate::config::Tls;

/// The bytes of the files: what a change is noticed by. Their times say nothing where a link is moved.
pub type Bytes = Vec<Vec<u8>>;

/// Reads the files.
///
/// # Errors
/// Which file, and why.
pub fn read(tls: &Tls) -> Result<Bytes, Unusable> {
    let files = [Some(&tls.certificate), Some(&tls.key), tls.client_ca.as_ref()];
    files.into_iter().flatten().map(|file| fs::read(file).map_err(|error| named(file, error))).collect()
}

/// What rustls serves with.
///
/// # Errors
/// Which file, and why.
pub fn compile(tls: &Tls, bytes: &Bytes) -> Result<Arc<ServerConfig>, Unusable> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| named(&tls.certificate, error))?;
    let builder = match (&tls.client_ca, bytes.get(2)) {
        (Some(file), Some(bytes)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file, bytes)? {
                roots.add(certificate).map_err(|error| named(file, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|error| named(file, error))?)
        }
        _ => builder.with_no_client_auth(),
    };
    let chain = certificates(&tls.certificate, &bytes[0])?;
    let key = PrivateKeyDer::from_pem_slice(&bytes[1]).map_err(|error| named(&tls.key, error))?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| named(&tls.certificate, error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(named(file, "there is no certificate in it")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(named(file, error)),
    }
}

fn named(file: &Path, error: impl std::fmt::Display) -> Unusable {
    Unusable { file: file.into(), why: error.to_string() }
}
