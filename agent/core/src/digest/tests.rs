use proptest::prelude::*;

use super::*;

const ALL: DigestSelection = DigestSelection { crc64nvme: true, crc32: true, sha256: true, md5: true };
const CRCS: DigestSelection = DigestSelection { crc64nvme: true, crc32: true, sha256: false, md5: false };
const CHECK: &[u8] = b"123456789";

#[test]
fn the_known_answers() {
    let d = Digests::of(CHECK, ALL);
    assert_eq!(d.length, 9);
    assert_eq!(d.crc32c, 0xe306_9283);
    assert_eq!(d.crc64nvme, Some(0xae8b_1486_0a79_9888));
    assert_eq!(d.crc32, Some(0xcbf4_3926));
    assert_eq!(hex::encode(d.md5.unwrap()), "25f9e794323b453885f5181f1b624d0b");
    assert_eq!(hex::encode(d.sha256.unwrap()), "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
    let none = Digests::of(b"", ALL);
    assert_eq!((none.crc32c, none.crc64nvme, none.crc32), (0, Some(0), Some(0)));
}

#[test]
fn digests_are_written_as_the_services_write_them() {
    assert_eq!(base64_crc32(0xe306_9283), "4waSgw==");
    assert_eq!(goog_hash(0xe306_9283), "crc32c=4waSgw==");
    assert_eq!(base64_crc64(0xae8b_1486_0a79_9888), "rosUhgp5mIg=");
    assert_eq!(base64_md5(&Digests::of(CHECK, ALL).md5.unwrap()), "JfnnlDI7RTiF9RgfG2JNCw==");
    for bad in ["", "4waSgw", "4waSgwA=", "not base64!", "4waSgw==-2"] {
        assert_eq!(parse_crc32(bad), Err(BadDigest { bytes: 4 }), "{bad}");
    }
}

#[test]
fn a_multipart_etag_is_the_md5_of_md5s() {
    let part = Digests::of(CHECK, ALL).md5.unwrap();
    // printf of the two binary MD5s through md5sum.
    let two = hex::encode(Md5::digest([part, part].concat()));
    assert_eq!(etag_of_parts(&[part, part]), format!("{two}-2"));
}

#[test]
fn headers_of_both_services_are_read() {
    let mut s3 = StoredDigests::default();
    s3.amz_header("X-Amz-Checksum-Crc32c", "4waSgw==", Some(false)).unwrap();
    s3.amz_header("x-amz-checksum-crc64nvme", "rosUhgp5mIg=", None).unwrap();
    s3.amz_header("x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=-7", None).unwrap();
    s3.amz_header("x-amz-checksum-crc32", "y/Q5Jg==", Some(true)).unwrap();
    s3.amz_header("x-amz-checksum-type", "COMPOSITE", None).unwrap();
    assert_eq!(s3.crc32c, Some(Checksum::Full(0xe306_9283)));
    assert_eq!(s3.crc64nvme, Some(Checksum::Full(0xae8b_1486_0a79_9888)));
    assert!(matches!(s3.sha256, Some(Checksum::Composite(c)) if c.parts == 7));
    assert!(matches!(s3.crc32, Some(Checksum::Composite(c)) if c.value == 0xcbf4_3926));
    assert!(s3.amz_header("x-amz-checksum-crc32c", "nonsense", None).is_err());

    let mut gcs = StoredDigests::default();
    gcs.goog_hash("crc32c=4waSgw==, md5=JfnnlDI7RTiF9RgfG2JNCw==").unwrap();
    assert_eq!(gcs.compare(&Digests::of(CHECK, ALL)), DigestCheck::Verified(Algorithm::Md5));
    assert!(gcs.goog_hash("crc32c=").is_err());
}

#[test]
fn an_etag_is_taken_only_if_it_has_the_form_of_an_md5() {
    let md5 = |etag: &str| {
        let mut stored = StoredDigests::default();
        stored.md5_etag(etag);
        stored.md5
    };
    assert!(matches!(md5("\"25f9e794323b453885f5181f1b624d0b\""), Some(Checksum::Full(_))));
    assert!(matches!(md5("25F9E794323B453885F5181F1B624D0B-12"), Some(Checksum::Composite(c)) if c.parts == 12));
    for other in ["", "CPjW-A", "\"0x8D\"", "25f9", "25f9e794323b453885f5181f1b624d0b-x"] {
        assert_eq!(md5(other), None, "{other}");
    }
}

#[test]
fn one_wrong_digest_outweighs_all_that_agree() {
    let got = Digests::of(CHECK, ALL);
    let mut stored =
        StoredDigests { length: Some(9), crc32c: Some(Checksum::Full(got.crc32c)), ..StoredDigests::default() };
    assert_eq!(stored.compare(&got), DigestCheck::Verified(Algorithm::Crc32c));
    stored.crc64nvme = Some(Checksum::Full(1));
    let DigestCheck::Mismatch { algorithm, expected, got: seen } = stored.compare(&got) else { panic!() };
    assert_eq!((algorithm, &*expected, &*seen), (Algorithm::Crc64Nvme, "AAAAAAAAAAE=", "rosUhgp5mIg="));
    let short = StoredDigests { length: Some(8), crc32c: Some(Checksum::Full(got.crc32c)), ..StoredDigests::default() };
    assert!(short.compare(&got).is_mismatch());
}

#[test]
fn a_length_or_a_composite_alone_proves_nothing() {
    let got = Digests::of(CHECK, ALL);
    let composite = Some(Checksum::Composite(Composite { value: 1, parts: 2 }));
    let stored = StoredDigests { length: Some(9), crc32c: composite, crc32: composite, ..StoredDigests::default() };
    assert_eq!(stored.compare(&got), DigestCheck::NothingToCompare);
    let sha = StoredDigests { sha256: Some(Checksum::Full([0; 32])), ..StoredDigests::default() };
    assert_eq!(sha.compare(&Digests::of(CHECK, CRCS)), DigestCheck::NothingToCompare);
}

#[test]
fn slow_digests_are_computed_only_where_nothing_else_is_stored() {
    let full = StoredDigests {
        crc64nvme: Some(Checksum::Full(1)),
        md5: Some(Checksum::Full([0; 16])),
        ..StoredDigests::default()
    };
    assert_eq!(
        DigestSelection::for_source(&full, true),
        DigestSelection { crc64nvme: true, ..DigestSelection::default() }
    );
    let etag = StoredDigests {
        md5: Some(Checksum::Full([0; 16])),
        sha256: Some(Checksum::Full([0; 32])),
        ..StoredDigests::default()
    };
    assert_eq!(DigestSelection::for_source(&etag, true), DigestSelection { md5: true, ..DigestSelection::default() });
    assert_eq!(DigestSelection::for_source(&etag, false), DigestSelection::default());
    let sdk = StoredDigests { crc32: Some(Checksum::Full(1)), ..StoredDigests::default() };
    assert_eq!(DigestSelection::for_source(&sdk, false), DigestSelection { crc32: true, ..DigestSelection::default() });
}

#[test]
fn grades_have_their_names_and_need_a_proof() {
    let (yes, unknown) = (DigestCheck::Verified(Algorithm::Crc32c), DigestCheck::NothingToCompare);
    let no = DigestCheck::Mismatch { algorithm: Algorithm::Md5, expected: String::new(), got: String::new() };
    assert_eq!(Grade::of(&yes, &yes, false), Some(Grade::EndToEnd));
    assert_eq!(Grade::of(&unknown, &yes, true), Some(Grade::InTransit));
    assert_eq!(Grade::of(&yes, &unknown, true), Some(Grade::Md5Parts));
    assert_eq!(Grade::of(&yes, &unknown, false), None);
    assert_eq!((Grade::of(&no, &yes, true), Grade::of(&yes, &no, true)), (None, None));
    assert_eq!(Grade::ALL.map(Grade::name), ["end-to-end", "in-transit", "md5-parts"]);
    assert!(Grade::ALL.iter().all(|g| Grade::parse(g.name()) == Some(*g)));
}

#[test]
fn a_part_put_in_twice_is_refused() {
    let part = Digests::of(CHECK, CRCS);
    let mut parts = Combiner::new();
    parts.insert(9, part).unwrap();
    assert_eq!(parts.insert(9, part), Err(Overlap { offset: 9 }));
    assert_eq!(parts.insert(8, part), Err(Overlap { offset: 8 }));
    assert_eq!(parts.insert(17, part), Err(Overlap { offset: 17 }));
    assert_eq!(parts.insert(u64::MAX, part), Err(Overlap { offset: u64::MAX }));
    assert_eq!(parts.whole(18), None);
    parts.insert(0, part).unwrap();
    assert_eq!(parts.whole(18), Some(Digests::of(b"123456789123456789", CRCS)));
    assert_eq!((parts.whole(17), parts.whole(19)), (None, None));
}

fn cuts() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    (proptest::collection::vec(any::<u8>(), 1..5_000), proptest::collection::vec(any::<prop::sample::Index>(), 0..12))
        .prop_map(|(bytes, cuts)| {
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            cuts.dedup();
            (bytes, cuts)
        })
}

proptest! {
    #[test]
    fn parts_in_any_order_combine_to_the_whole((bytes, cuts) in cuts(), order in any::<u64>()) {
        let mut parts: Vec<_> = cuts.windows(2).map(|w| (w[0], Digests::of(&bytes[w[0]..w[1]], CRCS))).collect();
        parts.sort_by_key(|(offset, _)| (*offset as u64 + 1).wrapping_mul(order | 1));
        let mut combiner = Combiner::new();
        let last = parts.pop().unwrap();
        for (offset, part) in parts {
            combiner.insert(offset as u64, part).unwrap();
            prop_assert_eq!(combiner.whole(bytes.len() as u64), None);
        }
        combiner.insert(last.0 as u64, last.1).unwrap();
        prop_assert_eq!(combiner.whole(bytes.len() as u64), Some(Digests::of(&bytes, CRCS)));
    }

    #[test]
    fn the_pieces_of_a_stream_do_not_matter((bytes, cuts) in cuts()) {
        let mut hasher = Hasher::new(ALL);
        cuts.windows(2).for_each(|w| hasher.update(&bytes[w[0]..w[1]]));
        prop_assert_eq!(hasher.finish(), Digests::of(&bytes, ALL));
    }

    #[test]
    fn two_libraries_agree_on_crc32c(bytes in proptest::collection::vec(any::<u8>(), 0..3_000), more in any::<Vec<u8>>()) {
        let (a, b) = (Digests::of(&bytes, CRCS), Digests::of(&more, CRCS));
        prop_assert_eq!(a.crc32c, crc32c::crc32c(&bytes));
        prop_assert_eq!(a.then(&b).crc32c, crc32c::crc32c_combine(a.crc32c, b.crc32c, more.len()));
    }

    #[test]
    fn a_written_digest_reads_back(crc in any::<u32>(), long in any::<u64>()) {
        prop_assert_eq!(parse_crc32(&base64_crc32(crc)), Ok(crc));
        prop_assert_eq!(parse_crc64(&base64_crc64(long)), Ok(long));
    }

    #[test]
    fn no_header_makes_it_panic(text in "\\PC{0,40}", composite in any::<Option<bool>>()) {
        let mut stored = StoredDigests::default();
        for name in ["crc32c", "crc64nvme", "crc32", "sha256", "sha1"] {
            let _ = stored.amz_header(&format!("x-amz-checksum-{name}"), &text, composite);
        }
        let _ = stored.goog_hash(&text);
        stored.md5_etag(&text);
    }
}
