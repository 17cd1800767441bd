//! The faults that need a running agent to be shown gone, and bad input of every kind: what the peers hold at the end,
//! what they ever showed, and what the agent counted.

use std::sync::Arc;
use std::time::Duration;

use fixture::{bytes, only_ever_showed};
use sandbox::{Access, Attributes, Fault, Operation, Rule};
use skyferry_agent::wiring::Until;

use crate::running::{SINK, SOURCE, Stage, created, event, finish, message};

#[tokio::test]
async fn museum_02_every_record_of_a_message_is_copied() {
    let stage = Stage::new().await;
    let keys = ["a", "b", "c d+e", "你"];
    for key in keys {
        stage.put(key, key.as_bytes());
    }
    let body = message(&keys.map(|key| event("ObjectCreated:Put", key)));
    let summary = stage.drain(&[body]).await;
    assert_eq!((summary.copied, summary.parked), (4, 0));
    for key in keys {
        assert_eq!(stage.copy(key).as_deref(), Some(key.as_bytes()));
    }
}

#[tokio::test]
async fn museum_04_a_source_that_changes_under_a_copy_never_gives_a_mixture() {
    let stage = Arc::new(Stage::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await);
    let (old, new) = (bytes(22 << 20, 1), bytes(21 << 20, 2));
    stage.put("k", &old);
    // The third part waits long enough for the source to move.
    stage.gcs.faults().add(Rule::on(Operation::UploadPart, Fault::LateAnswer(Duration::from_millis(300))).nth(2));
    let agent = stage.agent().await;
    agent.queue().send(&[created("k")]).await.expect("sent");
    let changed = {
        let (stage, new) = (stage.clone(), new.clone());
        tokio::spawn(async move {
            while stage.gcs.counts().of(Operation::CreateUpload) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stage.put("k", &new);
        })
    };
    let summary = finish(agent).await;
    changed.await.expect("changed");
    stage.drain(&[created("k")]).await;
    assert_eq!(summary.parked, 0);
    assert!(stage.copy("k") == Some(new.clone()), "the newest state arrives");
    only_ever_showed(&stage.gcs.history(SINK, "k"), &[&old, &new], "k");
    assert!(stage.gcs.open_uploads(SINK).is_empty(), "no upload is left over");
}

#[tokio::test]
async fn museum_05_good_copies_whose_etag_is_no_md5_stay() {
    let stage = Stage::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await;
    let body = bytes(12 << 20, 3);
    stage.put("k", &body);
    let summary = stage.drain(&[created("k")]).await;
    assert_eq!((summary.copied, summary.bytes), (1, 12 << 20));
    // On GCS a multipart object's ETag is no MD5, and there is none; a second look leaves it alone.
    let generation = stage.gcs.object(SINK, "k").expect("copied").generation;
    let summary = stage.drain(&[created("k")]).await;
    assert_eq!((summary.unchanged, summary.copied), (1, 0));
    assert_eq!(stage.gcs.object(SINK, "k").expect("still there").generation, generation);
}

#[tokio::test]
async fn museum_06_keys_that_look_alike_arrive_apart_and_under_the_prefix() {
    let stage = Stage::new().await;
    let keys = ["a/b", "a//b", "/a/b", "a/../b", "a/./b", "a/b/", " a", "a%2Fb", "100%", "a+b", "a b", "é", "e\u{301}"];
    for key in keys {
        stage.put(key, format!("this is {key}").as_bytes());
    }
    let bodies: Vec<String> = keys.iter().map(|key| created(key)).collect();
    let summary = stage.drain(&bodies).await;
    assert_eq!(summary.copied, keys.len() as u64);
    for key in keys {
        assert_eq!(stage.copy(key), Some(format!("this is {key}").into_bytes()), "{key}");
    }
    assert_eq!(stage.gcs.objects(SINK).len(), keys.len());
}

#[tokio::test]
async fn museum_07_content_type_and_metadata_travel() {
    let stage = Stage::new().await;
    let mut attributes = Attributes::default();
    attributes.metadata.insert("owner".into(), "Ada".into());
    attributes.content.insert("content-type".into(), "image/webp".into());
    attributes.content.insert("cache-control".into(), "max-age=60".into());
    attributes.content.insert("content-disposition".into(), "inline".into());
    stage.s3.set_object_with(SOURCE, "k", b"picture", attributes).expect("an object");
    assert_eq!(stage.drain(&[created("k")]).await.copied, 1);
    let copy = stage.gcs.object(SINK, "k").expect("copied");
    for (name, value) in
        [("content-type", "image/webp"), ("cache-control", "max-age=60"), ("content-disposition", "inline")]
    {
        assert_eq!(copy.attributes.content.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(copy.attributes.metadata.get("owner").map(String::as_str), Some("Ada"));
}

#[tokio::test]
async fn museum_08_a_test_event_and_a_removal_leave_no_dead_letter() {
    let stage = Stage::new().await;
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"photos"}"#.to_owned();
    let removal = message(&[event("ObjectRemoved:Delete", "never-there")]);
    let summary = stage.drain(&[test, removal]).await;
    assert_eq!((summary.gone, summary.parked, summary.copied), (1, 0, 0));
}

#[tokio::test]
async fn museum_15_no_request_to_gcs_carries_an_sdks_checksum() {
    // The peer refuses aws-chunked bodies and mixed header families outright, so arriving is the proof.
    let stage = Stage::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await;
    let sizes = [0, 1, 4 << 10, 1 << 20, (1 << 20) + 1, 9 << 20];
    for size in sizes {
        stage.put(&format!("{size}"), &bytes(size, 5));
    }
    let bodies: Vec<String> = sizes.iter().map(|size| created(&size.to_string())).collect();
    let summary = stage.drain(&bodies).await;
    assert_eq!((summary.copied, summary.retries), (sizes.len() as u64, 0));
    for size in sizes {
        assert!(stage.copy(&size.to_string()) == Some(bytes(size, 5)), "{size} bytes");
    }
}

#[tokio::test]
async fn deletions_are_carried_over_only_where_the_settings_say_so_and_only_onto_copies() {
    let stage = Stage::with("[transfer]\ndeletes = true").await;
    stage.put("k", b"v1");
    stage.gcs.set_object(SINK, "foreign", b"somebody else's").expect("an object");
    stage.drain(&[created("k")]).await;
    stage.s3.remove_object(SOURCE, "k");
    let removed = ["k", "foreign"].map(|key| message(&[event("ObjectRemoved:Delete", key)]));
    let summary = stage.drain(&removed).await;
    assert_eq!((summary.deleted, summary.gone), (1, 1));
    assert_eq!((stage.copy("k"), stage.copy("foreign")), (None, Some(b"somebody else's".to_vec())));
}

#[tokio::test]
async fn a_duplicate_and_an_overwrite_end_at_the_newest_state() {
    let stage = Stage::new().await;
    stage.put("k", b"v1");
    stage.drain(&[created("k"), created("k")]).await;
    stage.put("k", b"v2 is longer");
    let summary = stage.drain(&[created("k"), created("k"), created("k")]).await;
    assert_eq!((summary.copied, summary.unchanged), (1, 2));
    assert_eq!(stage.copy("k").as_deref(), Some(&b"v2 is longer"[..]));
    only_ever_showed(&stage.gcs.history(SINK, "k"), &[b"v1", b"v2 is longer"], "k");
}

#[tokio::test]
async fn a_malformed_message_is_parked_and_never_loops() {
    let stage = Stage::new().await;
    stage.put("k", b"fine");
    let summary = stage.drain(&["{not json".to_owned(), created("k"), "[]".to_owned()]).await;
    assert_eq!((summary.parked, summary.copied), (2, 1));
}

#[tokio::test]
async fn a_key_that_the_destination_cannot_hold_is_parked() {
    let stage = Stage::new().await;
    stage.put("line\nfeed", b"x");
    stage.put("fine", b"y");
    let summary = stage.drain(&[created("line\nfeed"), created("fine")]).await;
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
            let stage = Stage::new().await;
            let body = bytes(length, 7);
            stage.put("k", &body);
            stage.s3.faults().add(Rule::on(Operation::GetObject, lie.clone()));
            let summary = stage.drain(&[created("k")]).await;
            assert_eq!((summary.copied, summary.parked), (1, 0), "{lie:?} of {length} bytes");
            only_ever_showed(&stage.gcs.history(SINK, "k"), &[&body], "k");
            assert!(stage.copy("k") == Some(body), "{lie:?} of {length} bytes");
        }
    }
}

#[tokio::test]
async fn a_bit_that_flips_on_the_way_to_the_destination_is_not_left_published() {
    for length in [4 << 10, 3 << 20, 12 << 20] {
        let stage = Stage::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await;
        let body = bytes(length, 9);
        stage.put("k", &body);
        for operation in [Operation::PutObject, Operation::UploadPart] {
            stage.gcs.faults().add(Rule::on(operation, Fault::FlipRequest(1234)));
        }
        let summary = stage.drain(&[created("k")]).await;
        assert_eq!((summary.copied, summary.parked), (1, 0), "{length} bytes");
        assert!(stage.copy("k") == Some(body), "{length} bytes");
    }
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_the_token_and_copies_nothing_twice() {
    for (operation, length) in [(Operation::PutObject, 4 << 10), (Operation::CompleteUpload, 12 << 20)] {
        let stage = Stage::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await;
        let body = bytes(length, 11);
        stage.put("k", &body);
        stage.gcs.faults().add(Rule::on(operation, Fault::LostAnswer));
        let summary = stage.drain(&[created("k")]).await;
        assert_eq!(summary.copied, 1, "{operation:?}");
        assert_eq!(stage.gcs.history(SINK, "k").len(), 1, "{operation:?}: published once");
        assert!(stage.copy("k") == Some(body));
        assert!(stage.gcs.open_uploads(SINK).is_empty());
    }
}

#[tokio::test]
async fn a_denying_destination_costs_no_message_and_all_arrives_when_it_opens() {
    let stage = Arc::new(Stage::new().await);
    let keys: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
    keys.iter().for_each(|key| stage.put(key, b"x"));
    stage.gcs.set_access(SINK, Access::Denied);
    let agent = stage.agent().await;
    let queue = agent.queue().clone();
    queue.send(&keys.iter().map(|key| created(key)).collect::<Vec<_>>()).await.expect("sent");
    let opens = {
        let stage = stage.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let denied = stage.gcs.counts().total();
            stage.gcs.set_access(SINK, Access::Full);
            denied
        })
    };
    let run = agent.run(Until::Empty, skyferry_agent::notice::Shutdown::default());
    let report = tokio::time::timeout(Duration::from_secs(120), run).await.expect("it ends").expect("a run");
    let denied = opens.await.expect("opened");
    assert_eq!((report.summary.copied, report.summary.parked), (20, 0));
    assert!(denied < 200, "no busy loop: {denied} requests while denied");
    assert!(keys.iter().all(|key| stage.copy(key).is_some()));
}

#[tokio::test]
async fn a_finished_job_that_comes_again_moves_no_object_bytes() {
    let stage = Stage::new().await;
    stage.put("k", &bytes(100_000, 13));
    stage.drain(&[created("k")]).await;
    let (s3, gcs) = (stage.s3.counts(), stage.gcs.counts());
    let summary = stage.drain(&[created("k")]).await;
    assert_eq!(summary.unchanged, 1);
    let (s3_now, gcs_now) = (stage.s3.counts(), stage.gcs.counts());
    assert_eq!(s3_now.of(Operation::GetObject), s3.of(Operation::GetObject), "no GET");
    assert_eq!(gcs_now.of(Operation::PutObject), gcs.of(Operation::PutObject), "no PUT");
    assert!(s3_now.of(Operation::HeadObject) - s3.of(Operation::HeadObject) <= 1, "at most one HEAD at the source");
    assert!(gcs_now.of(Operation::HeadObject) - gcs.of(Operation::HeadObject) <= 1, "and one at the destination");
}

#[tokio::test]
async fn a_new_small_object_costs_one_get_and_one_put() {
    let stage = Stage::new().await;
    stage.put("k", b"small");
    stage.drain(&[created("k")]).await;
    let (s3, gcs) = (stage.s3.counts(), stage.gcs.counts());
    assert_eq!((s3.of(Operation::GetObject), s3.total()), (1, 1), "{s3:?}");
    assert_eq!((gcs.of(Operation::PutObject), gcs.total()), (1, 1), "{gcs:?}");
}
