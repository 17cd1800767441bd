//! The smallest settings file of docs/configuration.md as a whole journey: an event comes by HTTP, its object goes to Google
//! Cloud Storage, and everything that a person asks about it is answered while the agent runs.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use fixture::{AgentFolder, ProgramOutput, ended, program, s3};
use sandbox::{GcsOptions, GcsPeer, S3Peer};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::fixture::{SOURCE, eventually};

/// The bucket of that file.
const BUCKET: &str = "my-gcs-bucket";

struct Journey {
    s3: S3Peer,
    gcs: GcsPeer,
    folder: AgentFolder,
    /// Of the status page, and of the events.
    ports: [u16; 2],
    http: reqwest::Client,
}

impl Journey {
    fn new() -> Journey {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let page = std::fs::read_to_string(page).expect("the page");
        let settings = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).expect("a settings file");
        let folder = AgentFolder::default();
        folder.write("agent.toml", settings);
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let ports = [free(), free()].map(|bound| bound.local_addr().expect("bound").port());
        let gcs = GcsPeer::start(GcsOptions { buckets: vec![BUCKET.into()], ..GcsOptions::default() });
        Journey { s3: s3(), gcs: gcs.expect("a GCS peer"), folder, ports, http: reqwest::Client::new() }
    }

    /// The file names no endpoints and the usual ports: here they come from the environment.
    fn command(&self, path: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(path);
        command.args(words).args(["--config", "agent.toml"]).current_dir(self.folder.path("")).kill_on_drop(true);
        let [status, events] = self.ports.map(|port| format!("127.0.0.1:{port}"));
        command.envs([("SRC_AWS_ACCESS_KEY_ID", S3Peer::ACCESS_ID), ("SRC_AWS_SECRET_ACCESS_KEY", S3Peer::SECRET)]);
        command.envs([("DST_AWS_ACCESS_KEY_ID", GcsPeer::ACCESS_ID), ("DST_AWS_SECRET_ACCESS_KEY", GcsPeer::SECRET)]);
        command.env("SKYFERRY__SOURCE__ENDPOINT", self.s3.endpoint());
        command.env("SKYFERRY__DESTINATION__ENDPOINT", self.gcs.endpoint());
        command.env("SKYFERRY__STATUS__LISTEN", status).env("SKYFERRY__QUEUE__LISTEN", events);
        command.env("XDG_STATE_HOME", self.folder.path("state"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn agent(&self) -> Child {
        self.command(&program("skyferry-agent"), &["--json"]).spawn().expect("started")
    }

    async fn asked(&self, words: &[&str]) -> ProgramOutput {
        let words = [words, &["--json"]].concat();
        ended(self.command(env!("CARGO_BIN_EXE_skyferry").as_ref(), &words).spawn().expect("started")).await
    }

    /// As MinIO sends it.
    async fn notify(&self, bucket: &str, key: &str) -> u16 {
        let event = json!({ "EventName": "s3:ObjectCreated:Put", "Key": format!("{bucket}/{key}"), "Records": [{
            "eventVersion": "2.0", "eventSource": "minio:s3", "eventName": "s3:ObjectCreated:Put",
            "eventTime": "2026-11-30T10:00:00.000Z",
            "s3": { "bucket": { "name": bucket }, "object": { "key": key, "size": 3, "sequencer": "1" } },
        }] });
        let sent = self.http.post(format!("http://127.0.0.1:{}/events", self.ports[1])).body(event.to_string()).send();
        sent.await.expect("answered").status().as_u16()
    }

    async fn page(&self, path: &str) -> Option<reqwest::Response> {
        self.http.get(format!("http://127.0.0.1:{}{path}", self.ports[0])).send().await.ok()
    }

    async fn copied(&self, key: &str) {
        eventually(key, async || self.gcs.object(BUCKET, &format!("backup/{key}")).is_some()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_settings_are_a_whole_journey_and_the_running_agent_answers() {
    let on = Journey::new();
    let put = |key: &str| on.s3.set_object(SOURCE, key, key).expect("set");
    let agent = on.agent();
    eventually("the agent is ready", async || on.page("/readyz").await.is_some_and(|page| page.status() == 200)).await;

    // A webhook, and what it never told of is found by a scan beside the agent.
    put("told.jpg");
    assert_eq!(on.notify(SOURCE, "told.jpg").await, 200);
    on.copied("told.jpg").await;
    put("before.jpg");
    assert_eq!(on.asked(&["scan"]).await.result()["sent"], 1);
    on.copied("before.jpg").await;
    put("listed.jpg");
    on.folder.write("report.csv", format!("{SOURCE},listed.jpg,10\n"));
    assert_eq!(on.asked(&["inventory", "report.csv", "--columns", "Bucket,Key,Size"]).await.result()["jobs"], 1);
    on.copied("listed.jpg").await;

    // What no route takes is a dead letter, which can be looked at, sent again and dropped.
    assert_eq!(on.notify("strangers", "k").await, 200);
    let waiting = async || on.asked(&["status"]).await.result()["queues"][0]["dead_letters"]["waiting"].clone();
    eventually("it is given up", async || waiting().await == 1).await;
    let listed = on.asked(&["deadletters", "list"]).await;
    assert_eq!(
        (&listed.result()["letters"], &listed.lines()[0]["keys"][0]),
        (&json!(1), &json!("strangers/k")),
        "{listed:?}"
    );
    assert_eq!(on.asked(&["deadletters", "redrive"]).await.result()["redriven"], 1);
    eventually("and again", async || waiting().await == 1).await;
    assert_eq!(on.asked(&["deadletters", "drop", "--yes"]).await.result()["dropped"], 1);
    assert_eq!(waiting().await, 0);

    assert_eq!(on.asked(&["pause", "--reason", "a look"]).await.result()["before"], Value::Null);
    let status = on.asked(&["status"]).await;
    assert_eq!((&status.result()["paused"]["reason"], &status.json["answering"]), (&json!("a look"), &json!(1)));
    assert_eq!(on.asked(&["resume"]).await.result()["before"]["reason"], "a look");
    let mut dump = on.command(env!("CARGO_BIN_EXE_skyferry").as_ref(), &["table", "dump"]);
    let dump = ended(dump.spawn().expect("started")).await;
    assert!(dump.stdout.contains("photos/told.jpg,8,my-gcs-bucket,backup/told.jpg,null,"), "{dump:?}");
    assert_eq!(dump.stdout.lines().filter(|line| line.contains(",copied,")).count(), 3, "{dump:?}");

    let page = on.page("/").await.expect("a page");
    assert!(page.headers().contains_key("content-security-policy"));
    assert!(page.text().await.expect("text").contains("Skyferry"));
    let status: Value = on.page("/status.json").await.expect("a status").json().await.expect("JSON");
    assert_eq!((&status["copied"], &status["parked"]), (&json!(3), &json!(2)));

    let id = nix::unistd::Pid::from_raw(i32::try_from(agent.id().expect("it runs")).expect("an id"));
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).expect("asked to stop");
    let ended = ended(agent).await;
    assert_eq!((ended.code, ended.count("copied")), (Some(143), 3), "{ended:?}");
    assert!(!on.folder.path("skyferry.db.sock").exists(), "it has taken its socket away");
    assert_eq!(on.asked(&["deadletters", "list"]).await.result()["letters"], 0, "the file is opened by itself again");
}
