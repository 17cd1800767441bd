//! The clients of SQS and DynamoDB, against ministack. What it does unlike the services stands in the suites' rows.

use std::sync::Arc;
use std::time::Duration;

use fixture::CLOUD_KEYS;
use sandbox::{DynamoProxy, Ministack};
use skyferry_aws::dynamodb::{self, DynamoLedger, DynamoOptions};
use skyferry_aws::sqs::{QueueName, Sqs, SqsDeadLetters, SqsOptions};
use skyferry_core::queue::QueueError;
use skyferry_providers::Cached;

use crate::{ledger, letters, queue};

pub async fn open(stack: &Ministack, queue: QueueName) -> Result<Sqs, QueueError> {
    let options = SqsOptions { queue, region: None, endpoint: Some(stack.endpoint()) };
    Sqs::open(options, Arc::new(Cached::new(CLOUD_KEYS))).await
}

pub async fn queue() -> queue::Subject {
    let stack = Ministack::start().await.expect("ministack");
    stack.create_queue_with_dead_letters("list", 4, 100).await.expect("a queue");
    let queue = open(&stack, QueueName::Name("list".into())).await.expect("opened");
    queue::Subject {
        queue: Arc::new(queue),
        tick: Duration::from_secs(1),
        patience: Duration::from_secs(10),
        can: queue::Can { ends_with_visibility: false, deletes_again: false },
        _keep: Box::new(stack),
    }
}

pub async fn letters() -> letters::Subject {
    let stack = Ministack::start().await.expect("ministack");
    stack.create_queue_with_dead_letters("list", 4, 100).await.expect("a queue");
    let name = || QueueName::Name("list".into());
    let options = SqsOptions { queue: name(), region: None, endpoint: Some(stack.endpoint()) };
    let letters = SqsDeadLetters::open(options, Arc::new(Cached::new(CLOUD_KEYS))).await.expect("opened");
    let queue = Arc::new(open(&stack, name()).await.expect("opened"));
    letters::Subject { queue, letters: Arc::new(letters), _keep: Box::new(stack) }
}

pub fn table(endpoint: String) -> DynamoOptions {
    let (table, machine) = ("list".into(), "i-sandbox".into());
    DynamoOptions { table, region: None, endpoint: Some(endpoint), machine }
}

pub async fn open_ledger(endpoint: String) -> DynamoLedger {
    dynamodb::create(table(endpoint.clone()), Arc::new(Cached::new(CLOUD_KEYS))).await.expect("a table");
    DynamoLedger::open(table(endpoint), Arc::new(Cached::new(CLOUD_KEYS))).await.expect("opened")
}

pub async fn ledger() -> ledger::Under {
    let stack = Ministack::start().await.expect("ministack");
    let limits = DynamoProxy::start(stack.address()).expect("a front");
    let ledger = Arc::new(open_ledger(limits.endpoint()).await);
    // The service's dates have whole seconds, and are all that two machines have in common.
    ledger::Under { ledger, slack: Duration::from_millis(2100), _keep: Box::new((stack, limits)) }
}
