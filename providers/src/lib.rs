//! Where keys come from. One trait, one cache, one file a provider; knows nothing of the rest of Skyferry.
//!
//! A provider answers one question: which credentials hold now. `Cached` asks it at most once at a time, again
//! before they expire, and whenever the far side refuses them. Secrets live in [`Secret`]: redacted in every
//! `Debug`, wiped when dropped.

mod cache;
mod environment;
mod file;
mod secret;

use std::time::SystemTime;

use async_trait::async_trait;

pub use cache::Cached;
pub use environment::Environment;
pub use file::File;
pub use secret::Secret;

/// What a request is signed or authorised with.
#[derive(Clone, Debug)]
pub enum Grant {
    /// An access key pair: AWS SigV4, or GOOG4 with an interoperability key.
    Keys { access_key_id: String, secret_access_key: Secret, session_token: Option<Secret> },
    /// An OAuth 2 token for `Authorization: Bearer`.
    Bearer(Secret),
}

/// Credentials as a provider gave them.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub grant: Grant,
    /// Where the provider knows it (the predecessors' secrets carry it).
    pub region: Option<String>,
    /// After this they are refused; `None`: they do not expire by themselves.
    pub expires: Option<SystemTime>,
}

/// Why there are no credentials. Never holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("credentials from {from}: {problem}; {advice}")]
pub struct ProviderError {
    /// The provider and the resource: `environment SRC_`, `file /etc/skyferry/key.json (source)`.
    pub from: String,
    pub problem: String,
    pub advice: String,
    /// Worth asking again: the service behind it did not answer.
    pub passing: bool,
}

#[async_trait]
pub trait Provider: Send + Sync {
    /// Which identity this is, in plain words, without a secret.
    fn describe(&self) -> String;
    /// Asks now. No caching here.
    async fn load(&self) -> Result<Credentials, ProviderError>;
}
