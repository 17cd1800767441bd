//! The faults that need a running agent to be shown gone, and bad input of every kind: what the peers hold at the end,
//! what they ever showed, and what the agent counted.

use std::sync::Arc;
use std::time::Duration;

use fixture::{bytes, only_ever_showed};
use sandbox::{Access, Attributes, Fault, Operation, Rule};
use skyferry_agent::wiring::RunUntil;

use crate::running::{Fixture, SINK, SOURCE, created, event, finish, message};

#[tokio::test]
async fn regression_02_every_record_of_a_message_is_copied() {
    let fixture = Fixture::new().await;
    let keys = ["a", "b", "c d+e", "你"];
    for key in keys {
        fixture.put(key, key.as_bytes());
    }
    let body = message(&keys.map(|key| event("ObjectCreated:Put", key)));
    let summary = fixture.drain(&[body]).await;
    assert_eq!((summary.copied, summary.parked), (4, 0));
    for key in keys {
        assert_eq!(fixture.copy(key).as_deref(), Some(key.as_bytes()));
    }
}

#[tokio::test]
async fn regression_04_a_source_that_changes_under_a_copy_never_gives_a_mixture() {
    let fixture = Arc::new(Fixture::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await);
    let (old, new) = (bytes(22 << 20, 1), bytes(21 << 20, 2));
    fixture.put("k", &old);
    // The third part waits long enough for the source to move.
    fixture.gcs.faults().add(Rule::on(Operation::UploadPart, Fault::LateAnswer(Duration::from_millis(300))).nth(2));
    let agent = fixture.agent().await;
    agent.queue().send(&[created("k")]).await.expect("sent");
    let changed = {
        let (fixture, new) = (fixture.clone(), new.clone());
        tokio::spawn(async move {
            while fixture.gcs.counts().of(Operation::CreateUpload) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            fixture.put("k", &new);
        })
    };
    let summary = finish(agent).await;
    changed.await.expect("changed");
    fixture.drain(&[created("k")]).await;
    assert_eq!(summary.parked, 0);
    assert!(fixture.copy("k") == Some(new.clone()), "the newest state arrives");
    only_ever_showed(&fixture.gcs.history(SINK, "k"), &[&old, &new], "k");
    assert!(fixture.gcs.open_uploads(SINK).is_empty(), "no upload is left over");
}

#[tokio::test]
async fn regression_05_good_copies_whose_etag_is_no_md5_stay() {
    let fixture = Fixture::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await;
    let body = bytes(12 << 20, 3);
    fixture.put("k", &body);
    let summary = fixture.drain(&[created("k")]).await;
    assert_eq!((summary.copied, summary.bytes), (1, 12 << 20));
    // On GCS a multipart object's ETag is no MD5, and there is none; a second look leaves it alone.
    let generation = fixture.gcs.object(SINK, "k").expect("copied").generation;
    let summary = fixture.drain(&[created("k")]).await;
    assert_eq!((summary.unchanged, summary.copied), (1, 0));
    assert_eq!(fixture.gcs.object(SINK, "k").expect("still there").generation, generation);
}

#[tokio::test]
async fn regression_06_keys_that_look_alike_arrive_apart_and_under_the_prefix() {
    let fixture = Fixture::new().await;
    let keys = ["a/b", "a//b", "/a/b", "a/../b", "a/./b", "a/b/", " a", "a%2Fb", "100%", "a+b", "a b", "é", "e\u{301}"];
    for key in keys {
        fixture.put(key, format!("this is {key}").as_bytes());
    }
    let bodies: Vec<String> = keys.iter().map(|key| created(key)).collect();
    let summary = fixture.drain(&bodies).await;
    assert_eq!(summary.copied, keys.len() as u64);
    for key in keys {
        assert_eq!(fixture.copy(key), Some(format!("this is {key}").into_bytes()), "{key}");
    }
    assert_eq!(fixture.gcs.objects(SINK).len(), keys.len());
}

#[tokio::test]
async fn regression_07_content_type_and_metadata_travel() {
    let fixture = Fixture::new().await;
    let mut attributes = Attributes::default();
    attributes.metadata.insert("owner".into(), "Ada".into());
    attributes.content.insert("content-type".into(), "image/webp".into());
    attributes.content.insert("cache-control".into(), "max-age=60".into());
    attributes.content.insert("content-disposition".into(), "inline".into());
    fixture.s3.set_object_with(SOURCE, "k", b"picture", attributes).expect("an object");
    assert_eq!(fixture.drain(&[created("k")]).await.copied, 1);
    let copy = fixture.gcs.object(SINK, "k").expect("copied");
    for (name, value) in
        [("content-type", "image/webp"), ("cache-control", "max-age=60"), ("content-disposition", "inline")]
    {
        assert_eq!(copy.attributes.content.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(copy.attributes.metadata.get("owner").map(String::as_str), Some("Ada"));
}

#[tokio::test]
async fn regression_08_a_test_event_and_a_removal_leave_no_dead_letter() {
    let fixture = Fixture::new().await;
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"photos"}"#.to_owned();
    let removal = message(&[event("ObjectRemoved:Delete", "never-there")]);
    let summary = fixture.drain(&[test, removal]).await;
    assert_eq!((summary.gone, summary.parked, summary.copied), (1, 0, 0));
}

#[tokio::test]
async fn regression_15_no_request_to_gcs_carries_an_sdks_checksum() {
    // The peer refuses aws-chunked bodies and mixed header families outright, so arriving is the proof.
    let fixture = Fixture::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await;
    let sizes = [0, 1, 4 << 10, 1 << 20, (1 << 20) + 1, 9 << 20];
    for size in sizes {
        fixture.put(&format!("{size}"), &bytes(size, 5));
    }
    let bodies: Vec<String> = sizes.iter().map(|size| created(&size.to_string())).collect();
    let summary = fixture.drain(&bodies).await;
    assert_eq!((summary.copied, summary.retries), (sizes.len() as u64, 0));
    for size in sizes {
        assert!(fixture.copy(&size.to_string()) == Some(bytes(size, 5)), "{size} bytes");
    }
}

#[tokio::test]
async fn deletions_are_carried_over_only_where_the_settings_say_so_and_only_onto_copies() {
    let fixture = Fixture::with("[transfer]\ndeletes = true").await;
    fixture.put("k", b"v1");
    fixture.gcs.set_object(SINK, "foreign", b"somebody else's").expect("an object");
    fixture.drain(&[created("k")]).await;
    fixture.s3.remove_object(SOURCE, "k");
    let removed = ["k", "foreign"].map(|key| message(&[event("ObjectRemoved:Delete", key)]));
    let summary = fixture.drain(&removed).await;
    assert_eq!((summary.deleted, summary.gone), (1, 1));
    assert_eq!((fixture.copy("k"), fixture.copy("foreign")), (None, Some(b"somebody else's".to_vec())));
}

#[tokio::test]
async fn a_duplicate_and_an_overwrite_end_at_the_newest_state() {
    let fixture = Fixture::new().await;
    fixture.put("k", b"v1");
    fixture.drain(&[created("k"), created("k")]).await;
    fixture.put("k", b"v2 is longer");
    let summary = fixture.drain(&[created("k"), created("k"), created("k")]).await;
    assert_eq!((summary.copied, summary.unchanged), (1, 2));
    assert_eq!(fixture.copy("k").as_deref(), Some(&b"v2 is longer"[..]));
    only_ever_showed(&fixture.gcs.history(SINK, "k"), &[b"v1", b"v2 is longer"], "k");
}

#[tokio::test]
async fn a_malformed_message_is_parked_and_never_loops() {
    let fixture = Fixture::new().await;
    fixture.put("k", b"fine");
    let summary = fixture.drain(&["{not json".to_owned(), created("k"), "[]".to_owned()]).await;
    assert_eq!((summary.parked, summary.copied), (2, 1));
}

#[tokio::test]
async fn a_key_that_the_destination_cannot_hold_is_parked() {
    let fixture = Fixture::new().await;
    fixture.put("line\nfeed", b"x");
    fixture.put("fine", b"y");
    let summary = fixture.drain(&[created("line\nfeed"), created("fine")]).await;
    assert_eq!((summary.parked, summary.copied), (1, 1));
}

#[tokio::test]
async fn a_lying_body_is_never_left_published() {
    let size: usize = 3 << 20;
    let lies = [
        Fault::CutResponse(1000),
        Fault::CutResponse(size as u64 - 1),
        Fault::FlipResponse(0),
        Fault::FlipResponse(size as u64 / 2),
        Fault::FlipResponse(size as u64 - 1),
        Fault::Header("content-length", (size - 7).to_string()),
    ];
    for lie in lies {
        for length in [4 << 10, size] {
            let fixture = Fixture::new().await;
            let body = bytes(length, 7);
            fixture.put("k", &body);
            fixture.s3.faults().add(Rule::on(Operation::GetObject, lie.clone()));
            let summary = fixture.drain(&[created("k")]).await;
            assert_eq!((summary.copied, summary.parked), (1, 0), "{lie:?} of {length} bytes");
            only_ever_showed(&fixture.gcs.history(SINK, "k"), &[&body], "k");
            assert!(fixture.copy("k") == Some(body), "{lie:?} of {length} bytes");
        }
    }
}

#[tokio::test]
async fn a_bit_that_flips_on_the_way_to_the_destination_is_not_left_published() {
    for length in [4 << 10, 3 << 20, 12 << 20] {
        let fixture = Fixture::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await;
        let body = bytes(length, 9);
        fixture.put("k", &body);
        for operation in [Operation::PutObject, Operation::UploadPart] {
            fixture.gcs.faults().add(Rule::on(operation, Fault::FlipRequest(1234)));
        }
        let summary = fixture.drain(&[created("k")]).await;
        assert_eq!((summary.copied, summary.parked), (1, 0), "{length} bytes");
        assert!(fixture.copy("k") == Some(body), "{length} bytes");
    }
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_the_token_and_copies_nothing_twice() {
    for (operation, length) in [(Operation::PutObject, 4 << 10), (Operation::CompleteUpload, 12 << 20)] {
        let fixture = Fixture::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await;
        let body = bytes(length, 11);
        fixture.put("k", &body);
        fixture.gcs.faults().add(Rule::on(operation, Fault::LostAnswer));
        let summary = fixture.drain(&[created("k")]).await;
        assert_eq!(summary.copied, 1, "{operation:?}");
        assert_eq!(fixture.gcs.history(SINK, "k").len(), 1, "{operation:?}: published once");
        assert!(fixture.copy("k") == Some(body));
        assert!(fixture.gcs.open_uploads(SINK).is_empty());
    }
}

#[tokio::test]
async fn a_denying_destination_costs_no_message_and_all_arrives_when_it_opens() {
    let fixture = Arc::new(Fixture::new().await);
    let keys: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
    keys.iter().for_each(|key| fixture.put(key, b"x"));
    fixture.gcs.set_access(SINK, Access::Denied);
    let agent = fixture.agent().await;
    let queue = agent.queue().clone();
    queue.send(&keys.iter().map(|key| created(key)).collect::<Vec<_>>()).await.expect("sent");
    let opens = {
        let fixture = fixture.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let denied = fixture.gcs.counts().total();
            fixture.gcs.set_access(SINK, Access::Full);
            denied
        })
    };
    let run = agent.run(RunUntil::Empty, skyferry_agent::shutdown::Shutdown::default());
    let report = tokio::time::timeout(Duration::from_secs(120), run).await.expect("it ends").expect("a run");
    let denied = opens.await.expect("opened");
    assert_eq!((report.summary.copied, report.summary.parked), (20, 0));
    assert!(denied < 200, "no busy loop: {denied} requests while denied");
    assert!(keys.iter().all(|key| fixture.copy(key).is_some()));
}

#[tokio::test]
async fn a_finished_job_that_comes_again_moves_no_object_bytes() {
    let fixture = Fixture::new().await;
    fixture.put("k", &bytes(100_000, 13));
    fixture.drain(&[created("k")]).await;
    let (s3, gcs) = (fixture.s3.counts(), fixture.gcs.counts());
    let summary = fixture.drain(&[created("k")]).await;
    assert_eq!(summary.unchanged, 1);
    let (s3_now, gcs_now) = (fixture.s3.counts(), fixture.gcs.counts());
    assert_eq!(s3_now.of(Operation::GetObject), s3.of(Operation::GetObject), "no GET");
    assert_eq!(gcs_now.of(Operation::PutObject), gcs.of(Operation::PutObject), "no PUT");
    assert!(s3_now.of(Operation::HeadObject) - s3.of(Operation::HeadObject) <= 1, "at most one HEAD at the source");
    assert!(gcs_now.of(Operation::HeadObject) - gcs.of(Operation::HeadObject) <= 1, "and one at the destination");
}

#[tokio::test]
async fn a_new_small_object_costs_one_get_and_one_put() {
    let fixture = Fixture::new().await;
    fixture.put("k", b"small");
    fixture.drain(&[created("k")]).await;
    let (s3, gcs) = (fixture.s3.counts(), fixture.gcs.counts());
    assert_eq!((s3.of(Operation::GetObject), s3.total()), (1, 1), "{s3:?}");
    assert_eq!((gcs.of(Operation::PutObject), gcs.total()), (1, 1), "{gcs:?}");
}
