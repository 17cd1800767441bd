//! Where keys come from. One trait, one cache, one file a provider; knows nothing of the rest of Skyferry.
//!
//! A provider answers one question: which credentials hold now. `Cached` asks it at most once at a time, again
//! before they expire, and whenever the far side refuses them. Secrets live in [`Secret`]: redacted in every
//! `Debug`, wiped when dropped.
//!
//! `aws` and `keyfile` are what several providers share: Amazon's client settings and errors, the predecessors' JSON.
#![warn(missing_docs)]

mod anonymous;
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

pub use anonymous::Anonymous;
pub use cache::Cached;
pub use environment::Environment;
pub use file::File;
pub use google::Google;
pub use instance::{Instance, instance_id};
pub use profile::Profile;
pub use secret::Secret;
pub use secret_manager::SecretManager;
pub use ssm::Ssm;
pub use web_identity::WebIdentity;

/// What a request is signed or authorised with.
#[allow(missing_docs)] // what a field is, its variant says
#[derive(Clone, Debug)]
pub enum Grant {
    /// An access key pair: AWS SigV4, or GOOG4 with an interoperability key.
    Keys { access_key_id: String, secret_access_key: Secret, session_token: Option<Secret> },
    /// An OAuth 2 token for `Authorization: Bearer`.
    Bearer(Secret),
    /// Nothing: requests are not signed.
    Anonymous,
}

/// Credentials as a provider gave them.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// What requests are signed with.
    pub grant: Grant,
    /// Where the provider knows it (the predecessors' secrets carry it).
    pub region: Option<String>,
    /// After this they are refused; `None`: they do not expire by themselves.
    pub expires: Option<SystemTime>,
}

impl Credentials {
    /// Without the blanks and line ends that files, variables and consoles hang on them, and fit for a request's headers. The
    /// error names the part that is not, and never quotes it.
    fn clean(self) -> Result<Credentials, String> {
        let grant = match self.grant {
            Grant::Keys { access_key_id, secret_access_key, session_token } => Grant::Keys {
                access_key_id: clean("the access key id", &access_key_id, true)?.into(),
                secret_access_key: Secret::new(clean("the secret access key", secret_access_key.expose(), false)?),
                // An empty one is how a profile or a template writes that there is none.
                session_token: match session_token.as_ref().map(|token| token.expose().trim()) {
                    None | Some("") => None,
                    Some(token) => Some(Secret::new(clean("the session token", token, true)?)),
                },
            },
            Grant::Bearer(token) => Grant::Bearer(Secret::new(clean("the token", token.expose(), true)?)),
            Grant::Anonymous => Grant::Anonymous,
        };
        let region = self.region.as_deref().map(str::trim).filter(|region| !region.is_empty());
        let region = region.map(|region| clean("the region", region, true).map(str::to_owned)).transpose()?;
        Ok(Credentials { grant, region, expires: self.expires })
    }
}

/// `header`: it travels in one, which holds ASCII only.
fn clean<'a>(what: &str, text: &'a str, header: bool) -> Result<&'a str, String> {
    let text = text.trim();
    let wrong = |character: &char| character.is_control() || (header && !character.is_ascii());
    match text.chars().enumerate().find(|(_, character)| wrong(character)) {
        _ if text.is_empty() => Err(format!("{what} is empty")),
        None => Ok(text),
        Some((place, character)) => {
            let kind = if character.is_control() { "control character" } else { "character that is not ASCII" };
            Err(format!("{what} has a {kind} (U+{:04X}) at position {}", u32::from(character), place + 1))
        }
    }
}

/// Why there are no credentials. Never holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("credentials from {from}: {problem}; {advice}")]
pub struct ProviderError {
    /// The provider and the resource: `environment SRC_`, `file /etc/skyferry/key.json (source)`.
    pub from: String,
    /// What went wrong, in one line.
    pub problem: String,
    /// What to do about it.
    pub advice: String,
    /// Worth asking again: the service behind it did not answer.
    pub passing: bool,
    /// The reader's identity may not read it.
    pub denied: bool,
}

impl ProviderError {
    /// Somebody has to change something.
    pub fn permanent(from: &dyn Provider, problem: impl Into<String>, advice: &str) -> Self {
        let from = from.describe();
        ProviderError { from, problem: problem.into(), advice: advice.into(), passing: false, denied: false }
    }

    /// An outage: time heals it.
    pub fn temporary(from: &dyn Provider, problem: impl Into<String>, advice: &str) -> Self {
        ProviderError { passing: true, ..ProviderError::permanent(from, problem, advice) }
    }
}

/// A source of credentials. Errors name the place and what to do; neither they nor `describe` hold a secret.
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

/// Amazon's clients put a whole answer, its body included, into some of their errors, in Rust's debug form (`Response { … }`):
/// what comes before it is the message.
fn without_dump(text: &str) -> &str {
    let begins = text.match_indices(" {").find_map(|(brace, _)| {
        let name = text[..brace].rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |before| before + 1);
        text[name..brace].starts_with(|c: char| c.is_ascii_uppercase()).then_some(name)
    });
    begins.map_or(text, |begins| text[..begins].trim_end_matches([' ', '.', ':', '(']))
}

/// An error and what caused it, once each, on one line, for people: never a debug dump or an answer's body.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = without_dump(&error.to_string()).to_owned();
    let mut next = error.source();
    while let Some(cause) = next {
        let message = cause.to_string();
        let message = without_dump(&message);
        if !text.contains(message) {
            text = format!("{text}: {message}");
        }
        next = cause.source();
    }
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str, secret: &str, token: Option<&str>) -> Credentials {
        let session_token = token.map(Secret::new);
        let grant = Grant::Keys { access_key_id: id.into(), secret_access_key: Secret::new(secret), session_token };
        Credentials { grant, region: Some(" us-west-2\r\n".into()), expires: None }
    }

    #[test]
    fn fault_a22_blanks_and_line_ends_around_keys_are_trimmed() {
        let clean = keys("AKIA\n", " secret+/=\t", Some("token\r\n")).clean().expect("clean");
        let Grant::Keys { access_key_id, secret_access_key, session_token } = clean.grant else { panic!() };
        assert_eq!((access_key_id.as_str(), secret_access_key.expose()), ("AKIA", "secret+/="));
        assert_eq!((session_token.expect("a token").expose(), clean.region.as_deref()), ("token", Some("us-west-2")));
    }

    #[test]
    fn fault_a22_a_control_character_within_a_key_is_an_error_that_quotes_nothing() {
        for (credentials, named) in [
            (keys("AK\nIA", "s", None), "the access key id has a control character (U+000A) at position 3"),
            (keys("AKI\u{e9}", "s", None), "not ASCII (U+00E9) at position 4"),
            (keys("AKIA", "hun\0ter2", None), "the secret access key has a control character (U+0000)"),
            (keys("AKIA", "s", Some("hun\nter2")), "the session token has a control character"),
            (keys(" \n", "s", None), "the access key id is empty"),
        ] {
            let error = credentials.clean().expect_err("refused");
            assert!(error.contains(named) && !error.contains("ter2"), "{error}");
        }
        let token = Credentials { grant: Grant::Bearer(Secret::new("a\u{7}b")), region: None, expires: None };
        assert!(token.clean().is_err());
    }

    #[test]
    fn fault_a24_an_empty_session_token_is_none() {
        let Grant::Keys { session_token, .. } = keys("AKIA", "s", Some(" \n")).clean().expect("clean").grant else {
            panic!()
        };
        assert!(session_token.is_none());
    }

    #[test]
    fn fault_a23_a_debug_dump_is_cut_from_an_error() {
        let dump =
            "error response from IMDS (code: 500). Response { status: StatusCode(500), body: SdkBody { inner: .. } }";
        assert_eq!(without_dump(dump), "error response from IMDS (code: 500)");
        assert_eq!(without_dump("a {brace} and {\"json\"}: 1"), "a {brace} and {\"json\"}: 1");
    }
}
