//! Items that hold what no version writes: an attribute of another type (a table that was restored from text, somebody's
//! script). DynamoDB refuses every update of such an item, which is that one object's trouble. What is ours to write is
//! taken out, and rewritten by the next update.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use super::item::{Item, OPEN};
use super::requests::UpdateError;
use super::update_expression::UpdateExpression;
use super::{CLOSED_AT_ONCE, DynamoLedger, LedgerError};

/// Numbers that an update adds to, compares or subtracts.
const NUMBERS: [&str; 4] = ["tryTimes", "sfFailures", "sfBegan", "sfVersion"];
/// Sets that an update adds to.
const SETS: [&str; 3] = ["instanceID", "startTime_f", "jobStatus"];

impl DynamoLedger {
    /// Takes out what has another type than it must have. Where nothing has, the service's refusal stands.
    pub(super) async fn repair(&self, key: &str) -> Result<(), LedgerError> {
        let Some(item) = self.item(key).await? else { return Ok(()) };
        let wrong = mistyped_attributes(&item);
        if !wrong.is_empty() {
            tracing::warn!(ledger = %self.table, key, attributes = ?wrong, "attributes with a wrong type are rewritten");
        }
        for some in wrong.chunks(CLOSED_AT_ONCE) {
            let mut change = UpdateExpression::default();
            some.iter().for_each(|name| change.remove(&[name]));
            self.update(key, change, ReturnValue::None).await.map_err(UpdateError::into_error)?;
        }
        Ok(())
    }
}

fn mistyped_attributes(item: &Item) -> Vec<String> {
    let attributes = item.attributes().iter();
    let wrong = attributes.filter(|(name, value)| match name.as_str() {
        name if NUMBERS.contains(&name) => !matches!(value, AttributeValue::N(_)),
        name if SETS.contains(&name) => !matches!(value, AttributeValue::Ss(_)),
        name if name.starts_with(OPEN) => !matches!(value, AttributeValue::M(_)),
        _ => false,
    });
    wrong.map(|(name, _)| name.clone()).collect()
}
