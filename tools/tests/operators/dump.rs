//! The table as CSV: theirs and ours, every record once, notes left out.

use serde_json::json;

use crate::fixture::{Fixture, LIST, SOURCE, errors, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_a_row_with_the_predecessors_columns() {
    let fixture = Fixture::new().await;
    for key in ["a,%20%22b%22", "c"] {
        fixture.cloud.put_object(&format!("/{SOURCE}/{key}"), "12345").await.expect("put");
    }
    let agent = fixture.agent().await;
    eventually("all has ended", async || fixture.cloud.depth(LIST).await.expect("a depth") == [0, 0, 0]).await;
    agent.stop().await;
    // More than a page of a predecessor's records, which are a megabyte each time.
    for n in 0..40 {
        let padding = "x".repeat(60_000);
        let item = json!({
            "Key": { "S": format!("theirs/{n:02}") }, "Size": { "N": "7" }, "instanceID": { "SS": ["i-2", "i-1"] },
            "padding": { "S": padding },
        });
        let put = json!({ "TableName": LIST, "Item": item });
        fixture.cloud.call("DynamoDB_20120810.PutItem", put).await.expect("put");
    }
    assert_eq!(fixture.run(&["pause"]).status.code(), Some(0));

    let output = fixture.run(&["table", "dump"]);
    assert!(output.status.success(), "{}", errors(&output));
    let mut read = csv::Reader::from_reader(&output.stdout[..]);
    let header: Vec<String> = read.headers().expect("a header").iter().map(Into::into).collect();
    assert_eq!(header[..3], ["Key", "Size", "desBucket"]);
    let mut rows: Vec<std::collections::HashMap<String, String>> =
        read.deserialize().map(|row| row.expect("a row")).collect();
    rows.sort_by(|a, b| a["Key"].cmp(&b["Key"]));
    assert_eq!(rows.len(), 42, "and no note");
    let of = |name: &str| [&rows[0][name], &rows[2][name]].map(String::as_str);
    assert_eq!(of("Key"), ["photos/a, \"b\"", "theirs/00"]);
    assert_eq!((of("Size"), of("sfOutcome")), (["5", "7"], ["copied", ""]));
    assert_eq!((of("instanceID")[1], of("jobStatus")[0]), ("i-1 i-2", "DONE"));

    let file = fixture.folder.path("dump.csv");
    let reported = fixture.reported(&["table", "dump", "--output", "dump.csv"]);
    assert_eq!(reported, json!({ "table": LIST, "records": 42, "output": "dump.csv" }));
    assert_eq!(std::fs::read(&file).expect("the file"), output.stdout);
    let again = fixture.run(&["table", "dump", "--output", "dump.csv"]);
    assert_eq!(again.status.code(), Some(2), "what is there stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_there_leaves_no_file() {
    let fixture = Fixture::new().await;
    fixture.settings("ledger.table = \"lost\"");
    let output = fixture.run(&["table", "dump", "--output", "dump.csv"]);
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    assert!(errors(&output).contains("ledger lost: no such table"), "{}", errors(&output));
    assert!(!fixture.folder.path("dump.csv").exists());
}
