//! Listings: all keys, in the order of their bytes, from anywhere.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use skyferry_core::error::ErrorKind;
use skyferry_core::model::{Expected, Key};
use skyferry_core::store::{ListFrom, Payload};

use super::{Subject, bytes};

impl Subject {
    /// Sixteen at once. A server that keeps objects as files can refuse one of two first writes into a folder with 500
    /// (rclone does): as an agent would, this asks again.
    async fn put_all(&self, keys: impl IntoIterator<Item = String>) {
        let puts = stream::iter(keys).map(async |key| {
            let put = || self.try_put(&key, Payload::Whole(Bytes::from_static(b"x")), &Expected::Any);
            let answer = match put().await {
                Err(error) if error.kind == ErrorKind::LostAnswer => put().await,
                answer => answer,
            };
            answer.unwrap_or_else(|error| panic!("{key}: {error}"));
        });
        puts.buffer_unordered(16).collect::<Vec<()>>().await;
    }
}

pub async fn an_empty_bucket_lists_nothing(on: Subject) {
    let page = on.source.list(&on.bucket, &Key::default(), ListFrom::Start).await.expect("listed");
    assert!(page.objects.is_empty() && page.next.is_none());
}

pub async fn keys_come_in_the_order_of_their_bytes(on: Subject) {
    let keys = [
        "a-b",
        "a/b",
        "a/b/c/d",
        "a/b-",
        "a0",
        "B",
        "b/",
        "b/0",
        "b!",
        "\u{e9}",
        "e\u{301}",
        "\u{1f600}",
        "\u{ffff}/x",
    ];
    let keys: Vec<String> = keys.into_iter().filter(|key| *key != "a/b").map(String::from).collect();
    on.put_all(keys.clone()).await;
    let mut sorted = keys;
    sorted.sort();
    assert_eq!(on.keys("").await, sorted);
}

pub async fn a_row_tells_what_a_look_tells(on: Subject) {
    on.put("dir/a", &bytes(1234, 1)).await;
    let page = on.source.list(&on.bucket, &Key::default(), ListFrom::Start).await.expect("listed");
    let (row, object) = (&page.objects[0], on.head("dir/a").await.expect("there"));
    assert_eq!(row.key, Key::from("dir/a"));
    assert_eq!((row.size, &row.etag), (1234, &object.identity.etag));
    assert!((row.last_modified - object.identity.last_modified).abs() <= 1);
    // A revision in a row spares the look: it must be the look's.
    assert!(row.revision.as_ref().is_none_or(|reported| *reported == object.revision), "{row:?}");
}

pub async fn more_than_a_page_is_listed_without_gap_or_repeat(on: Subject) {
    let keys: Vec<String> = (0..1203).map(|n| format!("d{}/{:04}", n % 7, n)).collect();
    on.put_all(keys.clone()).await;
    let mut sorted = keys;
    sorted.sort();
    assert_eq!(on.keys("").await, sorted);
    let page = on.source.list(&on.bucket, &Key::default(), ListFrom::Start).await.expect("listed");
    assert!(page.next.is_some() && page.objects.len() < sorted.len());
}

pub async fn a_listing_goes_on_after_any_key_there_or_not(on: Subject) {
    let keys: Vec<String> = ["a", "b-", "b/c", "b/d/e", "b/f", "b0", "c/"].map(String::from).into();
    on.put_all(keys.clone()).await;
    for after in ["", "0", "a", "b", "b-", "b/", "b/c", "b/d", "b/d/", "b/d/e", "b/d/zz", "b/zz", "b0", "c", "c/", "zz"]
    {
        let page =
            on.source.list(&on.bucket, &Key::default(), ListFrom::After(&Key::from(after))).await.expect("listed");
        let listed: Vec<&str> = page.objects.iter().map(|row| row.key.as_str().expect("UTF-8")).collect();
        let expected: Vec<&str> = keys.iter().map(String::as_str).filter(|key| *key > after).collect();
        assert_eq!(listed, expected, "after {after:?}");
    }
}

pub async fn a_prefix_is_bytes_and_no_folder(on: Subject) {
    let keys: Vec<String> = ["sp", "sp/a", "sp/b/c", "sp2/a", "sq"].map(String::from).into();
    on.put_all(keys.iter().filter(|key| *key != "sp").cloned()).await;
    for prefix in ["", "s", "sp", "sp/", "sp/b", "sp/b/", "sp2", "sp/b/c", "sp/b/c/", "t"] {
        let expected: Vec<String> =
            keys.iter().filter(|key| *key != "sp" && key.starts_with(prefix)).cloned().collect();
        assert_eq!(on.keys(prefix).await, expected, "{prefix:?}");
    }
    let page = on.source.list(&on.bucket, &Key::from("sp"), ListFrom::After(&Key::from("sp/a"))).await.expect("listed");
    let listed: Vec<&str> = page.objects.iter().map(|row| row.key.as_str().expect("UTF-8")).collect();
    assert_eq!(listed, ["sp/b/c", "sp2/a"], "prefix and start together");
}
