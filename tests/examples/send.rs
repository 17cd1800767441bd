//! Puts objects into an embedded queue as the jobsender does, before an agent opens it.
//!
//!     send FILE < LINES       a line an object: BUCKET/KEY

use std::io::BufRead;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use skyferry_agent::wiring::EMBEDDED_QUEUE;
use skyferry_core::queue::{Queue, QueueTraits};
use skyferry_sqlite::SqliteFile;

fn main() -> anyhow::Result<()> {
    let file = std::env::args_os().nth(1).context("send FILE")?;
    let lines: Vec<String> = std::io::stdin().lock().lines().collect::<Result<_, _>>()?;
    let bodies = lines.iter().map(|line| {
        let (bucket, key) = line.split_once('/').with_context(|| format!("BUCKET/KEY: {line}"))?;
        Ok(json!({"Src_bucket": bucket, "Src_key": key, "versionId": "null"}).to_string())
    });
    let bodies = bodies.collect::<anyhow::Result<Vec<_>>>()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let file = SqliteFile::open(file.as_ref())?;
        let minute = Duration::from_secs(60);
        let traits = QueueTraits { visibility: minute, retention: minute, max_receives: None, dead_letters: None };
        file.queue(EMBEDDED_QUEUE, traits).await?.send(&bodies).await?;
        anyhow::Ok(())
    })
}
