//! The metadata server of a Google machine on loopback, as strict as the real one: without `Metadata-Flavor: Google` it
//! answers 403, and so it does to what a proxy has passed on.

use std::{
    collections::BTreeMap,
    io,
    ops::Deref,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use serde_json::json;
use tokio::sync::watch;

use crate::{
    google_tokens::GoogleTokens,
    http_peer::{HttpPeer, PeerHandler, PeerReply, PeerRequest, lock},
};

const ROOT: &str = "/computeMetadata/v1/";
const ACCOUNT: &str = "instance/service-accounts/default/";
const ATTRIBUTES: &str = "instance/attributes/";

/// A running metadata server. What it was asked and its faults are on [`HttpPeer`].
#[derive(Debug)]
pub struct GcePeer {
    peer: HttpPeer,
    machine: Arc<Machine>,
}

#[derive(Debug)]
struct Machine {
    mint: GoogleTokens,
    lives: Mutex<Duration>,
    preempted: watch::Sender<bool>,
    attributes: Mutex<BTreeMap<String, String>>,
}

impl Default for Machine {
    fn default() -> Self {
        Machine {
            mint: GoogleTokens::default(),
            lives: Mutex::new(Duration::from_secs(3599)),
            preempted: watch::Sender::new(false),
            attributes: Mutex::default(),
        }
    }
}

impl GcePeer {
    pub const PROJECT: &'static str = "sandbox-project";
    pub const EMAIL: &'static str = "worker@sandbox-project.iam.gserviceaccount.com";
    /// The service account's unique id: `sub` and `azp` of its identity tokens.
    pub const ACCOUNT_ID: &'static str = "112233445566778899000";

    /// Starts on a free port of 127.0.0.1. Must be called within a tokio runtime.
    pub fn start() -> io::Result<GcePeer> {
        let machine = Arc::<Machine>::default();
        Ok(GcePeer { peer: HttpPeer::start(Arc::clone(&machine))?, machine })
    }

    /// Tells the machine that it is about to be taken away.
    pub fn preempt(&self) {
        self.machine.preempted.send_replace(true);
    }

    /// Of the machine's template: what its scripts and settings are made from.
    pub fn set_attribute(&self, name: &str, value: &str) {
        lock(&self.machine.attributes).insert(name.to_owned(), value.to_owned());
    }

    /// How long tokens live that are issued from now on.
    pub fn tokens_live(&self, lives: Duration) {
        *lock(&self.machine.lives) = lives;
    }

    /// No access token issued so far is taken any more.
    pub fn revoke(&self) {
        self.machine.mint.revoke();
    }

    /// For a peer that is to take the tokens issued here.
    pub fn mint(&self) -> GoogleTokens {
        self.machine.mint.clone()
    }
}

impl Deref for GcePeer {
    type Target = HttpPeer;

    fn deref(&self) -> &HttpPeer {
        &self.peer
    }
}

impl PeerHandler for Machine {
    async fn answer(self: Arc<Self>, asked: PeerRequest) -> PeerReply {
        let reported = if asked.header("metadata-flavor") != "Google" {
            PeerReply::text(403, "Missing required header \"Metadata-Flavor\": \"Google\"")
        } else if asked.headers.contains_key("x-forwarded-for") {
            PeerReply::text(403, "a request that was forwarded is not answered")
        } else if asked.method != http::Method::GET {
            PeerReply::text(405, "")
        } else {
            match asked.path.strip_prefix(ROOT) {
                Some(path) => self.get(path, &asked).await,
                None => PeerReply::text(404, "no such directory"),
            }
        };
        reported.with("Metadata-Flavor", "Google").with("Server", "Metadata Server for VM")
    }
}

impl Machine {
    async fn get(&self, path: &str, asked: &PeerRequest) -> PeerReply {
        match path {
            "project/project-id" => PeerReply::text(200, GcePeer::PROJECT),
            "universe/universe-domain" => PeerReply::text(200, "googleapis.com"),
            "instance/preempted" => self.preempted(asked).await,
            _ if path.starts_with(ATTRIBUTES) => match lock(&self.attributes).get(&path[ATTRIBUTES.len()..]) {
                Some(value) => PeerReply::text(200, value),
                None => PeerReply::text(404, "no such attribute"),
            },
            _ => match path.strip_prefix(ACCOUNT) {
                Some("token") => self.token(),
                Some("identity") => identity(asked),
                Some("email") => PeerReply::text(200, GcePeer::EMAIL),
                _ => PeerReply::text(404, "no such entry"),
            },
        }
    }

    fn token(&self) -> PeerReply {
        let lives = *lock(&self.lives);
        let token = self.mint.access(lives);
        PeerReply::json(200, &json!({"access_token": token, "expires_in": lives.as_secs(), "token_type": "Bearer"}))
    }

    /// With `wait_for_change` the answer comes when the value is another than that of `last_etag`, or after `timeout_sec`.
    async fn preempted(&self, asked: &PeerRequest) -> PeerReply {
        let mut watched = self.preempted.subscribe();
        let mark = |value: bool| format!("{:016x}", u8::from(value) + 1);
        let mut value = *watched.borrow_and_update();
        let known = asked.parameter("last_etag").map_or_else(|| mark(value), str::to_owned);
        if asked.parameter("wait_for_change") == Some("true") {
            let seconds =
                asked.parameter("timeout_sec").and_then(|text| text.parse().ok()).unwrap_or(u64::from(u32::MAX));
            let other = watched.wait_for(|value| mark(*value) != known);
            if let Ok(Ok(changed)) = tokio::time::timeout(Duration::from_secs(seconds), other).await {
                value = *changed;
            }
        }
        PeerReply::text(200, if value { "TRUE" } else { "FALSE" }).with("ETag", mark(value))
    }
}

fn identity(asked: &PeerRequest) -> PeerReply {
    let Some(audience) = asked.parameter("audience").filter(|audience| !audience.is_empty()) else {
        return PeerReply::text(400, "non-empty audience parameter required");
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut claims = json!({
        "iss": "https://accounts.google.com", "aud": audience, "azp": GcePeer::ACCOUNT_ID, "sub": GcePeer::ACCOUNT_ID,
        "iat": now, "exp": now + 3600,
    });
    if asked.parameter("format") == Some("full") {
        claims["email"] = GcePeer::EMAIL.into();
        claims["email_verified"] = true.into();
        claims["google"] = json!({"compute_engine": {"project_id": GcePeer::PROJECT, "instance_name": "worker"}});
    }
    PeerReply::text(200, GoogleTokens::identity(&claims))
}
