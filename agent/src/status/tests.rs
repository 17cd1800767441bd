use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use tokio::time::Instant;

use super::page::SCRIPT;
use super::*;
use crate::bandwidth::BandwidthNote;
use crate::fleet_note;
use crate::fuse::Fuse;
use crate::limits::{Channel, Limiter};
use crate::pause::{Pause, PauseWatch};
use crate::shutdown::{Shutdown, ShutdownReason};
use crate::token::Token;
use skyferry_core::metrics::Outcome;
use skyferry_core::model::Location;
use skyferry_core::queue::{Queue, QueueTraits};
use skyferry_core::route::{IgnoreList, LiveRoutes, Router as Routes};
use skyferry_sqlite::SqliteFile;
use skyferry_sqlite::queue::SqliteDeadLetters;

fn view() -> StatusView {
    StatusView {
        metrics: Arc::default(),
        breaker: Arc::default(),
        fuse: Arc::new(Fuse::new(0.5, None)),
        rest: PauseWatch::default(),
        shutdown: Shutdown::default(),
        recent: Recent::default(),
        limiter: Arc::new(Limiter::new(1 << 20, 0)),
        history: History::default(),
        routes: LiveRoutes::new(Routes::new(Vec::new(), IgnoreList::default()).expect("routes")),
        queue: "events".into(),
        ends: ["S3".into(), "Google Cloud Storage".into()],
        started: Instant::now(),
        ledger: None,
        letters: None,
        actions: false,
    }
}

async fn serve(view: &StatusView) -> SocketAddr {
    let status = Status::bind(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let address = status.address();
    tokio::spawn(status.serve(view.clone(), None, CancellationToken::new()));
    address
}

/// Status code and everything after it.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    get_as(address, "localhost", path).await
}

async fn get_as(address: SocketAddr, host: &str, path: &str) -> (u16, String) {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
}

async fn ask(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("connected");
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
        ("/charts.json", "\"fine\":"),
        ("/fleet.json", "\"checked\":null"),
        ("/parked.json?search=a%20b", "\"waiting\":0"),
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
    assert_eq!(report["storms"].as_array().map(Vec::len), Some(1));
    // For programs: people see them in the charts.
    let charted = ["bytes_passed", "lag_seconds"];
    let shown = report.as_object().expect("an object").keys().filter(|name| !charted.contains(&name.as_str()));
    for name in shown {
        assert!(SCRIPT.contains(name.as_str()), "{name} is reported and not shown");
    }
}

#[tokio::test]
async fn a_taken_port_is_told_with_the_setting_to_change() {
    let first = Status::bind(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let error = Status::bind(first.address()).await.err().expect("taken").to_string();
    assert!(error.contains("[status] listen") && error.contains(&first.address().to_string()), "{error}");
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere_and_runs_nothing_but_its_own_script() {
    let address = serve(&view()).await;
    let (_, page) = get(address, "/").await;
    for outside in
        ["https://", "src=", "@import", "innerHTML", "outerHTML", "insertAdjacent", "eval(", "style=", "onclick="]
    {
        assert!(!page.contains(outside), "{outside}");
    }
    let namespaces = page.matches("http://www.w3.org/2000/svg").count();
    assert_eq!(page.matches("http://").count(), namespaces, "names, no addresses");
    let policy = page.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).expect("a policy");
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(policy.matches("'sha256-").count(), 2, "{policy}");
}

#[tokio::test]
async fn a_page_is_sent_reports_and_charts_as_they_come() {
    let view = view();
    let address = serve(&view).await;
    let large =
        view.limiter.transfers().begin(&Location::new("b", "<b>\u{202e}k\n"), &Location::new("d", "k"), 100, 40);
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let (mut heard, mut buffer) = (String::new(), [0; 4096]);
    while heard.matches("data: ").count() < 2 {
        let read = stream.read(&mut buffer).await.expect("more");
        assert!(read > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(heard.contains("content-type: text/event-stream"), "{heard}");
    let events = heard.split("data: ").skip(1).filter_map(|text| text.lines().next());
    let first: serde_json::Value = events.map(serde_json::from_str).next().expect("one").expect("JSON");
    assert!(first["charts"]["fine"].is_array());
    let shown = &first["report"]["transfers"][0];
    assert_eq!((&shown["done"], &shown["from"]), (&40.into(), &"b/<b>\\u{202e}k\\n".into()), "nothing turns the line");
    drop(large);
}

const TOKEN: &str = "0123456789abcdef";

#[tokio::test]
async fn the_page_changes_something_only_for_who_shows_the_token_and_nothing_without_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = SqliteFile::open(&folder.path().join("state")).expect("opened");
    let minute = Duration::from_secs(60);
    let traits =
        QueueTraits { visibility: minute, retention: minute, max_receives: None, dead_letters: Some("dead".into()) };
    let queue = Arc::new(file.queue("events", traits).await.expect("a queue"));
    for key in ["a", "b"] {
        let body = json!({ "Src_bucket": "photos", "Src_key": key }).to_string();
        queue.park(&body, &format!("source GetObject photos/{key}: access denied (403)")).await.expect("parked");
    }
    let ledger: Arc<dyn Ledger> = Arc::new(file.ledger());
    let from = queue.clone();
    let letters: LetterSource = Arc::new(move || Box::new(SqliteDeadLetters::new(from.clone())));
    let view = StatusView { ledger: Some(ledger.clone()), letters: Some(letters.clone()), actions: true, ..view() };
    let read_only = serve(&view).await;
    let rest = view.rest.clone();
    let actions = Actions { token: Arc::new(Token::new(TOKEN)), ledger: ledger.clone(), letters: Some(letters), rest };
    let status = Status::bind(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let address = status.address();
    tokio::spawn(status.serve(view.clone(), Some(actions), CancellationToken::new()));

    let parked = get(address, "/parked.json?search=PHOTOS%2Fa").await.1;
    assert!(
        parked.contains(r#""kinds":{"source GetObject: access denied (403)":1}"#) && parked.contains("\"waiting\":2")
    );
    let act = async |at: SocketAddr, name: &str, token: &str, body: &str| {
        let length = body.len();
        let head = "Host: localhost\r\nConnection: close\r\nContent-Type: application/json";
        let head =
            format!("POST /actions/{name} HTTP/1.1\r\n{head}\r\nAuthorization: {token}\r\nContent-Length: {length}");
        ask(at, &format!("{head}\r\n\r\n{body}")).await.0
    };
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(act(read_only, "pause", &bearer, "{}").await, 404, "no token is set there");
    for wrong in ["", "Bearer ", "Bearer 0123456789abcdee", "Basic OjAxMjM0NTY3ODlhYmNkZWY="] {
        assert_eq!(act(address, "pause", wrong, "{}").await, 401, "{wrong}");
    }
    assert_eq!(get(address, "/actions/pause").await.0, 405, "a link does nothing");
    assert_eq!(Pause::read(&*ledger).await.expect("read"), None);
    assert_eq!(act(address, "pause", &bearer, r#"{"reason":"a look"}"#).await, 200);
    assert_eq!(Pause::read(&*ledger).await.expect("read").and_then(|pause| pause.reason).as_deref(), Some("a look"));
    assert_eq!(get(address, "/readyz").await.0, 503, "it looks at once");
    assert_eq!(act(address, "resume", &bearer, "{}").await, 200);
    assert_eq!((Pause::read(&*ledger).await.expect("read"), get(address, "/readyz").await.0), (None, 200));
    for wrong in ["{}", r#"{"rate":"much"}"#] {
        assert_eq!(act(address, "limit", &bearer, wrong).await, 400, "{wrong}");
    }
    assert_eq!(act(address, "limit", &bearer, r#"{"rate":"2MB/s"}"#).await, 200);
    let limit = async || fleet_note::read::<BandwidthNote>(&*ledger).await.expect("read").map(|note| note.rate);
    assert_eq!(limit().await, Some(2_000_000));
    assert_eq!((act(address, "limit", &bearer, r#"{"rate":"off"}"#).await, limit().await), (200, None));
    assert_eq!(act(address, "redrive", &bearer, r#"{"ids":["1"]}"#).await, 200);
    assert_eq!(queue.depth().await.expect("asked").visible, 1, "one of them");
    assert_eq!(act(address, "redrive", &bearer, "{}").await, 200);
    assert_eq!(queue.depth().await.expect("asked").visible, 2);
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
