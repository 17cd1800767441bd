//! Where keys come from. One trait, one cache, one file a provider; knows nothing of the rest of Skyferry.
//!
//! A provider answers one question: which credentials hold now. `Cached` asks it at most once at a time, again
//! before they expire, and whenever the far side refuses them. Secrets live in [`Secret`]: redacted in every
//! `Debug`, wiped when dropped.
//!
//! `aws` and `keyfile` are what several providers share: Amazon's client settings and errors, the predecessors' JSON.

mod aws;
mod cache;
mod caller;
mod environment;
mod file;
mod google;
mod instance;
mod keyfile;
mod profile;
mod secret;
mod secret_manager;
mod ssm;
mod web_identity;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

pub use cache::Cached;
pub use environment::Environment;
pub use file::File;
pub use google::Google;
pub use instance::Instance;
pub use profile::Profile;
pub use secret::Secret;
pub use secret_manager::SecretManager;
pub use ssm::Ssm;
pub use web_identity::WebIdentity;

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

impl ProviderError {
    /// Somebody has to change something.
    pub fn lasting(from: &dyn Provider, problem: impl Into<String>, advice: &str) -> Self {
        ProviderError { from: from.describe(), problem: problem.into(), advice: advice.into(), passing: false }
    }

    /// An outage: time heals it.
    pub fn passing(from: &dyn Provider, problem: impl Into<String>, advice: &str) -> Self {
        ProviderError { passing: true, ..ProviderError::lasting(from, problem, advice) }
    }
}

#[async_trait]
pub trait Provider: Send + Sync {
    /// Which identity this is, in plain words, without a secret.
    fn describe(&self) -> String;
    /// Asks now. No caching here.
    async fn load(&self) -> Result<Credentials, ProviderError>;
    /// How often to ask again for credentials that do not say when they expire, so that a rotated secret arrives without
    /// a restart.
    fn period(&self) -> Duration {
        Duration::from_secs(300)
    }
}

/// An error and what caused it, once each, on one line.
fn because(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
