use std::time::Duration;

use serde_json::Value;
use skyferry_core::queue::QueueTraits;
use skyferry_sqlite::SqliteFile;

use super::*;

const TOKEN: &str = "0123456789abcdef";
const SERVED_BY_CEPH: &str = r#"{"Records":[{"eventVersion":"2.2","eventSource":"ceph:s3","awsRegion":"zone",
    "eventTime":"2026-11-30T10:00:00.000000Z","eventName":"ObjectCreated:Put","s3":{"s3SchemaVersion":"1.0",
    "configurationId":"all","bucket":{"name":"photos","arn":"arn:aws:s3:zone::photos","id":"5a.1"},
    "object":{"key":"2024/a+b 100%.jpg","size":3,"eTag":"900150983cd24fb0d6963f7d28e17f72","versionId":"",
    "sequencer":"F7E6D5"}}}]}"#;

/// A listener with its queue, which lives as long as the folder does.
struct Fixture {
    address: SocketAddr,
    queue: Arc<dyn Queue>,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn start(token: Option<&str>) -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let file = SqliteFile::open(&folder.path().join("state.db")).expect("opened");
        let minute = Duration::from_secs(60);
        let traits = QueueTraits { visibility: minute, retention: minute, max_receives: None, dead_letters: None };
        let queue: Arc<dyn Queue> = Arc::new(file.queue("events", traits).await.expect("a queue"));
        let token = token.map(Token::new);
        let listener = EventListener::bind(([127, 0, 0, 1], 0).into(), token).await.expect("a port");
        let address = listener.address();
        tokio::spawn(listener.serve(queue.clone(), CancellationToken::new()));
        Fixture { address, queue, http: reqwest::Client::new(), _folder: folder }
    }

    fn request(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.http.post(format!("http://{}{path}", self.address)).body(body)
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        answered(self.request("/", body)).await
    }

    async fn bodies(&self) -> Vec<String> {
        let messages = self.queue.receive(10, Duration::ZERO).await.expect("received");
        messages.iter().map(|message| message.body.to_string()).collect()
    }
}

async fn answered(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("answered");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn an_event_is_in_the_queue_as_it_came_when_its_sender_is_answered() {
    let fixture = Fixture::start(None).await;
    assert_eq!(fixture.post(SERVED_BY_CEPH).await, (200, json!({ "accepted": 1 })));
    assert_eq!(fixture.bodies().await, [SERVED_BY_CEPH]);
}

#[tokio::test]
async fn what_is_no_event_is_refused_with_the_reason_and_never_queued() {
    let fixture = Fixture::start(None).await;
    for body in ["", "{", "[]", "{\"greeting\":\"hello\"}", r#"{"Records":[{"s3":{}}]}"#] {
        let (status, answer) = fixture.post(body).await;
        assert!(status == 400 && answer["error"].as_str().is_some_and(|reason| !reason.is_empty()), "{body}: {answer}");
    }
    let test_event = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"photos"}"#;
    assert_eq!(fixture.post(test_event).await, (200, json!({ "accepted": 0, "reason": "a test event" })));
    assert_eq!(fixture.post(vec![b' '; event::MAX_BODY + 1]).await.0, 413);
    assert!(fixture.bodies().await.is_empty());
}

#[tokio::test]
async fn one_readable_record_makes_a_message_worth_keeping() {
    let fixture = Fixture::start(None).await;
    let body = r#"{"Records":[{"s3":{}},{"s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}"#;
    assert_eq!(fixture.post(body).await, (200, json!({ "accepted": 1 })));
    assert_eq!(fixture.bodies().await, [body]);
}

#[tokio::test]
async fn without_the_token_nothing_is_taken() {
    let fixture = Fixture::start(Some(TOKEN)).await;
    let event = || fixture.request("/events", SERVED_BY_CEPH);
    let refused = [
        event(),
        event().bearer_auth("0123456789abcdeX"),
        event().bearer_auth(""),
        event().basic_auth("any", Some("wrong")),
        fixture.request("/events?token=0123456789abcde", SERVED_BY_CEPH),
    ];
    for request in refused {
        assert_eq!(answered(request).await.0, 401);
    }
    assert!(fixture.bodies().await.is_empty());
    let taken = [
        event().bearer_auth(TOKEN),
        event().basic_auth("any", Some(TOKEN)),
        fixture.request(&format!("/events?topic=a&token={TOKEN}"), SERVED_BY_CEPH),
    ];
    for request in taken {
        assert_eq!(answered(request).await.0, 200);
    }
    assert_eq!(fixture.bodies().await.len(), 3);
}

#[test]
fn a_token_is_one_line_of_plain_characters_and_long_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    for (text, fits) in [(" 0123456789abcdef\n", true), ("short", false), ("0123456789 abcdef", false), ("", false)] {
        std::fs::write(&path, text).expect("written");
        assert_eq!(Token::read(&path, "[queue] token_file").is_ok(), fits, "{text:?}");
    }
    let error = Token::read(&folder.path().join("none"), "[queue] token_file").err().expect("unreadable").to_string();
    assert!(error.contains("token_file"), "{error}");
}
