use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::limits::Channel;
use crate::shutdown::ShutdownReason;
use skyferry_core::metrics::Outcome;

fn view() -> StatusView {
    StatusView {
        metrics: Arc::default(),
        breaker: Arc::default(),
        fuse: Arc::new(Fuse::new(0.5, None)),
        rest: PauseWatch::default(),
        shutdown: Shutdown::default(),
        recent: Recent::default(),
        queue: "events".into(),
        started: Instant::now(),
    }
}

async fn serve(view: &StatusView) -> SocketAddr {
    let status = Status::bind(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let address = status.address();
    tokio::spawn(status.serve(view.clone(), CancellationToken::new()));
    address
}

/// Status code and everything after it.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    get_as(address, "localhost", path).await
}

async fn get_as(address: SocketAddr, host: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    (answer[9..12].parse().expect("a status"), answer)
}

#[tokio::test]
async fn every_page_is_there_and_nothing_else() {
    let address = serve(&view()).await;
    for (path, holds) in [
        ("/healthz", "ok"),
        ("/readyz", "ready"),
        ("/metrics", "# TYPE skyferry_objects_total counter"),
        ("/status.json", "\"uptime_seconds\":"),
        ("/", "<!doctype html>"),
    ] {
        let (code, answer) = get(address, path).await;
        assert!(code == 200 && answer.contains(holds), "{path}: {answer}");
    }
    assert_eq!(get(address, "/x").await.0, 404);
}

#[tokio::test]
async fn a_draining_agent_lives_and_is_not_ready() {
    let view = view();
    let address = serve(&view).await;
    view.shutdown.request(ShutdownReason::Terminate);
    assert_eq!((get(address, "/healthz").await.0, get(address, "/readyz").await.0), (200, 503));
    assert!(get(address, "/status.json").await.1.contains("\"draining\":true"));
}

#[tokio::test]
async fn the_report_has_the_names_that_the_page_reads() {
    let view = view();
    view.metrics.count_outcome(Outcome::Copied);
    (0..9).for_each(|_| view.breaker.failed(Channel::DestinationWrites, "denied"));
    let report = serde_json::to_value(Report::of(&view)).expect("JSON");
    assert_eq!(report["copied"], 1);
    assert_eq!(report["queue"]["name"], "events");
    assert_eq!(report["storm"]["side"], "destination");
    assert_eq!(report["storm"]["cause"], "denied");
    for name in report.as_object().expect("an object").keys() {
        assert!(PAGE.contains(name.as_str()), "{name} is told and not shown");
    }
}

#[tokio::test]
async fn a_taken_port_is_told_with_the_setting_to_change() {
    let first = Status::bind(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let error = Status::bind(first.address()).await.err().expect("taken").to_string();
    assert!(error.contains("[status] listen") && error.contains(&first.address().to_string()), "{error}");
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    for outside in ["http://", "https://", "src=", "@import", "innerHTML"] {
        assert!(!PAGE.contains(outside), "{outside}");
    }
}

#[tokio::test]
async fn on_loopback_a_foreign_name_is_refused() {
    let address = serve(&view()).await;
    for own in ["localhost:9180", "127.0.0.1", "[::1]:9180"] {
        assert_eq!(get_as(address, own, "/status.json").await.0, 200, "{own}");
    }
    for foreign in ["rebound.example", "127.0.0.1.rebound.example:9180", "169.254.169.254"] {
        assert_eq!(get_as(address, foreign, "/status.json").await.0, 421, "{foreign}");
    }
}
