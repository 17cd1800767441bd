//! The fuse on deletions: when too many of what ends in a while are deletions, somebody has emptied a bucket or broken a
//! route, and carrying that over would be the loss of the copy too. It is the fleet's: the counts are a note in the ledger,
//! so that many agents and many restarts delete no more than one agent would. It stays blown until somebody has looked and
//! lets the deletions continue (`skyferry resume --deletes`).
//!
//! An agent reserves a few deletions at a time, and counts with each reservation what else ended since its last: the ledger
//! is asked for one in ten deletions, and near the limit for each. What is reserved and never used (a kill) counts as used.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use skyferry_core::ledger::{Ledger, LedgerError};

const NOTE: &str = "deletions";
/// What is counted together, in seconds.
const WINDOW: i64 = 600;
/// The window is kept in slices of so many seconds; the oldest is forgotten as a whole.
const SLICE: i64 = 60;
/// So many deletions in a window are never too many: a few small buckets are emptied every day.
const ALWAYS: u64 = 100;
/// The most that one request reserves.
const BLOCK: u64 = 10;
/// For how long all deletions go through after somebody has let them continue: what was held back is tried again within minutes.
const LET_GO: i64 = 3600;
/// While it is blown the note is read at most this often; it tells when somebody lets the deletions continue.
const LOOK: Duration = Duration::from_secs(15);
/// How often what ended is reported by an agent that deletes nothing.
const REPORT: Duration = Duration::from_secs(60);
/// How often a change is tried against others who change the note too.
const ATTEMPTS: usize = 20;

/// The note. Times are in seconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionCounts {
    pub blown: Option<BlownFuse>,
    /// Until then nothing is held back, because somebody decided so.
    #[serde(default)]
    let_go_until: i64,
    /// The start of each slice, deletions, and everything that ended (deletions too); the newest last.
    #[serde(default)]
    slices: Vec<(i64, u64, u64)>,
    /// Tells one agent's change from another's that would look the same.
    #[serde(default)]
    change: u64,
}

/// Since when deletions are held back, and what was counted then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlownFuse {
    pub since: i64,
    pub deletions: u64,
    pub ended: u64,
}

impl fmt::Display for BlownFuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BlownFuse { since, deletions, ended } = self;
        let since = jiff::Timestamp::from_second(*since).unwrap_or_default();
        let minutes = WINDOW / 60;
        write!(f, "held back since {since}: {deletions} of {ended} objects within {minutes} minutes were deletions")
    }
}

impl DeletionCounts {
    fn parse(note: Option<&[u8]>) -> DeletionCounts {
        note.and_then(|note| serde_json::from_slice(note).ok()).unwrap_or_default()
    }

    /// Whether deletions are held back.
    pub async fn read(ledger: &dyn Ledger) -> Result<Option<BlownFuse>, LedgerError> {
        Ok(DeletionCounts::parse(ledger.note(NOTE).await?.as_deref()).blown)
    }

    /// Lets all deletions go through for an hour, and counts from zero after that. Back comes what held them. `false` of the
    /// ledger again and again: others change the note at the same time.
    pub async fn allow_all(ledger: &dyn Ledger) -> Result<Option<Option<BlownFuse>>, LedgerError> {
        for _ in 0..ATTEMPTS {
            let old = ledger.note(NOTE).await?;
            let now = now();
            let new =
                DeletionCounts { let_go_until: now + LET_GO, change: rand::random(), ..DeletionCounts::default() };
            if ledger.set_note(NOTE, old.as_deref(), Some(&new.to_bytes())).await? {
                return Ok(Some(DeletionCounts::parse(old.as_deref()).blown));
            }
        }
        Ok(None)
    }

    fn to_bytes(&self) -> Vec<u8> {
        // Numbers alone: nothing in it can fail to serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Counts what ended, and as many deletions as may be carried over at once. None, and the fuse is blown.
    fn reserve(&mut self, now: i64, ended: u64, share: f64) -> u64 {
        self.count(now, 0, ended);
        if self.let_go_until > now {
            return BLOCK;
        }
        if self.blown.is_some() {
            return 0;
        }
        let (deletions, all) = self.slices.iter().fold((0, 0), |sum, (_, d, e)| (sum.0 + d, sum.1 + e));
        let fits = |more: &u64| {
            let (deletions, all) = (deletions + more, all + more);
            deletions <= ALWAYS || deletions as f64 <= share * all as f64
        };
        // The nearer to the limit the fewer, so that none is reserved by one agent while another goes without.
        let room = (1..=BLOCK * BLOCK).take_while(fits).count() as u64;
        let granted = room.div_ceil(BLOCK);
        match granted {
            0 => self.blown = Some(BlownFuse { since: now, deletions: deletions + 1, ended: all + 1 }),
            _ => self.count(now, granted, granted),
        }
        granted
    }

    fn count(&mut self, now: i64, deletions: u64, ended: u64) {
        // Another machine's clock may be ahead: what it counted is no older for that.
        self.slices.retain(|(start, ..)| now - start < WINDOW);
        if self.slices.last().is_none_or(|(start, ..)| now - start >= SLICE) {
            self.slices.push((now, 0, 0));
        }
        if let Some((_, deleted, all)) = self.slices.last_mut() {
            (*deleted, *all) = (*deleted + deletions, *all + ended);
        }
    }
}

/// Why a deletion is not carried over now.
#[derive(Debug, thiserror::Error)]
pub enum DeletionHeld {
    #[error("too many deletions at once ({0}): deletions are stopped until `skyferry resume --deletes` is run")]
    Blown(BlownFuse),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("ledger {0} did not accept the count of deletions: others change it at the same time")]
    NotTaken(String),
}

/// Shared by all jobs of an agent.
pub struct Fuse {
    /// Deletions may be this share of all that ends within a window.
    share: f64,
    /// `None`: there is nothing that several agents could share.
    ledger: Option<Arc<dyn Ledger>>,
    /// What ended and is not reported yet.
    ended: AtomicU64,
    state: Mutex<State>,
    /// Blown, as was seen then. Apart, because who shows it does not wait for the ledger.
    seen: StdMutex<Option<(BlownFuse, Instant)>>,
    look: Duration,
}

#[derive(Default)]
struct State {
    /// Reserved and not used; forgotten when the window is over.
    reserved: u64,
    until: Option<Instant>,
    /// The note as it was last seen.
    known: Option<Vec<u8>>,
}

impl Fuse {
    /// `share` from 0 to 1; with 1 it never blows, and asks nobody.
    pub fn new(share: f64, ledger: Option<Arc<dyn Ledger>>) -> Fuse {
        let (ended, state, seen) = (AtomicU64::new(0), Mutex::default(), StdMutex::default());
        Fuse { share: share.clamp(0.0, 1.0), ledger, ended, state, seen, look: LOOK }
    }

    /// Something ended that was no deletion.
    pub fn count_ended(&self) {
        self.ended.fetch_add(1, Relaxed);
    }

    /// One deletion more, if it may be carried over.
    pub async fn allow_deletion(&self) -> Result<(), DeletionHeld> {
        if self.share >= 1.0 {
            return Ok(());
        }
        let state = &mut *self.state.lock().await;
        let now = Instant::now();
        if state.until.is_none_or(|until| until <= now) {
            state.reserved = 0;
        }
        if state.reserved == 0 {
            if let Some((blown, _)) = self.last_seen().filter(|(_, at)| now.saturating_duration_since(*at) < self.look)
            {
                return Err(DeletionHeld::Blown(blown));
            }
            self.reserve(state, |counts, now, ended, share| counts.reserve(now, ended, share)).await?;
            state.until = Some(now + Duration::from_secs(WINDOW.unsigned_abs()));
        }
        match (state.reserved.checked_sub(1), self.last_seen()) {
            (Some(left), _) => state.reserved = left,
            (None, Some((blown, _))) => return Err(DeletionHeld::Blown(blown)),
            (None, None) => {}
        }
        Ok(())
    }

    /// Changes the note by what `take` does to the counts, which says how many deletions that reserves.
    async fn reserve(
        &self,
        state: &mut State,
        take: impl Fn(&mut DeletionCounts, i64, u64, f64) -> u64,
    ) -> Result<(), DeletionHeld> {
        let ended = self.ended.load(Relaxed);
        for attempt in 0..ATTEMPTS {
            // What was seen last is most often what is there; a fuse that is blown may have been repaired since.
            let old = match (&self.ledger, &state.known) {
                (None, known) => known.clone(),
                (Some(_), Some(known)) if attempt == 0 && self.last_seen().is_none() => Some(known.clone()),
                (Some(ledger), _) => ledger.note(NOTE).await?,
            };
            let before = DeletionCounts::parse(old.as_deref());
            let mut counts = before.clone();
            let granted = take(&mut counts, now(), ended, self.share);
            let stays_blown = before.blown.is_some() && counts.blown.is_some();
            counts.change = rand::random();
            let new = counts.to_bytes();
            let set = match &self.ledger {
                Some(ledger) if !stays_blown => ledger.set_note(NOTE, old.as_deref(), Some(&new)).await?,
                _ => true,
            };
            if !set {
                continue;
            }
            if counts.blown.is_some() && before.blown.is_none() {
                log_blown(&counts);
            }
            if !stays_blown {
                self.ended.fetch_sub(ended, Relaxed);
            }
            state.reserved += granted;
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) =
                counts.blown.map(|blown| (blown, Instant::now()));
            state.known = Some(if stays_blown { old.unwrap_or_default() } else { new });
            return Ok(());
        }
        Err(DeletionHeld::NotTaken(self.ledger.as_ref().map_or("none", |ledger| ledger.name()).to_owned()))
    }

    /// Since when deletions are held back, as far as this agent knows.
    pub fn blown(&self) -> Option<BlownFuse> {
        self.last_seen().map(|(blown, _)| blown)
    }

    fn last_seen(&self) -> Option<(BlownFuse, Instant)> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports what ended here, now and then until `end`: else agents that delete nothing would not count for those that do.
    pub async fn run(&self, end: CancellationToken) {
        if self.share >= 1.0 || self.ledger.is_none() {
            return;
        }
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(REPORT.mul_f64(rand::random_range(0.8..1.2))) => {}
            }
            let state = &mut *self.state.lock().await;
            if self.ended.load(Relaxed) == 0 && self.last_seen().is_none() {
                continue;
            }
            let report = |counts: &mut DeletionCounts, now, ended, _| {
                counts.count(now, 0, ended);
                0
            };
            if let Err(error) = self.reserve(state, report).await {
                tracing::debug!(%error, "finished objects could not be counted; trying again later");
            }
        }
    }
}

fn log_blown(counts: &DeletionCounts) {
    let Some(BlownFuse { deletions, ended, .. }) = counts.blown else { return };
    tracing::error!(
        deletions,
        ended,
        "too many deletions within {} minutes: the fleet stops them and keeps their messages. Check the source; if this is intended, `skyferry resume --deletes` lets them continue, and a larger [transfer] max_delete_share allows more",
        WINDOW / 60,
    );
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests;
