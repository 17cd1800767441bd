//! Every record of the ledger as a row, page by page: of a table, or of an embedded file in the table's columns.

use std::path::Path;
use std::time::SystemTime;

use super::WiringError;
use super::queues::table;
use skyferry_aws::dynamodb::{self, COLUMNS, DumpRow};
use skyferry_config::{LedgerSettings, Settings};
use skyferry_core::metrics::Outcome;
use skyferry_core::model::Key;
use skyferry_sqlite::ledger::StoredRecord;
use skyferry_sqlite::shared::SharedFile;

/// Records of an embedded file in one step: its agent works on meanwhile.
const PAGE: usize = 1000;

/// Hands on every record until `take` has enough; gives the ledger's name. Needs a runtime.
pub async fn dump_table(settings: &Settings, take: impl FnMut(Vec<DumpRow>) -> bool) -> Result<String, WiringError> {
    if let LedgerSettings::Embedded { path } = &settings.ledger {
        dump_file(path, take).await?;
        return Ok(path.display().to_string());
    }
    let (options, keys) = table(settings)?;
    let name = options.table.clone();
    dynamodb::dump(options, keys, take).await?;
    Ok(name)
}

async fn dump_file(path: &Path, mut take: impl FnMut(Vec<DumpRow>) -> bool) -> Result<(), WiringError> {
    if !path.exists() {
        let reason = format!("the file {} does not exist: no agent has run with it yet", path.display());
        return Err(WiringError::Section { section: "[ledger]", reason });
    }
    let file = SharedFile::open(path).await?;
    let mut after = None;
    loop {
        let records = file.records(after.as_ref(), PAGE).await?;
        after = records.last().map(StoredRecord::place);
        if after.is_none() || !take(records.iter().map(row).collect()) {
            return Ok(());
        }
    }
}

fn row(stored: &StoredRecord) -> DumpRow {
    let StoredRecord { source, destination, record } = stored;
    let identity = record.published.as_ref().map(|published| &published.identity);
    let split = destination.iter().position(|byte| *byte == b'/').unwrap_or(destination.len());
    let (bucket, key) = (&destination[..split], destination.get(split + 1..).unwrap_or_default());
    let text = |bytes: &[u8]| Key::new(bytes.to_vec()).to_string();
    let ended = record.ended_for.and_then(|ago| SystemTime::now().checked_sub(ago));
    let ended = ended.and_then(|at| jiff::Timestamp::try_from(at).ok());
    let value = |column: &str| match column {
        "Key" => text(source),
        "Size" => identity.map(|identity| identity.size.to_string()).unwrap_or_default(),
        "desBucket" => text(bucket),
        "desKey" => text(key),
        "versionId" => {
            identity.map(|identity| identity.version.as_deref().unwrap_or("null").into()).unwrap_or_default()
        }
        "jobStatus" => match record.outcome {
            Some(Outcome::Parked) => "ERR".into(),
            Some(_) => "DONE".into(),
            None => String::new(),
        },
        "endTime_f" => ended.map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default(),
        "sfOutcome" => record.outcome.map(|outcome| outcome.name().into()).unwrap_or_default(),
        "sfReason" => record.reason.clone().unwrap_or_default(),
        _ => String::new(),
    };
    COLUMNS.iter().map(|column| value(column)).collect()
}
