//! What a stranger is shown: first what will happen, then a table of what did. The JSON says the same.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::dataset::Dataset;
use super::run::DemoRunResult;
use super::rusage::ResourceUsage;
use super::servers::DemoDestination;
use super::verify::Verification;

/// Differences told one by one.
const TOLD: usize = 10;
const LABEL: usize = 30;
const COLUMN: usize = 24;

/// Everything, as `--json` has it.
#[derive(Serialize)]
pub struct DemoReport {
    pub verified: bool,
    seconds: f64,
    source: SourceReport,
    destinations: Vec<DestinationReport>,
}

#[derive(Serialize)]
pub struct SourceReport {
    pub server: &'static str,
    pub objects: u64,
    pub bytes: u64,
}

/// One destination.
#[derive(Serialize)]
pub struct DestinationReport {
    name: &'static str,
    server: &'static str,
    objects: u64,
    bytes: u64,
    messages: usize,
    copied: u64,
    unchanged: u64,
    parked: u64,
    retries: u64,
    dead_letters: Vec<String>,
    seconds: f64,
    mb_per_second: f64,
    #[serde(flatten)]
    cost: ResourceUsage,
    verified: bool,
    differences: Vec<String>,
}

impl DestinationReport {
    pub fn new(
        destination: &DemoDestination,
        crossed: DemoRunResult,
        proof: Verification,
        dataset: &Dataset,
    ) -> DestinationReport {
        let mut differences = crossed.troubles;
        differences.extend(proof.differences);
        if proof.bytes != dataset.bytes() {
            differences.push(format!("{} bytes are listed, {} were put", proof.bytes, dataset.bytes()));
        }
        let cpu_seconds = crossed.cost.cpu_seconds.map(|seconds| rounded(seconds, 100.0));
        DestinationReport {
            name: destination.name,
            server: destination.server,
            objects: proof.objects,
            bytes: proof.bytes,
            messages: crossed.messages,
            copied: crossed.summary.copied,
            unchanged: crossed.summary.unchanged,
            parked: crossed.summary.parked,
            retries: crossed.summary.retries,
            dead_letters: crossed.dead_letters.into_iter().map(|letter| letter.reason).collect(),
            seconds: rounded(crossed.seconds, 1000.0),
            mb_per_second: rounded(crossed.summary.bytes as f64 / 1e6 / crossed.seconds.max(0.001), 10.0),
            cost: ResourceUsage { cpu_seconds, ..crossed.cost },
            verified: differences.is_empty(),
            differences,
        }
    }
}

impl DemoReport {
    pub fn new(source: SourceReport, destinations: Vec<DestinationReport>, elapsed: Duration) -> DemoReport {
        let verified = destinations.iter().all(|leg| leg.verified);
        DemoReport { verified, seconds: rounded(elapsed.as_secs_f64(), 1000.0), source, destinations }
    }

    pub fn table(&self) -> String {
        let mut lines = vec![String::new()];
        let mut row = |label: &str, cell: &dyn Fn(&DestinationReport) -> String| {
            let cells: String = self.destinations.iter().map(|leg| format!("{:>COLUMN$}", cell(leg))).collect();
            lines.push(format!("  {label:<LABEL$}{cells}"));
        };
        row("", &|leg| leg.name.into());
        row("played by", &|leg| leg.server.into());
        row("objects", &|leg| leg.objects.to_string());
        row("size", &|leg| size(leg.bytes));
        row("copied / unchanged / parked", &|leg| format!("{} / {} / {}", leg.copied, leg.unchanged, leg.parked));
        row("seconds", &|leg| format!("{:.1}", leg.seconds));
        row("MB/s", &|leg| format!("{:.0}", leg.mb_per_second));
        row("CPU seconds *", &|leg| or_unknown(leg.cost.cpu_seconds.map(|seconds| format!("{seconds:.1}"))));
        row("peak memory *", &|leg| or_unknown(leg.cost.peak_memory.map(size)));
        row("verified byte for byte", &|leg| if leg.verified { "yes".into() } else { "NO".into() });
        lines.push(String::new());
        lines.push("  * of the whole process, servers included".into());
        lines.extend(self.rows());
        lines.join("\n")
    }

    fn rows(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for leg in self.destinations.iter().filter(|leg| !leg.verified) {
            lines.push(format!("\n{}: {} differences", leg.name, leg.differences.len()));
            lines.extend(leg.differences.iter().take(TOLD).map(|difference| format!("  {difference}")));
        }
        if !self.verified {
            return lines;
        }
        let reason = self.destinations.iter().flat_map(|leg| &leg.dead_letters).next();
        lines.push(format!(
            "\nAll as it should be, in {:.0} s, and nothing is left over. In the middle of each run an object was\n\
             overwritten (so one more was copied than there are) and an event came twice (unchanged). The last\n\
             message was broken on purpose: it is parked, as expected, among the dead letters, because\n  {}",
            self.seconds,
            reason.map_or("", String::as_str),
        ));
        lines.push(
            "\nNext, with a bucket of your own: write a settings file (config/agent.get.toml is one), then\n  \
             skyferry-agent --config agent.toml --validate    checks it and changes nothing\n  \
             skyferry-agent --config agent.toml               runs the agent"
                .into(),
        );
        lines
    }
}

/// What is about to happen.
pub fn opening(dataset: &Dataset, directory: &Path) -> String {
    format!(
        "Skyferry copies {} objects ({}, one of {}) from S3 to Google Cloud Storage, then to S3.\n\
         It all runs in this process, with servers of its own on 127.0.0.1, and in {}.\n",
        dataset.count(),
        size(dataset.bytes()),
        size(dataset.large),
        directory.display(),
    )
}

fn or_unknown(text: Option<String>) -> String {
    text.unwrap_or_else(|| "not known here".into())
}

fn rounded(value: f64, by: f64) -> f64 {
    (value * by).round() / by
}

fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1000.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}
