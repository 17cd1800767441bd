use super::*;

fn facts(received_before: bool) -> Facts {
    Facts {
        received_before,
        large_hint: false,
        requested: false,
        deletes: false,
        conditional_put: true,
        conditional_finish: false,
    }
}

#[test]
fn a_redelivered_finished_job_costs_one_ledger_request_and_a_look_at_each_side() {
    let identity = SourceIdentity { etag: "e".into(), size: 7, last_modified: 1, version: None };
    let revision = Revision("r".into());
    let (mut protocol, effect) = Protocol::start(Writer(1), facts(true));
    assert_eq!(effect, Effect::Lookup);
    let effect = protocol.step(Answer::Settled(Some((identity.clone(), revision.clone()))));
    assert_eq!(effect, Effect::HeadDestination);
    let effect = protocol.step(Answer::Destination(Some(DestinationSeen { revision, ours: None, others: false })));
    assert_eq!(effect, Effect::HeadSource);
    let seen = SourceSeen { identity, large: false, equal: false, superseded: false, other_headers: false };
    assert_eq!(protocol.step(Answer::Source(Some(seen))), Effect::End(End::Settled(Settled::Unchanged)));
}

#[test]
fn a_writer_that_is_fenced_before_it_writes_ends_without_writing() {
    let identity = SourceIdentity { etag: "e".into(), size: 7, last_modified: 1, version: None };
    let (mut protocol, effect) = Protocol::start(Writer(1), facts(false));
    assert_eq!(effect, Effect::Begin);
    assert_eq!(protocol.step(Answer::Begun(Begun::default())), Effect::OpenSource);
    let seen = SourceSeen { identity, large: false, equal: false, superseded: false, other_headers: false };
    assert!(matches!(protocol.step(Answer::Source(Some(seen))), Effect::Put { .. }));
    let effect = protocol.step(Answer::Fenced);
    assert!(matches!(effect, Effect::Finish { ending: Ending::Released { .. }, in_doubt: false, .. }), "{effect:?}");
    assert_eq!(protocol.step(Answer::Fenced), Effect::End(End::Fenced));
}

fn earlier(n: u128, closable: bool, upload: Option<&str>) -> Earlier {
    let upload = upload.map(|id| EarlierUpload { id: UploadId(id.into()), token: Token(n), resumable: None });
    Earlier { writer: Writer(n), closable, upload }
}

fn closed(effect: &Effect) -> Vec<u128> {
    match effect {
        Effect::Finish { ending: Ending::Released { .. }, closed, .. } => {
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
    let begun = Begun { known: true, published: None, earlier: open };
    assert_eq!(protocol.step(Answer::Begun(begun)), Effect::Abort(UploadId("two".into())));
    assert_eq!(protocol.step(Answer::Done), Effect::SeeUpload(UploadId("two".into())));
    assert_eq!(protocol.step(Answer::UploadGone), Effect::Abort(UploadId("one".into())));
    let effect = protocol.step(Answer::Failed(Trouble::Again { counted: false }));
    assert_eq!(closed(&effect), [2, 4], "the first's upload was not seen to end, the third may still write");
}

#[test]
fn fault_b2_a_writer_that_finds_very_many_open_adds_nothing_to_them() {
    let (mut protocol, _) = Protocol::start(Writer(0), facts(false));
    let open = (1..=MAX_OPEN as u128).map(|n| earlier(n, false, None)).chain([earlier(1000, true, None)]).collect();
    let effect = protocol.step(Answer::Begun(Begun { known: true, published: None, earlier: open }));
    assert!(matches!(effect, Effect::Finish { in_doubt: false, .. }));
    assert_eq!(closed(&effect), [1000]);
    assert_eq!(protocol.step(Answer::Finished { others_open: true }), Effect::End(End::Again { counted: false }));
}

#[test]
fn fault_b10_an_object_whose_record_cannot_be_used_is_parked_and_nothing_is_begun() {
    let (mut protocol, _) = Protocol::start(Writer(1), facts(false));
    assert_eq!(protocol.step(Answer::Failed(Trouble::Park)), Effect::End(End::Parked));
    let (mut protocol, _) = Protocol::start(Writer(1), facts(true));
    assert_eq!(protocol.step(Answer::Failed(Trouble::Park)), Effect::End(End::Parked));
}

#[test]
fn fault_a5_an_object_whose_every_write_is_lost_is_parked_at_last_although_its_writers_stay_in_doubt() {
    let (mut protocol, _) = Protocol::start(Writer(1), facts(false));
    assert_eq!(protocol.step(Answer::Begun(Begun::default())), Effect::OpenSource);
    let identity = SourceIdentity { etag: "e".into(), size: 3, last_modified: 1, version: None };
    let seen = SourceSeen { identity, large: false, equal: false, superseded: false, other_headers: false };
    assert!(matches!(protocol.step(Answer::Source(Some(seen))), Effect::Put { .. }));
    assert_eq!(protocol.step(Answer::Lost), Effect::HeadDestination);
    let effect = protocol.step(Answer::Failed(Trouble::Park));
    assert!(matches!(effect, Effect::Finish { ending: Ending::Parked, in_doubt: true, .. }), "{effect:?}");
    assert_eq!(protocol.step(Answer::Finished { others_open: true }), Effect::End(End::Parked));
}
