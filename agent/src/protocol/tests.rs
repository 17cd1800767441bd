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
    let seen = SourceSeen { identity, large: false, equal: false, superseded: false };
    assert_eq!(protocol.step(Answer::Source(Some(seen))), Effect::End(End::Settled(Settled::Unchanged)));
}

#[test]
fn a_writer_that_is_fenced_before_it_writes_ends_without_writing() {
    let identity = SourceIdentity { etag: "e".into(), size: 7, last_modified: 1, version: None };
    let (mut protocol, effect) = Protocol::start(Writer(1), facts(false));
    assert_eq!(effect, Effect::Begin);
    assert_eq!(protocol.step(Answer::Begun(Begun::default())), Effect::OpenSource);
    let seen = SourceSeen { identity, large: false, equal: false, superseded: false };
    assert!(matches!(protocol.step(Answer::Source(Some(seen))), Effect::Put { .. }));
    let effect = protocol.step(Answer::Fenced);
    assert!(matches!(effect, Effect::Finish { ending: Ending::Released { .. }, in_doubt: false, .. }), "{effect:?}");
    assert_eq!(protocol.step(Answer::Fenced), Effect::End(End::Fenced));
}
