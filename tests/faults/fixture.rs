//! The agent in process, between a made-up S3 and a bucket whose answers a test bends: what failures do to the messages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fixture::{AgentFolder, AgentSettings, created};
pub use fixture::{SINK, SOURCE};
use http::{HeaderMap, Method};
use md5::{Digest as _, Md5};
use sandbox::{Received, S3Options, S3Peer, Scripted, ScriptedPeer};
use skyferry_agent::shutdown::{Shutdown, ShutdownReason};
use skyferry_agent::wiring::{Agent, RunUntil};
use skyferry_core::ledger::{Leftover, Subject, WriterEnd};
use skyferry_core::metrics::Summary;
use skyferry_core::model::{Location, Writer};
use skyferry_sqlite::queue::DeadLetterTable as _;

/// An object of this size goes in two parts.
pub const LARGE: usize = 6 << 20;

/// The source, the bent destination, and the settings of an agent between them.
pub struct Fixture {
    pub s3: S3Peer,
    pub sink: ScriptedPeer,
    bucket: Arc<Mutex<Bucket>>,
    folder: AgentFolder,
    profile: &'static str,
    /// Further settings of [transfer].
    pub transfer: &'static str,
}

/// What a run left behind.
pub struct Ran {
    pub summary: Summary,
    /// The reasons of the dead letters.
    pub reasons: Vec<String>,
    pub received: Vec<Received>,
}

impl Ran {
    pub fn count(&self, method: Method, target: &str) -> usize {
        self.received.iter().filter(|request| request.method == method && request.target.contains(target)).count()
    }
}

impl Fixture {
    /// `odd`: the answers that are not as they should be; it sees what the bucket would answer.
    pub fn new(
        profile: &'static str,
        odd: impl Fn(&Received, &mut dyn FnMut() -> Scripted) -> Scripted + Send + Sync + 'static,
    ) -> Fixture {
        let buckets = vec![SOURCE.into(), "other".into()];
        let s3 = S3Peer::start(S3Options { buckets, ..S3Options::default() }).expect("an S3 peer");
        let bucket: Arc<Mutex<Bucket>> = Arc::default();
        let there = bucket.clone();
        let sink = ScriptedPeer::by(move |request| {
            odd(request, &mut || there.lock().unwrap_or_else(PoisonError::into_inner).answer(request))
        });
        Fixture { s3, sink: sink.expect("a peer"), bucket, folder: AgentFolder::default(), profile, transfer: "" }
    }

    async fn agent(&self) -> Agent {
        let settings = AgentSettings::s3_to_s3(&self.s3, &self.sink.endpoint()).embedded();
        let settings = settings.with(&format!(
            r#"
            destination = {{ profile = "{}", path_style = true }}
            routes = []
            [transfer]
            multipart_threshold = "5MiB"
            part_size = "5MiB"
            {}
            "#,
            self.profile, self.transfer
        ));
        self.folder.agent(&settings).await
    }

    /// Sends a message for each of these objects and runs an agent until the queue is empty, a minute and a half at most.
    pub async fn run(&self, objects: &[(&str, &str)]) -> Ran {
        let agent = self.agent().await;
        let bodies: Vec<String> = objects.iter().map(|(bucket, key)| created(bucket, key)).collect();
        agent.queue().send(&bodies).await.expect("sent");
        let queue = agent.embedded().cloned();
        let run = agent.run(RunUntil::Empty, Shutdown::default());
        let report = tokio::time::timeout(Duration::from_secs(90), run).await.expect("the queue empties");
        let summary = report.expect("a run").summary;
        let letters = queue.expect("an embedded queue").dead_letters(0, 100).await.expect("letters");
        let reasons = letters.into_iter().map(|letter| letter.reason).collect();
        Ran { summary, reasons, received: self.sink.received() }
    }

    /// The same with an agent that is asked to stop after a while.
    pub async fn stopped(&self, objects: &[(&str, &str)], after: Duration) {
        let agent = self.agent().await;
        let bodies: Vec<String> = objects.iter().map(|(bucket, key)| created(bucket, key)).collect();
        agent.queue().send(&bodies).await.expect("sent");
        let shutdown = Shutdown::default();
        let stop = async {
            tokio::time::sleep(after).await;
            shutdown.request(ShutdownReason::Terminate);
        };
        let (report, ()) = tokio::join!(agent.run(RunUntil::Stopped, shutdown.clone()), stop);
        report.expect("a run");
    }

    /// The object has failed so often already, by its own fault.
    pub async fn failed_before(&self, key: &str, times: u32) {
        let agent = self.agent().await;
        let subject =
            Subject { source: Location::new(SOURCE, key), destination: Location::new(SINK, key), primary: true };
        for _ in 0..times {
            let writer = Writer::random();
            agent.ledger().begin(&subject, writer).await.expect("begun");
            let ending = WriterEnd::Released { counted: true };
            agent.ledger().finish(&subject, writer, &ending, Leftover::Nothing, &[]).await.expect("finished");
        }
    }

    pub fn put(&self, bucket: &str, key: &str, body: &[u8]) {
        self.s3.set_object(bucket, key, body).expect("an object at the source");
    }

    /// What stands under `key` is shown under `other` too.
    pub fn merge(&self, key: &str, other: &str) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let held = bucket.objects.get(&format!("/{SINK}/{key}")).cloned().expect("an object");
        bucket.objects.insert(format!("/{SINK}/{other}"), held);
    }

    pub fn copy(&self, key: &str) -> Option<Bytes> {
        let bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.objects.get(&format!("/{SINK}/{key}")).map(|object| object.body.clone())
    }
}

/// A bucket of an S3-like service that checks nothing, by path.
#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Held>,
    uploads: BTreeMap<String, (String, HeaderMap, BTreeMap<u32, Bytes>)>,
    named: u32,
}

#[derive(Clone)]
struct Held {
    body: Bytes,
    etag: String,
    headers: HeaderMap,
}

impl Bucket {
    fn answer(&mut self, request: &Received) -> Scripted {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let pair = |name: &str| {
            let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
        };
        match (request.method.as_str(), pair("uploadId"), pair("partNumber")) {
            ("POST", None, _) => self.begin(path, request),
            ("PUT", Some(id), Some(number)) => match self.uploads.get_mut(&id) {
                Some((_, _, parts)) => {
                    parts.insert(number.parse().expect("a number"), request.body.clone());
                    Scripted::new(200, "").header("etag", &format!("\"{}\"", md5(&request.body)))
                }
                None => Scripted::error(404, "NoSuchUpload"),
            },
            ("POST", Some(id), _) => self.complete(&id),
            ("DELETE", Some(id), _) => self.uploads.remove(&id).map_or(no_upload(), |_| Scripted::new(204, "")),
            (_, Some(id), _) => self.uploads.get(&id).map_or(no_upload(), |_| {
                Scripted::new(200, "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>")
            }),
            ("PUT", ..) if request.headers.contains_key("if-none-match") && self.objects.contains_key(path) => {
                Scripted::error(412, "PreconditionFailed")
            }
            ("PUT", ..) => {
                let etag = md5(&request.body);
                let answer = Scripted::new(200, "").header("etag", &format!("\"{etag}\""));
                let held = Held { body: request.body.clone(), etag, headers: request.headers.clone() };
                self.objects.insert(path.to_owned(), held);
                answer
            }
            ("DELETE", ..) => {
                self.objects.remove(path);
                Scripted::new(204, "")
            }
            _ if query.contains("list-type") => Scripted::listing(&[]),
            _ => self.objects.get(path).map_or(Scripted::error(404, "NoSuchKey"), Held::shown),
        }
    }

    fn begin(&mut self, path: &str, request: &Received) -> Scripted {
        self.named += 1;
        let id = format!("u{}", self.named);
        self.uploads.insert(id.clone(), (path.to_owned(), request.headers.clone(), BTreeMap::new()));
        let key = path.trim_start_matches(&format!("/{SINK}/"));
        Scripted::new(
            200,
            format!(
                "<InitiateMultipartUploadResult><Bucket>{SINK}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>\
                 </InitiateMultipartUploadResult>"
            ),
        )
    }

    fn complete(&mut self, id: &str) -> Scripted {
        let Some((path, headers, parts)) = self.uploads.remove(id) else { return no_upload() };
        let sums: Vec<u8> = parts.values().flat_map(Md5::digest).collect();
        let body: Bytes = parts.into_values().flatten().collect::<Vec<u8>>().into();
        // As under a key of one's own: it looks like the MD5 of the parts' MD5s, and is none.
        let etag = if path.ends_with("/opaque") { md5(&body) } else { md5(&sums) };
        let etag = format!("{etag}-2");
        self.objects.insert(path, Held { body, etag: etag.clone(), headers });
        completed(&etag)
    }
}

/// A Complete's answer with this ETag.
pub fn completed(etag: &str) -> Scripted {
    Scripted::new(200, format!("<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"))
}

fn no_upload() -> Scripted {
    Scripted::error(404, "NoSuchUpload")
}

fn md5(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

impl Held {
    fn shown(&self) -> Scripted {
        let body = String::from_utf8(self.body.to_vec()).expect("bodies of these tests are text");
        let shown = Scripted::object(&format!("\"{}\"", self.etag), &body);
        let meta = self.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-meta-"));
        meta.fold(shown, |shown, (name, value)| shown.raw_header(name.as_str(), value.as_bytes()))
    }
}
