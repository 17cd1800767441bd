use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::shutdown::ShutdownReason;
use skyferry_core::model::Overwrite;

/// Settings in a directory of their own, whose sides are peers that nobody asks anything.
fn settings(dir: &Path, toml: &str) -> Settings {
    std::fs::write(dir.join("keys.json"), r#"{"aws_access_key_id":"A","aws_secret_access_key":"hunter2"}"#)
        .expect("written");
    Settings::parse(&dir.join("agent.toml"), toml, &BTreeMap::new()).expect("settings")
}

const LOCAL: &str = r#"
    [credentials]
    source = { provider = "file", path = "keys.json" }
    destination = { provider = "file", path = "keys.json" }
    [queue]
    kind = "embedded"
    [ledger]
    kind = "embedded"
    [source]
    endpoint = "http://127.0.0.1:9"
    [destination]
    kind = "gcs"
    endpoint = "http://127.0.0.1:9"
    bucket = "to"
    [status]
    listen = "127.0.0.1:0"
"#;

async fn refused(toml: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let built = Agent::build(&settings(dir.path(), toml)).await;
    built.err().expect("refused").to_string()
}

#[tokio::test]
async fn an_agent_on_one_machine_is_built_and_ends_when_its_queue_is_empty() {
    let dir = tempfile::tempdir().expect("a directory");
    let agent = Agent::build(&settings(dir.path(), &routed("from", "to"))).await.expect("built");
    assert!(agent.check().await.expect("asked").contains("0 visible"));
    let expected = agent.description().join("\n");
    assert!(expected.contains("credentials from file") && !expected.contains("hunter2"), "{expected}");
    let report = agent.run(RunUntil::Empty, Shutdown::default()).await.expect("run");
    assert!(!report.has_failures());
}

#[tokio::test]
async fn what_bucket_pairs_copy_is_stored_as_the_destination_has_it_in_the_buckets_own_class() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("pairs"), r#"{"src_bucket":"a","des_bucket":"b"}"#).expect("written");
    let own = "bucket = \"to\"\noverwrite = \"never\"\nstorage_class = \"NEARLINE\"";
    let toml = routed("from", "to").replacen("bucket = \"to\"", own, 1);
    let toml = format!("bucket_pairs = \"pairs\"\n{toml}");
    let router = Agent::build(&settings(dir.path(), &toml)).await.expect("built").router();
    let [pair] = router.pairs() else { panic!("{:?}", router.pairs()) };
    assert_eq!((pair.options.overwrite, &pair.options.storage_class), (Overwrite::Never, &None));
    assert_eq!(router.routes()[0].options.storage_class.as_deref(), Some("NEARLINE"));
}

#[tokio::test]
async fn a_stopped_agent_gives_its_file_and_its_port_back() {
    let dir = tempfile::tempdir().expect("a directory");
    for _ in 0..3 {
        let agent = Agent::build(&settings(dir.path(), &routed("from", "to"))).await.expect("built");
        let shutdown = Shutdown::default();
        shutdown.request(ShutdownReason::Terminate);
        agent.run(RunUntil::Stopped, shutdown).await.expect("run");
    }
}

fn routed(from: &str, to: &str) -> String {
    format!("{LOCAL}\n[[routes]]\nsource_bucket = {from:?}\nbucket = {to:?}\n")
}

#[tokio::test]
async fn a_route_that_writes_where_it_reads_is_refused() {
    // Both sides are the same endpoint, and so the same service.
    assert!(refused(&routed("to", "to")).await.contains("in a circle"));
    let components = routed("to", "to").replacen("127.0.0.1:9\"", "127.0.0.1:10\"", 1);
    let dir = tempfile::tempdir().expect("a directory");
    assert!(Agent::build(&settings(dir.path(), &components)).await.is_ok());
}

#[test]
fn amazon_and_amazon_in_china_are_two_services() {
    let toml =
        |region: &str| format!("[source]\nregion = {region:?}\n[destination]\nkind = \"directory\"\npath = \"to\"\n");
    let service = |region: &str| {
        let text = toml(region) + "[credentials]\nsource = { provider = \"instance\" }\n";
        let settings = Settings::parse(Path::new("/x/agent.toml"), &text, &BTreeMap::new()).expect("settings");
        settings.source.namespace(None)
    };
    assert_eq!(service("us-west-2"), service("eu-north-1"));
    assert_ne!(service("us-west-2"), service("cn-north-1"));
}

#[tokio::test]
async fn directories_in_one_another_are_refused() {
    let toml = |to: &str| {
        format!(
            "[queue]\nkind = \"embedded\"\n[ledger]\nkind = \"embedded\"\n[source]\nkind = \"directory\"\npath = \"a\"\n\
             [destination]\nkind = \"directory\"\npath = {to:?}\n"
        )
    };
    for nested in ["a", "a/b/c", ".", "b/../a"] {
        assert!(refused(&toml(nested)).await.contains("directory"), "{nested}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    assert!(Agent::build(&settings(dir.path(), &toml("ab"))).await.is_ok());
}

#[tokio::test]
async fn several_queues_are_drained_until_all_are_empty() {
    let dir = tempfile::tempdir().expect("a directory");
    let both = "[[queues]]\n    kind = \"embedded\"\n    [[queues]]\n    kind = \"embedded\"\n    path = \"second.db\"";
    let toml = routed("from", "to").replacen("[queue]\n    kind = \"embedded\"", both, 1);
    let agent = Agent::build(&settings(dir.path(), &toml)).await.expect("built");
    assert_eq!(agent.check().await.expect("asked").lines().count(), 2);
    assert_eq!(agent.description().iter().filter(|line| line.starts_with("queue: ")).count(), 2);
    let test_event = r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#.to_owned();
    for context in &agent.contexts {
        context.queue.send(std::slice::from_ref(&test_event)).await.expect("sent");
    }
    let contexts = agent.contexts.clone();
    agent.run(RunUntil::Empty, Shutdown::default()).await.expect("run");
    for context in contexts {
        assert!(context.queue.depth().await.expect("asked").is_empty());
    }
    let twice = both.replace("second.db", "skyferry.db");
    let toml = routed("from", "to").replacen("[queue]\n    kind = \"embedded\"", &twice, 1);
    assert!(refused(&toml).await.contains("the same"));
}

#[tokio::test]
async fn without_a_ledger_an_agent_is_built() {
    let dir = tempfile::tempdir().expect("a directory");
    let toml = routed("from", "to").replacen("[ledger]\n    kind = \"embedded\"", "[ledger]\n    kind = \"none\"", 1);
    let agent = Agent::build(&settings(dir.path(), &toml)).await.expect("built");
    assert!(agent.description().iter().any(|line| line.starts_with("ledger: none")));
}

#[tokio::test]
async fn a_missing_key_file_and_a_missing_ignore_list_are_named() {
    let error = refused(&LOCAL.replacen("keys.json", "no.json", 1)).await;
    assert!(error.starts_with("[credentials] source") && error.contains("no.json"), "{error}");
    let error = refused(&format!("{LOCAL}\n[filter]\nignore_list = \"no.txt\"\n")).await;
    assert!(error.contains("no.txt") && error.contains("[filter] ignore_list"), "{error}");
}

#[tokio::test]
async fn each_of_the_four_says_whose_identity_it_uses_and_equal_ones_share_a_cache() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = settings(
        dir.path(),
        "[credentials]\nsource = \"file:keys.json\"\ndestination = \"file:other.json\"\nledger = \"file:other.json\"\n\
         [queue]\nname = \"events\"\nregion = \"us-west-2\"\n[ledger]\ntable = \"copies\"\n[destination]\nbucket = \"to\"\n",
    );
    std::fs::copy(dir.path().join("keys.json"), dir.path().join("other.json")).expect("copied");
    let keys = keys::AllCredentials::open(&settings).await.expect("keys");
    let shared = |a: &Option<RoleCredentials>, b: &Option<RoleCredentials>| {
        Arc::ptr_eq(&a.as_ref().expect("keys").cached, &b.as_ref().expect("keys").cached)
    };
    assert!(shared(&keys.source, &keys.queue) && shared(&keys.destination, &keys.ledger));
    assert!(!shared(&keys.source, &keys.destination));
    let expected = describe::describe(&settings, &lists::router(&settings).await.expect("routes"), &keys).join("\n");
    for (line, file) in [
        ("source: S3 in the region of its credentials, credentials from file ", "keys.json"),
        ("destination: Google Cloud Storage at https://storage.googleapis.com, credentials from file ", "other.json"),
        ("queue: SQS events in us-west-2, credentials from file ", "keys.json"),
        ("ledger: DynamoDB copies in the region of its credentials, credentials from file ", "other.json"),
    ] {
        assert!(
            expected.lines().any(|expected| expected.starts_with(line) && expected.ends_with(file)),
            "{line}\n{expected}"
        );
    }
    assert!(!expected.contains("hunter2"));
}

#[tokio::test]
async fn credentials_that_are_not_there_yet_do_not_stop_an_agent_and_fail_a_validation() {
    let dir = tempfile::tempdir().expect("a directory");
    // Nobody listens on port 9.
    let toml = routed("from", "to").replacen(
        "source = { provider = \"file\", path = \"keys.json\" }",
        "source = { provider = \"instance\", endpoint = \"http://127.0.0.1:9\" }",
        1,
    );
    let toml = toml.replacen("[source]", "[source]\n    region = \"us-west-2\"", 1);
    let agent = Agent::build(&settings(dir.path(), &toml)).await.expect("built");
    assert!(agent.description().join("\n").contains("which are not there yet"), "{:?}", agent.description());
    let error = agent.check().await.expect_err("refused").to_string();
    assert!(error.starts_with("[credentials] source: credentials from the machine's own role"), "{error}");
}

#[tokio::test]
async fn a_second_agent_on_one_file_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = settings(dir.path(), &routed("from", "to"));
    let _first = Agent::build(&settings).await.expect("built");
    assert!(Agent::build(&settings).await.err().expect("refused").to_string().contains("in use by another process"));
}
