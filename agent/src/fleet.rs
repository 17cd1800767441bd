//! Who works for this ledger: each agent keeps a note with its name, its address and a few numbers, renewed every half
//! minute, so that pages and `skyferry status` find all of them. A note that is not renewed expires.
//!
//! The notes are slots, `agent-0` and so on: an agent takes the first that is free or expired, and none is ever removed. So
//! there are never more notes than agents at one time, and who reads them ends at the first that was never there.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use skyferry_core::ambient;
use skyferry_core::ledger::{Ledger, LedgerError};

const PERIOD: Duration = Duration::from_secs(30);
/// Three times the period: one lost renewal does not hide an agent.
const TERM: u64 = 90;
/// Slots that are read at once, and at most.
const BATCH: usize = 8;
const MOST: usize = 1024;
/// What leaving may take.
const LEAVING: Duration = Duration::from_secs(2);

/// An agent as its note has it, up to half a minute ago.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetMember {
    /// A random one for each process.
    pub id: String,
    /// The machine's name.
    pub host: String,
    /// Where its page is.
    pub url: String,
    pub version: String,
    /// In a word: working, idle, paused, outage, stopping.
    pub state: String,
    /// Seconds since the epoch.
    pub since: u64,
    pub until: u64,
    /// Records that ended, and how many of them were parked.
    pub ended: u64,
    pub parked: u64,
    pub bytes: u64,
    pub inflight: u64,
}

impl FleetMember {
    fn parse(note: &[u8]) -> Option<FleetMember> {
        serde_json::from_slice(note).ok()
    }

    fn is_alive(&self) -> bool {
        self.until > ambient::since_epoch().as_secs()
    }

    /// Whether its page can be asked from this machine.
    pub fn is_reachable(&self) -> bool {
        let authority = self.url.strip_prefix("http://").unwrap_or_default();
        let loopback = authority.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
        !loopback || self.host == hostname()
    }
}

fn name(slot: usize) -> String {
    format!("agent-{slot}")
}

/// All whose notes have not expired.
pub async fn members(ledger: &dyn Ledger) -> Result<Vec<FleetMember>, LedgerError> {
    let mut members = Vec::new();
    for first in (0..MOST).step_by(BATCH) {
        let names: Vec<String> = (first..first + BATCH).map(name).collect();
        let notes = try_join_all(names.iter().map(|name| ledger.note(name))).await?;
        let last = notes.iter().any(Option::is_none);
        let known = notes.iter().flatten().filter_map(|note| FleetMember::parse(note));
        members.extend(known.filter(FleetMember::is_alive));
        if last {
            break;
        }
    }
    Ok(members)
}

/// An agent's own note.
pub struct FleetRegistration {
    ledger: Arc<dyn Ledger>,
    id: String,
    since: u64,
    /// The slot, and what stands there.
    held: Option<(String, Vec<u8>)>,
}

impl FleetRegistration {
    pub fn new(ledger: Arc<dyn Ledger>) -> FleetRegistration {
        let id = format!("{:032x}", ambient::random::<u128>());
        FleetRegistration { ledger, id, since: ambient::since_epoch().as_secs(), held: None }
    }

    /// Renews the note until `end`, and then gives it up. `now`: what it says, but for who and until when.
    pub async fn run(mut self, now: impl Fn() -> FleetMember + Send, end: CancellationToken) {
        loop {
            if let Err(error) = self.renew(now()).await {
                tracing::debug!(%error, "this agent's note for its fleet was not renewed");
            }
            let wait = tokio::time::sleep(PERIOD.mul_f64(ambient::uniform(0.9..1.1)));
            if end.run_until_cancelled(wait).await.is_none() {
                break;
            }
        }
        let _ = tokio::time::timeout(LEAVING, self.leave()).await;
    }

    async fn renew(&mut self, now: FleetMember) -> Result<(), LedgerError> {
        let until = ambient::since_epoch().as_secs() + TERM;
        let (id, host) = (self.id.clone(), hostname());
        let new = FleetMember { id, host, since: self.since, until, ..now };
        // Texts and numbers: nothing in it can fail to serialise.
        let new = serde_json::to_vec(&new).unwrap_or_default();
        if let Some((slot, old)) = self.held.take()
            && self.ledger.set_note(&slot, Some(&old), Some(&new)).await?
        {
            self.held = Some((slot, new));
            return Ok(());
        }
        for slot in (0..MOST).map(name) {
            let old = self.ledger.note(&slot).await?;
            let taken = old
                .as_deref()
                .and_then(FleetMember::parse)
                .is_some_and(|other| other.is_alive() && other.id != self.id);
            if !taken && self.ledger.set_note(&slot, old.as_deref(), Some(&new)).await? {
                self.held = Some((slot, new));
                return Ok(());
            }
        }
        Ok(())
    }

    /// An expired note, not none: others are behind it.
    async fn leave(&mut self) -> Result<(), LedgerError> {
        let Some((slot, old)) = self.held.take() else { return Ok(()) };
        let gone = serde_json::to_vec(&FleetMember::default()).unwrap_or_default();
        self.ledger.set_note(&slot, Some(&old), Some(&gone)).await.map(drop)
    }
}

/// An agent's address as others reach it: one that listens everywhere is at the address that this machine shows to the
/// outside. Nothing is sent to find it.
pub fn address_for_others(listen: SocketAddr) -> String {
    let shown = |bind: &str, to: &str| -> Option<IpAddr> {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => shown("0.0.0.0:0", "192.0.2.1:9"),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            shown("[::]:0", "[2001:db8::1]:9").or_else(|| shown("0.0.0.0:0", "192.0.2.1:9"))
        }
        ip => Some(ip),
    };
    match ip {
        Some(ip) => format!("http://{}", SocketAddr::new(ip, listen.port())),
        None => format!("http://{}:{}", hostname(), listen.port()),
    }
}

/// This machine's name.
pub fn hostname() -> String {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let name = name.unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "skyferry" } else { name }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyferry_sqlite::SqliteFile;

    fn named(url: &str) -> FleetMember {
        FleetMember { url: url.into(), ..FleetMember::default() }
    }

    #[tokio::test]
    async fn agents_are_found_while_they_renew_their_notes_and_a_place_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteFile::open(&folder.path().join("ledger.db")).unwrap();
        let ledger: Arc<dyn Ledger> = Arc::new(file.ledger());
        let urls = async || {
            let members = members(&*ledger).await.unwrap().into_iter();
            members.map(|member| member.url).collect::<Vec<_>>()
        };
        assert!(urls().await.is_empty());
        let mut agents: Vec<_> = (0..BATCH + 3).map(|_| FleetRegistration::new(ledger.clone())).collect();
        for (n, agent) in agents.iter_mut().enumerate() {
            agent.renew(named(&n.to_string())).await.unwrap();
            agent.renew(named(&n.to_string())).await.unwrap();
        }
        assert_eq!(urls().await.len(), BATCH + 3, "each once");
        agents[1].leave().await.unwrap();
        assert_eq!(urls().await[..2], ["0", "2"]);
        let mut late = FleetRegistration::new(ledger.clone());
        late.renew(named("late")).await.unwrap();
        assert_eq!(urls().await[..3], ["0", "late", "2"]);
        // One whose note expired and was taken by another takes a place of its own.
        ledger.set_note("agent-1", ledger.note("agent-1").await.unwrap().as_deref(), Some(b"nonsense")).await.unwrap();
        agents[1].renew(named("again")).await.unwrap();
        late.renew(named("late")).await.unwrap();
        assert_eq!(urls().await[1], "again");
        assert_eq!(urls().await.last().unwrap(), "late");
    }

    #[test]
    fn an_agent_is_found_under_an_address_that_others_can_reach() {
        let url = |listen: &str| address_for_others(listen.parse().unwrap());
        assert_eq!(url("127.0.0.1:9180"), "http://127.0.0.1:9180");
        assert_eq!(url("10.1.2.3:80"), "http://10.1.2.3:80");
        assert!(!url("0.0.0.0:9180").contains("0.0.0.0"), "{}", url("0.0.0.0:9180"));
        assert!(named("http://10.1.2.3:80").is_reachable() && !named("http://127.0.0.1:80").is_reachable());
        assert!(FleetMember { host: hostname(), ..named("http://127.0.0.1:80") }.is_reachable());
    }
}
