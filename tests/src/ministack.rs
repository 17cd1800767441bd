//! ministack as a child process: S3 with notifications, SQS and DynamoDB by other people. Tests reach it as a foreign
//! client here, without an SDK: JSON with a target for SQS and DynamoDB, plain paths for S3. It checks no signatures, so
//! a made-up one only says which service and region is meant.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::foreign::{WATCHDOG, peers_directory};

/// How long it may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running ministack, empty; ended when dropped, and when this process dies in any way.
#[derive(Debug)]
pub struct Ministack {
    watchdog: Child,
    port: u16,
    _directory: TempDir,
}

impl Ministack {
    /// Where its queues and tables are.
    pub const REGION: &'static str = "us-east-1";
    /// The account of any access key that is no account's number itself.
    pub const ACCOUNT: &'static str = "000000000000";

    /// Starts it on a free port and waits until it answers (about a second).
    ///
    /// # Panics
    /// If the program is missing: a test never passes by not running.
    pub async fn start() -> io::Result<Self> {
        let binary = peers_directory().join("bin/ministack");
        assert!(binary.is_file(), "no {}: run tests/run once, it installs the peers", binary.display());
        let directory = tempfile::tempdir()?;
        let log = directory.path().join("ministack.log");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let output = File::create(&log)?;
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(binary)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            // Where `cryptography` is installed (moto needs it), MQTT would listen too, on every interface and one port.
            .env("IOT_MTLS_ENABLED", "0")
            .env("MINISTACK_REGION", Self::REGION)
            .env("TMPDIR", directory.path())
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut stack = Ministack { watchdog, port, _directory: directory };
        let started = Instant::now();
        loop {
            let error = match stack.send(Method::GET, "/_ministack/health", &[], Bytes::new()).await {
                Ok((StatusCode::OK, _)) => return Ok(stack),
                Ok((status, _)) => status.to_string(),
                Err(error) => error.to_string(),
            };
            if started.elapsed() > PATIENCE || stack.watchdog.try_wait()?.is_some() {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(io::Error::other(format!("ministack is not ready: {error}\n{log}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// `http://127.0.0.1:PORT`, for every service.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The address to put a [`crate::Proxy`] in front of.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// A queue's ARN.
    pub fn queue_arn(name: &str) -> String {
        format!("arn:aws:sqs:{}:{}:{name}", Self::REGION, Self::ACCOUNT)
    }

    /// A queue's URL.
    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.endpoint(), Self::ACCOUNT)
    }

    /// Makes a queue with these attributes; answers its URL.
    pub async fn create_queue(&self, name: &str, attributes: &[(&str, String)]) -> io::Result<String> {
        let attributes: serde_json::Map<_, _> =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect();
        self.call("AmazonSQS.CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await?;
        Ok(self.queue_url(name))
    }

    /// Makes a queue whose messages go to `{name}-dead` after so many deliveries, and that one too.
    pub async fn create_queue_with_dead_letters(
        &self,
        name: &str,
        visibility: u64,
        max_receives: u32,
    ) -> io::Result<String> {
        let dead = format!("{name}-dead");
        self.create_queue(&dead, &[]).await?;
        let policy = json!({ "deadLetterTargetArn": Self::queue_arn(&dead), "maxReceiveCount": max_receives });
        let attributes = [("VisibilityTimeout", visibility.to_string()), ("RedrivePolicy", policy.to_string())];
        self.create_queue(name, &attributes).await
    }

    /// Sends one message.
    pub async fn send_message(&self, queue: &str, body: &str) -> io::Result<()> {
        let message = json!({ "QueueUrl": self.queue_url(queue), "MessageBody": body });
        self.call("AmazonSQS.SendMessage", message).await.map(drop)
    }

    /// Takes every message away.
    pub async fn purge(&self, queue: &str) -> io::Result<()> {
        self.call("AmazonSQS.PurgeQueue", json!({ "QueueUrl": self.queue_url(queue) })).await.map(drop)
    }

    /// How many messages a queue holds: visible, in flight, delayed.
    pub async fn depth(&self, name: &str) -> io::Result<[u64; 3]> {
        let asked = json!({ "QueueUrl": self.queue_url(name), "AttributeNames": ["All"] });
        let reported = self.call("AmazonSQS.GetQueueAttributes", asked).await?;
        let count = |suffix: &str| {
            let text = reported["Attributes"][format!("ApproximateNumberOfMessages{suffix}")].as_str();
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        Ok([count(""), count("NotVisible"), count("Delayed")])
    }

    /// The bodies of up to ten visible messages, which stay hidden for a while.
    pub async fn peek(&self, name: &str) -> io::Result<Vec<Value>> {
        let asked =
            json!({ "QueueUrl": self.queue_url(name), "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"] });
        let reported = self.call("AmazonSQS.ReceiveMessage", asked).await?;
        Ok(reported["Messages"].as_array().cloned().unwrap_or_default())
    }

    /// One item of a table by its hash key `Key`, as DynamoDB's JSON.
    pub async fn item(&self, table: &str, key: &str) -> io::Result<Option<Value>> {
        let asked = json!({ "TableName": table, "Key": { "Key": { "S": key } }, "ConsistentRead": true });
        let reported = self.call("DynamoDB_20120810.GetItem", asked).await?;
        Ok(reported.get("Item").cloned())
    }

    /// Makes a bucket whose events go to this queue: creations and removals.
    pub async fn create_bucket_with_events(&self, bucket: &str, queue: &str) -> io::Result<()> {
        self.s3(Method::PUT, &format!("/{bucket}"), &[], Bytes::new()).await?;
        let configuration = format!(
            "<NotificationConfiguration><QueueConfiguration><Id>all</Id><Queue>{}</Queue>\
             <Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event></QueueConfiguration>\
             </NotificationConfiguration>",
            Self::queue_arn(queue)
        );
        self.s3(Method::PUT, &format!("/{bucket}?notification"), &[], configuration.into()).await.map(|_| ())
    }

    /// Puts an object as any client would; `path` is encoded by the caller.
    pub async fn put_object(&self, path: &str, body: impl Into<Bytes>) -> io::Result<()> {
        self.s3(Method::PUT, path, &[("content-type", "text/x-sandbox")], body.into()).await.map(|_| ())
    }

    /// A request to S3.
    pub async fn s3(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> io::Result<Bytes> {
        let scope = scope("s3");
        let mut all = vec![("authorization", scope.as_str())];
        all.extend_from_slice(headers);
        let (status, answer) = self.send(method, path, &all, body).await?;
        if status.is_success() { Ok(answer) } else { Err(refused(path, status, &answer)) }
    }

    /// A request to a service that speaks JSON: `AmazonSQS.CreateQueue`, `DynamoDB_20120810.GetItem`.
    pub async fn call(&self, target: &str, body: Value) -> io::Result<Value> {
        let service = match target.split(['.', '_']).next() {
            Some("DynamoDB") => "dynamodb",
            Some("AmazonSSM") => "ssm",
            _ => "sqs",
        };
        let scope = scope(service);
        let headers =
            [("x-amz-target", target), ("content-type", "application/x-amz-json-1.0"), ("authorization", &*scope)];
        let (status, answer) = self.send(Method::POST, "/", &headers, body.to_string().into()).await?;
        if !status.is_success() {
            return Err(refused(target, status, &answer));
        }
        serde_json::from_slice(&answer).map_err(io::Error::other)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> io::Result<(StatusCode, Bytes)> {
        let stream = TcpStream::connect(self.address()).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", self.address().to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(io::Error::other)?;
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        connection.abort();
        Ok((status, body))
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

fn scope(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=sandbox/20260101/{}/{service}/aws4_request, SignedHeaders=host, Signature=0",
        Ministack::REGION
    )
}

fn refused(what: &str, status: StatusCode, answer: &[u8]) -> io::Error {
    io::Error::other(format!("{what}: {status}: {}", String::from_utf8_lossy(answer)))
}
