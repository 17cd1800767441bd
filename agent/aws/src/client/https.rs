//! The SDK's connections: rustls on aws-lc, trusting what every other connection of the agent trusts.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use skyferry_core::ca_roots;

/// Host and port of the service, known from the first request on: the SDK's errors do not name them.
pub(super) type Target = Arc<OnceLock<String>>;

/// One pool, of as many connections as there are requests at a time: a long poll holds one.
pub(super) fn client(target: Target) -> Result<SharedHttpClient, String> {
    let mut trusted = TrustStore::default();
    for path in ca_roots::from_environment() {
        trusted.add_pem_certificate(checked(&path).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    if let Some(Ok(pem)) = ca_roots::overridden().map(checked) {
        trusted.add_pem_certificate(pem);
    }
    let context = TlsContext::builder().with_trust_store(trusted).build().map_err(|error| error.to_string())?;
    let client = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https();
    Ok(SharedHttpClient::new(Named { inner: client, target }))
}

#[derive(Debug)]
struct Named<T> {
    inner: T,
    target: Target,
}

impl HttpClient for Named<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, parts: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, parts);
        SharedHttpConnector::new(Named { inner, target: self.target.clone() })
    }
}

impl HttpConnector for Named<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.target.get_or_init(|| host_and_port(request.uri()));
        self.inner.call(request)
    }
}

fn host_and_port(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("https", uri));
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    // An IPv6 address without a port ends in a bracket.
    match host.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
        _ => format!("{host}:{}", if scheme == "http" { 80 } else { 443 }),
    }
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
    fn a_service_is_named_by_host_and_port() {
        for (uri, named) in [
            ("https://sqs.us-west-2.amazonaws.com/", "sqs.us-west-2.amazonaws.com:443"),
            ("http://localhost/queue?x=1:2", "localhost:80"),
            ("http://127.0.0.1:4566/queue", "127.0.0.1:4566"),
            ("https://[::1]", "[::1]:443"),
        ] {
            assert_eq!(host_and_port(uri), named);
        }
    }

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
