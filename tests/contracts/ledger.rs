//! What every ledger keeps: the fence, the uploads, the endings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skyferry_core::digest::{Digests, Grade};
use skyferry_core::ledger::{
    BeginResult, LastPublished, Ledger, LedgerError, LedgerRecord, Leftover, PartRecord, Subject, UploadRecord,
    WriterEnd,
};
use skyferry_core::metrics::Outcome;
use skyferry_core::model::{Location, Revision, SourceIdentity, Token, UploadId, Writer};

pub struct Under {
    pub ledger: Arc<dyn Ledger>,
    /// By how much `fenced_for` and `ended_for` may be too small: the clocks of two machines are never known to be equal.
    pub slack: Duration,
    pub _keep: Box<dyn Send>,
}

fn subject(key: &str) -> Subject {
    Subject { source: Location::new("source", key), destination: Location::new("sink", key), primary: true }
}

fn identity(etag: &str) -> SourceIdentity {
    SourceIdentity { etag: etag.into(), size: 5 << 30, last_modified: 1_763_700_000, version: Some("v1".into()) }
}

fn upload(id: &str, parts: u32) -> UploadRecord {
    let digests =
        |number| Digests { length: 16 << 20, crc32c: number, crc64nvme: Some(u64::MAX - 1), ..Default::default() };
    let part = |number| PartRecord { number, etag: format!("etag-{number}").as_str().into(), digests: digests(number) };
    UploadRecord {
        id: UploadId(id.into()),
        token: Token::random(),
        identity: identity("e1"),
        headers: Some(7),
        part_size: 16 << 20,
        parts: (1..=parts).map(part).collect(),
    }
}

fn published(etag: &str, revision: &str) -> LastPublished {
    LastPublished { identity: identity(etag), revision: Revision(revision.into()) }
}

fn settled(published: Option<LastPublished>) -> WriterEnd {
    WriterEnd::Settled { outcome: Outcome::Copied, reason: None, published, digests: None, grade: None }
}

impl Under {
    async fn begin(&self, on: &Subject) -> (Writer, BeginResult) {
        let writer = Writer::random();
        (writer, self.ledger.begin(on, writer).await.expect("begun"))
    }
    async fn finish(&self, on: &Subject, writer: Writer, ending: WriterEnd, closed: &[Writer]) -> bool {
        let left = if matches!(ending, WriterEnd::Released { .. }) { Leftover::Upload } else { Leftover::Nothing };
        self.ledger.finish(on, writer, &ending, left, closed).await.expect("finished").others_open
    }
}

fn is_fenced<T>(answer: Result<T, LedgerError>) -> bool {
    matches!(answer, Err(LedgerError::Fenced))
}

pub async fn an_unknown_key_is_not_known_and_has_no_past(on: Under) {
    let key = subject("a");
    assert_eq!(on.ledger.lookup(&key).await.expect("looked up"), None);
    assert_eq!(on.begin(&key).await.1, BeginResult::default());
}

pub async fn what_was_published_is_told_to_the_next_writer(on: Under) {
    let key = subject("a");
    let (writer, _) = on.begin(&key).await;
    assert!(!on.finish(&key, writer, settled(Some(published("e1", "gen-1"))), &[]).await);
    let (_, begun) = on.begin(&key).await;
    assert!(begun.known && begun.earlier.is_empty());
    assert_eq!(begun.published, Some(published("e1", "gen-1")));
}

pub async fn beginning_makes_a_record_live_and_settling_ends_it(on: Under) {
    let key = subject("a");
    let (writer, _) = on.begin(&key).await;
    let record = on.ledger.lookup(&key).await.expect("looked up").expect("there");
    assert_eq!((record.open_writers, record.ended, record.outcome), (1, false, None));
    let digests = Digests { length: 9, crc32c: 7, crc64nvme: Some(8), md5: Some([1; 16]), ..Default::default() };
    let ending = WriterEnd::Settled {
        outcome: Outcome::Copied,
        reason: None,
        published: Some(published("e", "r")),
        digests: Some(digests),
        grade: Some(Grade::EndToEnd),
    };
    on.finish(&key, writer, ending, &[]).await;
    let record = on.ledger.lookup(&key).await.expect("looked up").expect("there");
    assert_eq!((record.open_writers, record.ended, record.outcome), (0, true, Some(Outcome::Copied)));
    assert_eq!((record.digests, record.grade), (Some(digests), Some(Grade::EndToEnd)));
    let (writer, _) = on.begin(&key).await;
    assert!(!on.ledger.lookup(&key).await.expect("looked up").expect("there").ended, "live again");
    on.finish(&key, writer, settled(None), &[]).await;
    let record = on.ledger.lookup(&key).await.expect("looked up").expect("there");
    assert_eq!((record.published, record.digests), (None, None), "nothing is there any more");
}

pub async fn finding_the_same_state_again_keeps_its_digests(on: Under) {
    let key = subject("a");
    let (writer, _) = on.begin(&key).await;
    let digests = Digests { length: 9, crc32c: 7, ..Default::default() };
    let state = Some(published("e", "r"));
    let ending = WriterEnd::Settled {
        outcome: Outcome::Copied,
        reason: None,
        published: state.clone(),
        digests: Some(digests),
        grade: Some(Grade::InTransit),
    };
    on.finish(&key, writer, ending, &[]).await;
    let (writer, _) = on.begin(&key).await;
    let unchanged =
        WriterEnd::Settled { outcome: Outcome::Unchanged, reason: None, published: state, digests: None, grade: None };
    on.finish(&key, writer, unchanged, &[]).await;
    let record = on.ledger.lookup(&key).await.expect("looked up").expect("there");
    assert_eq!((record.digests, record.grade), (Some(digests), Some(Grade::InTransit)));
}

pub async fn beginning_fences_every_earlier_writer(on: Under) {
    let key = subject("a");
    let (first, _) = on.begin(&key).await;
    let (second, _) = on.begin(&key).await;
    tokio::time::sleep(Duration::from_millis(30) + on.slack).await;
    let (third, begun) = on.begin(&key).await;
    let seen: Vec<Writer> = begun.earlier.iter().map(|earlier| earlier.writer).collect();
    assert_eq!(seen, [first, second], "oldest first");
    assert!(begun.earlier[0].fenced_for >= Duration::from_millis(20), "fenced by the second's coming");
    assert!(begun.earlier[1].fenced_for < Duration::from_millis(20), "fenced just now");
    for writer in [first, second] {
        assert!(is_fenced(on.ledger.checkpoint(&key, writer, Some(&upload("u", 0))).await));
        assert!(is_fenced(on.ledger.finish(&key, writer, &settled(None), Leftover::Uncertain, &[]).await));
        assert!(is_fenced(
            on.ledger.finish(&key, writer, &WriterEnd::Released { counted: false }, Leftover::Uncertain, &[]).await
        ));
    }
    on.ledger.checkpoint(&key, third, Some(&upload("u3", 0))).await.expect("the last writer is not fenced");
}

pub async fn others_that_are_open_are_told_until_they_are_closed(on: Under) {
    let key = subject("a");
    let (first, _) = on.begin(&key).await;
    let (second, _) = on.begin(&key).await;
    assert!(on.finish(&key, second, settled(Some(published("e", "r"))), &[]).await);
    let record = on.ledger.lookup(&key).await.expect("looked up").expect("there");
    assert_eq!((record.open_writers, record.ended), (1, false), "a record with a writer is not ended");
    let (third, begun) = on.begin(&key).await;
    assert_eq!(begun.earlier.len(), 1);
    assert!(!on.finish(&key, third, settled(Some(published("e", "r"))), &[first]).await);
    assert!(on.ledger.lookup(&key).await.expect("looked up").expect("there").ended);
    assert!(is_fenced(on.ledger.checkpoint(&key, first, None).await), "a closed writer stays fenced");
}

pub async fn a_finished_writer_can_do_no_more(on: Under) {
    let key = subject("a");
    let (writer, _) = on.begin(&key).await;
    on.finish(&key, writer, settled(None), &[]).await;
    assert!(is_fenced(on.ledger.checkpoint(&key, writer, Some(&upload("u", 1))).await));
    assert!(is_fenced(on.ledger.finish(&key, writer, &settled(None), Leftover::Nothing, &[]).await));
}

pub async fn a_fenced_writer_that_ends_is_closed_but_settles_nothing(on: Under) {
    let key = subject("a");
    let (first, _) = on.begin(&key).await;
    let (second, begun) = on.begin(&key).await;
    assert_eq!(begun.earlier.len(), 1);
    assert!(is_fenced(
        on.ledger.finish(&key, first, &settled(Some(published("e", "r"))), Leftover::Nothing, &[]).await
    ));
    assert_eq!(on.ledger.lookup(&key).await.expect("looked up").expect("there").published, None);
    assert!(!on.finish(&key, second, settled(None), &[]).await, "nobody else is open any more");
}

pub async fn a_writer_in_doubt_stays_open_until_it_is_closed(on: Under) {
    let key = subject("a");
    let (first, _) = on.begin(&key).await;
    let settled = settled(Some(published("e", "r")));
    let finished = on.ledger.finish(&key, first, &settled, Leftover::Uncertain, &[]).await.expect("finished");
    assert!(finished.others_open, "it is open itself");
    let (second, begun) = on.begin(&key).await;
    assert_eq!(begun.earlier[0].writer, first);
    assert!(!begun.earlier[0].stopped);
    assert!(!on.finish(&key, second, settled, &[first]).await);
}

/// More than one update closes.
pub async fn fault_b2_very_many_open_writers_are_closed_at_once(on: Under) {
    let key = subject("a");
    let mut writers = Vec::new();
    for _ in 0..220 {
        let (writer, _) = on.begin(&key).await;
        let released = WriterEnd::Released { counted: false };
        on.ledger.finish(&key, writer, &released, Leftover::Uncertain, &[]).await.expect("released");
        writers.push(writer);
    }
    let (last, begun) = on.begin(&key).await;
    assert_eq!(begun.earlier.len(), writers.len());
    assert!(!on.finish(&key, last, settled(Some(published("e", "r"))), &writers).await);
    let record = on.ledger.lookup(&key).await.expect("looked up").expect("there");
    assert_eq!((record.open_writers, record.ended), (0, true));
}

pub async fn fault_b2_a_writer_that_is_released_closes_others(on: Under) {
    let key = subject("a");
    let (first, _) = on.begin(&key).await;
    let (second, _) = on.begin(&key).await;
    on.finish(&key, second, WriterEnd::Released { counted: false }, &[first]).await;
    assert!(on.begin(&key).await.1.earlier.is_empty());
}

pub async fn an_upload_is_handed_on_exactly(on: Under) {
    let key = subject("a");
    let (first, _) = on.begin(&key).await;
    let record = upload("upload/with+odd=id", 3);
    on.ledger.checkpoint(&key, first, Some(&upload("older", 1))).await.expect("recorded");
    on.ledger.checkpoint(&key, first, Some(&record)).await.expect("replaced");
    let (_, begun) = on.begin(&key).await;
    assert_eq!(begun.earlier[0].upload, Some(record));
    assert!(!begun.earlier[0].stopped);
}

pub async fn an_upload_of_ten_thousand_parts_is_handed_on(on: Under) {
    let key = subject("a");
    let (first, _) = on.begin(&key).await;
    let record = upload("u", 10_000);
    on.ledger.checkpoint(&key, first, Some(&record)).await.expect("recorded");
    assert_eq!(on.begin(&key).await.1.earlier[0].upload, Some(record));
}

pub async fn a_withdrawn_upload_is_forgotten(on: Under) {
    let key = subject("a");
    let (first, _) = on.begin(&key).await;
    on.ledger.checkpoint(&key, first, Some(&upload("u", 1))).await.expect("recorded");
    on.ledger.checkpoint(&key, first, None).await.expect("withdrawn");
    assert_eq!(on.begin(&key).await.1.earlier[0].upload, None);
}

pub async fn a_released_writer_leaves_only_its_upload(on: Under) {
    let key = subject("a");
    let (first, _) = on.begin(&key).await;
    on.ledger.checkpoint(&key, first, Some(&upload("u", 2))).await.expect("recorded");
    assert!(!on.finish(&key, first, WriterEnd::Released { counted: false }, &[]).await);
    let (second, begun) = on.begin(&key).await;
    assert!(begun.earlier[0].stopped && begun.earlier[0].upload.is_some());
    assert!(on.finish(&key, second, WriterEnd::Released { counted: false }, &[]).await, "the first is still open");
    let (_, begun) = on.begin(&key).await;
    assert_eq!(begun.earlier.len(), 1, "the second had no upload and left nothing");
}

pub async fn failures_are_counted_until_something_settles(on: Under) {
    let key = subject("a");
    for (counted, before) in [(true, 0), (false, 1), (true, 1)] {
        let (writer, begun) = on.begin(&key).await;
        assert_eq!(begun.failures, before);
        on.finish(&key, writer, WriterEnd::Released { counted }, &[]).await;
    }
    let (writer, begun) = on.begin(&key).await;
    assert_eq!(begun.failures, 2);
    on.finish(&key, writer, settled(None), &[]).await;
    assert_eq!(on.begin(&key).await.1.failures, 0);
}

/// What is wrong with the object may be repaired by then: its next event is not parked at the first failure.
pub async fn an_object_that_was_parked_has_all_its_attempts_again(on: Under) {
    let key = subject("a");
    for _ in 0..2 {
        let (writer, _) = on.begin(&key).await;
        on.finish(&key, writer, WriterEnd::Released { counted: true }, &[]).await;
    }
    let (writer, begun) = on.begin(&key).await;
    assert_eq!(begun.failures, 2);
    on.finish(&key, writer, WriterEnd::Parked { reason: "always refused".into() }, &[]).await;
    assert_eq!(on.ledger.lookup(&key).await.expect("looked up").expect("there").failures, 0);
    assert_eq!(on.begin(&key).await.1.failures, 0);
}

/// Ledgers tell times in whole milliseconds.
const TICK: Duration = Duration::from_millis(2);

/// Who has seen it fail before that is reported, also when others have begun since.
pub async fn when_it_last_ended_is_told_to_everybody_who_begins(on: Under) {
    let key = subject("a");
    let mut ended = None;
    for ending in [settled(Some(published("e", "r"))), WriterEnd::Parked { reason: "refused".into() }, settled(None)] {
        for _ in 0..2 {
            let asked = Instant::now();
            let (writer, begun) = on.begin(&key).await;
            assert_eq!(begun.ended_for.is_some(), ended.is_some());
            if let (Some(reported), Some((before, after))) = (begun.ended_for, ended) {
                assert!(reported <= Instant::now() - before + TICK, "{reported:?}");
                assert!(reported + on.slack + TICK >= asked - after, "{reported:?}: a release ends nothing");
            }
            on.finish(&key, writer, WriterEnd::Released { counted: true }, &[]).await;
            tokio::time::sleep(Duration::from_millis(30) + on.slack).await;
        }
        let (writer, _) = on.begin(&key).await;
        let before = Instant::now();
        on.finish(&key, writer, ending, &[]).await;
        ended = Some((before, Instant::now()));
        assert!(on.ledger.lookup(&key).await.expect("looked up").expect("there").ended_for.is_some());
    }
}

pub async fn a_parked_record_keeps_its_reason_and_is_never_ended(on: Under) {
    let key = subject("a");
    let (writer, _) = on.begin(&key).await;
    on.finish(&key, writer, WriterEnd::Parked { reason: "the key has a line feed".into() }, &[]).await;
    let record = on.ledger.lookup(&key).await.expect("looked up").expect("there");
    assert_eq!((record.outcome, record.reason.as_deref()), (Some(Outcome::Parked), Some("the key has a line feed")));
    assert!(!record.ended && record.open_writers == 0);
    let (writer, _) = on.begin(&key).await;
    on.finish(&key, writer, settled(None), &[]).await;
    let record = on.ledger.lookup(&key).await.expect("looked up").expect("there");
    assert_eq!((record.outcome, record.reason, record.ended), (Some(Outcome::Copied), None, true));
}

pub async fn why_something_was_skipped_is_known_until_it_is_copied(on: Under) {
    let key = subject("a");
    let (writer, _) = on.begin(&key).await;
    let reason = Some("another's object stays".to_owned());
    let skipped = WriterEnd::Settled { outcome: Outcome::Skipped, reason, published: None, digests: None, grade: None };
    on.finish(&key, writer, skipped, &[]).await;
    let record = on.ledger.lookup(&key).await.expect("looked up").expect("there");
    let found = (record.outcome, record.reason.as_deref(), record.ended);
    assert_eq!(found, (Some(Outcome::Skipped), Some("another's object stays"), true));
    let (writer, _) = on.begin(&key).await;
    on.finish(&key, writer, settled(None), &[]).await;
    let record = on.ledger.lookup(&key).await.expect("looked up").expect("there");
    assert_eq!((record.outcome, record.reason), (Some(Outcome::Copied), None));
}

pub async fn open_uploads_are_told_by_destination_bucket(on: Under) {
    for (bucket, id) in [("sink", "u1"), ("sink2", "u2")] {
        let key = Subject { destination: Location::new(bucket, "k"), ..subject(id) };
        let (writer, _) = on.begin(&key).await;
        on.ledger.checkpoint(&key, writer, Some(&upload(id, 0))).await.expect("recorded");
        on.finish(&key, writer, WriterEnd::Released { counted: false }, &[]).await;
    }
    let (writer, _) = on.begin(&subject("a")).await;
    on.finish(&subject("a"), writer, settled(None), &[]).await;
    assert_eq!(on.ledger.open_uploads("sink").await.expect("told"), [UploadId("u1".into())]);
}

/// The last writer's, in doubt, and one that was left to it.
pub async fn the_uploads_of_a_parked_object_are_nobodys_until_they_are_taken_over(on: Under) {
    let key = subject("a");
    let reported = async || on.ledger.open_uploads("sink").await.expect("told");
    let record = async |writer, upload: &UploadRecord| {
        on.ledger.checkpoint(&key, writer, Some(upload)).await.expect("recorded");
    };
    let (first, second) = (upload("u1", 0), upload("u2", 0));
    let (writer, _) = on.begin(&key).await;
    record(writer, &first).await;
    on.finish(&key, writer, WriterEnd::Released { counted: true }, &[]).await;
    let (writer, _) = on.begin(&key).await;
    record(writer, &second).await;
    assert_eq!(reported().await.len(), 2);
    let parked = WriterEnd::Parked { reason: "no abort is taken".into() };
    on.ledger.finish(&key, writer, &parked, Leftover::Uncertain, &[]).await.expect("parked");
    assert!(reported().await.is_empty(), "its message is gone");
    let (writer, begun) = on.begin(&key).await;
    let known = begun.earlier.iter().filter_map(|earlier| earlier.upload.as_ref()).map(|upload| upload.id.clone());
    assert_eq!(known.collect::<Vec<_>>(), [first.id.clone(), second.id], "whoever asks again ends them");
    record(writer, &first).await;
    assert!(reported().await.contains(&first.id), "taken over");
    on.finish(&key, writer, WriterEnd::Released { counted: false }, &[]).await;
    assert!(reported().await.contains(&first.id), "and left to the next");
}

pub async fn records_of_different_keys_and_destinations_are_apart(on: Under) {
    let here = subject("a");
    let there = Subject { destination: Location::new("sink2", "a"), primary: false, ..subject("a") };
    let (writer, _) = on.begin(&here).await;
    on.finish(&here, writer, settled(Some(published("e", "r"))), &[]).await;
    for other in [there, subject("a/"), subject("A"), subject("a\n"), subject("é")] {
        assert_eq!(on.begin(&other).await.1, BeginResult::default(), "{other:?}");
    }
}

pub async fn two_destinations_of_one_source_neither_fence_nor_close_each_other(on: Under) {
    let first = subject("a");
    let second = Subject { destination: Location::new("sink2", "a"), primary: false, ..first.clone() };
    let (one, _) = on.begin(&first).await;
    on.ledger.checkpoint(&first, one, Some(&upload("u1", 2))).await.expect("recorded");
    let (two, begun) = on.begin(&second).await;
    assert!(begun.earlier.is_empty(), "{begun:?}");
    on.ledger.checkpoint(&second, two, Some(&upload("u2", 2))).await.expect("recorded");
    on.ledger.checkpoint(&first, one, Some(&upload("u1", 3))).await.expect("not fenced by the other destination");
    assert!(!on.finish(&first, one, settled(Some(published("e", "r1"))), &[]).await, "nobody else is open");
    assert!(!on.finish(&second, two, settled(Some(published("e", "r2"))), &[]).await);
    let records = on.ledger.lookup_all(&[first, second]).await.expect("looked up");
    let revisions = records.iter().map(|record| record.as_ref()?.published.clone());
    assert_eq!(revisions.collect::<Vec<_>>(), [Some(published("e", "r1")), Some(published("e", "r2"))]);
}

/// Time continues.
fn ageless(record: LedgerRecord) -> LedgerRecord {
    LedgerRecord { ended_for: None, ..record }
}

/// A message that is refused may ask for a destination, or name none.
pub async fn fault_c10_what_is_refused_leaves_the_record_of_a_good_copy_alone(on: Under) {
    let good = subject("a");
    let (writer, _) = on.begin(&good).await;
    on.finish(&good, writer, settled(Some(published("e", "r"))), &[]).await;
    let before = on.ledger.lookup(&good).await.expect("looked up");
    for wanted in [None, Some(Location::new("victim", "a"))] {
        let refused = Subject::unrouted(good.source.clone(), wanted);
        let (writer, _) = on.begin(&refused).await;
        on.finish(&refused, writer, WriterEnd::Parked { reason: "no route".into() }, &[]).await;
        let record = on.ledger.lookup(&refused).await.expect("looked up").expect("there");
        assert_eq!((record.outcome, record.reason.as_deref()), (Some(Outcome::Parked), Some("no route")));
        let after = on.ledger.lookup(&good).await.expect("looked up");
        assert_eq!(after.map(ageless), before.clone().map(ageless));
    }
}

pub async fn of_many_that_begin_at_once_one_remains_unfenced(on: Under) {
    let key = subject("a");
    let begun = futures_util::future::join_all((0..20).map(|_| on.begin(&key))).await;
    let finished = begun.iter().map(|(writer, _)| on.ledger.checkpoint(&key, *writer, None));
    let answers = futures_util::future::join_all(finished).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let mut seen: Vec<usize> = begun.iter().map(|(_, begun)| begun.earlier.len()).collect();
    seen.sort();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

pub async fn a_note_is_kept_changed_and_taken_away(on: Under) {
    let mut old = None;
    let values: [Option<&[u8]>; 6] = [Some(b"1"), Some(b"\x00\xff"), Some(b""), None, Some(b"2"), None];
    for new in values {
        assert_eq!(on.ledger.note("pause").await.expect("read").as_deref(), old);
        assert!(on.ledger.set_note("pause", old, new).await.expect("set"), "{old:?} to {new:?}");
        old = new;
    }
    assert_eq!(on.ledger.note("pause").await.expect("read"), None);
}

pub async fn a_note_changes_only_if_it_is_as_expected(on: Under) {
    let set = async |old: Option<&[u8]>, new: Option<&[u8]>| on.ledger.set_note("lead", old, new).await.expect("set");
    assert!(!set(Some(b"a"), Some(b"b")).await, "there is none");
    assert!(!set(Some(b"a"), None).await && !set(Some(b""), None).await, "there is none");
    assert!(set(None, Some(b"a")).await);
    assert!(!set(None, Some(b"b")).await && !set(None, None).await && !set(Some(b"A"), Some(b"b")).await);
    assert_eq!(on.ledger.note("lead").await.expect("read").as_deref(), Some(&b"a"[..]));
    assert_eq!(on.ledger.note("leader").await.expect("read"), None);
}

pub async fn of_many_that_set_a_note_at_once_one_does(on: Under) {
    let values: Vec<Vec<u8>> = (0..20).map(|n| vec![n]).collect();
    let set = values.iter().map(|value| on.ledger.set_note("lead", None, Some(value)));
    let set: Vec<bool> = futures_util::future::join_all(set).await.into_iter().map(|set| set.expect("set")).collect();
    assert_eq!(set.iter().filter(|set| **set).count(), 1);
    let first = set.iter().position(|set| *set).map(|at| values[at].clone());
    assert_eq!(on.ledger.note("lead").await.expect("read"), first);
}

pub async fn notes_are_no_records(on: Under) {
    let key = Subject { source: Location::new("note", "pause"), ..subject("") };
    assert!(on.ledger.set_note("pause", None, Some(b"now")).await.expect("set"));
    assert_eq!(on.begin(&key).await.1, BeginResult::default());
    assert!(on.ledger.open_uploads("sink").await.expect("told").is_empty());
    assert_eq!(on.ledger.note("pause").await.expect("read").as_deref(), Some(&b"now"[..]));
}
