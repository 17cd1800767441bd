//! The table itself: looked at when it is opened, made on request as the predecessors' stacks made it.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, IndexStatus, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TableDescription, TableStatus, TimeToLiveSpecification,
};
use skyferry_providers::Cached;
use tokio::time::{Instant, sleep};

use super::{DynamoLedger, DynamoOptions, LedgerError, PATIENCE};
use crate::client::{FailureCause, OPENING};

const INDEX: &str = "desBucket-index";
/// A table is ready within seconds, at times within a minute.
const READY: Duration = Duration::from_secs(300);

/// Makes the table with its index and its expiry, billed by request, and waits until all of it is there. One that is
/// there already is completed where something is missing. Back comes why its items do not expire, where the service has no
/// expiry: the table works all the same, and grows.
pub async fn create(options: DynamoOptions, keys: Arc<Cached>) -> Result<Option<String>, LedgerError> {
    let ledger = DynamoLedger::connect(options, keys).await?;
    if describe(&ledger).await?.is_none() {
        make(&ledger).await?;
    }
    let started = Instant::now();
    while !describe(&ledger).await?.is_some_and(|table| is_ready(&table)) {
        if started.elapsed() > READY {
            let answer = format!("it is not ready after {} s", READY.as_secs());
            return Err(LedgerError::Unavailable {
                ledger: ledger.table.to_string(),
                operation: "CreateTable",
                answer,
            });
        }
        sleep(Duration::from_millis(500)).await;
    }
    expire(&ledger).await
}

/// That the table is there and has the key it must have. Permission to look is not needed for work: without it the first
/// write tells.
pub(super) async fn check(ledger: &DynamoLedger) -> Result<(), LedgerError> {
    let request = || ledger.client.describe_table().table_name(&*ledger.table).send();
    let table = match ledger.aws.call(OPENING, request).await {
        Ok(output) => output.table,
        Err(failure) if failure.cause == FailureCause::Denied => return Ok(()),
        Err(failure) => return Err(ledger.classify("DescribeTable", failure)),
    };
    let schema = table.and_then(|table| table.key_schema).unwrap_or_default();
    match &schema[..] {
        [only] if only.attribute_name == "Key" => Ok(()),
        _ => Err(LedgerError::Unusable {
            ledger: ledger.table.to_string(),
            problem: "its key is not the one attribute `Key`".into(),
            advice: "name another table under [ledger] table, or create one".into(),
        }),
    }
}

async fn describe(ledger: &DynamoLedger) -> Result<Option<TableDescription>, LedgerError> {
    let request = || ledger.client.describe_table().table_name(&*ledger.table).send();
    match ledger.aws.call(OPENING, request).await {
        Ok(output) => Ok(output.table),
        Err(failure) if failure.is("ResourceNotFoundException") => Ok(None),
        Err(failure) => Err(ledger.classify("DescribeTable", failure)),
    }
}

fn is_ready(table: &TableDescription) -> bool {
    let mut indexes = table.global_secondary_indexes.iter().flatten();
    table.table_status == Some(TableStatus::Active)
        && indexes.all(|index| index.index_status.as_ref().is_none_or(|status| *status == IndexStatus::Active))
}

async fn make(ledger: &DynamoLedger) -> Result<(), LedgerError> {
    let defect = |error: BuildError| LedgerError::Unavailable {
        ledger: ledger.table.to_string(),
        operation: "CreateTable",
        answer: error.to_string(),
    };
    let text =
        |name: &str| AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
    let hash = |name: &str| KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Hash).build();
    let projection = Projection::builder()
        .projection_type(ProjectionType::Include)
        .set_non_key_attributes(Some(vec!["desKey".into(), "versionId".into()]))
        .build();
    let index = GlobalSecondaryIndex::builder()
        .index_name(INDEX)
        .key_schema(hash("desBucket").map_err(defect)?)
        .projection(projection)
        .build()
        .map_err(defect)?;
    let (key, bucket, schema) =
        (text("Key").map_err(defect)?, text("desBucket").map_err(defect)?, hash("Key").map_err(defect)?);
    let request = || {
        ledger
            .client
            .create_table()
            .table_name(&*ledger.table)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(key.clone())
            .attribute_definitions(bucket.clone())
            .key_schema(schema.clone())
            .global_secondary_indexes(index.clone())
            .send()
    };
    match ledger.aws.call(PATIENCE, request).await {
        Ok(_) => Ok(()),
        // Somebody else, or an attempt of ours whose answer was lost, was first.
        Err(failure) if failure.is("ResourceInUseException") => Ok(()),
        Err(failure) => Err(ledger.classify("CreateTable", failure)),
    }
}

async fn expire(ledger: &DynamoLedger) -> Result<Option<String>, LedgerError> {
    const UNKNOWN: &str = "UnknownOperationException";
    let request = || ledger.client.describe_time_to_live().table_name(&*ledger.table).send();
    match ledger.aws.call(PATIENCE, request).await {
        Ok(reported) => {
            if reported.time_to_live_description.is_some_and(|there| there.attribute_name.is_some()) {
                return Ok(None);
            }
        }
        Err(failure) if failure.is(UNKNOWN) => return Ok(Some(failure.answer)),
        Err(failure) => return Err(ledger.classify("DescribeTimeToLive", failure)),
    }
    let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name("endTime").build();
    let expiry = expiry.map_err(|error| LedgerError::Unavailable {
        ledger: ledger.table.to_string(),
        operation: "UpdateTimeToLive",
        answer: error.to_string(),
    })?;
    let request = || {
        ledger.client.update_time_to_live().table_name(&*ledger.table).time_to_live_specification(expiry.clone()).send()
    };
    match ledger.aws.call(PATIENCE, request).await {
        Ok(_) => Ok(None),
        Err(failure) if failure.is(UNKNOWN) => Ok(Some(failure.answer)),
        Err(failure) => Err(ledger.classify("UpdateTimeToLive", failure)),
    }
}

/// What the owner of a table decided about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSettings {
    /// Some hours old.
    pub items: u64,
    /// The attribute by which items expire, where they do.
    pub expiry: Option<String>,
}

impl DynamoLedger {
    /// Asks now. `None`: these keys may not look, which work does not need.
    pub async fn settings(&self) -> Result<Option<TableSettings>, LedgerError> {
        let request = || self.client.describe_table().table_name(&*self.table).send();
        let table = match self.aws.call(PATIENCE, request).await {
            Ok(output) => output.table,
            Err(failure) if failure.cause == FailureCause::Denied => return Ok(None),
            Err(failure) => return Err(self.classify("DescribeTable", failure)),
        };
        let request = || self.client.describe_time_to_live().table_name(&*self.table).send();
        let reported = match self.aws.call(PATIENCE, request).await {
            Ok(output) => output.time_to_live_description,
            Err(failure) if failure.cause == FailureCause::Denied => return Ok(None),
            Err(failure) => return Err(self.classify("DescribeTimeToLive", failure)),
        };
        let items = table.and_then(|table| table.item_count).unwrap_or(0);
        Ok(Some(TableSettings {
            items: items.unsigned_abs(),
            expiry: reported.and_then(|reported| reported.attribute_name),
        }))
    }
}
