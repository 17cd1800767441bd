use proptest::prelude::*;

use super::*;

/// As an item of the table has them.
const MOST: usize = 340_000;

fn digests() -> impl Strategy<Value = Digests> {
    (
        any::<u64>(),
        any::<u32>(),
        any::<Option<u64>>(),
        any::<Option<u32>>(),
        any::<Option<[u8; 32]>>(),
        any::<Option<[u8; 16]>>(),
    )
        .prop_map(|(length, crc32c, crc64nvme, crc32, sha256, md5)| Digests {
            length,
            crc32c,
            crc64nvme,
            crc32,
            sha256,
            md5,
        })
}

fn part() -> impl Strategy<Value = PartRecord> {
    let etag = prop_oneof![
        "[0-9a-f]{32}",
        "\"[0-9a-f]{32}\"",
        "[0-9A-F]{32}",
        "\\PC{0,40}",
        Just("the md5".to_owned()),
        Just("\"the md5\"".to_owned())
    ];
    (any::<u32>(), etag, digests()).prop_map(|(number, etag, digests)| {
        let etag = etag.replace("the md5", &hex::encode(digests.md5.unwrap_or_default()));
        PartRecord { number, etag: etag.as_str().into(), digests }
    })
}

fn upload() -> impl Strategy<Value = UploadRecord> {
    let identity = ("\\PC{0,40}", any::<u64>(), any::<i64>(), proptest::option::of("\\PC{1,40}"));
    (any::<u128>(), identity, any::<Option<u32>>(), any::<u64>(), proptest::collection::vec(part(), 0..20)).prop_map(
        |(token, (etag, size, last_modified, version), headers, part_size, parts)| UploadRecord {
            id: UploadId("id".into()),
            token: Token(token),
            identity: SourceIdentity {
                etag: etag.as_str().into(),
                size,
                last_modified,
                version: version.map(|version| version.as_str().into()),
            },
            headers,
            part_size,
            parts,
        },
    )
}

fn read(head: &[u8], parts: &[u8]) -> Option<UploadRecord> {
    let mut record = decode_head(UploadId("id".into()), head)?;
    record.parts = decode_parts(parts, record.token)?;
    Some(record)
}

/// As they come from a service: numbered from 1, all but the last of one size.
fn large(parts: u32, part: impl Fn(u32) -> (String, Digests)) -> UploadRecord {
    let record = |number| {
        let (etag, digests) = part(number);
        PartRecord { number, etag: etag.as_str().into(), digests }
    };
    UploadRecord {
        id: UploadId("id".into()),
        token: Token(7),
        identity: SourceIdentity { etag: "e".into(), size: 160 << 30, last_modified: 0, version: None },
        headers: None,
        part_size: 16 << 20,
        parts: (1..=parts).map(record).collect(),
    }
}

proptest! {
    #[test]
    fn an_upload_comes_back_as_it_was(upload in upload()) {
        prop_assert_eq!(read(&encode_head(&upload), &encode_parts(&upload, MOST)), Some(upload.clone()));
        prop_assert_eq!(decode_upload(upload.id.clone(), &encode_upload(&upload)), Some(upload));
    }

    #[test]
    fn digests_come_back_as_they_were(digests in digests()) {
        prop_assert_eq!(decode_digests(&encode_digests(&digests)), Some(digests));
    }

    #[test]
    fn a_proof_comes_back_as_it_was(digests in proptest::option::of(digests()), grade in 0usize..4) {
        let grade = Grade::ALL.get(grade).copied();
        prop_assert_eq!(decode_proof(&encode_proof(digests.as_ref(), grade)), Some((digests, grade)));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = bytes;
        bytes.insert(0, VERSION);
        decode_head(UploadId("id".into()), &bytes);
        let token: [u8; 16] = bytes.get(1..17).and_then(|b| b.try_into().ok()).unwrap_or_default();
        decode_parts(&bytes, Token(u128::from_le_bytes(token)));
        decode_proof(&bytes);
        decode_digests(&bytes);
        bytes[0] = WHOLE;
        decode_upload(UploadId("id".into()), &bytes);
    }

    #[test]
    fn whatever_the_parts_are_they_fit_an_item(etag in "[ -~]{1,300}", sha256 in any::<[u8; 32]>()) {
        let digests = Digests { sha256: Some(sha256), md5: Some([1; 16]), crc64nvme: Some(2), ..Digests::default() };
        let upload = large(10_000, |_| (etag.clone(), digests));
        let packed = encode_parts(&upload, MOST);
        prop_assert!(packed.len() <= MOST);
        let kept = decode_parts(&packed, upload.token).unwrap();
        prop_assert!(!kept.is_empty() && kept[..] == upload.parts[..kept.len()]);
    }
}

#[test]
fn ten_thousand_usual_parts_are_well_under_an_item() {
    let digests = |number: u32| Digests {
        length: 16 << 20,
        crc32c: number,
        crc64nvme: Some(u64::MAX - u64::from(number)),
        md5: Some([number as u8; 16]),
        ..Digests::default()
    };
    let quoted_md5 = large(10_000, |n| (format!("\"{}\"", hex::encode([n as u8; 16])), digests(n)));
    let opaque_hash = large(10_000, |n| (format!("{n:032x}"), Digests { md5: None, ..digests(n) }));
    for upload in [quoted_md5, opaque_hash] {
        let packed = encode_parts(&upload, MOST);
        assert!(packed.len() < 300_000, "{}", packed.len());
        assert_eq!(decode_parts(&packed, upload.token), Some(upload.parts));
    }
}

#[test]
fn the_parts_of_another_upload_are_nobodys() {
    let upload = large(3, |n| (format!("{n:032x}"), Digests::default()));
    assert_eq!(decode_parts(&encode_parts(&upload, MOST), Token(8)), None);
}

#[test]
fn progress_is_a_share_of_the_object() {
    let digests = |_| ("e".to_owned(), Digests { length: 16 << 20, ..Digests::default() });
    assert_eq!([0, 5120, 10_240].map(|parts| large(parts, digests).percent()), [0, 50, 99]);
    let longest = |_| ("e".to_owned(), Digests { length: u64::MAX, ..Digests::default() });
    assert_eq!(large(3, longest).percent(), 99, "lengths that together are more than a number holds");
}

#[test]
fn a_whole_upload_that_is_cut_short_within_its_head_is_refused() {
    let upload = large(2, |n| (format!("{n:032x}"), Digests::default()));
    let packed = encode_upload(&upload);
    let head = encode_head(&upload).len() + 2;
    assert!((0..=head).all(|length| decode_upload(upload.id.clone(), &packed[..length]).is_none()));
    assert_eq!(decode_upload(upload.id.clone(), &[1, 2, 3]), None, "the layout before this one");
}
