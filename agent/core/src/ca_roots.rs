//! Which certificate authorities are trusted beside the machine's own: those of the files that the environment names.

use std::path::{Path, PathBuf};

/// Where systems keep their own.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The PEM files of `SSL_CERT_FILE` and `AWS_CA_BUNDLE`.
pub fn from_environment() -> Vec<PathBuf> {
    let named = ["SSL_CERT_FILE", "AWS_CA_BUNDLE"].into_iter().filter_map(std::env::var_os);
    named.filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}

/// The machine's own file, where `SSL_CERT_FILE` makes the usual search leave it out: a private authority is one more.
pub fn overridden() -> Option<&'static Path> {
    std::env::var_os("SSL_CERT_FILE")?;
    BUNDLES.into_iter().map(Path::new).find(|path| path.exists())
}
