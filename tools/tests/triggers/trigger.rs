//! `skyferry trigger` on a bucket whose events are delivered.

use http::Method;
use sandbox::{InterceptingProxy, PeerFault};
use serde_json::json;

use crate::fixture::{BUCKET, Fixture, QUEUE, arn};

/// A queue of somebody else's, a function, and EventBridge.
async fn wired_by_others(fixture: &Fixture) -> String {
    fixture.cloud.create_queue("theirs", &[("VisibilityTimeout", "0".into())]).await.expect("a queue");
    let theirs = sandbox::Ministack::queue_arn("theirs");
    fixture
        .configure(&format!(
            "<QueueConfiguration><Id>by hand</Id><Queue>{theirs}</Queue><Event>s3:ObjectCreated:Put</Event><Filter><S3Key>\
             <FilterRule><Name>prefix</Name><Value>theirs/&amp; é</Value></FilterRule></S3Key></Filter></QueueConfiguration>\
             <CloudFunctionConfiguration><Id>f</Id><CloudFunction>arn:aws:lambda:us-east-1:000000000000:function:f\
             </CloudFunction><Event>s3:ObjectRemoved:*</Event></CloudFunctionConfiguration><EventBridgeConfiguration/>"
        ))
        .await;
    fixture.configuration().await
}

#[tokio::test]
async fn an_object_put_after_trigger_add_arrives_in_the_queue_on_ministack() {
    let fixture = Fixture::new().await;
    let queue = arn();
    let add = ["trigger", "add", "--bucket", BUCKET, "--queue", &queue, "--prefix", "a/", "--yes", "--json"];
    let output = fixture.run(&add).await;
    let done = json!({ "dry_run": false, "added": 1, "removed": 0, "kept": 0, "policies": 1 });
    assert_eq!(output.result(), &done);
    assert!(output.stderr.contains("+ a/*              s3:ObjectCreated:*  to arn:aws:sqs"), "{output:?}");
    for key in ["b/not", "a/this"] {
        fixture.put(key).await;
    }
    assert_eq!(fixture.events(QUEUE, 1).await, ["a/this"]);

    let statement = &fixture.policy(QUEUE).await["Statement"][0];
    assert_eq!(statement["Principal"]["Service"], "s3.amazonaws.com");
    assert_eq!(statement["Condition"]["ArnEquals"]["aws:SourceArn"], "arn:aws:s3:::photos");
    assert_eq!(statement["Condition"]["StringEquals"]["aws:SourceAccount"], "000000000000");

    let before = fixture.configuration().await;
    let again = json!({ "dry_run": false, "added": 0, "removed": 0, "kept": 1, "policies": 0 });
    assert_eq!(fixture.run(&add).await.result(), &again, "a second time there is nothing to do");
    assert_eq!(fixture.configuration().await, before);
}

#[tokio::test]
async fn regression_11_what_others_have_wired_stays_on_ministack() {
    let fixture = Fixture::new().await;
    let before = wired_by_others(&fixture).await;
    let queue = arn();
    let which = ["--bucket", BUCKET, "--queue", &queue, "--prefix", "a/", "--yes", "--json"];
    let added = fixture.run(&[&["trigger", "add"][..], &which].concat()).await;
    assert_eq!(added.result()["added"], 1);
    let listed = fixture.run(&["trigger", "list", "--bucket", BUCKET, "--json"]).await;
    let ids: Vec<&str> =
        listed.result()["entries"].as_array().expect("entries").iter().filter_map(|e| e["id"].as_str()).collect();
    assert!(ids.len() == 3 && ids.contains(&"by hand") && ids.contains(&"f"), "{listed:?}");
    assert_eq!(
        (&listed.result()["others"][0], &listed.result()["ours"]),
        (&json!("EventBridgeConfiguration"), &json!(1))
    );
    fixture.put("theirs/%26%20%C3%A9").await;
    assert_eq!(fixture.events("theirs", 1).await.len(), 1, "their events still arrive");
    assert!(fixture.events(QUEUE, 0).await.is_empty());
    let removed = fixture.run(&[&["trigger", "remove"][..], &which].concat()).await;
    assert_eq!(removed.result()["removed"], 1);
    assert_eq!(fixture.configuration().await, before);
}

#[tokio::test]
async fn overlap_is_refused_with_the_entry_that_is_in_the_way_on_ministack() {
    let fixture = Fixture::new().await;
    let before = wired_by_others(&fixture).await;
    let queue = arn();
    let output = fixture.run(&["trigger", "add", "--bucket", BUCKET, "--queue", &queue, "--yes"]).await;
    output.refused(1, &["Id by hand", "theirs/& é*", "narrow a prefix"]);
    assert_eq!(fixture.configuration().await, before);
    assert!(fixture.policy(QUEUE).await.is_null(), "not even the policy is touched");
}

#[tokio::test]
async fn a_file_of_prefixes_is_read_as_editors_write_it_on_ministack() {
    let fixture = Fixture::new().await;
    let queue = arn();
    let add =
        ["trigger", "add", "--bucket", BUCKET, "--queue", &queue, "--prefix-file", "prefixes.txt", "--yes", "--json"];
    fixture.write("prefixes.txt", "\u{feff}a/\r\n\r\n# more\r\n你 b/\r\na/\r\n");
    assert_eq!(fixture.run(&add).await.result()["added"], 2);
    for key in ["a/1", "%E4%BD%A0%20b/2", "c/3"] {
        fixture.put(key).await;
    }
    assert_eq!(fixture.events(QUEUE, 2).await, ["%E4%BD%A0+b/2", "a/1"]);
    for (text, word) in [("a/\nx/\na/b/\n", "a/ and a/b/ overlap"), ("a/*\n", "a/*"), ("", "no prefix")] {
        fixture.write("prefixes.txt", text);
        fixture.run(&add).await.refused(2, &[word, "prefixes.txt"]);
    }
}

#[tokio::test]
async fn a_file_of_triggers_is_what_there_is_afterwards_on_ministack() {
    let fixture = Fixture::new().await;
    let before = wired_by_others(&fixture).await;
    let file =
        |prefixes: &str| format!("[[triggers]]\nbucket = \"photos\"\nqueue = \"{}\"\nprefixes = {prefixes}\n", arn());
    let apply = ["trigger", "apply", "triggers.toml", "--yes", "--json"];
    fixture.write("triggers.toml", file(r#"["a/b/", "a/c/", "d/"]"#));
    assert_eq!(fixture.run(&apply).await.result()["added"], 3);
    let once = fixture.configuration().await;
    assert_eq!(fixture.run(&apply).await.result()["kept"], 3);
    assert_eq!(fixture.configuration().await, once);

    fixture.write("triggers.toml", file(r#"["a/"]"#));
    fixture.run(&apply).await.refused(1, &["a/b/*", "trigger remove"]);
    let pruned = fixture.run(&[&apply[..], &["--prune"]].concat()).await;
    assert_eq!((&pruned.result()["added"], &pruned.result()["removed"]), (&json!(1), &json!(3)));
    let gone = fixture.run(&["trigger", "remove", "--bucket", BUCKET, "--all", "--yes", "--json"]).await;
    assert_eq!(gone.result()["removed"], 1);
    assert_eq!(fixture.configuration().await, before, "theirs were never touched");

    for wrong in ["", "[[triggers]]\nbucket = \"b\"\n", "[[triggers]]\nbucket = \"b\"\nqueue = \"q\"\nevent = []\n"] {
        fixture.write("triggers.toml", wrong);
        fixture.run(&apply).await.refused(2, &["triggers.toml"]);
    }
}

#[tokio::test]
async fn a_backup_is_put_back_whole_on_ministack() {
    let fixture = Fixture::new().await;
    let before = wired_by_others(&fixture).await;
    let queue = arn();
    let add = ["trigger", "add", "--bucket", BUCKET, "--queue", &queue, "--prefix", "a/", "--yes"];
    let backup = [&add[..], &["--backup", "before.xml"]].concat();
    assert_eq!(fixture.run(&backup).await.code, Some(0));
    assert_eq!(std::fs::read_to_string(fixture.path("before.xml")).expect("a backup"), before);
    fixture.run(&backup).await.refused(2, &["before.xml", "nothing is changed"]);
    let restore = ["trigger", "restore", "before.xml", "--bucket", BUCKET, "--yes", "--json"];
    assert_eq!(fixture.run(&restore).await.result()["removed"], 1);
    assert_eq!(fixture.configuration().await, before);
    fixture.write("before.xml", "<html>");
    fixture.run(&restore).await.refused(2, &["before.xml"]);
}

#[tokio::test]
async fn without_yes_and_a_terminal_nothing_is_changed_on_ministack() {
    let fixture = Fixture::new().await;
    let before = fixture.configuration().await;
    let queue = arn();
    let add = ["trigger", "add", "--bucket", BUCKET, "--queue", &queue, "--prefix", "a/", "--json"];
    fixture.run(&add).await.refused(2, &["+ a/*", "--yes"]);
    let dry = fixture.run(&[&add[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry.result(), &json!({ "dry_run": true, "added": 1, "removed": 0, "kept": 0, "policies": 1 }));
    assert_eq!(fixture.configuration().await, before);
    assert!(fixture.policy(QUEUE).await.is_null());
}

#[tokio::test]
async fn the_agents_settings_name_bucket_queue_and_events_on_ministack() {
    let fixture = Fixture::new().await;
    let settings = fixture.settings(QUEUE) + "[transfer]\ndeletes = true\n";
    fixture.write("agent.toml", settings);
    let output = fixture.run(&["trigger", "add", "--config", "agent.toml", "--yes", "--json"]).await;
    assert_eq!(output.result()["added"], 1);
    assert!(
        output.stderr.contains("s3:LifecycleExpiration:*, s3:ObjectCreated:*, s3:ObjectRemoved:*  to arn"),
        "{output:?}"
    );
    fixture.put("any").await;
    assert_eq!(fixture.events(QUEUE, 1).await, ["any"]);
}

#[tokio::test]
async fn queues_that_cannot_be_meant_are_refused_on_ministack() {
    let fixture = Fixture::new().await;
    fixture.cloud.create_queue("list.fifo", &[("FifoQueue", "true".into())]).await.expect("a queue");
    for (queue, code, words) in [
        (sandbox::Ministack::queue_arn("list.fifo"), 2, &["FIFO", "standard"][..]),
        (sandbox::Ministack::queue_arn("lost"), 2, &["no such queue", "ARN"]),
        ("arn:aws:sqs:eu-west-1:000000000000:list".into(), 2, &["eu-west-1", "us-east-1", "its own region"]),
        ("list".into(), 2, &["arn:aws:sqs:us-west-2"]),
    ] {
        let add = ["trigger", "add", "--bucket", BUCKET, "--queue", &queue, "--region", "us-east-1", "--yes"];
        fixture.run(&add).await.refused(code, words);
    }
    let queue = arn();
    let nowhere = fixture.run(&["trigger", "add", "--bucket", "nowhere", "--queue", &queue, "--yes"]).await;
    nowhere.refused(1, &["nowhere", "no such bucket"]);
    let event =
        fixture.run(&["trigger", "add", "--bucket", BUCKET, "--queue", &queue, "--events", "Created", "--yes"]).await;
    event.refused(2, &["s3:ObjectCreated:*"]);
    fixture.run(&["trigger", "remove", "--bucket", BUCKET, "--yes"]).await.refused(2, &["--all"]);
    assert!(!fixture.configuration().await.contains("QueueConfiguration"));
}

#[tokio::test]
async fn a_denied_write_leaves_the_configuration_as_it_was_on_ministack() {
    let fixture = Fixture::new().await;
    let before = wired_by_others(&fixture).await;
    let front = InterceptingProxy::start(fixture.cloud.address()).expect("a front");
    front.inject("PUT /photos", PeerFault::Status(403), 1);
    let queue = arn();
    let add = ["trigger", "add", "--bucket", BUCKET, "--queue", &queue, "--prefix", "a/", "--yes"];
    let output = fixture.run_at(&front.endpoint(), &add).await;
    output.refused(1, &["photos is as it was", "policy is set", "access denied", "s3:PutBucketNotification"]);
    assert_eq!((fixture.configuration().await, front.count("PUT /photos")), (before, 1));
    assert_eq!(fixture.run_at(&front.endpoint(), &add).await.code, Some(0), "granted, it goes on from there");
}

#[tokio::test]
async fn a_configuration_that_changed_meanwhile_is_not_overwritten_on_ministack() {
    let fixture = Fixture::new().await;
    let front = InterceptingProxy::start(fixture.cloud.address()).expect("a front");
    // The first look is for the difference, the second right before the write.
    let second = front.hold(Method::GET, "/photos/", 2);
    let queue = arn();
    let add = ["trigger", "add", "--bucket", BUCKET, "--queue", &queue, "--prefix", "a/", "--yes"];
    let running = fixture.start(&front.endpoint(), &add);
    let go = second.arrived().await;
    let theirs = wired_by_others(&fixture).await;
    drop(go);
    crate::fixture::ended(running).await.refused(1, &["somebody has changed photos", "nothing is written"]);
    assert_eq!((fixture.configuration().await, front.count("PUT /photos")), (theirs, 0));
}

#[tokio::test]
async fn a_write_that_reads_back_otherwise_is_told_on_ministack() {
    let fixture = Fixture::new().await;
    let front = InterceptingProxy::start(fixture.cloud.address()).expect("a front");
    front.inject("PUT /photos", PeerFault::Status(200), 1);
    let queue = arn();
    let add = ["trigger", "add", "--bucket", BUCKET, "--queue", &queue, "--prefix", "a/", "--yes"];
    fixture.run_at(&front.endpoint(), &add).await.refused(1, &["reads differently", "missing: a/*"]);
}
