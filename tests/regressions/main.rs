//! The regressions: the losses and faults of the four programs that Skyferry replaces, each with the test that keeps it from
//! coming back. Numbers are those of the list of faults; a number without a test here has it where its code is.
//!
//! 1. The message was deleted for every outcome but a time-out: AccessDenied, revoked keys, NoSuchKey, InvalidObjectState,
//!    exhausted parts. Lost: [`queued::regression_01_no_failure_loses_a_message_on_ministack`].
//! 2. Of a message with several records only the last was copied: [`regression_02_every_record_of_a_message_is_read`],
//!    [`shown::regression_02_every_record_of_a_message_is_copied`].
//! 3. Resuming trusted part *numbers*: stale parts of another version were completed without reading the source:
//!    `regression_03_recorded_parts_of_another_state_are_never_completed` (of `skyferry copy`, like 14 and 17).
//! 4. The promised second look at the version after the copy did not exist: half-old, half-new objects by default:
//!    [`shown::regression_04_a_source_that_changes_under_a_copy_never_gives_a_mixture`].
//! 5. `ifVerifyMD5Twice` compared an MD5 of MD5s with an ETag: on GCS and under SSE-KMS it would delete good copies:
//!    [`shown::regression_05_good_copies_whose_etag_is_no_md5_stay`].
//! 6. Path arithmetic: `a//b` became `a/b` (two keys collided), `/abs` escaped the prefix:
//!    [`regression_06_keys_that_look_alike_stay_apart`], [`regression_06_no_key_leaves_the_prefix`].
//! 7. Content-Type, metadata and tags were dropped: [`shown::regression_07_content_type_and_metadata_travel`].
//! 8. A TestEvent ended in the dead-letter queue; removal events crashed and came back:
//!    [`regression_08_a_test_event_asks_for_nothing`], [`regression_08_removals_are_read_like_any_event`].
//! 9. No visibility heartbeat: a job of more than an hour was done twice at once:
//!    [`queued::regression_09_a_job_longer_than_its_visibility_is_done_once_on_ministack`].
//! 10. Jobsender: quadratic comparison; the prefix `sp` also took `sp2/` ([`regression_10_a_prefix_is_a_folder`]); `dp/` sent
//!     everything again, and so did a failed listing of the destination
//!     (`regression_10_prefixes_are_folders_and_a_failed_listing_sends_nothing`, with `scan`); `Failed` entries of a batch were
//!     ignored: [`queued::regression_10_failed_entries_of_a_batch_are_sent_again`].
//! 11. The event-trigger tool replaced the bucket's whole notification configuration:
//!     `regression_11_what_others_have_wired_stays_on_ministack` (of `skyferry trigger`).
//! 12. The inventory tool read the size from a fixed column, which a versioned report shifts:
//!     `regression_12_the_size_is_read_where_the_reports_own_schema_says` (of `skyferry inventory`).
//! 13. Small files were never counted as complete by the metrics:
//!     [`counted::regression_13_small_files_are_counted_as_complete`].
//! 14. The download script renamed files with missing parts as complete; `a.txt` and `a.bin` shared one temporary file:
//!     `regression_14_a_download_has_its_name_when_it_is_whole_and_shares_no_file`.
//! 15. An SDK with default checksums broke uploads to GCS:
//!     [`shown::regression_15_no_request_to_gcs_carries_an_sdks_checksum`].
//! 16. IMDSv1 (`regression_16_version_1_of_the_metadata_service_is_never_asked`, with the providers); exit status 0 on fatal errors
//!     (`regression_16_a_fatal_error_is_no_success`, with the agent's command); `sys.exit` from threads (a lint forbids it).
//! 17. Abandoned multipart uploads were never cleaned:
//!     `regression_17_uploads_that_nobody_knows_are_ended_and_somebody_elses_are_not`.

// The future of a whole drain, with all that wraps it, is nested deeper than rustc looks by itself.
#![recursion_limit = "256"]

mod counted;
mod partial;
mod queued;
mod repeated;
mod reported;
mod running;
mod shown;
mod stopped;
mod throttled;
mod writes;

use skyferry_core::event::{self, EventKind, EventRecord, NoWorkReason, ParsedMessage, ParsedRecord, Removal};
use skyferry_core::model::{Key, Location};
use skyferry_core::route::{IgnoreList, Route, RouteDecision, Router};

/// A record as S3 writes it, all its fields.
fn record(event: &str, key: &str) -> String {
    format!(
        r#"{{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2","eventTime":"2026-11-21T12:00:00.000Z",
        "eventName":"{event}","userIdentity":{{"principalId":"A1"}},"requestParameters":{{"sourceIPAddress":"192.0.2.1"}},
        "s3":{{"s3SchemaVersion":"1.0","configurationId":"all","bucket":{{"name":"photos","arn":"arn:aws:s3:::photos"}},
        "object":{{"key":"{key}","size":3,"eTag":"900150983cd24fb0d6963f7d28e17f72","sequencer":"0055AED6DCD90281E5"}}}}}}"#
    )
}

fn records(body: &str) -> Vec<EventRecord> {
    let ParsedMessage::Records(entries) = event::parse(body.as_bytes()) else { panic!("no records in {body}") };
    let read = entries.into_iter().map(|entry| match entry {
        ParsedRecord::Record(record) => record,
        ParsedRecord::Malformed(bad) => panic!("{bad:?}"),
    });
    read.collect()
}

fn message(records: &[String]) -> String {
    format!(r#"{{"Records":[{}]}}"#, records.join(","))
}

/// Everything of the bucket `photos`, or what is under a folder of it, to `backup/` in the bucket `copies`.
fn router(source_prefix: &str) -> Router {
    let route = Route {
        source_bucket: Some("photos".into()),
        source_prefix: source_prefix.into(),
        bucket: "copies".into(),
        prefix: "backup".into(),
        strip_prefix: false,
        options: Default::default(),
    };
    Router::new(vec![route], IgnoreList::default()).expect("one route overlaps with none")
}

fn destination(router: &Router, key: &str) -> Option<Key> {
    match router.decide(&Location::new("photos", key), None) {
        RouteDecision::Copy { destination, .. } => Some(destination.key),
        _ => None,
    }
}

#[test]
fn regression_02_every_record_of_a_message_is_read() {
    let body = message(&["a", "b", "c"].map(|key| record("ObjectCreated:Put", key)));
    let keys: Vec<Key> = records(&body).into_iter().map(|record| record.source.key).collect();
    assert_eq!(keys, ["a", "b", "c"].map(Key::from));
}

#[test]
fn regression_02_a_bad_record_does_not_cost_its_neighbours() {
    let body = message(&[record("ObjectCreated:Put", "a"), "{}".to_owned(), record("ObjectCreated:Put", "c")]);
    let ParsedMessage::Records(entries) = event::parse(body.as_bytes()) else { panic!() };
    assert!(
        matches!(&entries[..], [ParsedRecord::Record(_), ParsedRecord::Malformed(bad), ParsedRecord::Record(_)] if bad.index == 1),
        "{entries:?}"
    );
}

#[test]
fn regression_06_keys_that_look_alike_stay_apart() {
    let router = router("");
    let alike = ["a/b", "a//b", "/a/b", "a/./b", "a/../a/b", "a/b/", "./a/b", "a/b "];
    let mapped: Vec<Key> = alike.iter().map(|key| destination(&router, key).expect("a routed key")).collect();
    assert_eq!(mapped, alike.map(|key| Key::from(format!("backup/{key}").as_str())));
}

#[test]
fn regression_06_no_key_leaves_the_prefix() {
    let router = router("");
    for key in ["/abs", "//abs", "../up", "../../up", "a/../../up", "/", ".."] {
        let mapped = destination(&router, key).expect("a routed key");
        assert!(mapped.as_bytes().starts_with(b"backup/"), "{key} went to {mapped}");
    }
}

#[test]
fn regression_06_the_key_of_an_event_goes_its_whole_way_unchanged() {
    let body = message(&[record("ObjectCreated:Put", "%2Fabs//a+b%2Bc/%E4%BD%A0.jpg")]);
    let source = records(&body).remove(0).source;
    assert_eq!(source, Location::new("photos", "/abs//a b+c/你.jpg"));
    let RouteDecision::Copy { destination, .. } = router("").decide(&source, None) else { panic!() };
    assert_eq!(destination, Location::new("copies", "backup//abs//a b+c/你.jpg"));
}

#[test]
fn regression_08_a_test_event_asks_for_nothing() {
    let body = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-21T12:00:00.000Z","Bucket":"photos",
        "RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE"}"#;
    assert_eq!(event::parse(body.as_bytes()), ParsedMessage::Nothing(NoWorkReason::TestEvent));
}

#[test]
fn regression_08_removals_are_read_like_any_event() {
    // A removal has neither size nor ETag.
    let removal =
        |name: &str| record(name, "gone.jpg").replace(r#""size":3,"eTag":"900150983cd24fb0d6963f7d28e17f72","#, "");
    let body = message(&[removal("ObjectRemoved:Delete"), removal("ObjectRemoved:DeleteMarkerCreated")]);
    let read = records(&body);
    assert_eq!(
        [read[0].event, read[1].event],
        [EventKind::Removed(Removal::Delete), EventKind::Removed(Removal::DeleteMarker)]
    );
    assert!(read.iter().all(|record| record.source == Location::new("photos", "gone.jpg")));
}

#[test]
fn regression_10_a_prefix_is_a_folder() {
    let router = router("sp");
    assert_eq!(destination(&router, "sp/a"), Some("backup/sp/a".into()));
    assert_eq!(destination(&router, "sp2/a"), None);
}
