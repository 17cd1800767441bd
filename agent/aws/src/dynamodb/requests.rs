//! The requests that the ledger is made of, and what DynamoDB's refusals of them mean.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use skyferry_providers::Cached;

use super::item::{self, Item, OpenWriterEntry, TimeFormat};
use super::update_expression::{UpdateExpression, list, number, text};
use super::{
    ATTEMPTS_SHOWN, CLOSED_AT_ONCE, DynamoLedger, DynamoOptions, LedgerError, LedgerRecord, Leftover, PATIENCE, SCHEMA,
    Subject, table,
};
use crate::client::{AwsClient, FailureCause, RequestFailure, ServerClock};
use skyferry_core::model::Writer;

/// A condition that did not hold, with the item as it is.
pub(super) enum UpdateError {
    Condition { item: Item, unsure: bool },
    Other(LedgerError),
}

impl UpdateError {
    /// Of a request without a condition.
    pub fn into_error(self) -> LedgerError {
        match self {
            UpdateError::Condition { .. } => LedgerError::Fenced,
            UpdateError::Other(error) => error,
        }
    }
}

impl DynamoLedger {
    /// Looks at the table, where that is permitted.
    pub async fn open(options: DynamoOptions, keys: Arc<Cached>) -> Result<DynamoLedger, LedgerError> {
        let ledger = DynamoLedger::connect(options, keys).await?;
        table::check(&ledger).await?;
        Ok(ledger)
    }

    pub(super) async fn connect(options: DynamoOptions, keys: Arc<Cached>) -> Result<DynamoLedger, LedgerError> {
        let region = match options.region {
            Some(region) => Some(region),
            None => {
                let held = keys.get().await.map_err(|error| LedgerError::Unavailable {
                    ledger: options.table.clone(),
                    operation: "credentials",
                    answer: error.to_string(),
                })?;
                held.region.clone()
            }
        };
        let region = region.ok_or_else(|| LedgerError::Unusable {
            ledger: options.table.clone(),
            problem: "its region is not known".into(),
            advice: "set [ledger] region: the credentials do not name one".into(),
        })?;
        let aws =
            AwsClient::new(keys, &region, options.endpoint.as_deref()).map_err(|error| LedgerError::Unusable {
                ledger: options.table.clone(),
                problem: error.to_string(),
                advice: "correct SSL_CERT_FILE or AWS_CA_BUNDLE".into(),
            })?;
        let client = Client::new(aws.config());
        let (table, machine) = (options.table.into(), options.machine);
        Ok(DynamoLedger {
            aws,
            client,
            table,
            machine,
            times: TimeFormat::default(),
            clock: ServerClock::default(),
            checkpoints: AtomicU64::new(1),
        })
    }

    pub(super) fn classify<E>(&self, operation: &'static str, failure: RequestFailure<E>) -> LedgerError {
        let unusable = |problem: String, advice: &str| LedgerError::Unusable {
            ledger: self.table.to_string(),
            problem,
            advice: advice.into(),
        };
        if failure.is("ResourceNotFoundException") {
            return unusable(
                format!("no such table for these credentials ({operation}: {})", failure.answer),
                "check [ledger] table and region, or create it",
            );
        }
        match failure.cause {
            FailureCause::Denied => unusable(
                format!("{operation} is denied: dynamodb:{operation} is missing ({})", failure.answer),
                "grant the ledger's keys dynamodb:UpdateItem, GetItem, BatchGetItem, Scan and DescribeTable on the table",
            ),
            // About this one item; a table whose key is another one refuses all of them.
            FailureCause::Refused
                if failure.is("ValidationException")
                    && matches!(operation, "UpdateItem" | "GetItem")
                    && !failure.answer.contains("key element") =>
            {
                let (ledger, problem) =
                    (self.table.to_string(), format!("{operation} is refused ({})", failure.answer));
                LedgerError::Record {
                    ledger,
                    problem,
                    advice: "inspect the item; without it the object starts over".into(),
                }
            }
            FailureCause::Refused => unusable(
                format!("{operation} is refused ({})", failure.answer),
                "check that the table's only key is the text `Key`; if it is, please report this",
            ),
            FailureCause::Throttled | FailureCause::Unavailable | FailureCause::Credentials => {
                LedgerError::Unavailable { ledger: self.table.to_string(), operation, answer: failure.answer }
            }
        }
    }

    /// An item as it is now.
    pub(super) async fn item(&self, key: &str) -> Result<Option<Item>, LedgerError> {
        let request = || {
            let get = self.client.get_item().table_name(&*self.table).key("Key", text(key)).consistent_read(true);
            get.customize().interceptor(self.clock.reader()).send()
        };
        let got = self.aws.call(PATIENCE, request).await.map_err(|failure| self.classify("GetItem", failure))?;
        Ok(got.item.map(Item::new))
    }

    pub(super) fn read(&self, subject: &Subject, item: Option<&Item>) -> Result<Option<LedgerRecord>, LedgerError> {
        match item {
            Some(item) if item.schema() > SCHEMA => Err(self.newer_schema_error(item)),
            item => Ok(item.map(|item| item.record(subject))),
        }
    }

    /// One UpdateItem; the item before or after it, as asked for.
    pub(super) async fn update(
        &self,
        key: &str,
        change: UpdateExpression,
        back: ReturnValue,
    ) -> Result<Item, UpdateError> {
        let change = change.build();
        let request = || {
            self.client
                .update_item()
                .table_name(&*self.table)
                .key("Key", text(key))
                .update_expression(&change.update)
                .set_condition_expression(change.condition.clone())
                .set_expression_attribute_names(Some(change.names.clone()))
                .set_expression_attribute_values(change.values.clone())
                .return_values(back.clone())
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .customize()
                .interceptor(self.clock.reader())
                .send()
        };
        match self.aws.call(PATIENCE, request).await {
            Ok(output) => Ok(Item::new(output.attributes.unwrap_or_default())),
            Err(RequestFailure {
                service: Some(UpdateItemError::ConditionalCheckFailedException(failed)),
                unsure,
                ..
            }) => Err(UpdateError::Condition { item: Item::new(failed.item.unwrap_or_default()), unsure }),
            Err(failure) => Err(UpdateError::Other(self.classify("UpdateItem", failure))),
        }
    }

    /// What may be left undone: the next to come does it.
    pub(super) async fn update_best_effort(&self, key: &str, change: UpdateExpression) {
        match self.update(key, change, ReturnValue::None).await {
            Ok(_) | Err(UpdateError::Condition { .. }) => {}
            Err(UpdateError::Other(error)) => tracing::debug!(%error, key, "the record will be tidied next time"),
        }
    }

    /// Notes when earlier writers were fenced: before now.
    pub(super) async fn note_fences(&self, key: &str, open: &[OpenWriterEntry]) {
        let latest = self.clock.latest();
        for earlier in open.iter().filter(|earlier| earlier.fenced.is_none()) {
            let mut change = UpdateExpression::default();
            change.set(&[&earlier.attribute, "f"], number(latest));
            change.require_exists(&[&earlier.attribute]);
            change.require_missing(&[&earlier.attribute, "f"]);
            self.update_best_effort(key, change).await;
        }
    }

    pub(super) async fn trim(&self, key: &str, item: &Item) {
        let mut change = UpdateExpression::default();
        for name in ["startTime_f", "instanceID"] {
            let mut shown = item.texts(name);
            if shown.len() > ATTEMPTS_SHOWN {
                shown.sort_by_cached_key(|text| (TimeFormat::moment(text), text.clone()));
                shown.truncate(shown.len() - ATTEMPTS_SHOWN / 2);
                change.delete(name, list(shown));
            }
        }
        if !change.is_empty() {
            self.update_best_effort(key, change).await;
        }
    }

    pub(super) fn newer_schema_error(&self, item: &Item) -> LedgerError {
        LedgerError::Record {
            ledger: self.table.to_string(),
            problem: format!("a newer Skyferry wrote it (schema {}, this one knows {SCHEMA})", item.schema()),
            advice: "upgrade this one, then send the object again".into(),
        }
    }

    /// Closes as many of these as one update takes, again and again; back come those that are left for the last. A
    /// writer that is fenced meanwhile leaves the rest to its successor, as everything.
    pub(super) async fn close_all_but_some<'a>(
        &self,
        key: &str,
        writer: Writer,
        mut closed: &'a [Writer],
    ) -> Result<&'a [Writer], LedgerError> {
        while let Some((some, rest)) = closed.split_at_checked(CLOSED_AT_ONCE).filter(|(_, rest)| !rest.is_empty()) {
            let mut change = UpdateExpression::default();
            some.iter().for_each(|writer| change.remove(&[&item::attribute(*writer)]));
            change.require_equal(&["sfWriter"], text(&writer.to_string()));
            match self.update(key, change, ReturnValue::None).await {
                Ok(_) => closed = rest,
                Err(UpdateError::Condition { .. }) => return Ok(rest.get(..CLOSED_AT_ONCE).unwrap_or(rest)),
                Err(UpdateError::Other(error)) => return Err(error),
            }
        }
        Ok(closed)
    }

    /// Of a writer that is fenced: what it leaves behind, and nothing else.
    pub(super) async fn close_fenced(
        &self,
        key: &str,
        open: &OpenWriterEntry,
        left: Leftover,
    ) -> Result<(), LedgerError> {
        let mut change = UpdateExpression::default();
        match left {
            Leftover::Uncertain => return Ok(()),
            Leftover::Upload if open.upload.is_some() => {
                change.set(&[&open.attribute, "s"], AttributeValue::Bool(true))
            }
            Leftover::Upload | Leftover::Nothing => change.remove(&[&open.attribute]),
        }
        change.require_exists(&[&open.attribute]);
        match self.update(key, change, ReturnValue::None).await {
            Ok(_) | Err(UpdateError::Condition { .. }) => Ok(()),
            Err(UpdateError::Other(error)) => Err(error),
        }
    }
}
