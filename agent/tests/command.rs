//! The agent's command as an operator meets it: exit codes, and what it says of the settings.

#[path = "command/telemetry.rs"]
mod telemetry;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn agent(folder: &Path, file: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry-agent"));
    command.env_clear().arg("--config").arg(folder.join(file)).args(arguments);
    command.output().expect("the command runs")
}

fn folder(file: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(file), text).expect("written");
    folder
}

/// Settings of an agent from one directory to another, and both. `queue`: more of `[queue]`; `more`: sections.
fn between_directories(queue: &str, more: &str) -> tempfile::TempDir {
    let text = format!(
        "[source]\nkind = \"directory\"\npath = \"from\"\n[destination]\nkind = \"directory\"\npath = \"to\"\nbucket = \"b\"\n\
         [queue]\nkind = \"embedded\"\n{queue}\n[ledger]\nkind = \"embedded\"\n[status]\nlisten = \"off\"\n{more}"
    );
    let folder = folder("agent.toml", &text);
    for name in ["from", "to"] {
        std::fs::create_dir(folder.path().join(name)).expect("a directory");
    }
    folder
}

#[test]
fn regression_16_a_fatal_error_is_no_success() {
    let local = "[queue]\nkind = \"embedded\"\n[ledger]\nkind = \"embedded\"\n[destination]\nbucket = \"b\"\n";
    for (text, expected) in [
        ("mode = \"give\"", "mode = \"give\""),
        (&format!("{local}[credentials]\nsource = \"file:no.json\"\ndestination = \"file:no.json\"\n"), "no.json"),
        (&format!("{local}[credentials]\nsource = \"environment:NO_\"\n"), "projects/P/secrets/S/versions/latest"),
    ] {
        let folder = folder("agent.toml", text);
        let out = agent(folder.path(), "agent.toml", &[]);
        let reported = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{reported}");
        assert!(reported.contains(expected), "{reported}");
    }
    let missing = tempfile::tempdir().expect("a folder");
    assert_eq!(agent(missing.path(), "agent.toml", &[]).status.code(), Some(2));
    assert_eq!(agent(missing.path(), "agent.toml", &["--nonsense"]).status.code(), Some(2));
}

#[test]
fn an_ini_is_printed_as_the_toml_that_it_means() {
    let ini = "\u{feff}[Basic]\r\nJobType = PUT\r\nDes_bucket_default = to\r\n[Mode]\r\nMaxThread = 20\r\nResumableThreshold = 5\r\n";
    let folder = folder("s3_migration_cluster_config.ini", ini);
    let out = agent(folder.path(), "s3_migration_cluster_config.ini", &["--print-config"]);
    let printed = String::from_utf8(out.stdout).expect("text");
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(printed.contains("# Mode.MaxThread = \"20\" has no effect"), "{printed}");
    assert!(
        printed.contains("multipart_threshold = \"5MiB\"") && printed.contains("format = \"predecessor\""),
        "{printed}"
    );
}

/// One directory to another, with its log as CloudWatch would have it.
#[test]
fn a_running_agent_tells_its_metrics_as_cloudwatch_s_embedded_format_wants_them() {
    let folder = between_directories("", "[log]\nmetrics = \"emf\"\n");
    let out = agent(folder.path(), "agent.toml", &["--until-empty"]);
    let reported = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(0), "{reported}");
    let lines: Vec<serde_json::Value> = reported
        .lines()
        .filter(|line| line.contains("CloudWatchMetrics"))
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect();
    assert_eq!(lines.len(), 1, "an agent that ends within a minute tells once: {reported}");
    embedded_metric_format(&lines[0]);
}

/// What the specification requires: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn embedded_metric_format(line: &serde_json::Value) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now").as_millis() as u64;
    let metadata = line["_aws"].as_object().expect("_aws");
    assert!(metadata["Timestamp"].as_u64().expect("milliseconds").abs_diff(now) < 60_000, "{line}");
    let directives = metadata["CloudWatchMetrics"].as_array().expect("directives");
    assert!(!directives.is_empty());
    for directive in directives {
        let namespace = directive["Namespace"].as_str().expect("a namespace");
        assert!((1..=1024).contains(&namespace.len()) && !namespace.starts_with("AWS/"));
        for set in directive["Dimensions"].as_array().expect("sets of dimensions") {
            let set = set.as_array().expect("a set");
            assert!((1..=30).contains(&set.len()));
            for name in set {
                let value = line[name.as_str().expect("a name")].as_str().expect("a dimension is a text at the root");
                assert!((1..=1024).contains(&value.len()) && value.is_ascii(), "{value:?}");
            }
        }
        let metrics = directive["Metrics"].as_array().expect("metrics");
        assert!((1..=100).contains(&metrics.len()));
        for metric in metrics {
            assert!(line[metric["Name"].as_str().expect("a name")].is_number(), "a number at the root: {metric}");
            assert!(["Count", "Bytes", "Seconds"].contains(&metric["Unit"].as_str().expect("a unit")), "{metric}");
        }
    }
}

/// A running agent, ended with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An agent that takes events, the lines of its log from then on, and the address for events.
fn listening(folder: &Path) -> (Running, impl Iterator<Item = String> + use<>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry-agent"));
    command.env_clear().arg("--config").arg(folder.join("agent.toml")).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut agent = Running(command.spawn().expect("the agent starts"));
    let mut log = BufReader::new(agent.0.stderr.take().expect("its log")).lines().map_while(Result::ok);
    let listening = log.find(|line| line.contains("events are accepted at")).expect("it listens");
    let address = listening.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    (agent, log, address.to_owned())
}

/// Nothing but an agent and an event by HTTP is needed to have an object copied.
#[test]
fn an_event_posted_to_an_agent_with_an_embedded_queue_copies_the_object() {
    let folder = between_directories("listen = \"127.0.0.1:0\"", "");
    std::fs::write(folder.path().join("from/a b.jpg"), "abc").expect("written");
    let (_agent, mut log, address) = listening(folder.path());
    let event = r#"{"Records":[{"eventSource":"ceph:s3","eventVersion":"2.2","eventName":"ObjectCreated:Put",
        "s3":{"bucket":{"name":"directory"},"object":{"key":"a b.jpg","size":3}}}]}"#;
    assert!(post(&address, event).starts_with("HTTP/1.1 200"));
    assert!(post(&address, "{}").starts_with("HTTP/1.1 400"));
    let copied = folder.path().join("to/a b.jpg");
    for _ in 0..600 {
        if std::fs::read(&copied).is_ok_and(|bytes| bytes == b"abc") {
            // Its stderr is a pipe: each line is JSON, and one of them is the object's.
            let line = log.find(|line| line.contains("outcome")).expect("a line of the object");
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            let fields = line.get("fields").unwrap_or(&line);
            assert_eq!((&fields["outcome"], &fields["bytes"]), (&"copied".into(), &3.into()), "{line}");
            assert_eq!((&fields["attempts"], &fields["destination"]), (&1.into(), &"b/a b.jpg".into()), "{line}");
            assert!(fields["seconds"].is_number() && fields["grade"].is_string(), "{line}");
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{} was not copied; the log: {:?}", copied.display(), log.take(20).collect::<Vec<_>>());
}

fn post(address: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    let head =
        format!("POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}
