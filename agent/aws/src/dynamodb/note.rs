//! A note is an item of its own, which nothing but this reads: `Key` = `/note/NAME`, which is no `bucket/key` and no name
//! of a record of ours; its value in `sfNote`. Having neither `sfVersion`, `desBucket` nor `endTime` it is in no scan for
//! uploads, in no index, and never expires. One that is taken away leaves an empty item: removing that too would need
//! another permission.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use super::item::{Item, binary};
use super::requests::UpdateError;
use super::update_expression::UpdateExpression;
use super::{DynamoLedger, LedgerError};

const VALUE: &str = "sfNote";

pub(super) async fn read(ledger: &DynamoLedger, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
    Ok(ledger.item(&key(name)).await?.and_then(|item| item.bytes(VALUE)))
}

pub(super) async fn set(
    ledger: &DynamoLedger,
    name: &str,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Result<bool, LedgerError> {
    let mut change = UpdateExpression::default();
    match old {
        Some(old) => change.require_equal(&[VALUE], binary(old.to_vec())),
        None => change.require_missing(&[VALUE]),
    }
    match new {
        Some(new) => change.set(&[VALUE], binary(new.to_vec())),
        None => change.remove(&[VALUE]),
    }
    match ledger.update(&key(name), change, ReturnValue::None).await {
        Ok(_) => Ok(true),
        // An attempt of this very request may have done it.
        Err(UpdateError::Condition { item, unsure }) => Ok(unsure && item.bytes(VALUE).as_deref() == new),
        Err(UpdateError::Other(error)) => Err(error),
    }
}

const PREFIX: &str = "/note/";

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Whether an item is a note and no record.
pub(super) fn is_note(item: &HashMap<String, AttributeValue>) -> bool {
    item.get("Key").and_then(|key| key.as_s().ok()).is_some_and(|key| key.starts_with(PREFIX))
}

impl Item {
    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        match self.attribute(name)? {
            AttributeValue::B(bytes) => Some(bytes.as_ref().to_vec()),
            _ => None,
        }
    }
}
