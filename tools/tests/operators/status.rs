//! How a fleet is doing, with an agent that works, one that does not answer, and one that cannot be asked.

use serde_json::json;

use crate::fixture::{Fixture, LIST, SINK, SOURCE, errors, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_the_queue_the_agents_and_why_something_was_parked() {
    let fixture = Fixture::new().await;
    let lonely = fixture.reported(&["status"]);
    assert_eq!((&lonely["answering"], &lonely["queues"][0]["visible"]), (&json!(0), &json!(1)), "the test event waits");
    assert_eq!((&lonely["seconds_to_empty"], &lonely["lag_seconds"]), (&json!(null), &json!(null)), "nobody works");
    assert!(lonely["agents"][0]["error"].as_str().is_some_and(|error| error.contains("error")), "{lonely}");

    for key in ["a", "b"] {
        fixture.cloud.put_object(&format!("/{SOURCE}/{key}"), "x").await.expect("put");
    }
    let elsewhere = format!(
        r#"{{"Src_bucket":"strangers","Src_key":"k","Size":1,"Des_bucket":"{SINK}","Des_key":"k","versionId":"null"}}"#
    );
    let sent = json!({ "QueueUrl": fixture.cloud.queue_url(LIST), "MessageBody": elsewhere });
    fixture.cloud.call("AmazonSQS.SendMessage", sent).await.expect("sent");
    let agent = fixture.agent().await;
    eventually("all has ended", async || fixture.cloud.depth(LIST).await.expect("a depth") == [0, 0, 0]).await;
    eventually("and is told", async || fixture.reported(&["status"])["ended"] == 3).await;
    let own = format!("http://127.0.0.1:{}", fixture.port);
    eventually("the agent is found in the ledger", async || fixture.reported(&["status"])["agents"][0]["url"] == own)
        .await;
    dashboard(&fixture).await;
    let reported = fixture.reported(&["status", "--agent", &own, "--agent", "http://127.0.0.1:1"]);
    assert_eq!((&reported["answering"], &reported["ended"], &reported["parked"]), (&json!(1), &json!(3), &json!(1)));
    assert_eq!(reported["parked_by_reason"], json!({ "no route": 1 }));
    assert_eq!(reported["queues"][0]["dead_letters"], json!({ "name": "list-dead", "waiting": 1 }));
    assert_eq!((&reported["seconds_to_empty"], &reported["paused"]), (&json!(0.0), &json!(null)));
    assert!(reported["lag_seconds"].as_f64().is_some_and(|lag| lag >= 0.0), "{reported}");
    assert_eq!(
        (&reported["agents"][0]["said"]["copied"], &reported["agents"][1]["url"]),
        (&json!(2), &json!("http://127.0.0.1:1"))
    );
    assert!(reported["agents"][1]["error"].is_string() && reported["agents"][1].get("said").is_none());

    let output = fixture.run(&["status", "--agent", &own, "--agent", "http://127.0.0.1:1"]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "an agent that does not answer is no error: {}", errors(&output));
    for output in [
        "list: 0 visible, 0 in flight, 0 delayed; dead letters in list-dead: 1",
        "1 of 2 agents answer",
        "1 since the agents' start: no route 1",
        "http://127.0.0.1:1 does not answer as an agent does: ",
        "last warnings and errors",
        "no route takes objects of the bucket strangers",
    ] {
        assert!(words.contains(output), "{output:?} is not in\n{words}");
    }
    fixture.reported(&["pause", "--reason", "a look"]);
    assert_eq!(fixture.reported(&["status"])["paused"]["reason"], "a look");
    agent.stop().await;
}

/// The fleet's page finds the agent by the note that it keeps.
async fn dashboard(fixture: &Fixture) {
    use tokio::io::AsyncBufReadExt as _;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_skyferry"));
    command.args(["dashboard", "--config", "agent.toml", "--listen", "127.0.0.1:0", "--json"]);
    command.current_dir(fixture.folder.path("")).env("SKYFERRY__STATUS__LISTEN", "off");
    let mut child = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().expect("started");
    let mut lines = tokio::io::BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = lines.next_line().await.expect("a line").expect("not its end");
    let url =
        serde_json::from_str::<serde_json::Value>(&line).expect("JSON")["url"].as_str().expect("a URL").to_owned();
    let get = async |path: &str| reqwest::get(format!("{url}{path}")).await.expect("answered");
    let report = async || get("status.json").await.json::<serde_json::Value>().await.expect("JSON");
    eventually("the fleet is shown", async || report().await["agents"][0]["ended"] == 3).await;
    let fleet = report().await;
    assert_eq!((&fleet["host"], &fleet["copied"], &fleet["actions"]), (&json!("fleet of 1"), &json!(2), &json!(false)));
    let parked: serde_json::Value = get("parked.json?search=STRANGERS").await.json().await.expect("JSON");
    assert_eq!((&parked["found"], &parked["letters"][0]["object"]), (&json!(1), &json!("strangers/k")));
    assert!(get("").await.headers().contains_key("content-security-policy"));
    child.kill().await.expect("ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_there_is_told_and_fails() {
    let fixture = Fixture::new().await;
    fixture.settings("queue.name = \"lost\"");
    let output = fixture.run(&["status"]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("queue lost: no such queue"), "{words}");
    for wrong in ["nonsense", "ftp://x", "http://"] {
        assert_eq!(fixture.run(&["status", "--agent", wrong]).status.code(), Some(2), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_it_looks_again_and_again() {
    use tokio::io::AsyncBufReadExt as _;
    let fixture = Fixture::new().await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_skyferry"));
    command.args(["status", "--config", "agent.toml", "--watch", "--json"]).current_dir(fixture.folder.path(""));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().expect("started");
    let mut lines = tokio::io::BufReader::new(child.stdout.take().expect("piped")).lines();
    for visible in [1, 2] {
        let seen = async {
            while let Some(line) = lines.next_line().await.expect("a line") {
                let reported: serde_json::Value = serde_json::from_str(&line).expect("JSON");
                if reported["queues"][0]["visible"] == visible {
                    return;
                }
            }
            panic!("it ended");
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), seen).await.expect("seen within a minute");
        fixture.cloud.put_object(&format!("/{SOURCE}/a"), "x").await.expect("put");
    }
    child.kill().await.expect("ended");
}
