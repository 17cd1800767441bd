//! Where a service is reached when it is not where its region says. Plain http carries signed requests in the clear, so it
//! is for loopback only, unless the operator insists.

use std::fmt;
use std::net::IpAddr;

/// `scheme://host[:port]`, checked: no path, no user, no query.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    url: String,
    host: String,
    secure: bool,
}

impl Endpoint {
    /// Errors say what is wanted, and never show the text: it may hold a password (`https://user:password@…`).
    pub fn parse(text: &str, allow_http: bool) -> Result<Endpoint, String> {
        let wanted = "a URL like \"https://host:port\", without user, path or query";
        let uri: http::Uri = text.trim().parse().map_err(|_| wanted.to_string())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wanted.into()) };
        if authority.as_str().contains('@')
            || authority.host().is_empty()
            || !matches!(uri.path(), "" | "/")
            || uri.query().is_some()
        {
            return Err(wanted.into());
        }
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err("an https URL".into()),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let endpoint = Endpoint { url: format!("{scheme}://{authority}"), host, secure };
        if !secure && !allow_http && !endpoint.is_loopback() {
            return Err("https (plain http only on loopback, or with allow_http = true in the same table)".into());
        }
        Ok(endpoint)
    }

    /// Without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// Lower case, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn is_https(&self) -> bool {
        self.secure
    }

    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// No bucket can be a subdomain of it: path style is the only one.
    pub fn implies_path_style(&self) -> bool {
        self.host == "localhost" || self.ip().is_some()
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_http_is_for_loopback() {
        for fine in ["http://127.0.0.1:4566", "http://localhost", "http://[::1]:9", "https://minio.example:9000/"] {
            let endpoint = Endpoint::parse(fine, false).unwrap();
            assert_eq!(endpoint.as_str(), fine.trim_end_matches('/'));
        }
        for plain in
            ["http://10.0.0.1", "http://example.com", "http://127.0.0.1.example.com", "http://localhost.example.com"]
        {
            assert!(Endpoint::parse(plain, false).is_err(), "{plain}");
            assert!(Endpoint::parse(plain, true).is_ok(), "{plain}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_and_not_repeated() {
        for bad in [
            "",
            "host",
            "host:80",
            "https://",
            "ftp://h",
            "https://u:secret@h",
            "https://h/path",
            "https://h?secret",
            "/x",
        ] {
            let reason = Endpoint::parse(bad, true).unwrap_err();
            assert!(!reason.contains("secret"), "{bad}: {reason}");
        }
    }

    #[test]
    fn an_address_implies_path_style() {
        let implies = |url| Endpoint::parse(url, true).unwrap().implies_path_style();
        assert!(implies("http://10.1.2.3:9000") && implies("https://[2001:db8::1]") && implies("http://localhost:1"));
        assert!(!implies("https://oss-cn-hangzhou.aliyuncs.com"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(https?://)?\\PC{0,20}") {
            if let Ok(endpoint) = Endpoint::parse(&text, true) {
                prop_assert_eq!(Endpoint::parse(endpoint.as_str(), true), Ok(endpoint));
            }
        }
    }
}
