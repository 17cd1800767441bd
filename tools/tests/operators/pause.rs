//! A fleet that is paused rests, says so, and continues.

use sandbox::Ministack;
use serde_json::{Value, json};

use crate::fixture::{Fixture, LIST, SOURCE, errors, eventually, skyferry};

async fn status(fixture: &Fixture) -> Value {
    let (_, body) = fixture.get("/status.json").await.expect("an answer");
    serde_json::from_str(&body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_agent_receives_nothing_says_why_and_goes_on_when_it_is_resumed() {
    let fixture = Fixture::new().await;
    let reported = fixture.reported(&["pause", "--for", "1h", "--reason", "the bucket moves", "--dry-run"]);
    assert_eq!((&reported["before"], &reported["paused"]["reason"]), (&Value::Null, &json!("the bucket moves")));
    assert_eq!(fixture.reported(&["resume"])["before"], Value::Null, "the dry run wrote nothing");
    let reported = fixture.reported(&["pause", "--for", "1h", "--reason", "the bucket moves"]);
    let (since, until) = (&reported["paused"]["since"], &reported["paused"]["until"]);
    assert_eq!(until.as_i64().expect("a time") - since.as_i64().expect("a time"), 3600);

    // One that starts meanwhile rests before it receives anything.
    fixture.cloud.put_object(&format!("/{SOURCE}/a"), "a").await.expect("put");
    let agent = fixture.agent().await;
    eventually("it says that it rests", async || !status(&fixture).await["paused"].is_null()).await;
    assert_eq!(status(&fixture).await["paused"]["reason"], "the bucket moves");
    let (code, words) = fixture.get("/readyz").await.expect("an answer");
    assert!(code == 503 && words.starts_with("paused since 20") && words.ends_with(": the bucket moves\n"), "{words}");
    assert!(status(&fixture).await["storm"].is_null(), "it is no weather");
    // The bucket's test event is in the queue, too.
    assert_eq!((fixture.cloud.depth(LIST).await.expect("a depth"), fixture.is_copied("a")), ([2, 0, 0], false));

    let reported = fixture.run(&["resume"]);
    let output = String::from_utf8_lossy(&reported.stdout).into_owned();
    assert!(output.starts_with("resumed; it was paused since 20"), "{output}");
    eventually("what waited is copied", async || fixture.is_copied("a")).await;
    assert_eq!(fixture.get("/readyz").await.expect("an answer").0, 200);

    // One that works is paused at its next look.
    fixture.reported(&["pause"]);
    eventually("it says that it rests", async || {
        status(&fixture).await["paused"]["until"].is_null() && !status(&fixture).await["paused"].is_null()
    })
    .await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_in_the_past_and_a_ledger_that_is_away_hold_nobody() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.run(&["pause", "--for", "0s"]).status.code(), Some(0));
    fixture.cloud.put_object(&format!("/{SOURCE}/a"), "a").await.expect("put");
    let agent = fixture.agent().await;
    eventually("it is copied", async || fixture.is_copied("a")).await;
    agent.stop().await;

    let proxy = sandbox::Proxy::start(fixture.cloud.address()).expect("a proxy");
    fixture.settings(&format!("ledger.endpoint = \"{}\"", proxy.endpoint()));
    let agent = fixture.agent().await;
    proxy.set_open(false);
    proxy.cut_all();
    let reported = fixture.run(&["pause"]);
    assert_eq!(reported.status.code(), Some(1), "{}", errors(&reported));
    assert!(errors(&reported).contains("ledger list: "), "{}", errors(&reported));
    assert!(status(&fixture).await["paused"].is_null());
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bandwidth_of_a_fleet_is_limited_by_a_note_and_returned_to_the_settings() {
    let fixture = Fixture::new().await;
    let reported = fixture.reported(&["limit", "10MB/s", "--dry-run"]);
    assert_eq!((&reported["limit"]["rate"], &reported["before"]), (&json!(10_000_000), &Value::Null));
    assert_eq!(fixture.reported(&["limit", "10MB/s", "--for", "1h"])["before"], Value::Null);
    let output = String::from_utf8_lossy(&fixture.run(&["limit", "0"]).stdout).into_owned();
    assert!(output.starts_with("no limit for each agent") && output.contains("before: 10000000 bytes/s"), "{output}");
    let reported = fixture.reported(&["limit", "off"]);
    assert_eq!((&reported["limit"], &reported["before"]["rate"]), (&Value::Null, &json!(0)));
    assert_eq!(fixture.run(&["limit", "fast"]).status.code(), Some(2));
}

#[test]
fn who_keeps_no_ledger_for_others_is_told_what_to_do_instead() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = |ledger: &str| {
        let text = format!(
            "[credentials]\nsource = {{ provider = \"environment\" }}\n[queue]\nkind = \"embedded\"\npath = \"q.db\"\n\
             [ledger]\n{ledger}\n[source]\nregion = \"{}\"\n[destination]\nkind = \"directory\"\npath = \"copies\"\n\
             [[routes]]\nsource_bucket = \"photos\"\n",
            Ministack::REGION
        );
        std::fs::write(folder.path().join("agent.toml"), text).expect("written");
        skyferry(folder.path(), &["pause", "--config", "agent.toml"])
    };
    let none = settings("kind = \"none\"");
    assert_eq!(none.status.code(), Some(2), "{}", errors(&none));
    assert!(errors(&none).contains("has no place for a pause"), "{}", errors(&none));
    let _open = skyferry_sqlite::SqliteFile::open(&folder.path().join("l.db")).expect("a file");
    let held = settings("kind = \"embedded\"\npath = \"l.db\"");
    assert_eq!(held.status.code(), Some(2), "{}", errors(&held));
    assert!(errors(&held).contains("in use by another process that takes no requests"), "{}", errors(&held));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_b11_held_back_deletions_are_shown_and_let_go_on() {
    let fixture = Fixture::new().await;
    // {"blown":{"since":1700000000,"deletions":101,"ended":130}}
    let held = "eyJibG93biI6eyJzaW5jZSI6MTcwMDAwMDAwMCwiZGVsZXRpb25zIjoxMDEsImVuZGVkIjoxMzB9fQ==";
    let item = json!({ "TableName": LIST, "Item": { "Key": { "S": "/note/deletions" }, "sfNote": { "B": held } } });
    fixture.cloud.call("DynamoDB_20120810.PutItem", item).await.expect("put");
    let shown = || String::from_utf8_lossy(&fixture.run(&["status"]).stdout).into_owned();
    assert!(shown().contains("held back since 2023-11-14T22:13:20Z: 101 of 130 objects"), "{}", shown());
    assert_eq!(fixture.reported(&["status"])["deletions_held"]["ended"], 130);
    assert_eq!(fixture.reported(&["resume"])["before"], Value::Null, "no pause stands, and this is another matter");
    assert_eq!(fixture.reported(&["resume", "--deletes", "--dry-run"])["deletions_held"]["deletions"], 101);
    assert_eq!(
        fixture.reported(&["resume", "--deletes"])["deletions_held"]["deletions"],
        101,
        "the dry run wrote nothing"
    );
    assert_eq!(fixture.reported(&["resume", "--deletes"])["deletions_held"], Value::Null);
    assert!(!shown().contains("held back"), "{}", shown());
}
