//! `skyferry deadletters` on a queue that parks and gives up.

use std::sync::Arc;
use std::time::Duration;

use sandbox::Ministack;
use serde_json::json;
use skyferry_agent::wiring::EMBEDDED_QUEUE;
use skyferry_aws::sqs::{QueueName, Sqs, SqsOptions};
use skyferry_core::queue::{Queue, QueueTraits};
use skyferry_providers::{Cached, File};
use skyferry_sqlite::SqliteFile;
use skyferry_sqlite::queue::DeadLetterTable as _;

use crate::fixture::{Fixture, ProgramOutput, QUEUE, ended};

const DEAD: &str = "list-dead";

fn message(key: &str) -> String {
    json!({ "Src_bucket": "photos", "Src_key": key, "Size": 1, "versionId": "null" }).to_string()
}

fn denied(key: &str) -> String {
    format!("source GetObject photos/{key}: access denied (403 AccessDenied: no, request {key}); grant s3:GetObject")
}

impl Fixture {
    async fn queue(&self) -> Sqs {
        let keys =
            json!({ "aws_access_key_id": "SANDBOX", "aws_secret_access_key": "sandbox", "region": Ministack::REGION });
        self.write("keys.json", keys.to_string());
        let keys = Cached::new(File { path: self.path("keys.json"), field: None });
        let options =
            SqsOptions { queue: QueueName::Name(QUEUE.into()), region: None, endpoint: Some(self.cloud.endpoint()) };
        Sqs::open(options, Arc::new(keys)).await.expect("a queue")
    }

    /// As the agent parks.
    async fn park(&self, keys: &[&str], reason: impl Fn(&str) -> String) {
        let queue = self.queue().await;
        for key in keys {
            queue.park(&message(key), &reason(key)).await.expect("parked");
        }
    }

    /// As the queue itself gives up: received once, and once more.
    async fn give_up(&self, key: &str) {
        self.queue().await.send(&[message(key)]).await.expect("sent");
        assert_eq!(self.cloud.peek(QUEUE).await.expect("received").len(), 1);
        assert!(self.cloud.peek(QUEUE).await.expect("received").is_empty(), "it is among the dead now");
    }

    async fn deadletters(&self, arguments: &[&str]) -> ProgramOutput {
        self.run(&[&["deadletters"][..], arguments, &["--config", "agent.toml", "--json"]].concat()).await
    }

    /// Visible, in flight, delayed.
    async fn depths(&self) -> [[u64; 3]; 2] {
        [self.cloud.depth(QUEUE).await.expect("a depth"), self.cloud.depth(DEAD).await.expect("a depth")]
    }
}

#[tokio::test]
async fn letters_are_listed_by_their_reasons_and_none_is_hidden_afterwards_on_ministack() {
    let fixture = Fixture::new().await;
    fixture.give_up("stuck").await;
    let keys: Vec<String> = (0..25).map(|n| format!("{n}.jpg")).collect();
    fixture.park(&keys.iter().map(String::as_str).collect::<Vec<_>>(), denied).await;
    let output = fixture.deadletters(&["list"]).await;
    let kind = "source GetObject: access denied (403 AccessDenied: no); grant s3:GetObject";
    let reasons = json!({ kind: 25, "received 1 time without success": 1 });
    assert_eq!(output.result(), &json!({ "letters": 26, "reasons": reasons, "elsewhere": 0 }));
    assert_eq!(output.lines().len(), 27, "one line a letter, then the counts");
    assert!(
        output.lines().iter().any(|line| line["keys"] == json!(["photos/7.jpg"]) && line["reason"] == denied("7.jpg"))
    );
    assert!(output.stderr.contains(&format!("25  {kind}")) && output.stderr.contains("and 22 more"), "{output:?}");
    assert_eq!(fixture.depths().await, [[0, 0, 0], [26, 0, 0]]);

    let few = fixture.deadletters(&["list", "--key", "photos/1?.jpg"]).await;
    assert_eq!(few.result()["letters"], 10);
    let shown = fixture.deadletters(&["show", "photos/7.jpg"]).await;
    assert_eq!(shown.lines()[0]["body"], message("7.jpg"));
    fixture.deadletters(&["show", "photos/none.jpg"]).await.refused(1, &["photos/none.jpg"]);
    assert_eq!(fixture.depths().await, [[0, 0, 0], [26, 0, 0]]);
}

#[tokio::test]
async fn letters_are_sent_again_by_reason_and_key_and_the_others_stay_on_ministack() {
    let fixture = Fixture::new().await;
    fixture.park(&["a.jpg", "b.jpg", "c.png"], denied).await;
    fixture.park(&["d.jpg"], |_| "no route takes photos/d.jpg".into()).await;
    let which = ["redrive", "--reason", "*access denied*", "--key", "*.jpg"];
    let dry = fixture.deadletters(&[&which[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry.result(), &json!({ "dry_run": true, "redriven": 2, "left": 4, "elsewhere": 0 }));
    assert!(dry.stderr.contains("would be sent again: photos/a.jpg"), "{dry:?}");
    assert_eq!(fixture.depths().await, [[0, 0, 0], [4, 0, 0]]);
    let done = fixture.deadletters(&which).await;
    assert_eq!(done.result(), &json!({ "dry_run": false, "redriven": 2, "left": 2, "elsewhere": 0 }));
    assert_eq!(fixture.depths().await, [[2, 0, 0], [2, 0, 0]]);
    let bodies: Vec<_> = fixture.cloud.peek(QUEUE).await.expect("messages").iter().map(|m| m["Body"].clone()).collect();
    assert!(bodies.contains(&message("a.jpg").into()) && bodies.contains(&message("b.jpg").into()), "{bodies:?}");
}

#[tokio::test]
async fn interrupted_in_the_middle_nothing_is_lost_or_hidden_on_ministack() {
    let fixture = Fixture::new().await;
    let keys: Vec<String> = (0..12).map(|n| n.to_string()).collect();
    fixture.park(&keys.iter().map(String::as_str).collect::<Vec<_>>(), denied).await;
    for (signal, code) in [("INT", Some(130)), ("KILL", None)] {
        let [queued, _] = fixture.depths().await;
        let arguments = ["deadletters", "redrive", "--config", "agent.toml", "--rate", "4/s"];
        let running = fixture.start(&fixture.cloud.endpoint(), &arguments);
        while fixture.depths().await[0] == queued {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let id = running.id().expect("it runs").to_string();
        assert!(
            std::process::Command::new("kill").args([&format!("-{signal}"), &id]).status().expect("sent").success()
        );
        assert_eq!(ended(running).await.code, code);
        let [queue, dead] = fixture.depths().await;
        assert!(queue[0] > queued[0] && queue[0] < 12, "in the middle: {queue:?} {dead:?}");
        if code.is_some() {
            assert_eq!((dead[1], queue[0] + dead[0]), (0, 12), "each is in one place, and none is hidden");
        } else {
            assert!(queue[0] + dead[0] + dead[1] >= 12, "none is lost: {queue:?} {dead:?}");
        }
    }
}

#[tokio::test]
async fn letters_are_dropped_only_on_purpose_on_ministack() {
    let fixture = Fixture::new().await;
    fixture.park(&["tmp/a", "b"], denied).await;
    fixture.deadletters(&["drop", "--key", "tmp/*"]).await.refused(2, &["--yes", "--dry-run"]);
    let dry = fixture.deadletters(&["drop", "--key", "tmp/*", "--dry-run"]).await;
    assert_eq!((&dry.result()["dropped"], fixture.depths().await), (&json!(1), [[0, 0, 0], [2, 0, 0]]));
    let done = fixture.deadletters(&["drop", "--key", "tmp/*", "--yes"]).await;
    assert_eq!((&done.result()["dropped"], fixture.depths().await), (&json!(1), [[0, 0, 0], [1, 0, 0]]));
}

#[tokio::test]
async fn a_queue_without_dead_letters_is_told_with_what_to_do_on_ministack() {
    let fixture = Fixture::new().await;
    fixture.cloud.create_queue("bare", &[]).await.expect("a queue");
    fixture.write("agent.toml", fixture.settings("bare"));
    fixture.deadletters(&["list"]).await.refused(2, &["bare", "no dead-letter queue", "RedrivePolicy"]);

    fixture.write("agent.toml", fixture.settings(QUEUE));
    let dead = json!({ "QueueUrl": fixture.cloud.queue_url(DEAD) });
    fixture.cloud.call("AmazonSQS.DeleteQueue", dead).await.expect("deleted");
    fixture.deadletters(&["list"]).await.refused(2, &[DEAD, "no such queue", "RedrivePolicy"]);
    fixture.deadletters(&["list", "--queue", "other"]).await.refused(2, &["RedrivePolicy"]);
}

#[tokio::test]
async fn the_dead_letters_of_one_machine_are_sent_again_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = "[credentials]\nsource = { provider = \"environment\" }\n[queue]\nkind = \"embedded\"\npath = \"state.db\"\n\
                    [ledger]\nkind = \"embedded\"\npath = \"state.db\"\n[destination]\nkind = \"directory\"\npath = \"to\"\n";
    std::fs::write(folder.path().join("agent.toml"), settings).expect("written");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_skyferry"));
        command
            .arg("deadletters")
            .args(arguments)
            .args(["--config", "agent.toml", "--json"])
            .current_dir(folder.path());
        ProgramOutput::from(command.output().expect("it ran"))
    };
    run(&["list"]).refused(2, &["state.db", "no agent"]);
    let file = folder.path().join("state.db");
    let traits = || QueueTraits {
        visibility: Duration::from_secs(60),
        retention: Duration::from_secs(60),
        max_receives: None,
        dead_letters: Some("dead".into()),
    };
    {
        let state = SqliteFile::open(&file).expect("a file");
        let queue = state.queue(EMBEDDED_QUEUE, traits()).await.expect("a queue");
        for key in ["a", "b", "c"] {
            queue.park(&message(key), &denied(key)).await.expect("parked");
        }
    }
    assert_eq!(run(&["list"]).result()["letters"], 3);
    assert_eq!(run(&["redrive", "--key", "a"]).result()["redriven"], 1);
    assert_eq!(run(&["drop", "--key", "b", "--yes"]).result()["left"], 1);
    let state = SqliteFile::open(&file).expect("a file");
    let queue = state.queue(EMBEDDED_QUEUE, traits()).await.expect("a queue");
    assert_eq!(queue.depth().await.expect("a depth").visible, 1);
    assert_eq!(queue.dead_letters(0, 10).await.expect("letters").len(), 1);
}
