//! Whose trouble a failure is: a side's, which keeps the messages, or one object's, which is parked with the reason.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;
use sandbox::{Fault, Operation, Received, Reply, Rule, Scripted};
use skyferry_core::metrics::Summary;

use crate::fixture::{Fixture, LARGE, SINK, SOURCE, completed};
use crate::log::Log;

/// How long the outages of these tests last, from the first request that meets them.
const OUTAGE: Duration = Duration::from_secs(5);
/// The attempts after which an object is parked, but one.
const ALL_BUT_ONE: u32 = 7;
const PAGE: &str = "<html><body>Bad Gateway</body></html>";

fn is_put(request: &Received) -> bool {
    request.method == Method::PUT && !request.target.contains("uploadId")
}

/// A stage whose destination answers like this for a while to what `meets`.
fn outage(meets: fn(&Received) -> bool, answer: Scripted) -> Fixture {
    let began = OnceLock::new();
    Fixture::new("generic", move |request, right| {
        let meets = meets(request) && began.get_or_init(Instant::now).elapsed() < OUTAGE;
        if meets { answer.clone() } else { right() }
    })
}

/// A stage whose destination answers like this, for ever, to writes of `bad`.
fn poisoned(answer: Scripted) -> Fixture {
    Fixture::new(
        "generic",
        move |request, right| {
            if is_put(request) && request.target.ends_with("/bad") { answer.clone() } else { right() }
        },
    )
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("k{n:02}")).collect()
}

/// Puts these objects at the source, and runs an agent on their events.
async fn run(fixture: &Fixture, keys: &[String]) -> crate::fixture::Ran {
    keys.iter().for_each(|key| fixture.put(SOURCE, key, key.as_bytes()));
    let objects: Vec<(&str, &str)> = keys.iter().map(|key| (SOURCE, key.as_str())).collect();
    fixture.run(&objects).await
}

#[tokio::test]
async fn fault_a4_a_destination_that_shows_objects_and_takes_none_costs_no_message_and_is_not_hammered() {
    let answers = [Scripted::error(503, "SlowDown"), Scripted::error(500, "InternalError"), Scripted::new(504, PAGE)];
    join_all(answers.map(|answer| async move {
        let (fixture, keys) = (outage(is_put, answer), keys(40));
        let ran = run(&fixture, &keys).await;
        // A lost answer leaves a writer in doubt: its object is looked at once more, and then found unchanged.
        let (done, parked) = (ran.summary.copied + ran.summary.unchanged, ran.summary.parked);
        assert_eq!((done, parked), (40, 0), "{:?}", ran.reasons);
        assert!(keys.iter().all(|key| fixture.copy(key).is_some_and(|body| body == key.as_bytes())));
        // Twice each before anybody knows (a lost answer is followed by one more try), once each in the end, and probes.
        let puts = ran.count(Method::PUT, "/copies/");
        assert!(puts < 2 * 40 + 40 + 40, "{puts} PUTs");
    }))
    .await;
}

#[tokio::test]
async fn fault_a4_a_source_that_shows_objects_and_gives_none_costs_no_message_and_is_not_hammered() {
    let answers = [(503, "<Error><Code>SlowDown</Code></Error>"), (403, "<Error/>"), (504, PAGE)];
    join_all(answers.map(|(status, body)| async move {
        let (fixture, keys) = (Fixture::new("generic", |_, right| right()), keys(40));
        let answer = Reply { status, body: body.into(), ..Reply::default() };
        assert_eq!(run(&fixture, &keys).await.summary.copied, 40);
        // Known by now, so each look is a HEAD, which passes.
        let before = fixture.s3.counts().requests.get(&Operation::GetObject).copied().unwrap_or(0);
        keys.iter().for_each(|key| fixture.put(SOURCE, key, format!("{key}, the second state").as_bytes()));
        fixture.s3.faults().add(Rule::on(Operation::GetObject, Fault::Instead(answer)).always());
        let objects: Vec<(&str, &str)> = keys.iter().map(|key| (SOURCE, key.as_str())).collect();
        let end = async {
            tokio::time::sleep(OUTAGE).await;
            fixture.s3.faults().clear();
        };
        let (ran, ()) = tokio::join!(fixture.run(&objects), end);
        let Summary { copied, parked, .. } = ran.summary;
        assert_eq!((copied, parked), (40, 0), "{:?}", ran.reasons);
        let gets = fixture.s3.counts().requests[&Operation::GetObject] - before;
        // Each of a few tries within a second, twice before anybody knows; once in the end; and probes.
        assert!(gets < 40 * 3 * 2 + 40 + 60, "{gets} GETs");
    }))
    .await;
}

#[tokio::test]
async fn fault_a6_a_page_with_400_in_answer_to_everything_costs_no_message() {
    let fixture = outage(|_| true, Scripted::new(400, PAGE));
    let ran = run(&fixture, &keys(60)).await;
    assert_eq!((ran.summary.copied, ran.summary.parked), (60, 0), "{:?}", ran.reasons);
}

#[tokio::test]
async fn a_refusal_of_everything_is_an_outage_however_it_is_spelt() {
    let answers = [(403, "AccessDenied"), (409, "SomethingNew"), (501, "NotImplemented")];
    join_all(answers.map(|(status, code)| async move {
        let fixture = outage(is_put, Scripted::error(status, code));
        let ran = run(&fixture, &keys(20)).await;
        assert_eq!((ran.summary.copied, ran.summary.parked), (20, 0), "{code}: {:?}", ran.reasons);
    }))
    .await;
}

#[tokio::test]
async fn fault_a5_an_object_that_fails_while_others_pass_is_parked_after_its_attempts() {
    for (status, code) in [(500, "InternalError"), (503, "SlowDown")] {
        // More than go at once: others pass after it has failed.
        let (fixture, mut keys) = (poisoned(Scripted::error(status, code)), keys(100));
        fixture.failed_before("bad", ALL_BUT_ONE).await;
        keys.insert(0, "bad".into());
        let ran = run(&fixture, &keys).await;
        assert_eq!((ran.summary.copied, ran.summary.parked), (100, 1), "{code}: {:?}", ran.reasons);
        let reason = &ran.reasons[0];
        assert!(reason.contains(&format!("{status} {code}")) && reason.contains("bad"), "{reason}");
        let puts = ran.count(Method::PUT, "/bad");
        assert!(puts <= 4, "{puts} PUTs");
    }
}

#[tokio::test]
async fn an_agent_that_is_stopped_repeats_the_last_failure_of_what_is_not_done() {
    let (fixture, log) = (poisoned(Scripted::error(503, "SlowDown")), Log::default());
    fixture.put(SOURCE, "bad", b"bad");
    let listening = log.listen();
    fixture.stopped(&[(SOURCE, "bad")], Duration::from_secs(4)).await;
    drop(listening);
    let last = log.text().lines().last().expect("lines").to_owned();
    let needed = ["stopped", "destination PutObject", &format!("{SINK}/bad"), "503 SlowDown: m"];
    assert!(needed.iter().all(|part| last.contains(part)), "{last}");
    assert!(log.text().matches("to be tried again").count() > 0, "and it was logged while the agent worked");
}

#[tokio::test]
async fn fault_a7_and_a8_a_refusal_of_one_object_is_its_own_and_names_the_code() {
    for (status, code) in
        [(409, "ObjectUnderRetention"), (409, "XMinioObjectExistsAsDirectory"), (400, "EntityTooLarge")]
    {
        let (fixture, mut keys) = (poisoned(Scripted::error(status, code)), keys(10));
        keys.push("bad".into());
        let ran = run(&fixture, &keys).await;
        assert_eq!((ran.summary.copied, ran.summary.parked), (10, 1), "{code}: {:?}", ran.reasons);
        let reason = &ran.reasons[0];
        assert!(reason.contains(&format!("{status} {code}: m")) && reason.contains("copies/bad"), "{reason}");
        let puts = ran.count(Method::PUT, "/bad");
        assert!(puts <= 4, "{code}: {puts} PUTs");
    }
}

#[tokio::test]
async fn fault_a3_what_was_published_is_found_by_its_token_whatever_the_answer_names() {
    let body = "x".repeat(LARGE);
    let answers = [completed(""), Scripted::new(200, ""), completed("another")];
    join_all(answers.map(|answer| {
        let body = &body;
        async move {
            let fixture = Fixture::new("generic", move |request, right| {
                let right = right();
                let odd = request.method == Method::POST && request.target.contains("uploadId");
                if odd { answer.clone() } else { right }
            });
            fixture.put(SOURCE, "large", body.as_bytes());
            let ran = fixture.run(&[(SOURCE, "large")]).await;
            assert_eq!((ran.summary.copied, ran.summary.parked), (1, 0), "{:?}", ran.reasons);
            assert!(fixture.copy("large").is_some_and(|copy| copy == body.as_bytes()));
            let removals = ran.received.iter().filter(|r| r.method == Method::DELETE && !r.target.contains("uploadId"));
            assert_eq!((removals.count(), ran.count(Method::POST, "uploads")), (0, 1));
            let ran = fixture.run(&[(SOURCE, "large")]).await;
            assert_eq!(ran.summary.unchanged, 1, "and it stays known");
        }
    }))
    .await;
}

#[tokio::test]
async fn fault_a3_a_put_whose_answer_names_no_etag_has_arrived() {
    let fixture = Fixture::new("generic", |request, right| {
        let right = right();
        if is_put(request) { Scripted::new(200, "") } else { right }
    });
    let ran = run(&fixture, &keys(3)).await;
    assert_eq!((ran.summary.copied, ran.summary.parked), (3, 0), "{:?}", ran.reasons);
    assert_eq!(ran.count(Method::PUT, "/copies/"), 3);
}

#[tokio::test]
async fn fault_a20_keys_that_the_destination_merges_replace_nothing_and_are_parked_with_both_names() {
    for profile in ["generic", "aws"] {
        let fixture = Fixture::new(profile, |request, right| {
            // `a//b` is `a/b` there.
            let merged = request.target.contains("a//b");
            if merged && is_put(request) && request.headers.contains_key("if-none-match") {
                return Scripted::error(412, "PreconditionFailed");
            }
            assert!(!merged || !is_put(request), "replaced");
            right()
        });
        fixture.put(SOURCE, "a/b", b"one");
        fixture.put(SOURCE, "a//b", b"two");
        assert_eq!(fixture.run(&[(SOURCE, "a/b")]).await.summary.copied, 1);
        fixture.merge("a/b", "a//b");
        let ran = fixture.run(&[(SOURCE, "a//b")]).await;
        assert_eq!((ran.summary.copied, ran.summary.parked), (0, 1), "{profile}: {:?}", ran.reasons);
        let reason = &ran.reasons[0];
        assert!(reason.contains("photos/a/b") && reason.contains("photos/a//b"), "{reason}");
        assert_eq!(fixture.copy("a/b").as_deref(), Some(&b"one"[..]));
    }
}

#[tokio::test]
async fn fault_a21_two_sources_of_one_destination_key_are_never_mixed() {
    for profile in ["generic", "aws"] {
        let fixture = Fixture::new(profile, |_, right| right());
        fixture.put(SOURCE, "k", b"one");
        fixture.put("other", "k", b"two");
        assert_eq!(fixture.run(&[(SOURCE, "k")]).await.summary.copied, 1);
        let ran = fixture.run(&[("other", "k")]).await;
        assert_eq!((ran.summary.copied, ran.summary.parked), (0, 1), "{profile}: {:?}", ran.reasons);
        let reason = &ran.reasons[0];
        assert!(reason.contains("photos/k") && reason.contains("other/k"), "{reason}");
        assert_eq!(fixture.copy("k").as_deref(), Some(&b"one"[..]));
        assert_eq!(fixture.run(&[(SOURCE, "k")]).await.summary.unchanged, 1, "and the first goes on");
    }
}

#[tokio::test]
async fn fault_a25_a_checksum_that_the_destination_refuses_is_named_with_its_remedy() {
    let fixture = Fixture::new("aws", |request, right| {
        let complete = request.method == Method::POST && request.target.contains("uploadId");
        if complete { Scripted::error(400, "BadDigest") } else { right() }
    });
    fixture.put(SOURCE, "large", "x".repeat(LARGE).as_bytes());
    fixture.failed_before("large", ALL_BUT_ONE).await;
    let ran = fixture.run(&[(SOURCE, "large")]).await;
    assert_eq!((ran.summary.copied, ran.summary.parked), (0, 1), "{:?}", ran.reasons);
    let reason = &ran.reasons[0];
    let needed = ["CompleteMultipartUpload", &format!("{SINK}/large"), "400 BadDigest", "profile = \"generic\""];
    assert!(needed.iter().all(|part| reason.contains(part)), "{reason}");
}
