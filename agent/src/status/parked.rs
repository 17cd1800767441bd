//! What was given up, for the page: the dead letters where this process has them, else what the log has seen parked since
//! the start.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::Recent;
use crate::dead_letter::ParsedLetter;
use skyferry_core::queue::DeadLetters;

/// Letters that one look reads, and shows.
const READ: usize = 5_000;
const SHOWN: usize = 100;
const BATCH: usize = 500;

/// The dead letters whose key or reason has `search` in it, the newest first. For those that a look takes from nobody.
pub async fn letters(from: &dyn DeadLetters, search: &str) -> Value {
    let (mut found, mut kinds, mut read) = (Vec::new(), BTreeMap::<String, u64>::new(), 0);
    let mut error = None;
    while read < READ {
        let batch = match from.receive_letters(BATCH).await {
            Ok(batch) if batch.is_empty() => break,
            Ok(batch) => batch,
            Err(failed) => {
                error = Some(failed.to_string());
                break;
            }
        };
        read += batch.len();
        for letter in batch.into_iter().map(|letter| ParsedLetter::new(letter, from.max_receives())) {
            if has(&letter.name(), search) || has(&letter.reason, search) {
                *kinds.entry(letter.kind()).or_default() += 1;
                found.push(letter);
            }
        }
    }
    let depth = from.depth().await.map_or(read as u64, |depth| depth.visible);
    let shown = found.iter().rev().take(SHOWN).map(|letter| {
        let at = epoch(letter.letter.sent);
        json!({ "id": &*letter.letter.id, "object": letter.name(), "reason": letter.reason, "kind": letter.kind(), "at": at })
    });
    let shown: Vec<Value> = shown.collect();
    json!({ "dead_letters": true, "waiting": depth, "found": found.len(), "kinds": kinds, "letters": shown, "error": error })
}

/// The last ones that the log has seen; the queue's dead letters are for commands.
pub fn since_start(recent: &Recent, search: &str) -> Value {
    let mut kinds = BTreeMap::<String, u64>::new();
    let all = recent.parked();
    let found: Vec<_> = all.iter().filter(|one| has(&one.object, search) || has(&one.reason, search)).collect();
    for one in &found {
        *kinds.entry(one.kind()).or_default() += 1;
    }
    let shown = found.iter().take(SHOWN);
    let shown: Vec<Value> = shown
        .map(|one| json!({ "object": one.object, "reason": one.reason, "kind": one.kind(), "at": one.at }))
        .collect();
    json!({ "dead_letters": false, "waiting": all.len(), "found": found.len(), "kinds": kinds, "letters": shown })
}

fn has(text: &str, search: &str) -> bool {
    search.is_empty() || text.to_lowercase().contains(&search.to_lowercase())
}

fn epoch(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
