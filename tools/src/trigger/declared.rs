//! The file of `skyferry trigger apply`: the triggers that there are to be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::entry::{self, KeyFilter, TriggerEntry};
use crate::usage::UsageError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    triggers: Vec<Trigger>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trigger {
    bucket: String,
    queue: String,
    #[serde(default)]
    prefixes: Vec<String>,
    /// Relative to this file.
    prefix_file: Option<PathBuf>,
    #[serde(default)]
    suffix: String,
    #[serde(default)]
    events: Vec<String>,
}

/// By bucket.
pub fn read(file: &Path, default_events: &[String]) -> Result<BTreeMap<String, Vec<TriggerEntry>>, UsageError> {
    let wrong = |what: String| UsageError(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let text = text.trim_start_matches('\u{feff}');
    let File { triggers } = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if triggers.is_empty() {
        return Err(wrong("it contains no [[triggers]]".into()));
    }
    let mut wanted: BTreeMap<String, Vec<TriggerEntry>> = BTreeMap::new();
    for trigger in triggers {
        let Trigger { bucket, queue, prefixes, prefix_file, suffix, events } = trigger;
        let names = if events.is_empty() { default_events } else { &events };
        let events = entry::events(names).map_err(|UsageError(what)| wrong(what))?;
        let mut filters = Vec::new();
        for prefix in &prefixes {
            filters.push(KeyFilter::new(prefix, &suffix).map_err(|UsageError(what)| wrong(what))?);
        }
        if let Some(list) = prefix_file {
            let beside = file.parent().unwrap_or(Path::new("")).join(list);
            filters.extend(KeyFilter::of_file(&beside, &suffix)?);
        }
        if filters.is_empty() {
            filters.push(KeyFilter::new("", &suffix).map_err(|UsageError(what)| wrong(what))?);
        }
        let all = wanted.entry(bucket).or_default();
        for entry in filters.into_iter().map(|filter| TriggerEntry::ours(&queue, filter, events.clone())) {
            match all.iter_mut().find(|known| known.id == entry.id) {
                Some(known) => known.events.extend(entry.events),
                None => all.push(entry),
            }
        }
    }
    Ok(wanted)
}
