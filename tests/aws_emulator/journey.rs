//! From a PUT at the source to the copy, an empty queue and a true table.

use std::time::Duration;

use fixture::{bytes, finish};
use http::Method;
use sandbox::Operation;
use serde_json::Value;

use crate::fixture::{Fixture, LIST, SINK, SOURCE, eventually, program};

fn number(item: &Value, name: &str) -> u64 {
    item[name]["N"].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} of {item}"))
}

fn set(item: &Value, name: &str) -> Vec<String> {
    let texts = item[name]["SS"].as_array().unwrap_or_else(|| panic!("{name} of {item}"));
    texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_a_foreign_client_puts_arrive_over_ministack_and_the_table_is_true() {
    let fixture = Fixture::new(30, 5).await;
    let (small, large) = (b"hello".to_vec(), bytes(12 << 20, 0));
    fixture.cloud.put_object("/photos/a%20b%2Bc//%E4%BD%A0.txt", small.clone()).await.expect("put");
    fixture.cloud.put_object("/photos/large.bin", large.clone()).await.expect("put");
    fixture.cloud.put_object("/photos/empty", Vec::new()).await.expect("put");
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now").as_secs();
    let report = finish(fixture.agent().await).await;
    assert!(!report.has_failures());
    assert_eq!((report.summary.copied, report.summary.parked), (3, 0));
    assert_eq!(fixture.copy("a b+c//你.txt"), Some(small));
    assert!(fixture.copy("large.bin") == Some(large), "12 MiB, byte for byte");
    assert_eq!(fixture.copy("empty"), Some(Vec::new()));
    // The test event that the bucket sent is gone too.
    assert_eq!((fixture.messages().await, fixture.dead_letters().await), (0, 0));

    for (key, size) in [("a b+c//你.txt", 5), ("large.bin", 12 << 20), ("empty", 0)] {
        let item = fixture.cloud.item(LIST, &format!("{SOURCE}/{key}")).await.expect("asked").expect("a row");
        // As the predecessors' readers expect it.
        assert_eq!((number(&item, "Size"), number(&item, "lastTimeProgress")), (size, 100), "{key}");
        assert_eq!(number(&item, "tryTimes"), 1);
        assert_eq!(item["desBucket"]["S"], SINK);
        assert_eq!(item["desKey"]["S"], format!("backup/{key}"));
        assert_eq!(item["versionId"]["S"], "null");
        assert_eq!(set(&item, "jobStatus"), ["DONE"]);
        assert_eq!((set(&item, "instanceID").len(), set(&item, "startTime_f").len()), (1, 1));
        assert!(item["endTime_f"]["S"].as_str().is_some_and(|text| text.len() == 19), "{item}");
        assert!(number(&item, "firstTime") + 2 >= before && number(&item, "totalSpentTime") < 120, "{item}");
        // It may go in a month.
        let days = (number(&item, "endTime") - before) / 86_400;
        assert!((29..=30).contains(&days), "{days}");
        // And our own.
        assert_eq!((number(&item, "sfVersion"), item["sfOutcome"]["S"].as_str()), (1, Some("copied")), "{item}");
        let revision = fixture.gcs.object(SINK, &format!("backup/{key}")).expect("an object").generation.to_string();
        assert_eq!(item["sfPublished"]["M"]["revision"]["S"], revision);
        assert!(item.get("sfParts").is_none() && !item.to_string().contains("sfOpen_"), "nobody is open: {item}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_again_over_ministack_moves_no_bytes() {
    let fixture = Fixture::new(30, 5).await;
    fixture.cloud.put_object("/photos/k", "hello").await.expect("put");
    finish(fixture.agent().await).await;
    let event = r#"{"Records":[{"eventVersion":"2.1","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"photos"},
        "object":{"key":"k","size":5}}}]}"#;
    let wrapped =
        serde_json::json!({ "Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:0:t", "Message": event });
    let bridged = serde_json::json!({ "detail-type": "Object Created", "source": "aws.s3",
        "detail": { "bucket": { "name": SOURCE }, "object": { "key": "k", "size": 5 } } });
    let agent = fixture.agent().await;
    let bodies = [event.to_owned(), wrapped.to_string(), bridged.to_string()];
    agent.queue().send(&bodies).await.expect("sent");
    let bytes = fixture.gcs.counts().bytes_received;
    let report = finish(agent).await;
    assert_eq!((report.summary.copied, report.summary.unchanged), (0, 3));
    assert_eq!(fixture.gcs.counts().bytes_received, bytes);
    assert_eq!(fixture.messages().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_removed_before_its_event_is_read_is_gone_on_ministack() {
    let fixture = Fixture::new(30, 5).await;
    fixture.cloud.put_object("/photos/k", "hello").await.expect("put");
    fixture.cloud.s3(Method::DELETE, "/photos/k", &[], bytes::Bytes::new()).await.expect("removed");
    let report = finish(fixture.agent().await).await;
    assert_eq!((report.summary.copied, report.summary.gone), (0, 2));
    let item = fixture.cloud.item(LIST, "photos/k").await.expect("asked").expect("a row");
    assert_eq!((item["sfOutcome"]["S"].as_str(), item["endTime"].is_object()), (Some("gone"), true));
}

/// One source, two destinations, one large object at each, by two agents at one time; slower than the time after which a
/// writer asks whether it is still the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_b1_two_agents_send_one_object_to_two_destinations_with_no_part_too_many_on_ministack() {
    let fixture = Fixture::new(30, 5).await;
    let large = bytes(50 << 20, 0);
    fixture.cloud.put_object("/photos/large.bin", large.clone()).await.expect("put");
    let slow = "max_bandwidth = \"2MiB\"\nmax_objects = 1";
    let (one, two) = (fixture.agent_with_pairs(slow).await, fixture.agent_with_pairs(slow).await);
    // The object's own event goes to the first destination.
    let job = format!(
        r#"{{"Src_bucket":"{SOURCE}","Src_key":"large.bin","Size":{},"Des_bucket":"{SINK}","Des_key":"second/large.bin"}}"#,
        large.len()
    );
    one.queue().send(&[job]).await.expect("sent");
    let reports = tokio::join!(finish(one), finish(two));
    let [one, two] = [reports.0, reports.1].map(|report| (report.summary.copied, report.summary.parked));
    assert_eq!((one.0 + two.0, one.1 + two.1), (2, 0));
    assert_eq!(fixture.gcs.counts().of(Operation::UploadPart), 2 * 10, "5 MiB a part");
    assert_eq!(fixture.gcs.counts().of(Operation::CompleteUpload), 2);
    assert!(fixture.copy("large.bin").is_some_and(|copy| copy == large));
    assert!(fixture.gcs.read(SINK, "second/large.bin").expect("readable") == large);
    for (record, key) in [
        ("photos/large.bin", "backup/large.bin"),
        ("/16/photos/large.bin -> copies/second/large.bin", "second/large.bin"),
    ] {
        let item = fixture.cloud.item(LIST, record).await.expect("asked").expect("a row");
        assert_eq!((&item["desBucket"]["S"], &item["desKey"]["S"]), (&SINK.into(), &key.into()));
    }
}

/// The program is killed in the middle of a transfer more often than the queue would deliver its message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_b7_kills_alone_never_send_a_message_to_the_dead_letters_on_ministack() {
    let fixture = Fixture::new(2, 4).await;
    let body = bytes(4 << 20, 0);
    fixture.cloud.put_object("/photos/slow", body.clone()).await.expect("put");
    // One slot, so that nothing is asked of the queue beside the work: ministack hands a message to the open poll of a
    // client that is dead, and counts that too.
    let settings = fixture.settings("", "max_bandwidth = \"256KiB\"\nmax_objects = 1");
    for _ in 0..9 {
        let mut agent = tokio::process::Command::new(program())
            .arg("--config")
            .arg(&settings)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program");
        eventually("it works", Duration::from_secs(30), async || {
            fixture.cloud.depth(LIST).await.is_ok_and(|[_, in_flight, _]| in_flight > 0)
        })
        .await;
        // Long enough to be at work, also on a busy machine; far too short for all of it.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        agent.kill().await.expect("killed");
        assert_eq!(fixture.dead_letters().await, 0);
        eventually("it is visible again", Duration::from_secs(30), async || {
            fixture.cloud.depth(LIST).await.is_ok_and(|[visible, _, _]| visible > 0)
        })
        .await;
    }
    let report = finish(fixture.agent().await).await;
    assert_eq!((report.summary.parked, fixture.dead_letters().await), (0, 0));
    assert!(fixture.copy("slow").is_some_and(|copy| copy == body));
}
