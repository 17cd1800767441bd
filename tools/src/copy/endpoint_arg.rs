//! What SRC and DST can be: `s3://bucket/prefix`, `gs://…`, `oss://…`, or a path on this machine.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    S3,
    Gcs,
    Oss,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointArgument {
    Remote {
        scheme: Scheme,
        bucket: String,
        /// What follows the bucket and one slash, byte for byte.
        rest: String,
    },
    Local(PathBuf),
}

impl EndpointArgument {
    pub fn parse(text: &OsStr) -> Result<EndpointArgument, String> {
        let Some((scheme, rest)) = text.to_str().and_then(|text| text.split_once("://")) else {
            return match (text.is_empty(), text.to_str().and_then(remote_spelling)) {
                (true, _) => Err("an empty name".into()),
                (_, Some(meant)) => Err(format!("did you mean {meant}? (a path can begin with ./)")),
                (_, None) => Ok(EndpointArgument::Local(text.into())),
            };
        };
        let scheme = match scheme {
            "s3" => Scheme::S3,
            "gs" => Scheme::Gcs,
            "oss" => Scheme::Oss,
            // `./a://b` is a path like any other.
            path if path.contains('/') => return Ok(EndpointArgument::Local(text.into())),
            other => {
                let meant = scheme_of(other).map(|scheme| format!("did you mean {scheme}://{rest}? "));
                let known = format!("{other}:// is not one of s3://, gs:// and oss://");
                return Err(format!("{}{known} (a path can begin with ./)", meant.unwrap_or_default()));
            }
        };
        let (bucket, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(format!("{} names no bucket", text.display()));
        }
        Ok(EndpointArgument::Remote { scheme, bucket: bucket.into(), rest: rest.into() })
    }

    pub fn is_local(&self) -> bool {
        matches!(self, EndpointArgument::Local(_))
    }

    /// One name for one place, wherever this is typed: what the state belongs to.
    pub fn name(&self) -> Vec<u8> {
        match self {
            EndpointArgument::Remote { .. } => self.to_string().into_bytes(),
            EndpointArgument::Local(path) => {
                let real = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
                real.unwrap_or_else(|_| path.clone()).into_os_string().into_encoded_bytes()
            }
        }
    }
}

/// The scheme of a service under another of its names.
fn scheme_of(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "s3" | "s3a" | "s3n" | "aws" | "minio" | "ceph" | "r2" => "s3",
        "gs" | "gcs" | "google" => "gs",
        "oss" | "aliyun" | "alibaba" => "oss",
        _ => return None,
    })
}

/// `s3:bucket/x` as rclone spells it, in our spelling: as a path it would quietly become a local folder.
fn remote_spelling(text: &str) -> Option<String> {
    let (name, rest) = text.split_once(':').filter(|(name, _)| !name.contains('/'))?;
    Some(format!("{}://{}", scheme_of(name)?, rest.trim_start_matches('/')))
}

impl fmt::Display for EndpointArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, bucket, rest) = match self {
            EndpointArgument::Local(path) => return write!(f, "{}", path.display()),
            EndpointArgument::Remote { scheme, bucket, rest } => (scheme, bucket, rest),
        };
        let scheme = match scheme {
            Scheme::S3 => "s3",
            Scheme::Gcs => "gs",
            Scheme::Oss => "oss",
        };
        write!(f, "{scheme}://{bucket}/{rest}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(text: &str) -> (Scheme, String, String) {
        match EndpointArgument::parse(OsStr::new(text)) {
            Ok(EndpointArgument::Remote { scheme, bucket, rest }) => (scheme, bucket, rest),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn buckets_and_prefixes_are_taken_byte_for_byte() {
        assert_eq!(remote("s3://b"), (Scheme::S3, "b".into(), "".into()));
        assert_eq!(remote("gs://b/p/q/"), (Scheme::Gcs, "b".into(), "p/q/".into()));
        assert_eq!(remote("oss://b//a//../c?d#e"), (Scheme::Oss, "b".into(), "/a//../c?d#e".into()));
    }

    #[test]
    fn fault_d3_other_programs_spellings_of_a_bucket_are_refused_with_ours() {
        for (typed, meant) in [
            ("s3:bucket/x", "s3://bucket/x"),
            ("s3:/bucket/x", "s3://bucket/x"),
            ("minio:bucket/x", "s3://bucket/x"),
            ("gcs:bucket", "gs://bucket"),
            ("gcs://bucket/x", "gs://bucket/x"),
            ("s3a://bucket/x", "s3://bucket/x"),
            ("S3://bucket", "s3://bucket"),
        ] {
            let why = EndpointArgument::parse(OsStr::new(typed)).expect_err(typed);
            assert!(why.contains(&format!("did you mean {meant}?")), "{why}");
        }
        assert_eq!(
            EndpointArgument::parse(OsStr::new("./s3:bucket")),
            Ok(EndpointArgument::Local("./s3:bucket".into()))
        );
    }

    #[test]
    fn everything_else_is_a_path_and_a_mistyped_scheme_is_told() {
        for path in ["dir", "./dir", "/a/b", "a:b", "./s3://b", ".", "C:"] {
            assert_eq!(EndpointArgument::parse(OsStr::new(path)), Ok(EndpointArgument::Local(path.into())));
        }
        for wrong in ["", "s4://b/p", "s3:///p", "s3://", "http://b/p"] {
            assert!(EndpointArgument::parse(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }
}
