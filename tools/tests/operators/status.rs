//! How a fleet is doing, with an agent that works, one that does not answer, and one that cannot be asked.

use serde_json::json;

use crate::stage::{LIST, SINK, SOURCE, Stage, errors, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_the_queue_the_agents_and_why_something_was_parked() {
    let stage = Stage::new().await;
    let lonely = stage.told(&["status"]);
    assert_eq!((&lonely["answering"], &lonely["queues"][0]["visible"]), (&json!(0), &json!(1)), "the test event waits");
    assert_eq!((&lonely["seconds_to_empty"], &lonely["lag_seconds"]), (&json!(null), &json!(null)), "nobody works");
    assert!(lonely["agents"][0]["error"].as_str().is_some_and(|error| error.contains("error")), "{lonely}");

    for key in ["a", "b"] {
        stage.cloud.put_object(&format!("/{SOURCE}/{key}"), "x").await.expect("put");
    }
    let elsewhere = format!(
        r#"{{"Src_bucket":"strangers","Src_key":"k","Size":1,"Des_bucket":"{SINK}","Des_key":"k","versionId":"null"}}"#
    );
    let sent = json!({ "QueueUrl": stage.cloud.queue_url(LIST), "MessageBody": elsewhere });
    stage.cloud.call("AmazonSQS.SendMessage", sent).await.expect("sent");
    let agent = stage.agent().await;
    eventually("all has ended", async || stage.cloud.depth(LIST).await.expect("a depth") == [0, 0, 0]).await;
    eventually("and is told", async || stage.told(&["status"])["ended"] == 3).await;
    let own = format!("http://127.0.0.1:{}", stage.port);
    let told = stage.told(&["status", "--agent", &own, "--agent", "http://127.0.0.1:1"]);
    assert_eq!((&told["answering"], &told["ended"], &told["parked"]), (&json!(1), &json!(3), &json!(1)));
    assert_eq!(told["parked_by_reason"], json!({ "no route": 1 }));
    assert_eq!(told["queues"][0]["dead_letters"], json!({ "name": "list-dead", "waiting": 1 }));
    assert_eq!((&told["seconds_to_empty"], &told["paused"]), (&json!(0.0), &json!(null)));
    assert!(told["lag_seconds"].as_f64().is_some_and(|lag| lag >= 0.0), "{told}");
    assert_eq!(
        (&told["agents"][0]["said"]["copied"], &told["agents"][1]["url"]),
        (&json!(2), &json!("http://127.0.0.1:1"))
    );
    assert!(told["agents"][1]["error"].is_string() && told["agents"][1].get("said").is_none());

    let output = stage.run(&["status", "--agent", &own, "--agent", "http://127.0.0.1:1"]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "an agent that does not answer is no error: {}", errors(&output));
    for said in [
        "list: 0 visible, 0 in flight, 0 delayed; dead letters in list-dead: 1",
        "1 of 2 agents answer",
        "1 since the agents' start: no route 1",
        "http://127.0.0.1:1 does not answer as an agent does: ",
        "last warnings and errors",
        "no route takes objects of the bucket strangers",
    ] {
        assert!(words.contains(said), "{said:?} is not in\n{words}");
    }
    stage.told(&["pause", "--reason", "a look"]);
    assert_eq!(stage.told(&["status"])["paused"]["reason"], "a look");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_there_is_told_and_fails() {
    let stage = Stage::new().await;
    stage.settings("queue.name = \"lost\"");
    let output = stage.run(&["status"]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("queue lost: no such queue"), "{words}");
    for wrong in ["nonsense", "ftp://x", "http://"] {
        assert_eq!(stage.run(&["status", "--agent", wrong]).status.code(), Some(2), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_it_looks_again_and_again() {
    use tokio::io::AsyncBufReadExt as _;
    let stage = Stage::new().await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_skyferry"));
    command.args(["status", "--config", "agent.toml", "--watch", "--json"]).current_dir(stage.folder.path(""));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().expect("started");
    let mut lines = tokio::io::BufReader::new(child.stdout.take().expect("piped")).lines();
    for visible in [1, 2] {
        let seen = async {
            while let Some(line) = lines.next_line().await.expect("a line") {
                let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
                if told["queues"][0]["visible"] == visible {
                    return;
                }
            }
            panic!("it ended");
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), seen).await.expect("seen within a minute");
        stage.cloud.put_object(&format!("/{SOURCE}/a"), "x").await.expect("put");
    }
    child.kill().await.expect("ended");
}
