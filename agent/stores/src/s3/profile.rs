//! What each S3 dialect can do. A row, not an adapter: everything else is one client.

use super::super::xml_api::{Addressing, BucketEndpoint};

/// One dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct S3Profile {
    /// As the settings have it.
    pub name: &'static str,
    /// If-Match and If-None-Match are enforced on PutObject, CompleteMultipartUpload and DeleteObject.
    pub conditional_put: bool,
    /// The same on CompleteMultipartUpload.
    pub conditional_finish: bool,
    /// The same on DeleteObject.
    pub conditional_delete: bool,
    /// `x-amz-checksum-crc32c` is verified before publishing, and stored.
    pub checksums: bool,
    /// Streamed bodies may carry their checksum behind them (`aws-chunked`).
    pub trailers: bool,
    /// A multipart upload may be checked by one checksum of the whole object.
    pub full_object: bool,
    /// Where there are no checksums: the ETag of a single PUT is an MD5, and Content-MD5 is verified.
    pub content_md5: bool,
    /// Where the bucket's name stands in a URL.
    pub addressing: Addressing,
    /// The host of a region, `{region}` to be filled in; `None`: an endpoint must be given.
    pub endpoint: Option<&'static str>,
}

/// Amazon S3.
pub const AWS: S3Profile = S3Profile {
    name: "aws",
    conditional_put: true,
    conditional_finish: true,
    conditional_delete: true,
    checksums: true,
    trailers: true,
    full_object: true,
    content_md5: false,
    addressing: Addressing::Host,
    endpoint: Some("s3.{region}.amazonaws.com"),
};

/// Every dialect.
pub const PROFILES: [S3Profile; 4] = [
    AWS,
    S3Profile { name: "aws-cn", endpoint: Some("s3.{region}.amazonaws.com.cn"), ..AWS },
    S3Profile {
        name: "aliyun-oss",
        conditional_put: false,
        conditional_finish: false,
        conditional_delete: false,
        checksums: false,
        trailers: false,
        full_object: false,
        content_md5: true,
        addressing: Addressing::HostOnly,
        endpoint: Some("s3.oss-{region}.aliyuncs.com"),
    },
    // Nothing that a server may not know; what it answers beyond that is still read.
    S3Profile {
        name: "generic",
        conditional_put: false,
        conditional_finish: false,
        conditional_delete: false,
        checksums: false,
        trailers: false,
        full_object: false,
        content_md5: true,
        addressing: Addressing::Path,
        endpoint: None,
    },
];

impl S3Profile {
    /// The row of this name.
    pub fn named(name: &str) -> Option<&'static S3Profile> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// AWS's own rows: whose hosts may name another region, which is then believed.
    pub(super) fn is_aws(&self) -> bool {
        self.name.starts_with("aws")
    }

    /// The service's own endpoint in a region.
    pub(super) fn endpoint_in(&self, region: &str, path_style: Option<bool>) -> Option<BucketEndpoint> {
        if region.is_empty() || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return None; // a name from an answer must not lead to another host
        }
        BucketEndpoint::parse(&format!("https://{}", self.host(region)?), self.addressing, path_style)
    }

    fn host(&self, region: &str) -> Option<String> {
        // In China the suffix follows the region, also when the row was left at its default.
        let row = match self.name {
            "aws" if region.starts_with("cn-") => PROFILES[1].endpoint,
            _ => self.endpoint,
        };
        row.map(|host| host.replace("{region}", region.trim_start_matches("oss-")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_follows_from_profile_and_region() {
        let host = |profile: &str, region| S3Profile::named(profile).unwrap().host(region);
        assert_eq!(host("aws", "us-west-2").unwrap(), "s3.us-west-2.amazonaws.com");
        assert_eq!(host("aws", "cn-north-1").unwrap(), "s3.cn-north-1.amazonaws.com.cn");
        assert_eq!(host("aws-cn", "cn-northwest-1").unwrap(), "s3.cn-northwest-1.amazonaws.com.cn");
        assert_eq!(host("aliyun-oss", "cn-hangzhou").unwrap(), "s3.oss-cn-hangzhou.aliyuncs.com");
        assert_eq!(host("aliyun-oss", "oss-cn-hangzhou").unwrap(), "s3.oss-cn-hangzhou.aliyuncs.com");
        assert_eq!(host("generic", "us-east-1"), None);
        assert_eq!(S3Profile::named("ovh"), None);
        for region in ["evil.org/", "us-west-2@evil.org", ""] {
            assert!(AWS.endpoint_in(region, None).is_none(), "{region}");
        }
    }
}
