//! The scan for who has minutes at a time, as a Lambda function has: the routes one after another, each in the order of its
//! keys, and a note in the ledger that says how far it has got. What was stopped continues there.
//!
//! No deletions: they may be sent only when one comparison of everything has ended well, and nothing is kept here until then.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use skyferry_agent::janitor::{AGE, SweepScope};
use skyferry_config::Settings;
use skyferry_core::ledger::Ledger;
use skyferry_core::model::Key;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::nothing_waits;
use crate::compare::{ComparedSides, Comparison, ListedPair, Tally, in_order};
use crate::console::Console;
use crate::filter::FilterArguments;
use crate::jobs::JobSender;
use crate::scope::{ScopeArguments, ScopedRun, SeenKeys};
use crate::settings::ConfigArgument;

/// In the ledger, beside the note of the scans that a fleet of machines takes turns at.
const NOTE: &str = "scan-position";
/// Of a place that refuses everything.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the note is written while nothing stops the scan: what a kill repeats at most.
const RECORD: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanOptions {
    /// A new scan begins only while the queue is empty. One that was stopped continues in any case: what waits there is its own.
    pub if_queue_empty: bool,
    /// Jobs name the newest version.
    pub versions: bool,
    /// From the first key, wherever the last one stopped.
    pub restart: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScanEnd {
    Done,
    /// The next scan continues there.
    Stopped,
    QueueNotEmpty,
}

/// What became of it. As JSON it is what the function answers.
#[derive(Debug, Serialize)]
pub struct ScanReport {
    pub end: ScanEnd,
    pub resumed: bool,
    pub sent: u64,
    /// Leftover uploads that were ended.
    pub uploads_aborted: usize,
    #[serde(flatten)]
    tally: Tally,
}

/// How far a scan has got: all keys of the places before this one, and of this one up to `after`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    place: String,
    after: Option<String>,
}

/// Scans until the end or `stop`. Needs a runtime.
pub async fn run(settings: Settings, options: ScanOptions, stop: &CancellationToken) -> anyhow::Result<ScanReport> {
    let scope = ScopeArguments {
        config: ConfigArgument { file: PathBuf::new() },
        pairs: None,
        prefix: Vec::new(),
        prefix_file: None,
        selection: FilterArguments::default(),
        listers: Some(1),
        patience: PATIENCE,
    };
    let mut scoped = scope.open(settings, false, &Console::default()).await?;
    scoped.sides.iter_mut().for_each(|sides| sides.from.versions = options.versions);
    let mut note = Note::read(scoped.agent.ledger().clone()).await?;
    if options.restart {
        note.write(None).await?;
    }
    let resumed = note.position.is_some();
    let queue = scoped.agent.queue().clone();
    let mut report =
        ScanReport { end: ScanEnd::QueueNotEmpty, resumed, sent: 0, uploads_aborted: 0, tally: Tally::default() };
    if resumed || !options.if_queue_empty || nothing_waits(&*queue).await? {
        let mut scan = Scan {
            scoped: &scoped,
            note,
            jobs: JobSender::new(queue),
            tally: Tally::default(),
            seen: SeenKeys::default(),
        };
        let (ended, walked) = tokio::select! {
            biased;
            () = stop.cancelled() => (ScanEnd::Stopped, Ok(())),
            walked = scan.walk() => (if walked.is_ok() { ScanEnd::Done } else { ScanEnd::Stopped }, walked),
        };
        // What had been judged when it was stopped is on its way all the same.
        scan.jobs.flush().await.context("jobs could not be sent")?;
        scan.note.save_position(ended).await?;
        walked?;
        report = ScanReport { end: ended, sent: scan.jobs.sent(), tally: scan.tally, ..report };
        if ended == ScanEnd::Done && !resumed {
            scan.seen.check(&scoped, true)?;
        }
    }
    if report.end != ScanEnd::Stopped {
        report.uploads_aborted = clean(&scoped, stop).await;
    }
    Ok(report)
}

/// A fleet of functions has no agent that does it every few hours.
async fn clean(scoped: &ScopedRun, stop: &CancellationToken) -> usize {
    let janitor = scoped.agent.janitor();
    match stop.run_until_cancelled(janitor.sweep(SweepScope::OlderThan(AGE))).await {
        Some(Ok(swept)) => swept.aborted,
        Some(Err(error)) => {
            tracing::warn!(%error, "the search for leftover uploads failed; the next scan tries again");
            0
        }
        None => 0,
    }
}

struct Scan<'a> {
    scoped: &'a ScopedRun,
    note: Note,
    jobs: JobSender,
    tally: Tally,
    seen: SeenKeys,
}

impl Scan<'_> {
    async fn walk(&mut self) -> anyhow::Result<()> {
        let scoped = self.scoped;
        let start = self.note.position.clone();
        let places: Vec<String> = scoped.sides.iter().map(position_key).collect();
        let first = start.as_ref().and_then(|start| places.iter().position(|place| *place == start.place));
        if start.is_some() && first.is_none() {
            tracing::warn!("the routes have changed since the last scan was stopped; starting over");
        }
        for (at, sides) in scoped.sides.iter().enumerate().skip(first.unwrap_or(0)) {
            let after = start.as_ref().filter(|_| first == Some(at)).and_then(|start| start.after.as_deref());
            self.note.reached = Some(Position { place: places[at].clone(), after: after.map(str::to_owned) });
            let after = after.map(Key::from);
            in_order(sides, after, &scoped.patience, async |pairs| self.page(sides, pairs).await).await?;
        }
        Ok(())
    }

    /// When it returns, all jobs of these pairs are in the queue.
    async fn page(&mut self, sides: &ComparedSides, pairs: Vec<ListedPair>) -> anyhow::Result<()> {
        self.seen.add(sides);
        let last = pairs.last().and_then(|pair| last_key(sides, pair));
        let judged = self.scoped.classifier.classify(sides, pairs).await?;
        self.tally.add(&judged);
        for finding in judged.findings.iter().filter(|finding| finding.here.is_some()) {
            if matches!(finding.verdict, Comparison::Differs(_)) {
                self.jobs.send(finding.to_message()).await?;
            }
        }
        self.jobs.flush().await?;
        self.note.reach(last).await
    }
}

/// What a position is a position in.
fn position_key(sides: &ComparedSides) -> String {
    let ComparedSides { from, to, .. } = sides;
    format!("{}/{} to {}/{}", from.bucket, from.prefix, to.bucket, to.prefix)
}

/// As the source has it. Of no use, and left out, where it is no text: then some keys are compared twice.
fn last_key(sides: &ComparedSides, pair: &ListedPair) -> Option<String> {
    let key = match pair {
        ListedPair::Both(here, _) | ListedPair::Source(here) => here.key.clone(),
        ListedPair::Destination(there) => {
            let rest = there.key.as_bytes().get(sides.to.prefix.as_bytes().len()..)?;
            Key::new([sides.from.prefix.as_bytes(), rest].concat())
        }
    };
    key.as_str().map(str::to_owned)
}

/// The position, in the ledger for whoever continues.
struct Note {
    ledger: Arc<dyn Ledger>,
    /// As it is there.
    bytes: Option<Vec<u8>>,
    position: Option<Position>,
    /// How far this scan has got.
    reached: Option<Position>,
    written: Instant,
}

impl Note {
    async fn read(ledger: Arc<dyn Ledger>) -> anyhow::Result<Note> {
        let bytes = ledger.note(NOTE).await?;
        // One that cannot be read is none: a scan from the first key on does no harm.
        let position = bytes.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok());
        Ok(Note { ledger, bytes, reached: position.clone(), position, written: Instant::now() })
    }

    async fn reach(&mut self, key: Option<String>) -> anyhow::Result<()> {
        if let (Some(reached), Some(key)) = (&mut self.reached, key) {
            reached.after = Some(key);
        }
        if self.written.elapsed() < RECORD {
            return Ok(());
        }
        self.write(self.reached.clone()).await
    }

    async fn save_position(&mut self, end: ScanEnd) -> anyhow::Result<()> {
        let position = self.reached.clone().filter(|_| end == ScanEnd::Stopped);
        self.write(position).await
    }

    async fn write(&mut self, position: Option<Position>) -> anyhow::Result<()> {
        let bytes = position.as_ref().map(serde_json::to_vec).transpose()?;
        if bytes != self.bytes && !self.ledger.set_note(NOTE, self.bytes.as_deref(), bytes.as_deref()).await? {
            bail!("another scan works with the ledger {}: it continues, this one stops", self.ledger.name());
        }
        (self.bytes, self.position, self.written) = (bytes, position, Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use skyferry_agent::leader::Leader;
    use skyferry_sqlite::SqliteFile;

    use super::*;

    const OPTIONS: ScanOptions = ScanOptions { if_queue_empty: true, versions: false, restart: false };

    /// Directories of 30 and 0 files, and a queue and a ledger in one file.
    struct Stage(tempfile::TempDir);

    impl Stage {
        fn new() -> Stage {
            let folder = tempfile::tempdir().unwrap();
            for side in ["from", "to"] {
                std::fs::create_dir(folder.path().join(side)).unwrap();
            }
            for file in 0..30 {
                std::fs::write(folder.path().join(format!("from/{file:02}")), "x").unwrap();
            }
            Stage(folder)
        }

        fn settings(&self) -> Settings {
            let text = r#"
                [queue]
                kind = "embedded"
                path = "state"
                [ledger]
                kind = "embedded"
                path = "state"
                [source]
                kind = "directory"
                path = "from"
                [destination]
                kind = "directory"
                path = "to"
                bucket = "to"
                [[routes]]
                source_bucket = "from"
            "#;
            Settings::parse(&self.0.path().join("agent.toml"), text, &BTreeMap::new()).unwrap()
        }

        async fn scan(&self, options: ScanOptions, stop: &CancellationToken) -> ScanReport {
            run(self.settings(), options, stop).await.unwrap()
        }

        /// Reads the note, then puts another in its place.
        async fn note(&self, new: Option<&Position>) -> Option<Position> {
            let ledger = SqliteFile::open(&Path::new(self.0.path()).join("state")).unwrap().ledger();
            let old = ledger.note(NOTE).await.unwrap();
            let new = new.map(|new| serde_json::to_vec(new).unwrap());
            assert!(ledger.set_note(NOTE, old.as_deref(), new.as_deref()).await.unwrap());
            old.map(|old| serde_json::from_slice(&old).unwrap())
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_scan_goes_on_where_one_was_stopped_whatever_the_queue_holds() {
        let (stage, go) = (Stage::new(), CancellationToken::new());
        let first = stage.scan(OPTIONS, &go).await;
        assert_eq!((first.end, first.resumed, first.sent), (ScanEnd::Done, false, 30));
        assert_eq!(stage.note(None).await, None, "a scan that ended leaves no note");
        let busy = stage.scan(OPTIONS, &go).await;
        assert_eq!((busy.end, busy.sent), (ScanEnd::QueueNotEmpty, 0));
        let position = Position { place: "from/ to to/".into(), after: Some("19".into()) };
        stage.note(Some(&position)).await;
        let rest = stage.scan(OPTIONS, &go).await;
        assert_eq!((rest.end, rest.resumed, rest.sent), (ScanEnd::Done, true, 10));
        assert_eq!(stage.note(None).await, None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_scan_that_is_stopped_keeps_its_place_and_one_that_is_restarted_forgets_it() {
        let (stage, stop) = (Stage::new(), CancellationToken::new());
        stop.cancel();
        let position = Position { place: "from/ to to/".into(), after: Some("19".into()) };
        stage.note(Some(&position)).await;
        let stopped = stage.scan(OPTIONS, &stop).await;
        assert_eq!((stopped.end, stopped.resumed, stopped.sent), (ScanEnd::Stopped, true, 0));
        assert_eq!(stage.note(Some(&position)).await, Some(position));
        let all = stage.scan(ScanOptions { restart: true, ..OPTIONS }, &CancellationToken::new()).await;
        assert_eq!((all.end, all.resumed, all.sent), (ScanEnd::Done, false, 30));
    }

    /// A hybrid stack has both on one ledger.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_scan_leaves_the_note_of_a_fleets_timer_alone_and_is_not_stopped_by_it() {
        let (stage, stop) = (Stage::new(), CancellationToken::new());
        let ledger = || Arc::new(SqliteFile::open(&stage.0.path().join("state")).unwrap().ledger());
        let leads =
            async || Leader::new(ledger(), super::super::NOTE, Duration::from_secs(3600)).try_lead().await.unwrap();
        assert!(leads().await, "the fleet's scan is the first");
        stop.cancel();
        assert_eq!(stage.scan(OPTIONS, &stop).await.end, ScanEnd::Stopped);
        assert!(!leads().await, "its hour is not over");
        let whole = stage.scan(OPTIONS, &CancellationToken::new()).await;
        assert_eq!((whole.end, whole.sent), (ScanEnd::Done, 30));
        assert!(!leads().await);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_place_that_the_routes_no_longer_have_is_no_place_to_go_on() {
        let (stage, go) = (Stage::new(), CancellationToken::new());
        stage.note(Some(&Position { place: "other/ to to/".into(), after: Some("19".into()) })).await;
        assert_eq!(stage.scan(OPTIONS, &go).await.sent, 30);
    }
}
