//! Where requests go: scheme, host and the bucket's place in them. Keys keep their bytes.

use std::net::{IpAddr, Ipv6Addr};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};

use super::super::http::{encode_path, encode_query};

/// How the bucket is named in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// As the host's first label, unless the endpoint is an IP address or localhost.
    Host,
    /// As the path's first segment.
    Path,
    /// As the host's first label, whatever the settings say: the service refuses the other.
    HostOnly,
}

/// Where a service is, read once.
#[derive(Clone, Debug)]
pub struct BucketEndpoint {
    scheme: Scheme,
    /// Host, and the port where it is not the scheme's own.
    host: Authority,
    /// The bucket is the path's first segment.
    by_path: bool,
}

impl BucketEndpoint {
    /// `None` for an endpoint that is no `http(s)://host[:port]`.
    pub fn parse(text: &str, addressing: Addressing, path_style: Option<bool>) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme().filter(|s| **s == Scheme::HTTP || **s == Scheme::HTTPS)?.clone();
        let authority = uri.authority().filter(|a| !a.as_str().contains('@'))?;
        if uri.path() != "/" || uri.query().is_some() || authority.host().is_empty() {
            return None;
        }
        let own_port = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = match authority.port_u16() {
            Some(port) if port != own_port => format!("{}:{port}", authority.host()),
            _ => authority.host().to_owned(),
        };
        let local = is_address(authority.host());
        let host = host.parse().ok()?;
        let by_path = match addressing {
            Addressing::HostOnly => local,
            Addressing::Host => path_style.unwrap_or(local),
            Addressing::Path => path_style.unwrap_or(true),
        };
        Some(BucketEndpoint { scheme, host, by_path })
    }

    /// The request's URI. `query` is written as the signers want it, in the order of its names.
    pub fn uri(&self, bucket: &str, key: Option<&[u8]>, query: &[(&str, impl AsRef<str>)]) -> Option<Uri> {
        if !is_bucket(bucket) {
            return None;
        }
        let by_path = self.by_path || !fits_a_host(bucket, &self.scheme);
        let mut path = String::with_capacity(32 + bucket.len() + key.map_or(0, |key| key.len() * 2));
        path.push('/');
        if by_path {
            encode_path(bucket.as_bytes(), &mut path);
            path.push('/');
        }
        encode_path(key.unwrap_or_default(), &mut path);
        for (n, (name, value)) in query.iter().enumerate() {
            path.push(if n == 0 { '?' } else { '&' });
            encode_query(name.as_bytes(), &mut path);
            path.push('=');
            encode_query(value.as_ref().as_bytes(), &mut path);
        }
        let host = match by_path {
            true => self.host.clone(),
            false => Authority::from_maybe_shared(Bytes::from(format!("{bucket}.{}", self.host))).ok()?,
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(host);
        parts.path_and_query = Some(PathAndQuery::from_maybe_shared(Bytes::from(path)).ok()?);
        Uri::from_parts(parts).ok()
    }
}

/// Whether this can be a bucket's name at all: it becomes a segment of the path.
pub fn is_bucket(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#' | b'%' | b'\\');
    !name.is_empty() && name.len() <= 255 && name.bytes().all(plain) && !name.starts_with('.')
}

fn is_address(host: &str) -> bool {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok() || plain.parse::<Ipv6Addr>().is_ok()
}

/// Over TLS the services' certificates cover one label only.
fn fits_a_host(bucket: &str, scheme: &Scheme) -> bool {
    let letters = bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
    letters && bucket.len() >= 3 && bucket.len() <= 63 && (*scheme != Scheme::HTTPS || !bucket.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(endpoint: &str, addressing: Addressing, path_style: Option<bool>, bucket: &str, key: &str) -> String {
        let endpoint = BucketEndpoint::parse(endpoint, addressing, path_style).unwrap();
        endpoint.uri(bucket, Some(key.as_bytes()), &[("a", ""); 0]).unwrap().to_string()
    }

    #[test]
    fn addresses_and_localhost_imply_path_style_and_names_follow_the_dialect() {
        use Addressing::*;
        assert_eq!(uri("http://127.0.0.1:8333", Host, None, "photos", "k"), "http://127.0.0.1:8333/photos/k");
        assert_eq!(uri("http://[::1]:8333", Host, None, "photos", "k"), "http://[::1]:8333/photos/k");
        assert_eq!(uri("http://localhost:80", Host, None, "photos", "k"), "http://localhost/photos/k");
        assert_eq!(uri("https://s3.x.org", Host, None, "photos", "k"), "https://photos.s3.x.org/k");
        assert_eq!(uri("https://s3.x.org", Host, Some(true), "photos", "k"), "https://s3.x.org/photos/k");
        assert_eq!(uri("https://s3.x.org", Path, None, "photos", "k"), "https://s3.x.org/photos/k");
        let oss = uri("https://s3.oss-cn-hangzhou.aliyuncs.com", HostOnly, Some(true), "photos", "k");
        assert_eq!(oss, "https://photos.s3.oss-cn-hangzhou.aliyuncs.com/k", "OSS refuses path style");
    }

    #[test]
    fn a_bucket_with_dots_stays_in_the_path_under_tls() {
        assert_eq!(uri("https://s3.x.org", Addressing::Host, None, "a.photos", "k"), "https://s3.x.org/a.photos/k");
        assert_eq!(uri("http://s3.x.org", Addressing::Host, None, "a.photos", "k"), "http://a.photos.s3.x.org/k");
    }

    #[test]
    fn keys_keep_their_bytes() {
        for (key, path) in [
            ("a/../b//c", "a/../b//c"),
            ("./x", "./x"),
            ("/x", "/x"),
            ("a/./b/", "a/./b/"),
            ("a b+c%2F", "a%20b%2Bc%252F"),
            ("?#%+ é", "%3F%23%25%2B%20%C3%A9"),
        ] {
            let by_path = uri("https://s3.x.org", Addressing::Path, None, "bkt", key);
            assert_eq!(by_path, format!("https://s3.x.org/bkt/{path}"));
            let hosted = uri("https://s3.x.org", Addressing::Host, None, "bkt", key);
            assert_eq!(hosted, format!("https://bkt.s3.x.org/{path}"));
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        let parse = |text| BucketEndpoint::parse(text, Addressing::Path, None);
        for text in
            ["s3.x.org", "ftp://s3.x.org", "https://user:pw@s3.x.org", "https://s3.x.org/base", "https://h?q", ""]
        {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_bucket_is_one_segment_of_a_path() {
        for name in ["", "..", "a/b", "a?b", "a b", "é", "a%2fb"] {
            assert!(!is_bucket(name), "{name:?}");
        }
        assert!(is_bucket("my-bucket_1.example.com") && is_bucket("tenant:bucket"));
    }
}
