//! Every record of the table as a row, for spreadsheets and for who compares: the predecessors' attributes under their own
//! names, and how it ended by ours. Page by page: nothing is held that has been handed on.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use skyferry_providers::Cached;

use super::{DynamoLedger, DynamoOptions, LedgerError, PATIENCE};

/// In this order.
pub const COLUMNS: [&str; 16] = [
    "Key",
    "Size",
    "desBucket",
    "desKey",
    "versionId",
    "firstTime",
    "lastTimeProgress",
    "jobStatus",
    "tryTimes",
    "instanceID",
    "startTime_f",
    "endTime",
    "endTime_f",
    "totalSpentTime",
    "sfOutcome",
    "sfReason",
];

/// What `COLUMNS` names, as text; of a set every value, sorted, with a space between. Empty: it is not there.
pub type DumpRow = Vec<String>;

/// Hands each page's rows on; `false` ends it.
pub async fn dump(
    options: DynamoOptions,
    keys: Arc<Cached>,
    mut take: impl FnMut(Vec<DumpRow>) -> bool,
) -> Result<(), LedgerError> {
    let ledger = DynamoLedger::open(options, keys).await?;
    let mut from: Option<HashMap<String, AttributeValue>> = None;
    loop {
        let request = || ledger.client.scan().table_name(&*ledger.table).set_exclusive_start_key(from.clone()).send();
        let page = ledger.aws.call(PATIENCE, request).await.map_err(|failure| ledger.classify("Scan", failure))?;
        let items = page.items.unwrap_or_default();
        let rows = items.iter().filter(|item| !super::note::is_note(item)).map(row).collect();
        from = page.last_evaluated_key.filter(|key| !key.is_empty());
        if !take(rows) || from.is_none() {
            return Ok(());
        }
    }
}

fn row(item: &HashMap<String, AttributeValue>) -> DumpRow {
    COLUMNS.iter().map(|name| item.get(*name).map(text).unwrap_or_default()).collect()
}

fn text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => {
            let mut texts = texts.clone();
            texts.sort();
            texts.join(" ")
        }
        AttributeValue::Bool(value) => value.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_every_column_and_what_is_not_there_is_empty() {
        let set = AttributeValue::Ss(vec!["i-2".into(), "i-1".into()]);
        let item = HashMap::from([
            ("Key".to_owned(), AttributeValue::S("photos/a,b".into())),
            ("Size".to_owned(), AttributeValue::N("7".into())),
            ("instanceID".to_owned(), set),
            ("sfPublished".to_owned(), AttributeValue::M(HashMap::new())),
        ]);
        let row = row(&item);
        let of = |name: &str| row[COLUMNS.iter().position(|column| *column == name).unwrap()].as_str();
        assert_eq!(row.len(), COLUMNS.len());
        assert_eq!((of("Key"), of("Size"), of("instanceID"), of("endTime")), ("photos/a,b", "7", "i-1 i-2", ""));
    }
}
