//! Faults of the predecessors' single-node programs, by the numbers of `tests/regressions`.

use std::time::Duration;

use sandbox::{Fault, Operation, Rule};

use crate::fixture::{BUCKET, Fixture, PARTS, all, at, bytes, ended, gcs, s3, tree};
use crate::resuming::{signal, until};

#[tokio::test(flavor = "multi_thread")]
async fn regression_03_recorded_parts_of_another_state_are_never_completed() {
    let (fixture, s3, gcs) = (Fixture::new(), s3(), gcs());
    let states = [bytes(100 << 20, 1), bytes(100 << 20, 2)];
    s3.set_object(BUCKET, "large", &states[0]).expect("an object");
    let (from, to) = (s3.endpoint(), gcs.endpoint());
    let flags = [at("source", &from, "S3_"), at("destination", &to, "GCS_")];
    let arguments = [&all(&["s3://photos", "gs://photos"], &[&flags[0], &flags[1]])[..], &PARTS].concat();
    let child = fixture.start(&[&arguments[..], &["--max-bandwidth", "16MiB"]].concat());
    until("parts", || gcs.counts().of(Operation::UploadPart) >= 5).await;
    // A signal lets it record what it has.
    signal(&child, "TERM");
    assert_eq!(ended(child).await.code, Some(143));
    let left = gcs.open_uploads(BUCKET);
    assert_eq!(left.len(), 1, "the upload waits to be gone on with");

    // The same size, so the same part numbers.
    s3.set_object(BUCKET, "large", &states[1]).expect("an object");
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1), "{output:?}");
    assert!(gcs.read(BUCKET, "large").expect("there") == states[1]);
    assert_eq!(gcs.history(BUCKET, "large").len(), 1, "nothing else was ever shown");
    assert!(gcs.open_uploads(BUCKET).is_empty(), "the old upload is ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_14_a_download_has_its_name_when_it_is_whole_and_shares_no_file() {
    let (fixture, s3) = (Fixture::new(), s3());
    let keys = ["a.txt", "a.bin", "a"];
    for (n, key) in keys.iter().enumerate() {
        s3.set_object(BUCKET, key, bytes((12 << 20) + n, n as u64)).expect("an object");
    }
    // Reads of one break off again and again; what it has of the others' is nobody's business.
    s3.faults().add(Rule::on(Operation::GetObject, Fault::CutResponse(3 << 20)).key("a.txt").nth(2).times(6));
    let endpoint = s3.endpoint();
    let from = at("source", &endpoint, "S3_");
    let arguments = [&all(&["s3://photos", "to", "--max-bandwidth", "12MiB"], &[&from])[..], &PARTS].concat();
    let mut child = fixture.start(&arguments);
    let whole = || {
        if fixture.path("to").exists() {
            for (key, bytes) in tree(&fixture.path("to")) {
                let key = String::from_utf8(key).expect("UTF-8");
                assert!(s3.read(BUCKET, &key).expect("there") == bytes, "{key} is not whole");
            }
        }
    };
    while child.try_wait().expect("asked").is_none() {
        whole();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let output = ended(child).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 3), "{output:?}");
    assert!(s3.faults().met() >= 6);
    whole();
    assert_eq!(tree(&fixture.path("to")).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_17_uploads_that_nobody_knows_are_ended_and_somebody_elses_are_not() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    fixture.write("tree/large", &bytes(12 << 20, 1));
    fixture.write("tree/other", &bytes(11 << 20, 2));
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = [&all(&["tree", "gs://photos/in"], &[&to])[..], &PARTS].concat();
    gcs.begin_upload(BUCKET, "in/theirs").expect("somebody else's");
    // The answer that names the upload is lost, twice.
    gcs.faults().add(Rule::on(Operation::CreateUpload, Fault::LostAnswer).key("in/large").times(2));
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 2), "{output:?}");
    assert_eq!(gcs.faults().met(), 2);
    assert!(gcs.counts().of(Operation::CreateUpload) >= 4, "two were lost");
    let left: Vec<String> = gcs.open_uploads(BUCKET).into_iter().map(|upload| upload.key).collect();
    assert_eq!(left, ["in/theirs"]);
    assert!(output.stderr.contains("had left behind"), "{output:?}");
}
