//! The metadata server of an Amazon machine on loopback, version 2 only: a request without the token of a session is refused
//! with 401 and counted.

use std::{
    collections::BTreeMap,
    io,
    ops::Deref,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use http::Method;
use serde_json::json;

use crate::http_peer::{HttpPeer, PeerHandler, PeerReply, PeerRequest, lock};

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const ROLE: &str = "sandbox-worker";

/// A running metadata server. What it was asked and its faults are on [`HttpPeer`].
#[derive(Debug)]
pub struct Ec2Peer {
    peer: HttpPeer,
    machine: Arc<Machine>,
}

#[derive(Debug)]
struct Machine {
    sessions: Mutex<BTreeMap<String, Instant>>,
    /// Requests of version 1.
    refused: AtomicUsize,
    issued: AtomicU64,
    reported: Mutex<State>,
}

#[derive(Debug)]
struct State {
    key: (String, String),
    lives: Duration,
    region: String,
    spot: Option<String>,
    rebalance: Option<String>,
    /// What its group wants of it.
    target: &'static str,
}

impl Ec2Peer {
    pub const ACCESS_ID: &'static str = "ASIASANDBOXROLEKEY00";
    pub const INSTANCE_ID: &'static str = "i-0123456789abcdef0";
    pub const SECRET: &'static str = "role+secret/of+the+sandbox";

    /// Starts on a free port of 127.0.0.1. Must be called within a tokio runtime.
    pub fn start() -> io::Result<Ec2Peer> {
        let reported = State {
            key: (Self::ACCESS_ID.into(), Self::SECRET.into()),
            lives: Duration::from_secs(6 * 3600),
            region: "us-west-2".into(),
            spot: None,
            rebalance: None,
            target: "InService",
        };
        let machine = Arc::new(Machine {
            sessions: Mutex::default(),
            refused: AtomicUsize::new(0),
            issued: AtomicU64::new(0),
            reported: Mutex::new(reported),
        });
        Ok(Ec2Peer { peer: HttpPeer::start(Arc::clone(&machine))?, machine })
    }

    /// The role's key pair from now on.
    pub fn set_key(&self, access_id: &str, secret: &str) {
        lock(&self.machine.reported).key = (access_id.into(), secret.into());
    }

    /// How long the role's keys live that are given from now on.
    pub fn keys_live(&self, lives: Duration) {
        lock(&self.machine.reported).lives = lives;
    }

    pub fn set_region(&self, region: &str) {
        lock(&self.machine.reported).region = region.into();
    }

    /// Announces the end of this spot machine in two minutes.
    pub fn interrupt(&self) {
        lock(&self.machine.reported).spot = Some(stamp(Duration::from_secs(120)));
    }

    /// Recommends to move elsewhere.
    pub fn rebalance(&self) {
        lock(&self.machine.reported).rebalance = Some(stamp(Duration::ZERO));
    }

    /// Lets the machine's group take it out.
    pub fn take_out(&self) {
        lock(&self.machine.reported).target = "Terminated";
    }

    /// Requests without a session's token: version 1.
    pub fn refused(&self) -> usize {
        self.machine.refused.load(Relaxed)
    }
}

impl Deref for Ec2Peer {
    type Target = HttpPeer;

    fn deref(&self) -> &HttpPeer {
        &self.peer
    }
}

fn stamp(ahead: Duration) -> String {
    let at = jiff::Timestamp::try_from(SystemTime::now() + ahead).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl PeerHandler for Machine {
    async fn answer(self: Arc<Self>, asked: PeerRequest) -> PeerReply {
        if asked.headers.contains_key("x-forwarded-for") {
            return PeerReply::text(403, "");
        }
        if asked.method == Method::PUT && asked.path == "/latest/api/token" {
            return self.session(&asked);
        }
        let live = lock(&self.sessions).get(asked.header(TOKEN)).is_some_and(|until| *until > Instant::now());
        if !live {
            self.refused.fetch_add(usize::from(!asked.headers.contains_key(TOKEN)), Relaxed);
            return PeerReply::text(401, "Unauthorized");
        }
        if asked.method != Method::GET {
            return PeerReply::text(405, "");
        }
        self.get(&asked.path)
    }
}

impl Machine {
    fn session(&self, asked: &PeerRequest) -> PeerReply {
        let Ok(seconds @ 1..=21_600) = asked.header(TTL).parse::<u64>() else {
            return PeerReply::text(400, "the time to live is missing or too long");
        };
        let token = format!("session-{}-{:016x}", self.issued.fetch_add(1, Relaxed), rand::random::<u64>());
        lock(&self.sessions).insert(token.clone(), Instant::now() + Duration::from_secs(seconds));
        PeerReply::text(200, token).with(TTL, seconds.to_string())
    }

    fn get(&self, path: &str) -> PeerReply {
        let state = lock(&self.reported);
        let missing = || PeerReply::text(404, "Not Found");
        let Some(path) = path.strip_prefix("/latest/") else { return missing() };
        match path {
            "meta-data/iam/security-credentials" | "meta-data/iam/security-credentials/" => PeerReply::text(200, ROLE),
            "meta-data/instance-id" => PeerReply::text(200, Ec2Peer::INSTANCE_ID),
            "meta-data/placement/region" => PeerReply::text(200, &state.region),
            "meta-data/placement/availability-zone" => PeerReply::text(200, format!("{}a", state.region)),
            "dynamic/instance-identity/document" => PeerReply::json(
                200,
                &json!({"accountId": "123456789012", "instanceId": "i-0123456789abcdef0", "region": state.region}),
            ),
            "meta-data/autoscaling/target-lifecycle-state" => PeerReply::text(200, state.target),
            "meta-data/spot/instance-action" => state
                .spot
                .as_ref()
                .map_or_else(missing, |time| PeerReply::json(200, &json!({"action": "terminate", "time": time}))),
            "meta-data/events/recommendations/rebalance" => {
                state.rebalance.as_ref().map_or_else(missing, |time| PeerReply::json(200, &json!({"noticeTime": time})))
            }
            _ if path == format!("meta-data/iam/security-credentials/{ROLE}") => PeerReply::json(
                200,
                &json!({
                    "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": stamp(Duration::ZERO),
                    "AccessKeyId": state.key.0, "SecretAccessKey": state.key.1, "Token": "role-session-token",
                    "Expiration": stamp(state.lives),
                }),
            ),
            _ => missing(),
        }
    }
}
