//! What the journeys need: a cloud with a bucket and queues, the program in a place of its own, and what is there afterwards.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

pub use fixture::{ProgramOutput, SOURCE as BUCKET, ended};
use http::Method;
use sandbox::Ministack;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

pub const QUEUE: &str = "list";
/// No run here takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Fixture {
    pub cloud: Ministack,
    pub folder: tempfile::TempDir,
}

pub fn arn() -> String {
    Ministack::queue_arn(QUEUE)
}

impl Fixture {
    /// With a bucket, and a queue that gives up at once what is received a second time.
    pub async fn new() -> Fixture {
        let cloud = Ministack::start().await.expect("ministack");
        cloud.create_queue_with_dead_letters(QUEUE, 0, 1).await.expect("a queue");
        cloud.s3(Method::PUT, &format!("/{BUCKET}"), &[], "".into()).await.expect("a bucket");
        let fixture = Fixture { cloud, folder: tempfile::tempdir().expect("a folder") };
        fixture.write("agent.toml", fixture.settings(QUEUE));
        fixture
    }

    pub fn settings(&self, queue: &str) -> String {
        let endpoint = self.cloud.endpoint();
        format!(
            r#"
            [credentials]
            source = {{ provider = "environment" }}
            [queue]
            name = "{queue}"
            region = "{region}"
            endpoint = "{endpoint}"
            [ledger]
            kind = "none"
            [source]
            region = "{region}"
            endpoint = "{endpoint}"
            [destination]
            kind = "directory"
            path = "copies"
            [[routes]]
            source_bucket = "{BUCKET}"
            "#,
            region = Ministack::REGION
        )
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// In the bench's folder, with keys and services in the environment.
    pub fn start(&self, endpoint: &str, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("AWS_ACCESS_KEY_ID", "SANDBOX").env("AWS_SECRET_ACCESS_KEY", "sandbox");
        command.env("AWS_ENDPOINT_URL_S3", endpoint).env("AWS_ENDPOINT_URL_SQS", self.cloud.endpoint());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().expect("started")
    }

    pub async fn run(&self, arguments: &[&str]) -> ProgramOutput {
        self.run_at(&self.cloud.endpoint(), arguments).await
    }

    /// With S3 elsewhere.
    pub async fn run_at(&self, endpoint: &str, arguments: &[&str]) -> ProgramOutput {
        ended(self.start(endpoint, arguments)).await
    }

    /// The configuration as S3 gives it.
    pub async fn configuration(&self) -> String {
        let reported = self.cloud.s3(Method::GET, &format!("/{BUCKET}?notification"), &[], "".into()).await;
        String::from_utf8(reported.expect("a configuration").into()).expect("text")
    }

    pub async fn configure(&self, elements: &str) {
        let document = format!("<NotificationConfiguration>{elements}</NotificationConfiguration>");
        let path = format!("/{BUCKET}?notification");
        self.cloud.s3(Method::PUT, &path, &[], document.into()).await.expect("configured");
    }

    pub async fn policy(&self, queue: &str) -> Value {
        let asked = json!({ "QueueUrl": self.cloud.queue_url(queue), "AttributeNames": ["Policy"] });
        let reported = self.cloud.call("AmazonSQS.GetQueueAttributes", asked).await.expect("attributes");
        reported["Attributes"]["Policy"]
            .as_str()
            .map_or(Value::Null, |text| serde_json::from_str(text).expect("a policy"))
    }

    pub async fn put(&self, key: &str) {
        self.cloud.put_object(&format!("/{BUCKET}/{key}"), key.to_owned()).await.expect("put");
    }

    /// The keys of the events in a queue, tests aside, when there are at least so many.
    pub async fn events(&self, queue: &str, count: usize) -> Vec<String> {
        let mut keys = BTreeMap::new();
        let arriving = async {
            loop {
                for message in self.cloud.peek(queue).await.expect("messages") {
                    let body: Value = serde_json::from_str(message["Body"].as_str().expect("a body")).expect("JSON");
                    let key = body["Records"][0]["s3"]["object"]["key"].as_str().map(str::to_owned);
                    keys.extend(key.map(|key| (message["MessageId"].to_string(), key)));
                }
                if keys.len() >= count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, arriving).await.is_ok(), "{count} events in {queue}");
        let mut keys: Vec<String> = keys.into_values().collect();
        keys.sort();
        keys
    }
}
