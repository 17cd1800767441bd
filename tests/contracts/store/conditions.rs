//! Writes that depend on what is there.

use bytes::Bytes;
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Expected, Revision};
use skyferry_core::store::Payload;

use super::{Subject, bytes, kind, streamed};

pub async fn the_capabilities_are_those_of_the_table(on: Subject) {
    assert_eq!(on.sink.capabilities(), on.can.capabilities);
}

/// `Precondition` where the table says so, else it goes through.
fn judge<T>(answer: Result<T, skyferry_core::error::CopyError>, enforced: bool) {
    match answer {
        Ok(_) => assert!(!enforced, "the condition was not enforced"),
        Err(error) => assert!(enforced && error.kind == ErrorKind::Precondition, "{error}"),
    }
}

pub async fn a_write_that_expects_nothing_replaces_nothing(on: Subject) {
    let (first, second) = (bytes(100, 1), bytes(100, 2));
    on.try_put("a", Payload::Whole(first.clone()), &Expected::Absent).await.expect("nothing is there");
    let enforced = on.can.capabilities.conditional_put;
    for payload in [Payload::Whole(second.clone()), streamed(&second)] {
        judge(on.try_put("a", payload, &Expected::Absent).await, enforced);
        assert_eq!(on.read("a").await, Some(if enforced { first.clone() } else { second.clone() }));
    }
}

pub async fn a_write_that_expects_a_revision_replaces_only_that(on: Subject) {
    let old = on.put("a", &bytes(100, 1)).await.revision.unwrap();
    let now =
        on.try_put("a", Payload::Whole(bytes(100, 2)), &Expected::Revision(old.clone())).await.expect("as expected");
    let enforced = on.can.capabilities.conditional_put;
    judge(on.try_put("a", Payload::Whole(bytes(100, 3)), &Expected::Revision(old.clone())).await, enforced);
    assert_eq!(on.read("a").await, Some(bytes(100, if enforced { 2 } else { 3 })));
    on.sink.delete(&on.at("a"), &Expected::Any).await.expect("deleted");
    let answer = on.try_put("a", Payload::Whole(bytes(100, 4)), &Expected::Revision(now.revision.unwrap())).await;
    judge(answer, enforced);
    assert_eq!(on.head("a").await.is_none(), enforced);
}

pub async fn of_many_that_expect_nothing_one_writes(on: Subject) {
    let attempts = (0..8_u8).map(|n| on.try_put("a", Payload::Whole(bytes(1000, n)), &Expected::Absent));
    let attempts = futures_util::future::join_all(attempts.collect::<Vec<_>>());
    let won: Vec<_> = attempts.await.into_iter().filter_map(Result::ok).collect();
    if on.can.capabilities.conditional_put {
        assert_eq!(won.len(), 1);
    }
    let head = on.head("a").await.expect("there");
    assert!(won.iter().any(|published| published.revision.as_ref() == Some(&head.revision)));
}

pub async fn a_delete_that_expects_a_revision_removes_only_that(on: Subject) {
    let old = on.put("a", &bytes(100, 1)).await.revision.unwrap();
    let now = on.put("a", &bytes(100, 2)).await.revision.unwrap();
    let enforced = on.can.capabilities.conditional_delete;
    judge(on.sink.delete(&on.at("a"), &Expected::Revision(old)).await, enforced);
    assert_eq!(on.head("a").await.is_some(), enforced);
    on.sink.delete(&on.at("a"), &Expected::Revision(now)).await.expect("as expected, or gone already");
    assert!(on.head("a").await.is_none());
}

pub async fn deleting_nothing_is_no_error(on: Subject) {
    on.sink.delete(&on.at("never/was"), &Expected::Any).await.expect("no error");
    let revision = on.put("a", &Bytes::new()).await.revision.unwrap();
    on.sink.delete(&on.at("a"), &Expected::Revision(revision.clone())).await.expect("deleted");
    on.sink.delete(&on.at("a"), &Expected::Revision(revision)).await.expect("nothing there is no error");
}

pub async fn a_revision_of_nobodys_making_is_refused_and_harmless(on: Subject) {
    on.put("a", &bytes(10, 1)).await;
    let answer = on.try_put("a", Payload::Whole(bytes(10, 2)), &Expected::Revision(Revision("7".into()))).await;
    if on.can.capabilities.conditional_put {
        assert_eq!(kind(answer), ErrorKind::Precondition);
        assert_eq!(on.read("a").await, Some(bytes(10, 1)));
    }
}
