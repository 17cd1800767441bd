//! How many bytes a second may pass, while an agent runs: what `skyferry limit` has left in the ledger, else what the settings
//! say for this time of day. After SIGHUP the settings are those that the file has by now.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::fleet_note::{self, FleetNote};
use crate::limits::Limiter;
use crate::pause::time;
use skyferry_config::{BandwidthPlan, Settings};
use skyferry_core::ambient;
use skyferry_core::ledger::Ledger;

/// Between two looks at the note and the clock.
const PERIOD: Duration = Duration::from_secs(15);

/// What the note says. Times are in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BandwidthNote {
    /// Bytes per second of each agent; 0: no limit.
    pub rate: u64,
    /// When it ends by itself; `None`: when somebody ends it.
    pub until: Option<i64>,
}

/// A rate as settings write it; `None`: `off`, that of the settings.
pub fn parse_limit(text: &str) -> Result<Option<u64>, String> {
    if text.eq_ignore_ascii_case("off") { Ok(None) } else { skyferry_config::rate(text).map(Some) }
}

impl BandwidthNote {
    /// From now on, for so long or until somebody ends it.
    pub fn new(rate: u64, length: Option<Duration>) -> BandwidthNote {
        let length = length.map(|length| i64::try_from(length.as_secs()).unwrap_or(i64::MAX));
        BandwidthNote { rate, until: length.map(|length| now().saturating_add(length)) }
    }
}

impl FleetNote for BandwidthNote {
    const NAME: &'static str = "limit";
    const REMEDY: &'static str = "skyferry limit off";

    fn is_active(&self) -> bool {
        self.until.is_none_or(|until| now() < until)
    }
}

/// `10000000 bytes/s for each agent, until …`.
impl fmt::Display for BandwidthNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate {
            0 => f.write_str("no limit")?,
            rate => write!(f, "{rate} bytes/s")?,
        }
        f.write_str(" for each agent, until ")?;
        f.write_str(&self.until.map_or_else(|| "`skyferry limit off`".to_owned(), time))
    }
}

/// Sets the limiter's rate, as long as an agent runs.
pub struct BandwidthControl {
    pub plan: BandwidthPlan,
    /// What is read again after SIGHUP; `None`: that signal is left alone.
    pub file: Option<PathBuf>,
    pub limiter: Arc<Limiter>,
    pub ledger: Arc<dyn Ledger>,
}

impl BandwidthControl {
    /// Until `end`.
    pub async fn run(mut self, end: CancellationToken) {
        let mut hangup = self.file.is_some().then(|| signal(SignalKind::hangup()).ok()).flatten();
        let mut note = None;
        loop {
            match fleet_note::read::<BandwidthNote>(&*self.ledger).await {
                Ok(found) => note = found,
                // What was known stays, for as long as it says.
                Err(error) => tracing::debug!(%error, "cannot read whether the bandwidth is limited by the ledger"),
            }
            self.apply(note.as_ref());
            tokio::select! {
                () = end.cancelled() => return,
                () = hung_up(&mut hangup) => self.read_again(),
                () = tokio::time::sleep(PERIOD.mul_f64(ambient::uniform(0.8..1.2))) => {}
            }
        }
    }

    fn apply(&self, note: Option<&BandwidthNote>) {
        let planned = || self.plan.at(jiff::Timestamp::from_second(now()).unwrap_or_default());
        let note = note.filter(|note| note.is_active());
        let rate = note.map_or_else(planned, |note| note.rate);
        if self.limiter.set_bandwidth(rate) {
            let by = if note.is_some() { "by `skyferry limit`" } else { "by the settings" };
            tracing::info!(rate, "bytes per second from now on, {by} (0: no limit)");
        }
    }

    fn read_again(&mut self) {
        let Some(file) = &self.file else { return };
        match Settings::load(file, std::env::vars_os()) {
            Ok(settings) => self.plan = settings.transfer.max_bandwidth,
            Err(error) => tracing::warn!(%error, "the bandwidth stays as it was"),
        }
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn now() -> i64 {
    i64::try_from(ambient::since_epoch().as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyferry_core::ledger::none::NoLedger;
    use skyferry_sqlite::SqliteFile;

    #[tokio::test]
    async fn a_note_in_the_ledger_comes_before_the_settings_until_it_ends() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = SqliteFile::open(&dir.path().join("state")).expect("opened");
        let ledger: Arc<dyn Ledger> = Arc::new(file.ledger());
        let limiter = Arc::new(Limiter::new(64 << 20, 5));
        let control =
            BandwidthControl { plan: BandwidthPlan::constant(5), file: None, limiter, ledger: ledger.clone() };
        let applied = async |control: &BandwidthControl| {
            control.apply(fleet_note::read(&*ledger).await.expect("read").as_ref());
            control.limiter.bandwidth_limit()
        };
        assert_eq!(applied(&control).await, 5);
        for (note, rate) in [
            (Some(BandwidthNote::new(7, None)), 7),
            (Some(BandwidthNote::new(0, Some(Duration::from_secs(60)))), 0),
            (Some(BandwidthNote::new(9, Some(Duration::ZERO))), 5),
            (None, 5),
        ] {
            fleet_note::write(&*ledger, note.as_ref()).await.expect("written");
            assert_eq!(applied(&control).await, rate, "{note:?}");
        }
    }

    #[test]
    fn after_a_hangup_the_settings_file_s_bandwidth_holds_and_a_broken_file_changes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("agent.toml");
        let (limiter, ledger) = (Arc::new(Limiter::new(64 << 20, 5)), Arc::new(NoLedger::default()));
        let plan = BandwidthPlan::constant(5);
        let mut control = BandwidthControl { plan, file: Some(file.clone()), limiter, ledger };
        for (bandwidth, rate) in [("7", 7), ("00:00 9, 12:00 9", 9), ("fast", 9)] {
            let text = format!(
                "[credentials]\nsource = {{ provider = \"instance\" }}\n[queue]\nkind = \"embedded\"\n[ledger]\nkind = \"none\"\n\
                 [destination]\nkind = \"directory\"\npath = \"d\"\n[transfer]\nmax_bandwidth = \"{bandwidth}\"\n"
            );
            std::fs::write(&file, text).expect("written");
            control.read_again();
            control.apply(None);
            assert_eq!(control.limiter.bandwidth_limit(), rate, "{bandwidth}");
        }
    }
}
