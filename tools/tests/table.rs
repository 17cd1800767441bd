//! `skyferry table create` against a DynamoDB.

use std::process::{Command, Output};

use sandbox::{InterceptingProxy, Ministack};
use serde_json::json;

fn create(folder: &std::path::Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
    command.args(["table", "create", "--config", "agent.toml", "--json"]).current_dir(folder);
    command.env("AWS_ACCESS_KEY_ID", "SANDBOX").env("AWS_SECRET_ACCESS_KEY", "sandbox");
    command.output().expect("it ran")
}

/// A folder with the settings of a ledger there.
fn settings(endpoint: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!(
        r#"
        [credentials]
        source = {{ provider = "environment" }}
        destination = {{ provider = "environment" }}
        [ledger]
        table = "objects"
        region = "{}"
        endpoint = "{endpoint}"
        [destination]
        bucket = "copies"
        "#,
        Ministack::REGION,
    );
    std::fs::write(folder.path().join("agent.toml"), settings).expect("written");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a28_a_service_without_expiry_gets_the_table_and_a_warning() {
    let cloud = Ministack::start().await.expect("ministack");
    for unknown in [&["UpdateTimeToLive"][..], &["DescribeTimeToLive", "UpdateTimeToLive"]] {
        let front = InterceptingProxy::start(cloud.address()).expect("a front");
        unknown.iter().for_each(|operation| front.unknown(operation));
        let folder = settings(&front.endpoint());
        let output = create(folder.path());
        let reported = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{reported}");
        assert!(
            reported.contains("expiry cannot be switched on: 400 ") && reported.contains("UnknownOperation"),
            "{reported}"
        );
    }
    let name = json!({ "TableName": "objects" });
    cloud.call("DynamoDB_20120810.DescribeTable", name).await.expect("it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn table_create_makes_the_table_and_a_second_time_leaves_it_on_ministack() {
    let cloud = Ministack::start().await.expect("ministack");
    let folder = settings(&cloud.endpoint());
    for _ in 0..2 {
        let output = create(folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let reported: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
        assert_eq!(reported, json!({ "table": "objects" }));
    }
    let name = json!({ "TableName": "objects" });
    let table = cloud.call("DynamoDB_20120810.DescribeTable", name.clone()).await.expect("described");
    assert_eq!(table["Table"]["KeySchema"][0]["AttributeName"], "Key");
    assert_eq!(table["Table"]["GlobalSecondaryIndexes"][0]["IndexName"], "desBucket-index");
    let expiry = cloud.call("DynamoDB_20120810.DescribeTimeToLive", name).await.expect("described");
    assert_eq!(expiry["TimeToLiveDescription"]["AttributeName"], "endTime");
}
