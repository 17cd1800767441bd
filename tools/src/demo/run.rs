//! One run of the agent: the events are sent, the agent drains them, and while it does, an object is overwritten and a
//! message comes a second time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use skyferry_agent::shutdown::Shutdown;
use skyferry_agent::wiring::{Agent, EMBEDDED_QUEUE, RunUntil};
use skyferry_config::Settings;
use skyferry_core::metrics::Summary;
use skyferry_core::queue::{Message, Queue};
use skyferry_sqlite::queue::{DeadLetterTable as _, ParkedMessage};
use skyferry_sqlite::{OpenError, SqliteFile};

use super::dataset::{Dataset, DemoObject};
use super::events;
use super::rusage::{ResourceUsage, UsageMeter};
use super::servers::{BUCKET, DemoDestination, DemoServer, FERRIED, KEYS};
use super::step::DemoStep;
use crate::output::Output;

/// Which object is overwritten while the agent works, and which event comes twice.
const OVERWRITTEN: usize = 1;
const TWICE: usize = 0;
/// Between two looks at what the agent has done.
const TICK: Duration = Duration::from_millis(50);
/// After which the agent has plainly got stuck.
const PATIENCE: Duration = Duration::from_secs(300);

/// After which the agent should have let go of its file.
const RELEASED: Duration = Duration::from_secs(10);

/// From the source to one destination.
pub struct DemoRun<'a> {
    pub number: usize,
    pub directory: &'a Path,
    pub source: &'a DemoServer,
    pub destination: &'a DemoDestination,
}

/// What the agent did.
pub struct DemoRunResult {
    pub summary: Summary,
    pub messages: usize,
    pub dead_letters: Vec<ParkedMessage>,
    pub seconds: f64,
    pub cost: ResourceUsage,
    /// What did not go as it should, beyond the expected parked one.
    pub troubles: Vec<String>,
}

impl DemoRun<'_> {
    pub async fn run(&self, dataset: &mut Dataset, output: &Output) -> anyhow::Result<DemoRunResult> {
        let file = self.directory.join(format!("agent-{}.sqlite", self.number));
        let agent = Agent::build(&self.settings(&file)?).await?;
        let (queue, metrics) = (agent.queue().clone(), agent.metrics().clone());
        // The first event again, in somebody else's hands until later: a duplicate, and a message received before.
        queue.send(&[events::event(&dataset.all[TWICE])]).await?;
        let held = queue.receive(1, Duration::ZERO).await?.pop().context("the queue returned nothing")?;
        let mut messages = vec![events::test_event()];
        messages.extend(events::events(&dataset.all));
        messages.push(events::malformed());
        queue.send(&messages).await?;

        let changed = dataset.changed(OVERWRITTEN, self.number as u64 + 1);
        let step =
            DemoStep::new(output, &format!("copying to {}", self.destination.name), dataset.count(), dataset.bytes());
        let (meter, started) = (UsageMeter::start(), Instant::now());
        let trouble = self.inject_faults(&queue, held, &changed, || metrics.summary().copied >= dataset.count() / 2);
        let watch = watch(&step, self.destination, || metrics.summary());
        let run = async {
            let ended = tokio::time::timeout(PATIENCE, agent.run(RunUntil::Empty, Shutdown::default())).await;
            Ok(ended.context("the agent did not end")??)
        };
        let (report, ()) = tokio::select! {
            ended = async { tokio::try_join!(run, trouble) } => ended?,
            never = watch => match never {},
        };
        let (seconds, cost) = (started.elapsed().as_secs_f64(), meter.stop());
        drop(queue);
        dataset.all[OVERWRITTEN] = changed;
        let dead_letters = dead_letters(&file).await?;
        let crossed = DemoRunResult {
            troubles: problems(&report.summary, report.drained != Default::default(), dataset.count(), &dead_letters),
            summary: report.summary,
            messages: messages.len() + 2,
            dead_letters,
            seconds,
            cost,
        };
        step.done(&format!("{} messages drained by the agent to {}", crossed.messages, self.destination.name))?;
        Ok(crossed)
    }

    fn settings(&self, file: &Path) -> anyhow::Result<Settings> {
        let DemoDestination { field, kind, .. } = self.destination;
        let text = format!(
            r#"mode = "get"
[credentials]
source = {{ provider = "file", path = "{KEYS}", field = "s3" }}
destination = {{ provider = "file", path = "{KEYS}", field = "{field}" }}
[queue]
kind = "embedded"
path = "{file}"
[ledger]
kind = "embedded"
path = "{file}"
[source]
endpoint = "{source}"
[destination]
kind = "{kind}"
endpoint = "{destination}"
bucket = "{FERRIED}"
[[routes]]
source_bucket = "{BUCKET}"
[transfer]
multipart_threshold = "5MiB"
[status]
listen = "off"
"#,
            file = file.file_name().unwrap_or_default().to_string_lossy(),
            source = self.source.peer.endpoint(),
            destination = self.destination.endpoint(),
        );
        Ok(Settings::parse(&self.directory.join("agent.toml"), &text, &BTreeMap::new())?)
    }

    /// When half is done, and the object in question too: puts another in its place, tells of it, and lets go of the
    /// held message.
    async fn inject_faults(
        &self,
        queue: &Arc<dyn Queue>,
        held: Message,
        changed: &DemoObject,
        half: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let (at, asked) = (changed.at(FERRIED), Instant::now());
        while !half() || self.destination.client.head(&at).await?.is_none() {
            anyhow::ensure!(asked.elapsed() < PATIENCE, "half of the objects were not copied");
            tokio::time::sleep(TICK).await;
        }
        changed.put(self.source, |_| {}).await?;
        queue.send(&[events::event(changed)]).await?;
        Ok(queue.release(&held.receipt, Duration::ZERO).await?)
    }
}

/// What has arrived, published or not.
async fn watch(step: &DemoStep<'_>, destination: &DemoDestination, summary: impl Fn() -> Summary) -> Infallible {
    let mut most = 0;
    loop {
        let now = summary();
        // While an upload completes, its parts go before its object comes.
        most = most.max(destination.arrived());
        step.at(now.copied, most);
        tokio::time::sleep(2 * TICK).await;
    }
}

/// As the next process would find them.
async fn dead_letters(file: &Path) -> anyhow::Result<Vec<ParkedMessage>> {
    let asked = Instant::now();
    // The agent's last tasks let go of the file a moment after its end.
    let file = loop {
        match SqliteFile::open(file) {
            Err(OpenError::InUse { .. }) if asked.elapsed() < RELEASED => tokio::time::sleep(TICK).await,
            opened => break opened?,
        }
    };
    let traits = skyferry_core::queue::QueueTraits {
        visibility: Duration::from_secs(1),
        retention: Duration::MAX,
        max_receives: None,
        dead_letters: Some(EMBEDDED_QUEUE.into()),
    };
    let queue = file.queue(EMBEDDED_QUEUE, traits).await?;
    anyhow::ensure!(queue.depth().await?.is_empty(), "the agent left messages in the queue");
    Ok(queue.dead_letters(0, 100).await?)
}

/// Every object once, the overwritten one twice; the duplicate moves nothing; the malformed message is parked.
fn problems(summary: &Summary, untidy: bool, objects: u64, dead_letters: &[ParkedMessage]) -> Vec<String> {
    let mut troubles = Vec::new();
    let mut expect = |what: &str, got: u64, wanted: u64| {
        if got != wanted {
            troubles.push(format!("{what}: {got}, expected {wanted}"));
        }
    };
    expect("copied", summary.copied, objects + 1);
    expect("unchanged", summary.unchanged, 1);
    expect("parked", summary.parked, 1);
    expect("deleted, gone or skipped", summary.deleted + summary.gone + summary.skipped, 0);
    expect("dead letters", dead_letters.len() as u64, 1);
    expect("jobs that failed", u64::from(untidy), 0);
    if dead_letters.iter().any(|letter| letter.body != events::malformed()) {
        troubles.push("a dead letter is not the malformed message".into());
    }
    troubles
}
