//! How a copy ends: what it did, what it could not do, and the exit code.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;
use skyferry_core::event::{self, ParsedMessage, ParsedRecord};
use skyferry_core::metrics::Summary;
use skyferry_core::model::Location;
use skyferry_sqlite::queue::ParkedMessage;

use super::lister::ListingCounts;
use crate::output::{Output, objects, seconds};

/// Parked objects told one by one.
pub const TOLD: usize = 20;

/// From here on objects that were listed and then not found are the listing's fault, where they are also most of all.
const NOT_FOUND: u64 = 10;

/// The summary counts objects, each once. A run that continues after a kill works off what the killed one had sent, and lists
/// the same objects again: what was listed and did not end in another way is unchanged.
pub fn count_each_once(summary: Summary, listed: u64) -> Summary {
    let others = summary.copied + summary.gone + summary.skipped + summary.parked;
    Summary { unchanged: summary.unchanged.min(listed.saturating_sub(others)), ..summary }
}

/// A few objects are deleted while they are copied. Most of what a listing named is not: such a listing is wrong.
pub fn check_against_listing(summary: &Summary, sent: u64, origin: &Location) -> Option<anyhow::Error> {
    let gone = summary.gone;
    let wrong = gone >= NOT_FOUND && gone * 2 > sent.max(gone);
    wrong.then(|| {
        anyhow::anyhow!(
            "{gone} of {} objects that the listing of {origin} names were not found: either they were all deleted meanwhile, or this server lists keys in another spelling than it accepts",
            sent.max(gone)
        )
    })
}

#[derive(Serialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
    #[serde(flatten)]
    summary: Summary,
    seconds: f64,
}

pub struct CopySummary {
    pub summary: Summary,
    pub elapsed: Duration,
    /// Why it could not continue, if so.
    pub trouble: Option<anyhow::Error>,
    pub parked: Vec<ParkedMessage>,
    /// After a signal: bytes of objects that are not complete, which need not be sent again.
    pub kept: Option<u64>,
}

impl CopySummary {
    pub fn print(&self, output: &Output) -> std::io::Result<()> {
        let summary = self.summary;
        for letter in &self.parked {
            eprintln!("skyferry: not copied: {}", describe(letter));
        }
        if summary.parked > self.parked.len() as u64 {
            eprintln!("skyferry: and {} more", summary.parked - self.parked.len() as u64);
        }
        if let Some(error) = &self.trouble {
            eprintln!("skyferry: {error:#}\nskyferry: stopped; the same command continues from here");
        }
        output.line(&table(summary, self.elapsed))?;
        match self.kept {
            None => {}
            Some(0) => eprintln!("skyferry: stopped; the same command continues from here"),
            Some(kept) => eprintln!(
                "skyferry: stopped; {} of objects that are not complete are kept, and the same command continues from here",
                BinaryBytes(kept)
            ),
        }
        output.json(Line { dry_run: None, summary, seconds: seconds(self.elapsed) })
    }
}

/// The key and the reason; many reasons name the key by themselves.
fn describe(letter: &ParkedMessage) -> String {
    let ParsedMessage::Records(entries) = event::parse(letter.body.as_bytes()) else { return letter.reason.clone() };
    match &entries[..] {
        [ParsedRecord::Record(record)] if !letter.reason.contains(&record.source.to_string()) => {
            format!("{}: {}", record.source, letter.reason)
        }
        _ => letter.reason.clone(),
    }
}

fn table(summary: Summary, elapsed: Duration) -> String {
    let Summary { copied, deleted, unchanged, skipped, gone, parked, bytes, retries } = summary;
    let seconds = elapsed.as_secs_f64();
    let rows = [
        ("copied", copied),
        ("deleted", deleted),
        ("unchanged", unchanged),
        ("left out", skipped),
        ("gone meanwhile", gone),
        ("not copied", parked),
        ("tried again", retries),
    ];
    let shown = rows.iter().filter(|(what, count)| *count > 0 || *what == "copied");
    let mut text: String =
        shown.map(|(what, count)| format!("{what:<15}{:>12}\n", HumanCount(*count).to_string())).collect();
    let rate = BinaryBytes((bytes as f64 / seconds.max(0.001)) as u64);
    text.push_str(&format!("{} in {seconds:.1} s, {rate}/s", BinaryBytes(bytes)));
    text
}

/// What a dry run found.
pub struct DryRunReport {
    pub counts: Arc<ListingCounts>,
    pub summary: Summary,
}

impl DryRunReport {
    /// `copied` and `bytes` are what would be.
    pub fn print(&self, output: &Output, elapsed: Duration) -> std::io::Result<()> {
        let (sent, bytes) = (self.counts.sent.load(Relaxed), self.counts.bytes.load(Relaxed));
        let Summary { unchanged, skipped, deleted, .. } = self.summary;
        let delete = if deleted > 0 { format!(" and delete {}", objects(deleted)) } else { String::new() };
        output.line(&format!(
            "would copy {}, {}{delete} ({} unchanged, {} left out, {} listed)",
            objects(sent),
            BinaryBytes(bytes),
            HumanCount(unchanged),
            HumanCount(skipped),
            HumanCount(self.counts.listed.load(Relaxed)),
        ))?;
        let summary = Summary { copied: sent, bytes, ..self.summary };
        output.json(Line { dry_run: Some(true), summary, seconds: seconds(elapsed) })
    }
}
