//! One bit flipped on the way, at every stage: in what is read, in a single PUT, in a part.

use sandbox::{Fault, Operation, Rule};

use super::{Rng, ValidStates, times};
use crate::fixture::{BUCKET, Fixture, PARTS, all, at, bytes, gcs, objects, s3};

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_at_any_stage_is_never_what_remains() {
    let (fixture, s3, gcs) = (Fixture::new(), s3(), gcs());
    let mut chance = Rng::new();
    let mut right = ValidStates::default();
    let (from, to) = (s3.endpoint(), gcs.endpoint());
    let flags = [at("source", &from, "S3_"), at("destination", &to, "GCS_")];
    let arguments = [&all(&["s3://photos", "gs://photos"], &[&flags[0], &flags[1]])[..], &PARTS].concat();
    for round in 0..times(3, 40) {
        for (n, size) in [1, 900, 70_000, 2 << 20, 11 << 20].into_iter().enumerate() {
            let key = format!("{round}/{n}");
            let body = bytes(size, (round * 10 + n) as u64);
            right.had(&key, &body);
            s3.set_object(BUCKET, &key, &body).expect("an object");
            let flip = |below: usize, chance: &mut Rng| chance.below(below as u64);
            let whole = flip(size, &mut chance);
            s3.faults().add(Rule::on(Operation::GetObject, Fault::FlipResponse(whole)).key(&key));
            gcs.faults().add(Rule::on(Operation::PutObject, Fault::FlipRequest(whole)).key(&key));
            let part = flip(5 << 20, &mut chance);
            gcs.faults().add(
                Rule::on(Operation::UploadPart, Fault::FlipRequest(part))
                    .key(&key)
                    .nth(1 + flip(3, &mut chance) as u32),
            );
        }
        // A part that was flipped on its way from the source shows at the end only: then all parts are sent again.
        let output = fixture.copy(&arguments).await;
        assert_eq!((output.code, output.count("parked")), (Some(0), 0), "{output:?}");
        assert!(objects(&gcs, "") == objects(&s3, ""), "round {round}: the buckets differ");
        assert!(gcs.open_uploads(BUCKET).is_empty());
    }
    assert!(s3.faults().met() >= times(12, 160) as u64, "{} flips were met", s3.faults().met());
    right.check(&gcs);
}
