//! Google's Secret Manager on loopback, as its REST interface answers `versions:access`; and the token exchange of workload
//! identity federation. Takes the Bearer tokens of its metadata server and those that it has exchanged, and no others.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use crate::{
    gce::GcePeer,
    google_tokens::GoogleTokens,
    http_peer::{HttpPeer, PeerHandler, PeerReply, PeerRequest, find, lock},
};

/// What may be wrong with a version of a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VersionState {
    #[default]
    Enabled,
    Disabled,
    Destroyed,
    /// Enabled, and its checksum does not fit its data.
    Corrupt,
    /// Enabled, and the answer has no checksum.
    Unsummed,
}

#[derive(Clone, Debug)]
struct Version {
    payload: Vec<u8>,
    state: VersionState,
}

#[derive(Debug, Default)]
struct Vault {
    /// By `projects/P/secrets/S`; versions count from 1.
    secrets: BTreeMap<String, Vec<Version>>,
    denied: BTreeSet<String>,
    /// Projects where the service is not enabled.
    disabled: BTreeSet<String>,
    /// If any is named, there are no others.
    projects: BTreeSet<String>,
}

#[derive(Debug)]
struct Keeper {
    mint: GoogleTokens,
    vault: Mutex<Vault>,
}

/// A running Secret Manager. What it was asked and its faults are on [`HttpPeer`].
#[derive(Debug)]
pub struct SecretsPeer {
    peer: HttpPeer,
    keeper: Arc<Keeper>,
}

impl SecretsPeer {
    /// The audience that the token exchange takes.
    pub const POOL: &'static str =
        "//iam.googleapis.com/projects/123456/locations/global/workloadIdentityPools/fleet/providers/aws";

    /// Starts on a free port of 127.0.0.1, taking the tokens of this metadata server. Must be called within a tokio runtime.
    pub fn start(metadata: &GcePeer) -> io::Result<SecretsPeer> {
        let keeper = Arc::new(Keeper { mint: metadata.mint(), vault: Mutex::default() });
        Ok(SecretsPeer { peer: HttpPeer::start(Arc::clone(&keeper))?, keeper })
    }

    /// Adds a version to `projects/P/secrets/S` and says its number.
    pub fn add(&self, secret: &str, payload: impl Into<Vec<u8>>) -> usize {
        let mut vault = lock(&self.keeper.vault);
        let versions = vault.secrets.entry(secret.to_owned()).or_default();
        versions.push(Version { payload: payload.into(), state: VersionState::Enabled });
        versions.len()
    }

    /// Of a version that was added.
    pub fn set_state(&self, secret: &str, version: usize, state: VersionState) {
        let mut vault = lock(&self.keeper.vault);
        if let Some(known) = vault.secrets.get_mut(secret).and_then(|versions| versions.get_mut(version - 1)) {
            known.state = state;
        }
    }

    /// This project has not enabled the service.
    pub fn disable(&self, project: &str) {
        lock(&self.keeper.vault).disabled.insert(project.to_owned());
    }

    /// Only this project, and others so named, exist.
    pub fn only_project(&self, project: &str) {
        lock(&self.keeper.vault).projects.insert(project.to_owned());
    }

    /// A secret that has no version yet.
    pub fn create(&self, secret: &str) {
        lock(&self.keeper.vault).secrets.entry(secret.to_owned()).or_default();
    }

    /// Nobody may read this secret from now on.
    pub fn deny(&self, secret: &str) {
        lock(&self.keeper.vault).denied.insert(secret.to_owned());
    }
}

impl Deref for SecretsPeer {
    type Target = HttpPeer;

    fn deref(&self) -> &HttpPeer {
        &self.peer
    }
}

/// An error as Google's REST interfaces write it.
fn refused(code: u16, status: &str, message: String) -> PeerReply {
    PeerReply::json(code, &json!({"error": {"code": code, "message": message, "status": status}}))
}

impl PeerHandler for Keeper {
    async fn answer(self: Arc<Self>, asked: PeerRequest) -> PeerReply {
        if asked.path == "/v1/token" {
            return self.exchange(&asked);
        }
        let token = asked.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        if !self.mint.accepts(token) {
            let message = "Request had invalid authentication credentials. Expected OAuth 2 access token.";
            return refused(401, "UNAUTHENTICATED", message.into());
        }
        let name = asked.path.strip_prefix("/v1/").and_then(|path| path.strip_suffix(":access"));
        let parts = name.map(|name| name.split('/').collect::<Vec<_>>());
        match parts.as_deref() {
            Some(["projects", project, "secrets", secret, "versions", version])
                if asked.method == http::Method::GET =>
            {
                self.access(project, secret, version)
            }
            _ => refused(404, "NOT_FOUND", "Method not found.".into()),
        }
    }
}

impl Keeper {
    fn access(&self, project: &str, secret: &str, version: &str) -> PeerReply {
        let vault = lock(&self.vault);
        if !vault.projects.is_empty() && !vault.projects.contains(project) {
            return refused(403, "PERMISSION_DENIED", format!("Permission denied on resource project {project}."));
        }
        if vault.disabled.contains(project) {
            let message = format!(
                "Secret Manager API has not been used in project {project} before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/secretmanager.googleapis.com/overview?project={project} then retry."
            );
            return refused(403, "PERMISSION_DENIED", message);
        }
        let name = format!("projects/{project}/secrets/{secret}");
        let Some(versions) = vault.secrets.get(&name).filter(|_| !vault.denied.contains(&name)) else {
            return if vault.denied.contains(&name) {
                let message = format!(
                    "Permission 'secretmanager.versions.access' denied for resource '{name}/versions/{version}' (or it may not exist)."
                );
                refused(403, "PERMISSION_DENIED", message)
            } else {
                refused(404, "NOT_FOUND", format!("Secret [{name}] not found or has no versions."))
            };
        };
        let number = if version == "latest" { versions.len() } else { version.parse().unwrap_or_default() };
        let Some(found) = number.checked_sub(1).and_then(|index| versions.get(index)) else {
            return refused(404, "NOT_FOUND", format!("Secret Version [{name}/versions/{version}] not found."));
        };
        let full = format!("projects/123456/secrets/{secret}/versions/{number}");
        if let VersionState::Disabled | VersionState::Destroyed = found.state {
            let state = if found.state == VersionState::Disabled { "DISABLED" } else { "DESTROYED" };
            return refused(400, "FAILED_PRECONDITION", format!("Secret Version [{full}] is in {state} state."));
        }
        let sum = u64::from(crc32c::crc32c(&found.payload)) ^ u64::from(found.state == VersionState::Corrupt);
        let mut payload = json!({"data": BASE64_STANDARD.encode(&found.payload)});
        if found.state != VersionState::Unsummed {
            payload["dataCrc32c"] = sum.to_string().into();
        }
        PeerReply::json(200, &json!({"name": full, "payload": payload}))
    }

    /// A signed GetCallerIdentity request of AWS against a token of Google.
    fn exchange(&self, asked: &PeerRequest) -> PeerReply {
        let form = asked.form();
        let field = |name: &str| find(&form, name).unwrap_or_default();
        let wrong = |text: &str| PeerReply::json(400, &json!({"error": "invalid_request", "error_description": text}));
        if field("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" {
            return wrong("grant_type");
        }
        if field("audience") != SecretsPeer::POOL {
            return wrong("the audience is no provider of this pool");
        }
        if field("subject_token_type") != "urn:ietf:params:aws:token-type:aws4_request" {
            return wrong("subject_token_type");
        }
        let subject = percent_encoding::percent_decode_str(&field("subject_token").replace('+', " "))
            .decode_utf8_lossy()
            .into_owned();
        let subject: serde_json::Value = serde_json::from_str(&subject).unwrap_or_default();
        let header = |name: &str| {
            let headers = subject["headers"].as_array().into_iter().flatten();
            let found =
                headers.into_iter().find(|header| header["key"].as_str().is_some_and(|k| k.eq_ignore_ascii_case(name)));
            found.and_then(|header| header["value"].as_str()).unwrap_or_default().to_owned()
        };
        let asks = subject["url"].as_str().is_some_and(|url| url.contains("Action=GetCallerIdentity"));
        if !asks || !header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=") {
            return wrong("the subject is no signed GetCallerIdentity");
        }
        if header("x-goog-cloud-target-resource") != SecretsPeer::POOL {
            return wrong("the subject was signed for another audience");
        }
        let lives = Duration::from_secs(3600);
        PeerReply::json(
            200,
            &json!({
                "access_token": self.mint.access(lives), "expires_in": lives.as_secs(), "token_type": "Bearer",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            }),
        )
    }
}
