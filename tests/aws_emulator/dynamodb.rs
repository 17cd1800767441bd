//! DynamoDB beyond the contract of ledgers: the predecessors' records, lost answers, the table itself.

use std::sync::Arc;

use sandbox::{Direction, DynamoProxy, Ministack, Proxy, Wire};
use serde_json::{Value, json};
use skyferry_aws::dynamodb::{self, DynamoLedger, DynamoOptions};
use skyferry_core::ledger::{
    BeginResult, LastPublished, Ledger, LedgerError, Leftover, PartRecord, Subject, UploadRecord, WriterEnd,
};
use skyferry_core::metrics::Outcome;
use skyferry_core::model::{Location, Revision, SourceIdentity, Token, UploadId, Writer};
use skyferry_providers::Cached;

use fixture::CLOUD_KEYS;

const TABLE: &str = "list";

fn options(endpoint: String) -> DynamoOptions {
    DynamoOptions { table: TABLE.into(), region: None, endpoint: Some(endpoint), machine: "i-sandbox".into() }
}

async fn open(endpoint: String) -> Result<DynamoLedger, LedgerError> {
    DynamoLedger::open(options(endpoint), Arc::new(Cached::new(CLOUD_KEYS))).await
}

pub async fn stack() -> Ministack {
    let stack = Ministack::start().await.expect("ministack");
    dynamodb::create(options(stack.endpoint()), Arc::new(Cached::new(CLOUD_KEYS))).await.expect("a table");
    stack
}

pub async fn ledger(stack: &Ministack) -> DynamoLedger {
    open(stack.endpoint()).await.expect("opened")
}

pub fn subject(key: &str) -> Subject {
    Subject { source: Location::new("photos", key), destination: Location::new("copies", key), primary: true }
}

pub fn published() -> LastPublished {
    let identity = SourceIdentity { etag: "e".into(), size: 5, last_modified: 7, version: None };
    LastPublished { identity, revision: Revision("r".into()) }
}

pub fn copied() -> WriterEnd {
    WriterEnd::Settled {
        outcome: Outcome::Copied,
        reason: None,
        published: Some(published()),
        digests: None,
        grade: None,
    }
}

pub fn upload(id: &str, parts: u32) -> UploadRecord {
    let part = |number: u32| PartRecord {
        number,
        etag: format!("\"{number:032x}\"").as_str().into(),
        digests: skyferry_core::digest::Digests {
            length: 16 << 20,
            crc32c: number,
            crc64nvme: Some(number.into()),
            ..Default::default()
        },
    };
    UploadRecord {
        id: UploadId(id.into()),
        token: Token::random(),
        identity: SourceIdentity { etag: "e".into(), size: 160 << 30, last_modified: 7, version: Some("v".into()) },
        headers: Some(7),
        part_size: 16 << 20,
        parts: (1..=parts).map(part).collect(),
    }
}

pub async fn begin(ledger: &DynamoLedger, on: &Subject) -> (Writer, BeginResult) {
    let writer = Writer::random();
    (writer, ledger.begin(on, writer).await.expect("begun"))
}

pub async fn row(stack: &Ministack, key: &str) -> Value {
    stack.item(TABLE, &format!("photos/{key}")).await.expect("asked").expect("a row")
}

/// A request's answer is lost: the next connection is cut at its first byte.
fn lose_the_next_answer(proxy: &Proxy) {
    proxy.clear();
    proxy.cut_all();
    let next = proxy.counts().connections;
    proxy.script(next..=next, Direction::Down, Wire::Cut(1));
}

#[tokio::test]
async fn a_predecessors_record_is_taken_over_and_stays_true_on_ministack() {
    let stack = stack().await;
    let theirs = json!({ "TableName": TABLE, "Item": {
        "Key": { "S": "photos/k" }, "instanceID": { "SS": ["i-old"] }, "tryTimes": { "N": "2" },
        "startTime_f": { "SS": ["2024-01-01 00:00:00"] }, "lastTimeProgress": { "N": "100" }, "Size": { "N": "4" },
        "desBucket": { "S": "copies" }, "desKey": { "S": "k" }, "firstTime": { "N": "1704067200" },
        "versionId": { "S": "null" }, "jobStatus": { "SS": ["DONE"] }, "totalSpentTime": { "N": "9" },
        "endTime": { "N": "1704067209" }, "endTime_f": { "S": "2024-01-01 00:00:09" } } });
    stack.call("DynamoDB_20120810.PutItem", theirs).await.expect("put");
    let (ledger, on) = (ledger(&stack).await, subject("k"));
    let (writer, begun) = begin(&ledger, &on).await;
    assert_eq!(begun, BeginResult { known: true, ..BeginResult::default() }, "there, and nothing of ours is published");
    assert!(row(&stack, "k").await["endTime"].is_null(), "live: not to be reaped");
    ledger.finish(&on, writer, &copied(), Leftover::Nothing, &[]).await.expect("finished");
    let row = row(&stack, "k").await;
    assert_eq!((&row["tryTimes"]["N"], &row["Size"]["N"]), (&json!("3"), &json!("5")));
    assert_eq!(row["instanceID"]["SS"].as_array().map(Vec::len), Some(2));
    assert_eq!((&row["firstTime"]["N"], &row["lastTimeProgress"]["N"]), (&json!("1704067200"), &json!("100")));
    let end: u64 = row["endTime"]["N"].as_str().and_then(|text| text.parse().ok()).expect("an end");
    assert!(end > 1_767_225_600, "in the future: {end}");
}

#[tokio::test]
async fn what_was_published_elsewhere_is_not_taken_for_this_destination_on_ministack() {
    let stack = stack().await;
    let (ledger, on) = (ledger(&stack).await, subject("k"));
    let (writer, _) = begin(&ledger, &on).await;
    ledger.checkpoint(&on, writer, Some(&upload("there", 1))).await.expect("recorded");
    let elsewhere = Subject { destination: Location::new("new", "k"), ..on.clone() };
    let (_, begun) = begin(&ledger, &elsewhere).await;
    assert_eq!((begun.known, begun.published, begun.earlier[0].upload.clone()), (true, None, None));
    let (writer, begun) = begin(&ledger, &on).await;
    assert_eq!(begun.earlier[0].upload.as_ref().map(|upload| &*upload.id.0), Some("there"));
    ledger.finish(&on, writer, &copied(), Leftover::Nothing, &[]).await.expect("finished");
    assert_eq!(begin(&ledger, &elsewhere).await.1.published, None);
    assert_eq!(begin(&ledger, &on).await.1.published, Some(published()));
}

#[tokio::test]
async fn a_record_of_a_newer_skyferry_is_refused_on_ministack() {
    let stack = stack().await;
    let item = json!({ "TableName": TABLE, "Item": { "Key": { "S": "photos/k" }, "sfVersion": { "N": "2" } } });
    stack.call("DynamoDB_20120810.PutItem", item).await.expect("put");
    let ledger = ledger(&stack).await;
    for error in [
        ledger.begin(&subject("k"), Writer::random()).await.expect_err("refused"),
        ledger.lookup(&subject("k")).await.expect_err("refused"),
    ] {
        assert!(matches!(error, LedgerError::Record { .. }) && error.to_string().contains("schema 2"), "{error}");
    }
    assert_eq!(row(&stack, "k").await.as_object().map(serde_json::Map::len), Some(2), "and left alone");
}

#[tokio::test]
async fn fault_b10_attributes_of_another_type_are_written_anew_on_ministack() {
    let stack = stack().await;
    let limits = DynamoProxy::start(stack.address()).expect("a front");
    let item = json!({ "Key": { "S": "photos/k" }, "tryTimes": { "S": "3" }, "instanceID": { "L": [] },
        "sfVersion": { "S": "1" }, "sfFailures": { "S": "0" }, "sfBegan": { "S": "never" }, "jobStatus": { "S": "DONE" } });
    stack.call("DynamoDB_20120810.PutItem", json!({ "TableName": TABLE, "Item": item })).await.expect("put");
    let (ledger, on) = (open(limits.endpoint()).await.expect("opened"), subject("k"));
    let (writer, begun) = begin(&ledger, &on).await;
    assert!(begun.known);
    ledger.finish(&on, writer, &copied(), Leftover::Nothing, &[]).await.expect("finished");
    let row = row(&stack, "k").await;
    assert_eq!((&row["tryTimes"]["N"], &row["jobStatus"]["SS"]), (&json!("1"), &json!(["DONE"])));
    assert_eq!((&row["instanceID"]["SS"], &row["sfOutcome"]["S"]), (&json!(["i-sandbox"]), &json!("copied")));
}

#[tokio::test]
async fn a_missing_table_and_one_with_another_key_are_refused_on_ministack() {
    let stack = Ministack::start().await.expect("ministack");
    let missing = open(stack.endpoint()).await.err().expect("refused");
    assert!(matches!(missing, LedgerError::Unusable { .. }) && missing.to_string().contains("create it"), "{missing}");
    let other = json!({ "TableName": TABLE, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }] });
    stack.call("DynamoDB_20120810.CreateTable", other).await.expect("made");
    let wrong = open(stack.endpoint()).await.err().expect("refused");
    assert!(matches!(wrong, LedgerError::Unusable { .. }) && wrong.to_string().contains("`Key`"), "{wrong}");
}

#[tokio::test]
async fn a_created_table_is_the_predecessors_with_index_and_expiry_on_ministack() {
    let stack = stack().await;
    dynamodb::create(options(stack.endpoint()), Arc::new(Cached::new(CLOUD_KEYS)))
        .await
        .expect("a second time is no error");
    let reported = stack.call("DynamoDB_20120810.DescribeTable", json!({ "TableName": TABLE })).await.expect("told");
    let table = &reported["Table"];
    assert_eq!(table["KeySchema"], json!([{ "AttributeName": "Key", "KeyType": "HASH" }]));
    let index = &table["GlobalSecondaryIndexes"][0];
    assert_eq!(
        (&index["IndexName"], &index["KeySchema"][0]["AttributeName"]),
        (&json!("desBucket-index"), &json!("desBucket"))
    );
    assert_eq!(index["Projection"]["NonKeyAttributes"], json!(["desKey", "versionId"]));
    let reported =
        stack.call("DynamoDB_20120810.DescribeTimeToLive", json!({ "TableName": TABLE })).await.expect("told");
    assert_eq!(reported["TimeToLiveDescription"]["AttributeName"], "endTime");
}

#[tokio::test]
async fn a_lost_answer_fences_nobody_and_counts_nothing_twice_on_ministack() {
    let stack = stack().await;
    let proxy = Proxy::start(stack.address()).expect("a proxy");
    let (ledger, on) = (open(proxy.endpoint()).await.expect("opened"), subject("k"));
    lose_the_next_answer(&proxy);
    let (writer, begun) = begin(&ledger, &on).await;
    assert!(begun.earlier.is_empty(), "its own first attempt is nobody else: {begun:?}");
    lose_the_next_answer(&proxy);
    ledger.checkpoint(&on, writer, Some(&upload("u", 2))).await.expect("not fenced by itself");
    lose_the_next_answer(&proxy);
    let released = WriterEnd::Released { counted: true };
    let finished = ledger.finish(&on, writer, &released, Leftover::Upload, &[]).await.expect("finished");
    assert!(!finished.others_open);
    let (second, begun) = begin(&ledger, &on).await;
    assert_eq!((begun.failures, begun.earlier.len(), begun.earlier[0].stopped), (1, 1, true));
    lose_the_next_answer(&proxy);
    assert!(ledger.finish(&on, second, &copied(), Leftover::Uncertain, &[writer]).await.expect("finished").others_open);
    let (third, begun) = begin(&ledger, &on).await;
    assert_eq!(begun.earlier.iter().map(|earlier| earlier.writer).collect::<Vec<_>>(), [second]);
    lose_the_next_answer(&proxy);
    assert!(!ledger.finish(&on, third, &copied(), Leftover::Nothing, &[second]).await.expect("finished").others_open);
    assert!(ledger.lookup(&on).await.expect("looked up").expect("there").ended);
    assert!(matches!(ledger.finish(&on, third, &copied(), Leftover::Nothing, &[]).await, Err(LedgerError::Fenced)));
}

#[tokio::test]
async fn two_uploads_of_ten_thousand_parts_do_not_burst_an_item_on_ministack() {
    let stack = stack().await;
    let (ledger, on) = (ledger(&stack).await, subject("large"));
    let (first, _) = begin(&ledger, &on).await;
    let large = upload("u1", 10_000);
    ledger.checkpoint(&on, first, Some(&large)).await.expect("recorded");
    ledger.finish(&on, first, &WriterEnd::Released { counted: false }, Leftover::Upload, &[]).await.expect("released");
    // Taken over: both have the same parts.
    let (second, begun) = begin(&ledger, &on).await;
    assert_eq!(begun.earlier[0].upload.as_ref(), Some(&large));
    ledger.checkpoint(&on, second, Some(&large)).await.expect("recorded again");
    let (third, begun) = begin(&ledger, &on).await;
    assert!(begun.earlier.iter().all(|earlier| earlier.upload.as_ref() == Some(&large)));
    // Not resumed: another one takes the place.
    let other = upload("u2", 10_000);
    ledger.checkpoint(&on, third, Some(&other)).await.expect("recorded");
    let (fourth, begun) = begin(&ledger, &on).await;
    let parts: Vec<_> =
        begun.earlier.iter().map(|e| e.upload.as_ref().map_or(0, |upload| upload.parts.len())).collect();
    assert_eq!(parts, [0, 0, 10_000]);
    let closed = [first, second, third];
    ledger.finish(&on, fourth, &copied(), Leftover::Nothing, &closed).await.expect("finished");
    assert!(row(&stack, "large").await.to_string().len() < 2000, "what is settled is small again");
}

#[tokio::test]
async fn attempts_without_end_do_not_burst_an_item_on_ministack() {
    let stack = stack().await;
    let (ledger, on) = (ledger(&stack).await, subject("k"));
    for n in 0..70 {
        let mut options = options(stack.endpoint());
        options.machine = format!("i-{n:02}");
        let ledger = DynamoLedger::open(options, Arc::new(Cached::new(CLOUD_KEYS))).await.expect("opened");
        let (writer, _) = begin(&ledger, &on).await;
        ledger
            .finish(&on, writer, &WriterEnd::Released { counted: false }, Leftover::Nothing, &[])
            .await
            .expect("released");
    }
    let (_, _) = begin(&ledger, &on).await;
    let shown = row(&stack, "k").await["instanceID"]["SS"].as_array().map_or(0, Vec::len);
    assert!((30..=62).contains(&shown), "{shown}");
}

/// What earlier versions left open in one record, more than an update can name.
#[tokio::test]
async fn fault_b2_a_record_with_seven_hundred_open_writers_is_small_again_on_ministack() {
    let stack = stack().await;
    let limits = DynamoProxy::start(stack.address()).expect("a front");
    let writers: Vec<Writer> = (0..700).map(|_| Writer::random()).collect();
    let mut item =
        json!({ "Key": { "S": "photos/k" }, "sfVersion": { "N": "1" }, "sfWriter": { "S": writers[0].to_string() } });
    for writer in &writers {
        let destination = base64::prelude::Engine::encode(&base64::prelude::BASE64_STANDARD, "copies/k");
        item[format!("sfOpen_{writer}")] =
            json!({ "M": { "b": { "N": "1" }, "d": { "B": destination }, "f": { "N": "1" } } });
    }
    stack.call("DynamoDB_20120810.PutItem", json!({ "TableName": TABLE, "Item": item })).await.expect("put");
    let (ledger, on) = (open(limits.endpoint()).await.expect("opened"), subject("k"));
    let (writer, begun) = begin(&ledger, &on).await;
    assert_eq!(begun.earlier.len(), 700);
    let finished = ledger.finish(&on, writer, &copied(), Leftover::Nothing, &writers).await.expect("finished");
    assert!(!finished.others_open);
    assert!(limits.largest().expression < 4096 && limits.largest().item > 40_000, "{:?}", limits.largest());
    assert!(row(&stack, "k").await.to_string().len() < 2000, "what is settled is small again");
}

#[tokio::test]
async fn a_checkpoint_that_lands_after_a_later_one_changes_nothing_on_ministack() {
    let stack = stack().await;
    let (ledger, on) = (ledger(&stack).await, subject("k"));
    let (writer, _) = begin(&ledger, &on).await;
    for id in ["first", "second"] {
        ledger.checkpoint(&on, writer, Some(&upload(id, 1))).await.expect("recorded");
    }
    // One that was held up on its way: numbered as the first was.
    let late = open(stack.endpoint()).await.expect("opened");
    let answer = late.checkpoint(&on, writer, Some(&upload("late", 1))).await;
    assert!(matches!(answer, Err(LedgerError::Fenced)), "{answer:?}");
    let (_, begun) = begin(&ledger, &on).await;
    assert_eq!(begun.earlier[0].upload.as_ref().map(|upload| &*upload.id.0), Some("second"));
}
