//! The words that every other file uses: what an object is called, which state of it is meant, who wrote it.
//! Plain values, no behaviour beyond printing them safely.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// An object's key: the bytes as the service has them, never normalised. S3 and GCS say UTF-8, files do not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key(Bytes);

impl Key {
    /// Of these bytes, as they are.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Key(bytes.into())
    }
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    /// The key as text, where it is UTF-8 (what S3 and GCS demand).
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Key(Bytes::copy_from_slice(text.as_bytes()))
    }
}

/// For people: bytes outside printable UTF-8 appear as `\xNN`, so that a key cannot forge a log line.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_unprintable(c) {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Control characters, and those that turn the direction of a line or break it: on a terminal and in a log they would show
/// another name than the one that is meant.
pub fn is_unprintable(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// A bucket and a key in it: where an object is, at one side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Location {
    /// The bucket's name.
    pub bucket: Arc<str>,
    /// The key in it.
    pub key: Key,
}

impl Location {
    /// Of a bucket and a key.
    pub fn new(bucket: impl Into<Arc<str>>, key: impl Into<Key>) -> Self {
        Location { bucket: bucket.into(), key: key.into() }
    }

    /// `bucket/key`, byte for byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.bucket.as_bytes(), b"/", self.key.as_bytes()].concat()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.key)
    }
}

/// One state of one source object. Two reads with equal identities read the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// Without quotes. Opaque: an MD5 only for single PUTs without SSE-KMS or SSE-C.
    pub etag: Arc<str>,
    /// Bytes.
    pub size: u64,
    /// Seconds since the epoch: services give no finer time in their headers.
    pub last_modified: i64,
    /// `None` where the bucket is not versioned or the version is `null`.
    pub version: Option<Arc<str>>,
}

/// The destination's own name for one state of one object: a GCS generation, an S3 ETag, a file's stamp.
/// Opaque outside the sink that made it; what conditional writes compare.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Revision(pub Arc<str>);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An id of 128 random bits, printed as 32 hex digits.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        /// A random number of 128 bits.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);
        impl $name {
            /// A new one.
            pub fn random() -> Self {
                $name(crate::ambient::random())
            }
            /// As `Display` writes it: 32 hex digits.
            pub fn parse(text: &str) -> Option<Self> {
                (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten().map($name)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
    };
}

random_id! {
    /// One attempt of one job at one key, as the ledger knows it. Never used twice.
    Writer
}
random_id! {
    /// Marks what one attempt to publish wrote, so that a lost answer can be settled by looking. New for every
    /// attempt: with one token a writer, an earlier attempt's PUT that lands late passes for the later one.
    Token
}

/// A multipart upload's id, as the sink gave it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UploadId(pub Arc<str>);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which objects at the destination a copy may replace, as the operator has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overwrite {
    /// Any but the copy of another source object.
    #[default]
    Always,
    /// One that is older than the source's state.
    IfOlder,
    /// None: copies are only created.
    Never,
}

/// What a write may replace. Sinks that cannot enforce it say so in their capabilities.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Whatever is there.
    Any,
    /// Nothing may be there.
    Absent,
    /// Exactly this state may be there.
    Revision(Revision),
}
