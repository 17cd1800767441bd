//! A Lambda function's settings, wherever they are; what it cannot work with; and the scan as one.

use std::time::Duration;

use sandbox::{Fault, LambdaError, LambdaPeer, Ministack, Operation, Rule, S3Options, S3Peer};
use serde_json::{Value, json};

use crate::fixture::{Fixture, LIST, SINK, SOURCE};
use crate::functions::{drain, function, source};

const TIME: Duration = Duration::from_secs(20);

/// The stage's settings in a function's package.
fn packaged(fixture: &Fixture, handler: &str, timeout: Duration, environment: &[(&str, &str)]) -> LambdaPeer {
    let settings = fixture.settings("", "");
    function(settings.parent().expect("a folder"), handler, timeout, environment)
}

fn record(id: &str, body: &str) -> Value {
    json!({ "messageId": id, "receiptHandle": format!("handle-{id}"), "body": body, "eventSource": "aws:sqs",
        "eventSourceARN": Ministack::queue_arn(LIST), "awsRegion": Ministack::REGION,
        "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1700000000000" } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_function_cannot_work_with_is_an_error_that_names_it_on_ministack() {
    let fixture = Fixture::new(15, 60).await;
    let failed = async |function: LambdaPeer, event: Value| match function.invoke(&event).await {
        Err(error @ (LambdaError::Function(_) | LambdaError::Exited(_))) => error.to_string(),
        other => panic!("{other:?}\n{}", function.log()),
    };
    let batch = json!({ "Records": [record("a", "{}")] });
    let other = json!({ "Records": [{ "eventSource": "aws:s3", "s3": {} }] });
    let text = failed(packaged(&fixture, "worker", TIME, &[]), other).await;
    assert!(text.contains("not from SQS") && text.contains("event source mapping"), "{text}");
    // The queue gives its messages out again after 15 seconds.
    let text = failed(packaged(&fixture, "worker", TIME, &[]), batch.clone()).await;
    assert!(text.contains("visibility timeout (15 s)") && text.contains("VisibilityTimeout"), "{text}");
    let elsewhere = [("SKYFERRY__QUEUE__REGION", "eu-central-1")];
    let text = failed(packaged(&fixture, "worker", TIME, &elsewhere), batch.clone()).await;
    assert!(text.contains("eu-central-1") && text.contains(Ministack::REGION), "{text}");
    let file = [("SKYFERRY__LEDGER__KIND", "embedded"), ("SKYFERRY__LEDGER__ENDPOINT", "")];
    let text = failed(packaged(&fixture, "worker", TIME, &file), batch.clone()).await;
    assert!(text.contains("ledger"), "{text}");
    let text = failed(packaged(&fixture, "lambda_function.lambda_handler", TIME, &[]), batch.clone()).await;
    assert!(text.contains("worker or scan"), "{text}");
    let empty = tempfile::tempdir().expect("a folder");
    let text = failed(function(empty.path(), "worker", TIME, &[]), batch).await;
    assert!(text.contains("agent.toml") && text.contains("SKYFERRY_CONFIG"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_no_message_is_parked_alone_on_ministack() {
    let fixture = Fixture::new(120, 60).await;
    fixture.cloud.put_object("/photos/k", "hello").await.expect("put");
    let function = packaged(&fixture, "worker", TIME, &[]);
    let job = json!({ "Src_bucket": SOURCE, "Src_key": "k", "Des_bucket": SINK, "Des_key": "backup/k", "Size": 5 });
    let mut bad = record("b", "{}");
    bad.as_object_mut().expect("an object").remove("receiptHandle");
    let event = json!({ "Records": [record("a", &job.to_string()), bad] });
    let answer = function.invoke(&event).await.unwrap_or_else(|error| panic!("{error}\n{}", function.log()));
    assert_eq!(answer, json!({ "batchItemFailures": [] }), "{}", function.log());
    assert_eq!(fixture.copy("k"), Some(b"hello".to_vec()));
    assert_eq!(fixture.dead_letters().await, 1);
    let letters = fixture.cloud.peek(&format!("{LIST}-dead")).await.expect("a look");
    let reason = letters[0]["MessageAttributes"]["SkyferryReason"]["StringValue"].as_str().unwrap_or_default();
    assert!(reason.contains("receiptHandle"), "{letters:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_earlier_programs_variables_are_enough_for_a_function_on_ministack() {
    let fixture = Fixture::new(120, 60).await;
    let peer = S3Peer::start(S3Options { buckets: vec![SINK.into()], ..S3Options::default() }).expect("an S3 peer");
    let key = format!(
        r#"{{"aws_access_key_id":"{}","aws_secret_access_key":"{}","region":"us-east-1"}}"#,
        S3Peer::ACCESS_ID,
        S3Peer::SECRET
    );
    put_parameter(&fixture, "s3_migration_credentials", "SecureString", &key).await;
    put_parameter(&fixture, "s3_migrate_ignore_list", "String", "*.tmp\n").await;
    let (cloud, endpoint) = (fixture.cloud.endpoint(), peer.endpoint());
    let variables = [
        ("table_queue_name", LIST),
        ("Des_bucket_default", SINK),
        ("Des_prefix_default", "from-aws"),
        ("StorageClass", "STANDARD"),
        ("ssm_parameter_credentials", "s3_migration_credentials"),
        ("ssm_parameter_ignore_list", "s3_migrate_ignore_list"),
        ("checkip_url", "https://checkip.amazonaws.com"),
        ("JobType", "PUT"),
        ("MaxRetry", "20"),
        ("MaxThread", "50"),
        ("MaxParallelFile", "1"),
        ("JobTimeout", "870"),
        ("UpdateVersionId", "False"),
        ("GetObjectWithVersionId", "True"),
        ("AWS_ENDPOINT_URL", &cloud),
        ("SKYFERRY__DESTINATION__ENDPOINT", &endpoint),
    ];
    let root = tempfile::tempdir().expect("a folder");
    let function = function(root.path(), "worker", TIME, &variables);
    for key in ["one", "two.tmp"] {
        fixture.cloud.put_object(&format!("/photos/{key}"), "hello").await.expect("put");
    }
    let delivered = drain(&fixture, &source(&fixture, &function)).await;
    let log = function.log();
    assert!(delivered.iter().all(|one| one.error.is_none() && one.kept.is_empty()), "{delivered:?}\n{log}");
    assert_eq!(peer.read(SINK, "from-aws/one").expect("readable"), b"hello");
    assert!(peer.object(SINK, "from-aws/two.tmp").is_none(), "the ignore list leaves it out");
    // As their metric filters read it: level, time, request id, what, bytes, key.
    let line = log.lines().find(|line| line.contains("--->Complete")).unwrap_or_else(|| panic!("{log}"));
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!((fields[0], fields[3], fields[4], fields[6]), ("[INFO]", "--->Complete", "5", "photos/one"), "{line}");
    // The ledger names the instance, as its log does.
    let item = fixture.cloud.item(LIST, &format!("{SOURCE}/one")).await.expect("asked").expect("a row");
    assert_eq!(item["instanceID"]["SS"], json!(["2026/11/30/[$LATEST]sandbox"]));
    assert!(log.contains("JobTimeout = \"870\" has no effect"), "{log}");
}

async fn put_parameter(fixture: &Fixture, name: &str, kind: &str, value: &str) {
    let parameter = json!({ "Name": name, "Type": kind, "Value": value });
    fixture.cloud.call("AmazonSSM.PutParameter", parameter).await.expect("a parameter");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_functions_settings_come_from_a_parameter_or_from_s3_on_ministack() {
    let fixture = Fixture::new(120, 60).await;
    let text = std::fs::read_to_string(fixture.settings("", "")).expect("settings");
    put_parameter(&fixture, "/skyferry/settings", "String", &text).await;
    fixture.cloud.put_object("/photos/settings/agent.toml", text).await.expect("put");
    fixture.cloud.purge(LIST).await.expect("purged");
    let cloud = fixture.cloud.endpoint();
    for place in ["ssm:/skyferry/settings", "s3://photos/settings/agent.toml"] {
        let variables = [("SKYFERRY_CONFIG", place), ("AWS_ENDPOINT_URL", &*cloud)];
        let settings = fixture.settings("", "");
        // Keys are beside the package; its own agent.toml is not what is read.
        std::fs::write(&settings, "nonsense = true").expect("written");
        let function = function(settings.parent().expect("a folder"), "worker", TIME, &variables);
        fixture.cloud.put_object("/photos/k", place).await.expect("put");
        let delivered = drain(&fixture, &source(&fixture, &function)).await;
        assert!(delivered.iter().all(|one| one.kept.is_empty()), "{delivered:?}\n{}", function.log());
        assert_eq!(fixture.copy("k"), Some(place.as_bytes().to_vec()));
    }
    let missing = [("SKYFERRY_CONFIG", "s3://photos/settings/none.toml"), ("AWS_ENDPOINT_URL", &*cloud)];
    let root = tempfile::tempdir().expect("a folder");
    let error = function(root.path(), "worker", TIME, &missing).invoke(&json!({})).await.unwrap_err().to_string();
    assert!(error.contains("none.toml"), "{error}");
}

/// Eight places whose destination takes two seconds to list, and a function that has six of its twenty-four to scan.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_that_takes_longer_than_a_function_has_goes_on_in_the_next_invocation_on_ministack() {
    let fixture = Fixture::new(120, 60).await;
    let mut routes = Vec::new();
    for place in 0..8 {
        routes.push((format!("SKYFERRY__ROUTES__{place}__SOURCE_BUCKET"), SOURCE.to_owned()));
        routes.push((format!("SKYFERRY__ROUTES__{place}__SOURCE_PREFIX"), format!("p{place}")));
        for key in 0..3 {
            fixture.cloud.put_object(&format!("/photos/p{place}/{key}"), "hello").await.expect("put");
        }
    }
    fixture.cloud.purge(LIST).await.expect("purged");
    fixture.gcs.faults().add(Rule::on(Operation::ListObjects, Fault::Stall(Duration::from_secs(2))).always());
    let routes: Vec<(&str, &str)> = routes.iter().map(|(name, value)| (&**name, &**value)).collect();
    let scan = packaged(&fixture, "scan", Duration::from_secs(24), &routes);
    let (mut sent, mut ends) = (0, Vec::new());
    while ends.last().is_none_or(|end| end == "stopped") {
        assert!(ends.len() < 8, "{ends:?}\n{}", scan.log());
        let report = scan.invoke(&json!({})).await.unwrap_or_else(|error| panic!("{error}\n{}", scan.log()));
        assert_eq!(report["resumed"], !ends.is_empty(), "{report}");
        sent += report["sent"].as_u64().expect("a number");
        ends.push(report["end"].as_str().expect("a word").to_owned());
    }
    assert!(ends.len() >= 2 && ends.last().is_some_and(|end| end == "done"), "{ends:?}");
    // The place that was being compared when the time was over may be compared again.
    assert!((24..=24 + 3 * (ends.len() as u64 - 1)).contains(&sent), "{sent} in {ends:?}");
    let waits = scan.invoke(&json!({})).await.expect("an answer");
    assert_eq!((&waits["end"], &waits["sent"]), (&json!("queue-not-empty"), &json!(0)));
    fixture.gcs.faults().clear();
    let worker = packaged(&fixture, "worker", TIME, &routes);
    drain(&fixture, &source(&fixture, &worker)).await;
    for place in 0..8 {
        for key in 0..3 {
            assert!(fixture.copy(&format!("p{place}/{key}")).is_some(), "p{place}/{key}");
        }
    }
    let nothing = scan.invoke(&json!({})).await.expect("an answer");
    assert_eq!((&nothing["end"], &nothing["sent"]), (&json!("done"), &json!(0)));
}
