//! Sources that change while they are copied, and versions asked for by name.

use std::time::Duration;

use sandbox::{Fault, Operation, Rule, S3Options};

use crate::running::{Fixture, SINK, SOURCE, created, finish};
use fixture::{bytes, only_ever_showed};

#[tokio::test]
async fn a_burst_of_overwrites_of_one_key_costs_few_writes() {
    let fixture = Fixture::new().await;
    let states: Vec<Vec<u8>> = (0..100).map(|n| bytes(1000 + n, n as u8)).collect();
    let agent = fixture.agent().await;
    let events: Vec<String> = states.iter().map(|_| created("k")).collect();
    for state in &states {
        fixture.put("k", state);
    }
    agent.queue().send(&events).await.expect("sent");
    let summary = finish(agent).await;
    assert_eq!(summary.copied + summary.unchanged, 100);
    assert!(fixture.copy("k").as_ref() == states.last());
    // Google takes about one write a second on a name.
    assert_eq!(
        fixture.gcs.counts().of(Operation::PutObject),
        1,
        "one event brought the newest state, the others found it"
    );
}

#[tokio::test]
async fn overwrites_while_it_is_copied_end_at_the_last_and_show_nothing_else() {
    let fixture = Fixture::new().await;
    let states: Vec<Vec<u8>> = (0..20).map(|n| bytes(3 << 20, n)).collect();
    fixture.put("k", &states[0]);
    fixture.gcs.faults().add(Rule::on(Operation::PutObject, Fault::LateAnswer(Duration::from_millis(50))).always());
    let agent = fixture.agent().await;
    let queue = agent.queue().clone();
    let writes = async {
        for state in &states {
            fixture.put("k", state);
            queue.send(&[created("k")]).await.expect("sent");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    let (summary, ()) = tokio::join!(finish(agent), writes);
    drop(queue);
    let rest = fixture.drain(&[created("k")]).await;
    assert_eq!((summary.parked, rest.parked), (0, 0));
    let all: Vec<&[u8]> = states.iter().map(Vec::as_slice).collect();
    only_ever_showed(&fixture.gcs.history(SINK, "k"), &all, "overwrites");
    assert!(fixture.copy("k").as_ref() == states.last());
}

/// An event that names its version.
fn of_version(key: &str, version: &str) -> String {
    created(key).replacen(r#""key":"#, &format!(r#""versionId":"{version}","key":"#), 1)
}

#[tokio::test]
async fn with_exact_versions_the_event_s_own_is_read_and_an_older_one_never_replaces_a_newer() {
    let versioned = S3Options { versioning: true, ..S3Options::default() };
    let fixture = Fixture::of(
        versioned,
        "[transfer]\nversions = \"exact\"\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"",
    )
    .await;
    let old = fixture.s3.set_object(SOURCE, "k", bytes(12 << 20, 1)).expect("an object");
    // Times are reported in seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let new = fixture.s3.set_object(SOURCE, "k", bytes(9 << 20, 2)).expect("an object");
    let version = |info: &sandbox::ObjectInfo| of_version("k", info.version_id.as_deref().expect("a version"));

    let first = fixture.drain(&[version(&old)]).await;
    assert_eq!(first.copied, 1);
    assert!(
        fixture.copy("k") == Some(bytes(12 << 20, 1)),
        "the version that the event tells of, although there is a newer one"
    );
    let second = fixture.drain(&[version(&new)]).await;
    assert_eq!(second.copied, 1);
    let late = fixture.drain(&[version(&old)]).await;
    assert_eq!((late.copied, late.unchanged), (0, 1));
    assert!(fixture.copy("k") == Some(bytes(9 << 20, 2)));
    let gone = fixture.drain(&[of_version("k", "v0000000000009999")]).await;
    assert_eq!(gone.unchanged, 1, "of a version that is no more, the newest state is looked at");
}
