use std::sync::Arc;
use std::time::Duration;

use super::*;
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Expected, Location, Token};

const WRITES: Channel = Channel::DestinationWrites;

fn put() -> RequestVerb {
    RequestVerb::of(&Effect::Put { token: Token(1), expected: Expected::Any }, Side::Destination)
}

fn initiate() -> RequestVerb {
    RequestVerb::of(&Effect::Initiate { token: Token(1) }, Side::Destination)
}

fn complete() -> RequestVerb {
    let upload = UploadId("u".into());
    RequestVerb::of(&Effect::Complete { upload, expected: Expected::Any }, Side::Destination)
}

/// An object, by its key.
struct Rig(Breaker);

impl Rig {
    fn new() -> Rig {
        Rig(Breaker::default())
    }
    fn passes(&self, verb: RequestVerb, key: &str) {
        self.0.object_succeeded(verb, self.0.object(&key));
    }
    fn fails(&self, verb: RequestVerb, key: &str) -> Blame {
        let error =
            CopyError::new(verb.channel.side(), ErrorKind::Unavailable, "PutObject", &Location::new("b", key), "503");
        self.0.object_failed(verb, self.0.object(&key), &error, "unavailable")
    }
    fn ended(&self, key: &str, at: Instant) {
        self.0.object_ended(self.0.object(&key), at);
    }
    fn forget(&self, key: &str) {
        self.0.forget(self.0.object(&key));
    }
}

/// Another moment than the last one.
async fn later() {
    tokio::time::advance(Duration::from_millis(2)).await;
}

#[tokio::test(start_paused = true)]
async fn an_object_is_to_blame_when_others_pass_after_its_first_failure() {
    let rig = Rig::new();
    rig.passes(put(), "other");
    later().await;
    assert_eq!(rig.fails(put(), "k"), Blame::Unknown, "the first failure of an outage looks the same");
    rig.passes(RequestVerb::of(&Effect::HeadDestination, Side::Destination), "other");
    later().await;
    assert_eq!(rig.fails(put(), "k"), Blame::Unknown, "a look proves nothing about a write");
    rig.passes(put(), "other");
    later().await;
    assert_eq!(rig.fails(put(), "k"), Blame::Object, "also long after: nothing else is left to be tried");
    rig.forget("k");
    assert_eq!(rig.fails(put(), "k"), Blame::Unknown);
}

#[tokio::test(start_paused = true)]
async fn what_an_object_met_before_another_agent_ended_it_counts_no_more() {
    let rig = Rig::new();
    rig.fails(put(), "k");
    later().await;
    rig.passes(put(), "other");
    let end = Instant::now();
    later().await;
    rig.ended("k", end);
    assert_ne!(rig.fails(put(), "k"), Blame::Object, "an outage may begin now");
    later().await;
    rig.ended("k", end);
    rig.passes(put(), "other");
    later().await;
    assert_eq!(rig.fails(put(), "k"), Blame::Object, "what it met after that end counts");
}

#[tokio::test(start_paused = true)]
async fn success_of_one_verb_proves_nothing_about_another() {
    let rig = Rig::new();
    for key in ["a", "b", "a", "b", "a"] {
        rig.passes(initiate(), key);
        later().await;
        assert_ne!(rig.fails(complete(), key), Blame::Object, "uploads begin, and none is completed");
        later().await;
    }
    assert!(rig.0.outage().is_none(), "something passes");
    for key in ["x", "y"] {
        rig.passes(RequestVerb::of(&Effect::HeadSource, Side::Source), key);
        later().await;
        assert_ne!(rig.fails(RequestVerb::of(&Effect::OpenSource, Side::Source), key), Blame::Object);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_alone_with_its_verb_is_compared_with_others_of_the_channel() {
    let rig = Rig::new();
    rig.passes(initiate(), "large");
    later().await;
    assert_eq!(rig.fails(complete(), "large"), Blame::Unknown);
    later().await;
    rig.passes(initiate(), "large");
    later().await;
    assert_eq!(rig.fails(complete(), "large"), Blame::Unknown, "its own success proves nothing");
    later().await;
    rig.passes(put(), "small");
    later().await;
    assert_eq!(rig.fails(complete(), "large"), Blame::Object);
}

#[tokio::test(start_paused = true)]
async fn several_objects_in_a_row_are_an_outage_and_its_end_clears_their_sheets() {
    let rig = Rig::new();
    assert_eq!(rig.fails(put(), "a"), Blame::Unknown);
    assert_eq!(rig.fails(put(), "b"), Blame::Outage);
    assert!(rig.0.outage().is_none());
    (0..3).for_each(|_| assert_eq!(rig.fails(put(), "a"), Blame::Outage));
    let outage = rig.0.outage().expect("five in a row");
    assert_eq!((outage.channel, outage.failures), (WRITES, 5));
    rig.passes(RequestVerb::of(&Effect::HeadDestination, Side::Destination), "a");
    assert!(rig.0.outage().is_some(), "the destination answers looks and refuses writes");
    later().await;
    rig.passes(put(), "c");
    assert!(rig.0.outage().is_none() && rig.0.last_error().is_none());
    later().await;
    assert_eq!(rig.fails(put(), "a"), Blame::Unknown);
}

#[test]
fn one_object_alone_opens_nothing_and_its_end_ends_the_trouble() {
    let rig = Rig::new();
    (0..100).for_each(|_| assert_eq!(rig.fails(put(), "k"), Blame::Unknown));
    assert!(rig.0.outage().is_none());
    assert_eq!(rig.0.last_error().map(|(error, _)| error.kind), Some(ErrorKind::Unavailable));
    assert_eq!(rig.0.unsettled_errors().len(), 1);
    rig.forget("k");
    assert!(rig.0.last_error().is_none() && rig.0.unsettled_errors().is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_many_failing_objects_the_last_ones_are_remembered() {
    let rig = Rig::new();
    for n in 0..1_200 {
        rig.fails(put(), &n.to_string());
        later().await;
    }
    let unsettled = rig.0.unsettled_errors();
    let keys = [&unsettled[0], &unsettled[999]].map(|error| error.key.to_string());
    assert_eq!((unsettled.len(), keys), (1_000, ["200".into(), "1199".into()]));
}

#[tokio::test]
async fn whoever_waits_for_the_recovery_hears_of_it_at_once() {
    let breaker = Arc::new(Breaker::default());
    breaker.wait_until_closed().await;
    (0..5).for_each(|_| breaker.failed(Channel::Ledger, "unavailable"));
    let waiting = tokio::spawn({
        let breaker = breaker.clone();
        async move { breaker.wait_until_closed().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    breaker.succeeded(Channel::Ledger);
    waiting.await.unwrap();
}

/// A job looks at a recorded copy beside its source. Writes that pass say nothing about such a look.
#[tokio::test(start_paused = true)]
async fn a_look_at_the_copy_beside_the_source_s_is_judged_by_other_looks() {
    for effect in [Effect::HeadSource, Effect::OpenSource] {
        let beside = RequestVerb::of(&effect, Side::Destination);
        let rig = Rig::new();
        rig.fails(beside, "k");
        later().await;
        rig.passes(complete(), "other");
        later().await;
        assert_eq!(rig.fails(beside, "k"), Blame::Unknown, "{effect:?}");
        rig.passes(RequestVerb::of(&Effect::HeadDestination, Side::Destination), "other");
        later().await;
        assert_eq!(rig.fails(beside, "k"), Blame::Object, "{effect:?}");
    }
}
