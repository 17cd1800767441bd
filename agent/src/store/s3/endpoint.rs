//! Where requests go: scheme, host and the bucket's place in them. Keys keep their bytes.

use std::net::{IpAddr, Ipv6Addr};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};

use super::super::http::{encode_path, encode_query};
use super::profile::{Addressing, Profile};

/// An endpoint of one's own, read once.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    scheme: Scheme,
    /// Host, and the port where it is not the scheme's own.
    host: String,
    /// The bucket is the path's first segment.
    by_path: bool,
}

impl Endpoint {
    /// `None` for an endpoint that is no `http(s)://host[:port]`.
    pub fn parse(text: &str, profile: &Profile, path_style: Option<bool>) -> Option<Self> {
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
        let by_path = match profile.addressing {
            Addressing::HostOnly => local,
            Addressing::Host => path_style.unwrap_or(local),
            Addressing::Path => path_style.unwrap_or(true),
        };
        Some(Endpoint { scheme, host, by_path })
    }

    /// The service's own in a region.
    pub fn of_region(profile: &Profile, region: &str, path_style: Option<bool>) -> Option<Self> {
        if region.is_empty() || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return None; // a name from an answer must not lead to another host
        }
        Endpoint::parse(&format!("https://{}", profile.host(region)?), profile, path_style)
    }

    /// The request's URI and its Host. `query` is written as the signers want it.
    pub fn uri(&self, bucket: &str, key: Option<&[u8]>, query: &[(&str, &str)]) -> Option<Uri> {
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
            encode_query(value.as_bytes(), &mut path);
        }
        let host = if by_path { self.host.clone() } else { format!("{bucket}.{}", self.host) };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(Authority::from_maybe_shared(Bytes::from(host)).ok()?);
        parts.path_and_query = Some(PathAndQuery::from_maybe_shared(Bytes::from(path)).ok()?);
        Uri::from_parts(parts).ok()
    }
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
    use super::super::profile::PROFILES;
    use super::*;

    fn uri(endpoint: &str, profile: &str, path_style: Option<bool>, bucket: &str, key: &str) -> String {
        let profile = Profile::named(profile).unwrap();
        let endpoint = Endpoint::parse(endpoint, profile, path_style).unwrap();
        endpoint.uri(bucket, Some(key.as_bytes()), &[]).unwrap().to_string()
    }

    #[test]
    fn addresses_and_localhost_imply_path_style_and_names_follow_the_profile() {
        assert_eq!(uri("http://127.0.0.1:8333", "aws", None, "photos", "k"), "http://127.0.0.1:8333/photos/k");
        assert_eq!(uri("http://[::1]:8333", "aws", None, "photos", "k"), "http://[::1]:8333/photos/k");
        assert_eq!(uri("http://localhost:80", "aws-cn", None, "photos", "k"), "http://localhost/photos/k");
        assert_eq!(uri("https://s3.x.org", "aws", None, "photos", "k"), "https://photos.s3.x.org/k");
        assert_eq!(uri("https://s3.x.org", "aws", Some(true), "photos", "k"), "https://s3.x.org/photos/k");
        assert_eq!(uri("https://s3.x.org", "generic", None, "photos", "k"), "https://s3.x.org/photos/k");
        let oss = uri("https://s3.oss-cn-hangzhou.aliyuncs.com", "aliyun-oss", Some(true), "photos", "k");
        assert_eq!(oss, "https://photos.s3.oss-cn-hangzhou.aliyuncs.com/k", "OSS refuses path style");
    }

    #[test]
    fn a_bucket_with_dots_stays_in_the_path_under_tls() {
        assert_eq!(uri("https://s3.x.org", "aws", None, "a.photos", "k"), "https://s3.x.org/a.photos/k");
        assert_eq!(uri("http://s3.x.org", "aws", None, "a.photos", "k"), "http://a.photos.s3.x.org/k");
    }

    #[test]
    fn keys_keep_their_bytes() {
        for (key, path) in
            [("a/../b//c", "a/../b//c"), ("./x", "./x"), ("/x", "/x"), ("?#%+ é", "%3F%23%25%2B%20%C3%A9")]
        {
            assert_eq!(uri("https://s3.x.org", "generic", None, "bkt", key), format!("https://s3.x.org/bkt/{path}"));
            let hosted = uri("https://s3.x.org", "aws", None, "bkt", key);
            assert_eq!(hosted, format!("https://bkt.s3.x.org/{path}"));
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        let parse = |text| Endpoint::parse(text, &PROFILES[0], None);
        for text in ["s3.x.org", "ftp://s3.x.org", "https://user:pw@s3.x.org", "https://s3.x.org/base", ""] {
            assert!(parse(text).is_none(), "{text}");
        }
        for region in ["evil.org/", "us-west-2@evil.org", ""] {
            assert!(Endpoint::of_region(&PROFILES[0], region, None).is_none(), "{region}");
        }
    }
}
