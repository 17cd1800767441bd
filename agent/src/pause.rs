//! A fleet that rests because somebody said so: a note in the ledger, at which every agent looks a few times a minute. While it
//! stands nothing is received, and what is in progress ends as usual. It is not an outage: nothing is tried meanwhile.
//!
//! A look that fails changes nothing: who works continues to work, who rests continues to rest for as long as the note says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::fleet_note::{self, FleetNote, NoteError};
use skyferry_core::ambient;
use skyferry_core::ledger::Ledger;

const NOTE: &str = "pause";
/// Between two looks: one read of one small item.
const PERIOD: Duration = Duration::from_secs(15);
/// An agent that starts looks before it receives anything, but does not wait long for a ledger that is away.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// What the note says. Times are in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub since: i64,
    /// When it ends by itself; `None`: when somebody ends it.
    pub until: Option<i64>,
    pub reason: Option<String>,
}

impl Pause {
    /// From now on, for so long or until somebody ends it.
    pub fn new(length: Option<Duration>, reason: Option<String>) -> Pause {
        let since = now();
        let until = length.map(|length| since.saturating_add(i64::try_from(length.as_secs()).unwrap_or(i64::MAX)));
        Pause { since, until, reason }
    }

    /// The one that stands.
    pub async fn read(ledger: &dyn Ledger) -> Result<Option<Pause>, NoteError> {
        fleet_note::read(ledger).await
    }

    /// Puts it in the place of what is there, or takes that away; back comes what stood.
    pub async fn write(ledger: &dyn Ledger, pause: Option<&Pause>) -> Result<Option<Pause>, NoteError> {
        fleet_note::write(ledger, pause).await
    }
}

impl FleetNote for Pause {
    const NAME: &'static str = NOTE;
    const REMEDY: &'static str = "skyferry resume";

    fn is_active(&self) -> bool {
        self.until.is_none_or(|until| now() < until)
    }
}

/// `paused since …, until …: reason`.
impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paused since {}, until ", time(self.since))?;
        match self.until {
            Some(until) => f.write_str(&time(until))?,
            None => f.write_str("it is resumed")?,
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// Whether this agent rests. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct PauseWatch(Arc<watch::Sender<Option<Pause>>>);

impl PauseWatch {
    /// The pause that stands, as far as is known.
    pub fn pause(&self) -> Option<Pause> {
        self.0.borrow().clone().filter(Pause::is_active)
    }

    /// Waits until no pause stands.
    pub async fn wait_until_resumed(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let known = changes.borrow_and_update().clone();
            let Some(pause) = known.filter(Pause::is_active) else { return };
            // By looks of its own: the clock of the machine may be stepped meanwhile.
            let left = pause.until.map_or(PERIOD, |until| Duration::from_secs(until.abs_diff(now())).min(PERIOD));
            let _ = tokio::time::timeout(left, changes.changed()).await;
        }
    }

    /// Looks at once, and then now and then until `end`.
    pub async fn start(&self, ledger: &Arc<dyn Ledger>, end: &CancellationToken) {
        if tokio::time::timeout(FIRST_LOOK, self.refresh(&**ledger)).await.is_err() {
            tracing::warn!(ledger = ledger.name(), "it is not yet known whether the fleet is paused; working");
        }
        let (rest, ledger, end) = (self.clone(), ledger.clone(), end.clone());
        tokio::spawn(async move { end.run_until_cancelled(rest.run(&*ledger)).await });
    }

    async fn run(&self, ledger: &dyn Ledger) {
        let mut rests = self.pause().is_some();
        loop {
            tokio::time::sleep(PERIOD.mul_f64(ambient::uniform(0.8..1.2))).await;
            self.refresh(ledger).await;
            let over = rests && self.pause().is_none();
            rests = self.pause().is_some();
            if over {
                tracing::info!("the pause is over; continuing");
            }
        }
    }

    /// Looks at once.
    pub async fn refresh(&self, ledger: &dyn Ledger) {
        match Pause::read(ledger).await {
            Ok(found) => {
                let news = self.0.send_if_modified(|known| {
                    let news = *known != found;
                    known.clone_from(&found);
                    news
                });
                if let Some(pause) = found.filter(|_| news) {
                    tracing::info!("{pause}; receiving no messages, finishing objects in progress");
                }
            }
            Err(NoteError::Ledger(error)) => tracing::debug!(%error, "cannot read whether the fleet is paused"),
            Err(error) => tracing::warn!(%error, "a pause that cannot be read is ignored"),
        }
    }
}

fn now() -> i64 {
    i64::try_from(ambient::since_epoch().as_secs()).unwrap_or(i64::MAX)
}

/// A moment for people.
pub fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("second {seconds}"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use skyferry_core::ledger::none::NoLedger;
    use skyferry_sqlite::SqliteFile;

    fn ledger() -> (tempfile::TempDir, Arc<dyn Ledger>) {
        let dir = tempfile::tempdir().expect("a directory");
        let file = SqliteFile::open(&dir.path().join("state")).expect("opened");
        (dir, Arc::new(file.ledger()))
    }

    fn because(reason: &str) -> Option<String> {
        Some(reason.into())
    }

    #[tokio::test]
    async fn an_agent_rests_while_a_pause_stands_and_no_longer() {
        let (_dir, ledger) = ledger();
        let rest = PauseWatch::default();
        rest.refresh(&*ledger).await;
        assert_eq!((rest.pause(), rest.wait_until_resumed().now_or_never()), (None, Some(())));
        let pause = Pause::new(None, because("moving house"));
        assert_eq!(Pause::write(&*ledger, Some(&pause)).await.expect("written"), None);
        rest.refresh(&*ledger).await;
        assert_eq!((rest.pause(), rest.wait_until_resumed().now_or_never()), (Some(pause.clone()), None));
        let going_on = tokio::spawn({
            let rest = rest.clone();
            async move { rest.wait_until_resumed().await }
        });
        assert_eq!(Pause::write(&*ledger, None).await.expect("written"), Some(pause));
        rest.refresh(&*ledger).await;
        going_on.await.expect("at once");
        assert_eq!(rest.pause(), None);
    }

    #[tokio::test]
    async fn a_pause_ends_by_itself_and_another_takes_its_place() {
        let (_dir, ledger) = ledger();
        let over = Pause::new(Some(Duration::ZERO), None);
        Pause::write(&*ledger, Some(&over)).await.expect("written");
        assert_eq!(Pause::read(&*ledger).await.expect("read"), None);
        let long = Pause::new(Some(Duration::MAX), because("a"));
        assert_eq!(Pause::write(&*ledger, Some(&long)).await.expect("written"), None, "the other was over");
        let other = Pause::new(Some(Duration::from_secs(60)), because("b"));
        assert_eq!(Pause::write(&*ledger, Some(&other)).await.expect("written"), Some(long));
        assert_eq!(Pause::read(&*ledger).await.expect("read"), Some(other));
    }

    #[tokio::test]
    async fn what_cannot_be_read_pauses_nobody_and_is_taken_away_by_resuming() {
        let (_dir, ledger) = ledger();
        assert!(ledger.set_note(NOTE, None, Some(b"tomorrow")).await.expect("set"));
        let rest = PauseWatch::default();
        rest.refresh(&*ledger).await;
        assert_eq!(rest.pause(), None);
        assert!(matches!(Pause::read(&*ledger).await, Err(NoteError::Unreadable { .. })));
        assert_eq!(Pause::write(&*ledger, None).await.expect("written"), None);
        assert_eq!(Pause::read(&*ledger).await.expect("read"), None);
    }

    #[tokio::test]
    async fn without_a_ledger_nobody_can_be_paused() {
        let ledger = NoLedger::default();
        let reported = Pause::write(&ledger, Some(&Pause::new(None, None))).await;
        assert!(matches!(reported, Err(NoteError::NotTaken(_))));
        let rest = PauseWatch::default();
        rest.refresh(&ledger).await;
        assert_eq!(rest.pause(), None);
    }

    #[test]
    fn a_pause_says_since_when_until_when_and_why() {
        let pause = Pause { since: 1_700_000_000, until: Some(1_700_003_600), reason: because("moving house") };
        let text = "paused since 2023-11-14T22:13:20Z, until 2023-11-14T23:13:20Z: moving house";
        assert_eq!(pause.to_string(), text);
        let pause = Pause { until: None, reason: None, ..pause };
        assert_eq!(pause.to_string(), "paused since 2023-11-14T22:13:20Z, until it is resumed");
    }
}
