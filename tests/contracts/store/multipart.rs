//! Objects in parts.

use bytes::Bytes;
use futures_util::future::join_all;
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Expected, Key, UploadId};
use skyferry_core::store::{CompletedPart, Payload, StoredPart};

use super::{Subject, attributes, breaking, bytes, digests, kind, streamed};

/// An object of two full parts and a short one.
struct Whole {
    content: Bytes,
    part: usize,
}

impl Whole {
    fn new(on: &Subject, seed: u8) -> Self {
        let part = on.can.part;
        Whole { content: bytes(2 * part + part / 3, seed), part }
    }
    fn part(&self, number: u32) -> Bytes {
        let start = (number as usize - 1) * self.part;
        self.content.slice(start..(start + self.part).min(self.content.len()))
    }
}

fn finished(part: &StoredPart, content: &Bytes) -> CompletedPart {
    CompletedPart { number: part.number, etag: part.etag.clone(), crc32c: digests(content).crc32c }
}

impl Subject {
    async fn start(&self, key: &str, whole: &Whole) -> UploadId {
        let with = attributes(whole.content.len());
        self.sink.begin(&self.at(key), &with).await.expect("begun")
    }
    async fn send(&self, key: &str, id: &UploadId, number: u32, content: Bytes) -> CompletedPart {
        let part = self.sink.part(&self.at(key), id, number, streamed(&content)).await.expect("stored");
        assert_eq!((part.number, part.size), (number, content.len() as u64));
        assert!(!part.stored.compare(&digests(&content)).is_mismatch());
        finished(&part, &content)
    }
    async fn send_all(&self, key: &str, id: &UploadId, whole: &Whole) -> Vec<CompletedPart> {
        join_all((1..=3).map(|number| self.send(key, id, number, whole.part(number)))).await
    }
}

pub async fn parts_in_parallel_and_out_of_order_make_the_object(on: Subject) {
    let whole = Whole::new(&on, 1);
    let with = attributes(whole.content.len());
    let id = on.sink.begin(&on.at("dir/a"), &with).await.expect("begun");
    let sent = join_all([3, 1, 2].map(|number| on.send("dir/a", &id, number, whole.part(number)))).await;
    assert!(on.head("dir/a").await.is_none(), "nothing is visible before the end");
    assert!(on.keys("").await.is_empty());
    let mut parts = sent;
    parts.sort_by_key(|part| part.number);
    let sums = digests(&whole.content);
    let published = on.sink.finish(&on.at("dir/a"), &id, &parts, &sums, &Expected::Any).await.expect("published");
    assert!(!published.stored.compare(&sums).is_mismatch());
    assert!(on.read("dir/a").await.as_ref() == Some(&whole.content));
    let object = on.head("dir/a").await.expect("there");
    assert_eq!((Some(object.revision), object.provenance), (published.revision, Some(with.provenance)));
    assert_eq!(object.metadata.content_type, with.metadata.content_type);
    assert!(!object.stored.compare(&sums).is_mismatch());
}

pub async fn a_part_sent_again_replaces_the_first(on: Subject) {
    let whole = Whole::new(&on, 2);
    let id = on.start("a", &whole).await;
    let mut parts = on.send_all("a", &id, &whole).await;
    on.send("a", &id, 2, bytes(whole.part, 99)).await;
    parts[1] = on.send("a", &id, 2, whole.part(2)).await;
    let sums = digests(&whole.content);
    on.sink.finish(&on.at("a"), &id, &parts, &sums, &Expected::Any).await.expect("published");
    assert!(on.read("a").await == Some(whole.content));
}

pub async fn one_part_alone_is_an_object(on: Subject) {
    let content = bytes(1000, 3);
    let id = on.sink.begin(&on.at("a"), &attributes(1000)).await.expect("begun");
    let part = on.sink.part(&on.at("a"), &id, 1, Payload::Whole(content.clone())).await.expect("stored");
    let parts = [finished(&part, &content)];
    on.sink.finish(&on.at("a"), &id, &parts, &digests(&content), &Expected::Any).await.expect("published");
    assert_eq!(on.read("a").await, Some(content));
}

pub async fn a_part_that_breaks_off_is_not_stored(on: Subject) {
    let whole = Whole::new(&on, 4);
    let id = on.start("a", &whole).await;
    let cut = breaking(&whole.part(1).slice(..100_000), whole.part as u64);
    assert!(on.sink.part(&on.at("a"), &id, 1, cut).await.is_err());
    let longer = Payload::Stream { length: 10, chunks: super::chunks(&whole.part(1)), crc32c: None };
    assert!(on.sink.part(&on.at("a"), &id, 1, longer).await.is_err());
    assert_eq!(on.sink.parts(&on.at("a"), &id).await.expect("listed"), Some(vec![]));
    let parts = on.send_all("a", &id, &whole).await;
    let sums = digests(&whole.content);
    on.sink.finish(&on.at("a"), &id, &parts, &sums, &Expected::Any).await.expect("published");
    assert!(on.read("a").await == Some(whole.content));
}

pub async fn the_parts_are_listed_as_they_were_answered(on: Subject) {
    let whole = Whole::new(&on, 5);
    let id = on.start("a", &whole).await;
    let sent = on.send_all("a", &id, &whole).await;
    let listed = on.sink.parts(&on.at("a"), &id).await.expect("listed").expect("the upload is there");
    let pairs: Vec<_> = listed.iter().map(|part| (part.number, part.etag.clone(), part.size)).collect();
    let expected: Vec<_> =
        sent.iter().map(|part| (part.number, part.etag.clone(), whole.part(part.number).len() as u64)).collect();
    assert_eq!(pairs, expected);
}

pub async fn finishing_with_a_wrong_etag_publishes_nothing(on: Subject) {
    let whole = Whole::new(&on, 6);
    let id = on.start("a", &whole).await;
    let mut parts = on.send_all("a", &id, &whole).await;
    let right = parts.clone();
    parts[1].etag = parts[0].etag.clone();
    let sums = digests(&whole.content);
    assert!(on.sink.finish(&on.at("a"), &id, &parts, &sums, &Expected::Any).await.is_err());
    assert!(on.head("a").await.is_none());
    on.sink.finish(&on.at("a"), &id, &right, &sums, &Expected::Any).await.expect("the upload is still good");
    assert!(on.read("a").await == Some(whole.content));
}

pub async fn a_whole_digest_that_disagrees_with_the_parts_is_told(on: Subject) {
    let whole = Whole::new(&on, 7);
    let id = on.start("a", &whole).await;
    let parts = on.send_all("a", &id, &whole).await;
    let wrong = digests(&bytes(whole.content.len(), 100));
    let answer = on.sink.finish(&on.at("a"), &id, &parts, &wrong, &Expected::Any).await;
    if on.can.checks_whole {
        assert_eq!(kind(answer), ErrorKind::Corrupt);
        assert!(on.head("a").await.is_none());
    } else {
        let published = answer.expect("published: the caller is to compare");
        assert!(
            published.stored.compare(&wrong).is_mismatch()
                || on.head("a").await.expect("there").stored.compare(&wrong).is_mismatch()
        );
    }
}

pub async fn a_finish_that_expects_nothing_replaces_nothing(on: Subject) {
    let whole = Whole::new(&on, 8);
    let id = on.start("a", &whole).await;
    let parts = on.send_all("a", &id, &whole).await;
    on.put("a", &bytes(10, 9)).await;
    let sums = digests(&whole.content);
    let answer = on.sink.finish(&on.at("a"), &id, &parts, &sums, &Expected::Absent).await;
    if on.can.capabilities.conditional_finish {
        assert_eq!(kind(answer), ErrorKind::Precondition);
        assert_eq!(on.read("a").await, Some(bytes(10, 9)));
    } else {
        answer.expect("goes through");
        assert!(on.read("a").await == Some(whole.content));
    }
}

pub async fn an_aborted_upload_is_gone(on: Subject) {
    let whole = Whole::new(&on, 10);
    let id = on.start("a", &whole).await;
    let parts = on.send_all("a", &id, &whole).await;
    on.sink.abort(&on.at("a"), &id).await.expect("aborted");
    assert_eq!(on.sink.parts(&on.at("a"), &id).await.expect("an answer"), None);
    assert_eq!(kind(on.sink.part(&on.at("a"), &id, 1, Payload::Whole("x".into())).await), ErrorKind::UploadGone);
    let answer = on.sink.finish(&on.at("a"), &id, &parts, &digests(&whole.content), &Expected::Any).await;
    assert_eq!(kind(answer), ErrorKind::UploadGone);
    assert!(on.head("a").await.is_none());
    on.sink.abort(&on.at("a"), &id).await.expect("ending it twice is no error");
}

pub async fn a_finished_upload_is_gone_and_its_object_stays(on: Subject) {
    let whole = Whole::new(&on, 11);
    let id = on.start("a", &whole).await;
    let parts = on.send_all("a", &id, &whole).await;
    let sums = digests(&whole.content);
    on.sink.finish(&on.at("a"), &id, &parts, &sums, &Expected::Any).await.expect("published");
    assert_eq!(on.sink.parts(&on.at("a"), &id).await.expect("an answer"), None);
    on.sink.abort(&on.at("a"), &id).await.expect("no error");
    assert!(on.read("a").await == Some(whole.content));
    assert!(on.sink.uploads(&on.bucket, &Key::default()).await.expect("listed").is_empty());
}

pub async fn open_uploads_are_listed_by_prefix(on: Subject) {
    let whole = Whole::new(&on, 12);
    let (a, b) = (on.start("p/a", &whole).await, on.start("p/b c", &whole).await);
    let other = on.start("q", &whole).await;
    let mut listed = on.sink.uploads(&on.bucket, &Key::from("p/")).await.expect("listed");
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    let seen: Vec<_> = listed.iter().map(|open| (open.key.clone(), open.id.clone())).collect();
    assert_eq!(seen, [(Key::from("p/a"), a), (Key::from("p/b c"), b)]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    assert!(listed.iter().all(|open| (now - open.initiated).abs() < 300), "{listed:?}");
    on.sink.abort(&on.at("q"), &other).await.expect("aborted");
    assert_eq!(on.sink.uploads(&on.bucket, &Key::default()).await.expect("listed").len(), 2);
}

pub async fn an_upload_id_of_nobodys_making_is_gone(on: Subject) {
    let id = UploadId("../../etc/passwd".into());
    assert_eq!(on.sink.parts(&on.at("a"), &id).await.expect("an answer"), None);
    assert_eq!(kind(on.sink.part(&on.at("a"), &id, 1, Payload::Whole("x".into())).await), ErrorKind::UploadGone);
    on.sink.abort(&on.at("a"), &id).await.expect("no error");
}
