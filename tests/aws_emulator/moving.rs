//! The predecessors' lists as their owners keep them: changed while agents run.

use std::time::Duration;

use serde_json::json;

use crate::fixture::{Fixture, LIST, SINK, SOURCE, eventually, program};

fn pair(prefix: &str) -> String {
    json!({ "src_bucket": SOURCE, "src_prefix": "", "des_bucket": SINK, "des_prefix": prefix }).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_c3_a_pair_that_is_added_while_an_agent_runs_is_used_at_once_on_ministack() {
    let fixture = Fixture::new(30, 5).await;
    let settings = fixture.settings("", "");
    let pairs = settings.with_file_name("pairs.json");
    std::fs::write(&pairs, pair("one")).expect("written");
    let agent = tokio::process::Command::new(program())
        .arg("--config")
        .arg(&settings)
        .env("SKYFERRY__BUCKET_PAIRS", &pairs)
        .kill_on_drop(true)
        .spawn()
        .expect("the program");
    fixture.cloud.put_object("/photos/k", "hello").await.expect("put");
    eventually("the event's copy", Duration::from_secs(60), async || fixture.copy("k").is_some()).await;

    // A list that is wrong changes nothing; the next one is taken.
    let hang_up = || {
        let id = agent.id().expect("it runs").to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &id]).status().expect("kill").success());
    };
    std::fs::write(&pairs, "nonsense").expect("written");
    hang_up();
    let job = |prefix: &str| {
        json!({ "Src_bucket": SOURCE, "Src_key": "k", "Size": 5, "versionId": "null", "Des_bucket": SINK,
                "Des_key": format!("{prefix}/k") })
        .to_string()
    };
    fixture.cloud.send_message(LIST, &job("one")).await.expect("sent");
    let there = |key: &str| fixture.gcs.object(SINK, key).is_some();
    eventually("a job of the list before", Duration::from_secs(60), async || there("one/k")).await;
    std::fs::write(&pairs, [pair("one"), pair("two")].join("\n")).expect("written");
    hang_up();
    // The signal is on its way while the job is; the pairs are read in far less than a second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    fixture.cloud.send_message(LIST, &job("two")).await.expect("sent");
    eventually("a job of the new pair", Duration::from_secs(60), async || there("two/k")).await;
    assert_eq!(fixture.dead_letters().await, 0, "{LIST}");
}
