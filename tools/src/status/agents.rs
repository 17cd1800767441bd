//! What agents say of themselves.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::join_all;
use reqwest::{Client, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skyferry_agent::fleet::{self, FleetMember};
use skyferry_agent::fuse::BlownFuse;
use skyferry_agent::pause::Pause;

/// Of one agent: it answers at once or it does not.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where they are.
pub struct Agents {
    client: Client,
    pages: Vec<AgentPage>,
    /// Somebody named them: no others are looked for.
    named: bool,
}

/// Where one is, and what its note in the ledger says.
#[derive(Clone, Debug)]
pub struct AgentPage {
    pub url: String,
    pub host: Option<String>,
    pub note: Option<FleetMember>,
    /// From this machine.
    pub reachable: bool,
}

/// One of them, asked.
#[derive(Clone, Debug, Serialize)]
pub struct AgentReply {
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "said")]
    pub status: Option<AgentStatus>,
}

/// `/status.json`, as far as it is needed here. What an older agent does not tell is nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentStatus {
    pub version: String,
    pub uptime_seconds: f64,
    pub draining: bool,
    pub paused: Option<Pause>,
    pub deletions_held: Option<BlownFuse>,
    pub copied: u64,
    pub deleted: u64,
    pub gone: u64,
    pub unchanged: u64,
    pub skipped: u64,
    pub parked: u64,
    pub bytes: u64,
    pub bytes_passed: u64,
    pub retries: u64,
    pub inflight_objects: u64,
    pub inflight_bytes: u64,
    pub lag_seconds: Option<f64>,
    pub parked_by_reason: BTreeMap<String, u64>,
    pub queue: Option<AgentQueue>,
    pub storm: Option<AgentOutage>,
    pub errors: Vec<LoggedError>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentQueue {
    pub name: String,
    pub visible: u64,
    pub in_flight: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentOutage {
    pub side: String,
    pub cause: String,
    pub seconds: f64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LoggedError {
    pub at: i64,
    pub level: String,
    pub text: String,
}

impl AgentStatus {
    /// Records that ended.
    pub fn total_ended(&self) -> u64 {
        self.copied + self.deleted + self.gone + self.unchanged + self.skipped + self.parked
    }
}

impl AgentPage {
    /// At this address; nothing else is known.
    pub fn named(url: &str) -> AgentPage {
        AgentPage { url: url.trim_end_matches('/').to_owned(), host: None, note: None, reachable: true }
    }

    /// Asks for one of its documents.
    pub async fn get<T: DeserializeOwned>(&self, client: &Client, path: &str) -> anyhow::Result<T> {
        anyhow::ensure!(self.reachable, "its page is for its own machine only: set [status] listen there");
        let answer = client.get(format!("{}/{path}", self.url)).send().await.map_err(reqwest::Error::without_url)?;
        anyhow::ensure!(answer.status().is_success(), "it answers {}", answer.status());
        let body = answer.text().await.map_err(reqwest::Error::without_url)?;
        serde_json::from_str(&body).context("the answer is not an agent's status")
    }
}

impl Agents {
    /// `named`, else the one of the settings.
    pub fn new(named: &[String], listen: Option<SocketAddr>) -> anyhow::Result<Agents> {
        let client = Client::builder().timeout(PATIENCE).no_proxy().build()?;
        let own = listen.filter(|_| named.is_empty()).map(|address| format!("http://{}", reachable(address)));
        let page = |url: String| -> anyhow::Result<AgentPage> {
            let wrong = || format!("--agent {url}: give a URL like http://10.0.0.7:9180");
            let base = Url::parse(&url).with_context(wrong)?;
            anyhow::ensure!(matches!(base.scheme(), "http" | "https") && base.host().is_some(), wrong());
            Ok(AgentPage::named(&url))
        };
        let pages = named.iter().cloned().chain(own).map(page).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Agents { client, pages, named: !named.is_empty() })
    }

    /// Those that the ledger knows, unless others were named. Without any of this machine, the settings' own stays.
    pub fn discover(&mut self, members: Vec<FleetMember>) {
        if self.named || members.is_empty() {
            return;
        }
        let own = fleet::hostname();
        let here = members.iter().any(|member| member.host == own);
        self.pages.retain(|page| page.note.is_none() && !here);
        self.pages.extend(members.into_iter().map(|member| AgentPage {
            url: member.url.clone(),
            host: Some(member.host.clone()),
            reachable: member.is_reachable(),
            note: Some(member),
        }));
    }

    /// What to ask them with, and where.
    pub fn pages(&self) -> (Client, Vec<AgentPage>) {
        (self.client.clone(), self.pages.clone())
    }

    pub async fn ask(&self) -> Vec<AgentReply> {
        join_all(self.pages.iter().map(|page| async move {
            let (status, error) = match page.get(&self.client, "status.json").await {
                Ok(status) => (Some(status), None),
                Err(error) => (None, Some(format!("{error:#}"))),
            };
            AgentReply { url: page.url.clone(), error, status }
        }))
        .await
    }
}

/// An agent that listens everywhere is asked on this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
