//! A private certificate authority for one peer: made at start, thrown away at the end, known to nobody but the test.

use std::{io, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;

/// The authority's certificate as PEM, in memory and in a file (for `SSL_CERT_FILE`, `AWS_CA_BUNDLE`).
#[derive(Debug)]
pub struct Authority {
    pem: String,
    file: NamedTempFile,
}

impl Authority {
    /// The certificate to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A file that holds it, removed with the peer.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

/// A fresh authority and an acceptor whose certificate it signed for `localhost` and 127.0.0.1. HTTP/1.1 only by ALPN,
/// so that a client's preference for h2 cannot be met.
pub(crate) fn authority() -> io::Result<(Authority, TlsAcceptor)> {
    let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    // A name of its own: OpenSSL looks authorities up by name, and a bundle may hold those of several peers.
    params.distinguished_name.push(DnType::CommonName, format!("sandbox authority {:016x}", rand::random::<u64>()));
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let issuer = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
    let pem = issuer.pem();

    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf_key = KeyPair::generate().map_err(io::Error::other)?;
    let leaf = CertificateParams::new(names).map_err(io::Error::other)?;
    let leaf = leaf.signed_by(&leaf_key, &issuer).map_err(io::Error::other)?;

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], secret)
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];

    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), &pem)?;
    Ok((Authority { pem, file }, TlsAcceptor::from(Arc::new(config))))
}
