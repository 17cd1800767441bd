//! Many records in one request: for comparisons, not for jobs. Read as the table has them, which may be a second old and costs
//! half as much.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use tokio::time::{Instant, sleep};

use super::item::Item;
use super::update_expression::text;
use super::{DynamoLedger, LedgerError, LedgerRecord, PATIENCE, Subject, record_key};
use crate::client::RetryBudget;

/// Keys of one BatchGetItem, by the API's reference.
pub(super) const MOST: usize = 100;
/// For how long what the table could not give yet is asked for again.
const LEFT: RetryBudget = RetryBudget { total: Duration::from_secs(30), ..PATIENCE };

impl DynamoLedger {
    pub(super) async fn get_batch(&self, subjects: &[Subject]) -> Result<Vec<Option<LedgerRecord>>, LedgerError> {
        let mut found = self.get_named(subjects.iter().map(record_key::key).collect()).await?;
        let unknown = |subject: &&Subject| !subject.primary && !found.contains_key(&record_key::key(subject));
        let shared: Vec<String> = subjects.iter().filter(unknown).map(record_key::first_destination_key).collect();
        if !shared.is_empty() {
            found.extend(self.get_named(shared).await?);
        }
        let read = |subject: &Subject| match found.get(&record_key::key(subject)) {
            None if !subject.primary => self.read(
                subject,
                found.get(&record_key::first_destination_key(subject)).filter(|item| item.has_data_for(subject)),
            ),
            own => self.read(subject, own),
        };
        subjects.iter().map(read).collect()
    }

    async fn get_named(&self, mut unique: Vec<String>) -> Result<HashMap<String, Item>, LedgerError> {
        // The same key twice would be refused.
        unique.sort();
        unique.dedup();
        let mut wanted: Vec<_> = unique.into_iter().map(|name| HashMap::from([("Key".into(), text(&name))])).collect();
        let (mut found, began, mut retry) = (HashMap::new(), Instant::now(), LEFT.retry());
        loop {
            let (items, left) = self.get_some(wanted).await?;
            for item in items {
                if let Some(Ok(name)) = item.get("Key").map(|name| name.as_s().cloned()) {
                    found.insert(name, Item::new(item));
                }
            }
            wanted = left;
            if wanted.is_empty() {
                return Ok(found);
            }
            let Some(delay) = retry.delay(began.elapsed()) else {
                let answer = format!("{} keys were repeatedly left unprocessed: the table is throttled", wanted.len());
                return Err(LedgerError::Unavailable {
                    ledger: self.table.to_string(),
                    operation: "BatchGetItem",
                    answer,
                });
            };
            sleep(delay).await;
        }
    }

    /// What is there, and what to ask for again.
    async fn get_some(&self, wanted: Vec<Key>) -> Result<(Vec<Key>, Vec<Key>), LedgerError> {
        let refused = |error: aws_sdk_dynamodb::error::BuildError| LedgerError::Unavailable {
            ledger: self.table.to_string(),
            operation: "BatchGetItem",
            answer: error.to_string(),
        };
        let keys = KeysAndAttributes::builder().set_keys(Some(wanted)).build().map_err(refused)?;
        let request = || self.client.batch_get_item().request_items(&*self.table, keys.clone()).send();
        let got = self.aws.call(PATIENCE, request).await.map_err(|failure| self.classify("BatchGetItem", failure))?;
        let items = got.responses.unwrap_or_default().into_values().flatten().collect();
        let left = got.unprocessed_keys.unwrap_or_default().into_values().flat_map(|keys| keys.keys).collect();
        Ok((items, left))
    }
}

type Key = HashMap<String, AttributeValue>;
