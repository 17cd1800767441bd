use super::*;
use crate::model::Overwrite;

fn facts(received_before: bool) -> JobFacts {
    JobFacts {
        received_before,
        large_hint: false,
        requested: false,
        deletes: false,
        overwrite: Overwrite::Always,
        conditional_put: true,
        conditional_finish: false,
    }
}

fn seen(identity: SourceIdentity, headers: Option<u32>) -> ObservedSource {
    ObservedSource { identity, headers, large: false, equal: false, by_version: false, other_headers: false }
}

#[test]
fn a_redelivered_finished_job_costs_one_ledger_request_and_a_look_at_each_side() {
    let identity = SourceIdentity { etag: "e".into(), size: 7, last_modified: 1, version: None };
    let revision = Revision("r".into());
    let (mut protocol, effect) = Protocol::start(Writer(1), facts(true));
    assert_eq!(effect, Effect::Lookup);
    let effect = protocol.step(Answer::Settled(Some((identity.clone(), revision.clone()))));
    assert_eq!(effect, Effect::HeadDestination);
    let effect = protocol.step(Answer::Destination(Some(ObservedDestination {
        revision,
        last_modified: 9,
        ours: None,
        others: false,
    })));
    assert_eq!(effect, Effect::HeadSource);
    let seen = seen(identity, None);
    assert_eq!(protocol.step(Answer::Source(Some(seen))), Effect::End(Disposition::Settled(SettledOutcome::Unchanged)));
}

#[test]
fn a_writer_that_is_fenced_before_it_writes_ends_without_writing() {
    let identity = SourceIdentity { etag: "e".into(), size: 7, last_modified: 1, version: None };
    let (mut protocol, effect) = Protocol::start(Writer(1), facts(false));
    assert_eq!(effect, Effect::Begin);
    assert_eq!(protocol.step(Answer::Begun(WriterHistory::default())), Effect::OpenSource);
    let seen = seen(identity, None);
    assert!(matches!(protocol.step(Answer::Source(Some(seen))), Effect::Put { .. }));
    let effect = protocol.step(Answer::Fenced);
    assert!(
        matches!(effect, Effect::Finish { ending: FinishRequest::Released { .. }, in_doubt: false, .. }),
        "{effect:?}"
    );
    assert_eq!(protocol.step(Answer::Fenced), Effect::End(Disposition::Fenced));
}

fn earlier(n: u128, closable: bool, upload: Option<&str>) -> OpenWriter {
    let upload = upload.map(|id| EarlierUpload { id: UploadId(id.into()), token: Token(n), resumable: None });
    OpenWriter { writer: Writer(n), closable, upload }
}

fn closed(effect: &Effect) -> Vec<u128> {
    match effect {
        Effect::Finish { ending: FinishRequest::Released { .. }, closed, .. } => {
            closed.iter().map(|writer| writer.0).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn fault_b2_a_released_job_closes_those_whose_hold_has_passed_and_whose_uploads_have_ended() {
    let (mut protocol, _) = Protocol::start(Writer(9), facts(false));
    let open = vec![
        earlier(1, true, Some("one")),
        earlier(2, true, None),
        earlier(3, false, None),
        earlier(4, true, Some("two")),
    ];
    let begun = WriterHistory { known: true, published: None, earlier: open };
    assert_eq!(protocol.step(Answer::Begun(begun)), Effect::Abort(UploadId("two".into())));
    assert_eq!(protocol.step(Answer::Done), Effect::CheckUpload(UploadId("two".into())));
    assert_eq!(protocol.step(Answer::UploadGone), Effect::Abort(UploadId("one".into())));
    let effect = protocol.step(Answer::Failed(EffectFailure::Retry { counted: false }));
    assert_eq!(closed(&effect), [2, 4], "the first's upload was not seen to end, the third may still write");
}

#[test]
fn fault_b2_a_writer_that_finds_very_many_open_adds_nothing_to_them() {
    let (mut protocol, _) = Protocol::start(Writer(0), facts(false));
    let open = (1..=MAX_OPEN as u128).map(|n| earlier(n, false, None)).chain([earlier(1000, true, None)]).collect();
    let effect = protocol.step(Answer::Begun(WriterHistory { known: true, published: None, earlier: open }));
    assert!(matches!(effect, Effect::Finish { in_doubt: false, .. }));
    assert_eq!(closed(&effect), [1000]);
    assert_eq!(
        protocol.step(Answer::Finished { others_open: true }),
        Effect::End(Disposition::Retry { counted: false })
    );
}

#[test]
fn fault_b10_an_object_whose_record_cannot_be_used_is_parked_and_nothing_is_begun() {
    let (mut protocol, _) = Protocol::start(Writer(1), facts(false));
    assert_eq!(protocol.step(Answer::Failed(EffectFailure::Park)), Effect::End(Disposition::Parked));
    let (mut protocol, _) = Protocol::start(Writer(1), facts(true));
    assert_eq!(protocol.step(Answer::Failed(EffectFailure::Park)), Effect::End(Disposition::Parked));
}

#[test]
fn fault_a5_an_object_whose_every_write_is_lost_is_parked_at_last_although_its_writers_stay_in_doubt() {
    let (mut protocol, _) = Protocol::start(Writer(1), facts(false));
    assert_eq!(protocol.step(Answer::Begun(WriterHistory::default())), Effect::OpenSource);
    let identity = SourceIdentity { etag: "e".into(), size: 3, last_modified: 1, version: None };
    let seen = seen(identity, None);
    assert!(matches!(protocol.step(Answer::Source(Some(seen))), Effect::Put { .. }));
    assert_eq!(protocol.step(Answer::Lost), Effect::HeadDestination);
    let effect = protocol.step(Answer::Failed(EffectFailure::Park));
    assert!(matches!(effect, Effect::Finish { ending: FinishRequest::Parked, in_doubt: true, .. }), "{effect:?}");
    assert_eq!(protocol.step(Answer::Finished { others_open: true }), Effect::End(Disposition::Parked));
}

/// At the Complete of a large object.
fn completing() -> Protocol {
    let (mut protocol, _) = Protocol::start(Writer(1), JobFacts { conditional_finish: true, ..facts(false) });
    protocol.step(Answer::Begun(WriterHistory::default()));
    let identity = SourceIdentity { etag: "e".into(), size: 9, last_modified: 1, version: None };
    let seen = ObservedSource { large: true, ..seen(identity, None) };
    assert!(matches!(protocol.step(Answer::Source(Some(seen))), Effect::Initiate { .. }));
    protocol.step(Answer::Initiated(UploadId("u".into())));
    protocol.step(Answer::Done);
    assert!(matches!(protocol.step(Answer::Done), Effect::Complete { .. }));
    protocol
}

#[test]
fn fault_b3_a_lost_complete_is_looked_for_again_and_again_before_its_upload_is_aborted() {
    let (mut protocol, upload) = (completing(), UploadId("u".into()));
    let mut effect = protocol.step(Answer::Lost);
    for looks in 1..5 {
        assert_eq!(effect, Effect::HeadDestination);
        assert_eq!(protocol.step(Answer::Destination(None)), Effect::CheckUpload(upload.clone()));
        assert_eq!(protocol.step(Answer::UploadOpen), Effect::Wait { looks });
        effect = protocol.step(Answer::Done);
    }
    assert_eq!(protocol.step(Answer::Destination(None)), Effect::CheckUpload(upload.clone()));
    assert_eq!(protocol.step(Answer::UploadOpen), Effect::Abort(upload));
}

#[test]
fn fault_b3_a_lost_complete_whose_upload_is_gone_is_looked_for_once_more() {
    let mut protocol = completing();
    assert_eq!(protocol.step(Answer::Lost), Effect::HeadDestination);
    protocol.step(Answer::Destination(None));
    assert_eq!(protocol.step(Answer::UploadGone), Effect::HeadDestination, "it may have landed between the two looks");
}

#[test]
fn fault_b3_an_agent_that_drains_leaves_the_upload_of_a_lost_complete_to_its_successor() {
    let mut protocol = completing();
    protocol.step(Answer::Lost);
    protocol.step(Answer::Destination(None));
    assert_eq!(protocol.step(Answer::UploadOpen), Effect::Wait { looks: 1 });
    let effect = protocol.step(Answer::Failed(EffectFailure::Retry { counted: false }));
    assert!(matches!(
        effect,
        Effect::Finish { ending: FinishRequest::Released { upload_left: true, .. }, in_doubt: false, .. }
    ));
}

#[test]
fn fault_b4_an_upload_that_stays_is_aborted_three_times_then_the_message_is_released() {
    let (mut protocol, _) = Protocol::start(Writer(9), facts(false));
    let begun = WriterHistory { known: true, published: None, earlier: vec![earlier(1, true, Some("one"))] };
    let mut effect = protocol.step(Answer::Begun(begun));
    for looks in 1..3 {
        assert_eq!(effect, Effect::Abort(UploadId("one".into())));
        protocol.step(Answer::Done);
        assert_eq!(protocol.step(Answer::UploadOpen), Effect::Wait { looks });
        effect = protocol.step(Answer::Done);
    }
    assert_eq!(effect, Effect::Abort(UploadId("one".into())));
    protocol.step(Answer::Done);
    assert_eq!(closed(&protocol.step(Answer::UploadOpen)), [], "its writer stays open for whoever comes next");
}

/// At the removal of what was stored wrong twice.
fn removing() -> Protocol {
    let (mut protocol, _) = Protocol::start(Writer(1), facts(false));
    protocol.step(Answer::Begun(WriterHistory::default()));
    let identity = SourceIdentity { etag: "e".into(), size: 3, last_modified: 1, version: None };
    let seen = seen(identity, None);
    for revision in ["r1", "r2"] {
        assert!(matches!(protocol.step(Answer::Source(Some(seen.clone()))), Effect::Put { .. }));
        let effect = protocol.step(Answer::PublishedCorrupt(Revision(revision.into())));
        assert!(matches!(effect, Effect::OpenSource | Effect::Delete { .. }), "{effect:?}");
    }
    protocol
}

#[test]
fn fault_b5_a_removal_that_fails_or_is_lost_releases_the_message() {
    for answer in
        [Answer::Lost, Answer::Failed(EffectFailure::Retry { counted: true }), Answer::Failed(EffectFailure::Park)]
    {
        let effect = removing().step(answer);
        assert!(
            matches!(effect, Effect::Finish { ending: FinishRequest::Released { counted: false, .. }, .. }),
            "{effect:?}"
        );
    }
    let effect = removing().step(Answer::Done);
    assert!(matches!(effect, Effect::Finish { ending: FinishRequest::Parked, .. }), "{effect:?}");
}

#[test]
fn fault_b5_wrong_bytes_are_taken_away_where_nothing_will_replace_them() {
    let seen = |wrong| {
        let identity = SourceIdentity { etag: "e".into(), size: 3, last_modified: 1, version: None };
        let proof = if wrong { Integrity::Corrupt } else { Integrity::Unknown };
        let ours = Some(CopyMark { identity, token: Token(77), integrity: proof });
        Answer::Destination(Some(ObservedDestination {
            revision: Revision("r".into()),
            last_modified: 9,
            ours,
            others: false,
        }))
    };
    let remove = Effect::Delete { expected: Expected::Revision(Revision("r".into())) };
    let begun = WriterHistory { known: true, published: None, earlier: Vec::new() };
    for answer in [Answer::Source(None), Answer::Failed(EffectFailure::Park)] {
        let (mut protocol, _) = Protocol::start(Writer(1), facts(false));
        assert_eq!(protocol.step(Answer::Begun(begun.clone())), Effect::HeadDestination);
        protocol.step(seen(true));
        assert_eq!(protocol.step(answer.clone()), remove);
        let (mut protocol, _) = Protocol::start(Writer(1), facts(false));
        protocol.step(Answer::Begun(begun.clone()));
        protocol.step(seen(false));
        assert_ne!(protocol.step(answer), remove, "it may be right");
    }
}

#[test]
fn fault_b8_an_upload_of_the_same_bytes_with_other_headers_is_ended_and_not_taken_over() {
    let identity = SourceIdentity { etag: "e".into(), size: 9, last_modified: 1, version: None };
    for (begun_with, goes_on) in [(Some(1), false), (Some(2), true), (None, true)] {
        let (mut protocol, _) = Protocol::start(Writer(9), facts(false));
        let (upload, held) = (UploadId("u".into()), SourceState { identity: identity.clone(), headers: begun_with });
        let left = EarlierUpload { id: upload.clone(), token: Token(1), resumable: Some(held) };
        let earlier = vec![OpenWriter { writer: Writer(1), closable: true, upload: Some(left) }];
        let effect = protocol.step(Answer::Begun(WriterHistory { known: true, published: None, earlier }));
        assert_eq!(effect, Effect::HeadSource);
        let effect = protocol.step(Answer::Source(Some(seen(identity.clone(), Some(2)))));
        match goes_on {
            true => assert_eq!(effect, Effect::HeadDestination),
            false => assert_eq!(effect, Effect::Abort(upload)),
        }
    }
}
