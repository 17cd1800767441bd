//! The SDK's connections: rustls on aws-lc, trusting what every other connection of the agent trusts.

use std::path::Path;

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use skyferry_core::ca_roots;

/// One pool, of as many connections as there are requests at a time: a long poll holds one.
pub(super) fn client() -> Result<SharedHttpClient, String> {
    let mut trusted = TrustStore::default();
    for path in ca_roots::from_environment() {
        trusted.add_pem_certificate(checked(&path).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    if let Some(Ok(pem)) = ca_roots::overridden().map(checked) {
        trusted.add_pem_certificate(pem);
    }
    let context = TlsContext::builder().with_trust_store(trusted).build().map_err(|error| error.to_string())?;
    Ok(Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https())
}

/// The SDK panics over a file that holds no certificates.
fn checked(path: &Path) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        store.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    if store.is_empty() { Err("no certificate in PEM".into()) } else { Ok(pem) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(checked(&path).is_err());
        for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(checked(&path).is_err(), "{text}");
        }
    }
}
