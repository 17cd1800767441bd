//! What is a directory's own: links, folders in the way, files that change under the reader, what a crash leaves.
//! What it shares with the other stores is in the contract (tests/contracts/store.rs).

use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use super::*;
use skyferry_core::digest::{DigestSelection, Digests};
use skyferry_core::model::{SourceIdentity, Token};

struct Tree {
    root: tempfile::TempDir,
    directory: Directory,
}

fn open(root: &Path) -> Directory {
    Directory::open(DirectoryOptions { root: root.to_path_buf(), bucket: "b".into(), create: true, metadata: None })
        .expect("opened")
}

fn tree() -> Tree {
    let root = tempfile::tempdir().expect("a directory");
    let directory = open(root.path());
    Tree { root, directory }
}

fn at(key: &str) -> Location {
    Location::new("b", key)
}

fn attributes(size: u64) -> WriteAttributes {
    let identity = SourceIdentity { etag: "e".into(), size, last_modified: 1, version: None };
    let provenance = Provenance {
        source: Location::new("source", "key"),
        identity,
        token: Token::random(),
        crc32c: None,
        headers: None,
    };
    WriteAttributes { metadata: Metadata::default(), provenance, size, options: Default::default() }
}

impl Tree {
    fn write(&self, path: &str, content: &[u8]) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, content).expect("written");
    }
    async fn put(&self, key: &str, expected: &Expected) -> Result<WriteResult> {
        let payload = Payload::Whole(Bytes::copy_from_slice(key.as_bytes()));
        self.directory.put(&at(key), payload, &attributes(key.len() as u64), expected).await
    }
    async fn keys(&self) -> Vec<Vec<u8>> {
        let page = Source::list(&self.directory, "b", &Key::default(), ListFrom::Start).await.expect("listed");
        page.objects.iter().map(|row| row.key.as_bytes().to_vec()).collect()
    }
    async fn source_open(&self, key: &str) -> Result<Option<OpenedObject>> {
        Source::open(&self.directory, &at(key), &Pin::Newest, None).await
    }
    /// All files but our own and empty directories, as `find` would show them.
    fn files(&self) -> Vec<String> {
        fn go(dir: &Path, root: &Path, into: &mut Vec<String>) {
            for entry in std::fs::read_dir(dir).expect("read") {
                let path = entry.expect("read").path();
                if path.is_dir() {
                    go(&path, root, into)
                } else {
                    into.push(path.strip_prefix(root).expect("below").display().to_string())
                }
            }
        }
        let mut files = Vec::new();
        go(self.root.path(), self.root.path(), &mut files);
        files.retain(|file| !file.starts_with(".skyferry/locks"));
        files.sort();
        files
    }
}

#[tokio::test]
async fn a_file_where_a_folder_must_be_cannot_be_held() {
    let tree = tree();
    tree.put("a", &Expected::Any).await.expect("written");
    for key in ["a/b", "a/", "a/b/c"] {
        let error = tree.put(key, &Expected::Any).await.expect_err("in the way");
        assert_eq!(error.kind, ErrorKind::CannotHold, "{error}");
        assert!(error.to_string().contains("`a` is not a folder"), "{error}");
        let error = tree.directory.begin(&at(key), &attributes(1)).await.expect_err("in the way");
        assert_eq!(error.kind, ErrorKind::CannotHold, "known before the first part");
    }
    tree.put("d/e", &Expected::Any).await.expect("written");
    for expected in [Expected::Any, Expected::Absent] {
        let error = tree.put("d", &expected).await.expect_err("in the way");
        assert_eq!(error.kind, ErrorKind::CannotHold, "{error}");
        assert!(error.to_string().contains("a folder has this name"), "{error}");
    }
}

#[tokio::test]
async fn a_folder_goes_with_its_last_file_and_gives_its_name_free() {
    let tree = tree();
    tree.put("a/b/c", &Expected::Any).await.expect("written");
    tree.directory.delete(&at("a/b/c"), &Expected::Any).await.expect("deleted");
    assert!(!tree.root.path().join("a").exists());
    tree.put("a", &Expected::Absent).await.expect("written");
    tree.directory.delete(&at("a"), &Expected::Any).await.expect("deleted");
    std::fs::create_dir(tree.root.path().join("a")).expect("made");
    tree.put("a", &Expected::Absent).await.expect("an empty folder gives way");
}

#[tokio::test]
async fn links_are_neither_listed_nor_read_nor_written_through() {
    let tree = tree();
    let outside = tempfile::tempdir().expect("a directory");
    std::fs::write(outside.path().join("secret"), "secret").expect("written");
    symlink(outside.path(), tree.root.path().join("out")).expect("linked");
    symlink(outside.path().join("secret"), tree.root.path().join("file")).expect("linked");
    tree.put("plain", &Expected::Any).await.expect("written");
    assert_eq!(tree.keys().await, [b"plain"]);
    for key in ["out/secret", "file"] {
        assert!(tree.source_open(key).await.expect("an answer").is_none());
        assert!(Source::head(&tree.directory, &at(key), &Pin::Newest).await.expect("an answer").is_none());
    }
    assert_eq!(tree.put("out/new", &Expected::Any).await.expect_err("refused").kind, ErrorKind::CannotHold);
    assert_eq!(tree.put("file", &Expected::Absent).await.expect_err("refused").kind, ErrorKind::CannotHold);
    tree.put("file", &Expected::Any).await.expect("replaces the link itself");
    tree.directory.delete(&at("out/secret"), &Expected::Any).await.expect("nothing there");
    assert_eq!(std::fs::read(outside.path().join("secret")).expect("untouched"), b"secret");
    assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 1);
}

#[tokio::test]
async fn a_pipe_is_neither_listed_nor_waited_for() {
    let tree = tree();
    nix::unistd::mkfifo(&tree.root.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    assert!(tree.keys().await.is_empty());
    assert!(tree.source_open("pipe").await.expect("an answer").is_none());
}

#[tokio::test]
async fn names_that_are_no_utf8_are_keys_like_others() {
    let tree = tree();
    let name = std::ffi::OsString::from_vec(b"caf\xe9".to_vec());
    std::fs::write(tree.root.path().join(&name), "x").expect("Linux takes any bytes");
    assert_eq!(tree.keys().await, [b"caf\xe9"]);
    let location = Location::new("b", Key::new(&b"caf\xe9"[..]));
    assert!(Source::open(&tree.directory, &location, &Pin::Newest, None).await.expect("opened").is_some());
}

#[tokio::test]
async fn another_buckets_name_is_refused() {
    let error = Sink::head(&tree().directory, &Location::new("other", "a")).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::BucketMissing);
}

#[tokio::test]
async fn a_root_that_is_not_there_is_a_missing_bucket() {
    let root = tempfile::tempdir().expect("a directory");
    let options =
        DirectoryOptions { root: root.path().join("none"), bucket: "b".into(), create: false, metadata: None };
    let directory = Directory::open(options).expect("opened");
    let error = Source::list(&directory, "b", &Key::default(), ListFrom::Start).await.expect_err("missing");
    assert_eq!(error.kind, ErrorKind::BucketMissing);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_never_read_whole() {
    let tree = tree();
    let content = vec![1; 3 * CHUNK];
    for change in ["rewritten", "longer", "shorter"] {
        tree.write("a", &content);
        let mut opened = tree.source_open("a").await.expect("opened").expect("there");
        opened.chunks.next().await.expect("a chunk").expect("read");
        match change {
            "rewritten" => tree.write("a", &vec![2; 3 * CHUNK]),
            "longer" => tree.write("a", &vec![1; 3 * CHUNK + 1]),
            _ => tree.write("a", &content[..CHUNK + 1]),
        }
        let rest: Result<Vec<Bytes>> = opened.chunks.try_collect().await;
        assert_eq!(rest.expect_err("changed").kind, ErrorKind::SourceChanged, "{change}");
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_read_gives_the_old_state_whole() {
    let tree = tree();
    tree.write("a", &vec![1; 3 * CHUNK]);
    let opened = tree.source_open("a").await.expect("opened").expect("there");
    tree.write("new", &vec![2; 3 * CHUNK]);
    std::fs::rename(tree.root.path().join("new"), tree.root.path().join("a")).expect("renamed");
    let read = opened.chunks.try_collect::<Vec<_>>().await.expect("read").concat();
    assert!(read == vec![1; 3 * CHUNK]);
}

#[tokio::test]
async fn two_states_written_at_once_have_different_stamps_once_they_were_told() {
    let tree = tree();
    tree.write("a", b"1");
    let first = Source::head(&tree.directory, &at("a"), &Pin::Newest).await.expect("looked").expect("there");
    tree.write("a", b"2");
    let second = Source::head(&tree.directory, &at("a"), &Pin::Newest).await.expect("looked").expect("there");
    assert_ne!(first.identity.etag, second.identity.etag);
}

#[tokio::test]
async fn an_edited_file_has_lost_what_was_kept_beside_it() {
    let tree = tree();
    tree.put("a", &Expected::Any).await.expect("written");
    assert!(Sink::head(&tree.directory, &at("a")).await.expect("looked").expect("there").provenance.is_some());
    tree.write("a", b"edited");
    let object = Sink::head(&tree.directory, &at("a")).await.expect("looked").expect("there");
    assert!(object.provenance.is_none() && object.stored.crc32c.is_none());
}

#[tokio::test]
async fn a_renamed_file_keeps_what_is_beside_it() {
    let tree = tree();
    tree.put("a", &Expected::Any).await.expect("written");
    std::fs::rename(tree.root.path().join("a"), tree.root.path().join("b")).expect("renamed");
    assert!(Sink::head(&tree.directory, &at("b")).await.expect("looked").expect("there").provenance.is_some());
}

#[tokio::test]
async fn replaced_and_deleted_objects_leave_nothing_behind() {
    let tree = tree();
    for _ in 0..3 {
        tree.put("a/b", &Expected::Any).await.expect("written");
    }
    assert_eq!(tree.files().len(), 2, "the file and what is beside it: {:?}", tree.files());
    let error = tree.put("a/b", &Expected::Absent).await.expect_err("there");
    assert_eq!(error.kind, ErrorKind::Precondition);
    assert_eq!(tree.files().len(), 2, "{:?}", tree.files());
    tree.directory.delete(&at("a/b"), &Expected::Any).await.expect("deleted");
    assert_eq!(tree.files(), [""; 0]);
}

#[tokio::test]
async fn an_unreadable_folder_fails_the_listing_and_hides_nothing() {
    let tree = tree();
    tree.write("closed/a", b"x");
    let closed = tree.root.path().join("closed");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).expect("set");
    let everything_is_readable = std::fs::read_dir(&closed).is_ok();
    let answer = Source::list(&tree.directory, "b", &Key::default(), ListFrom::Start).await;
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o755)).expect("set");
    match answer {
        // Root reads it.
        Ok(page) => assert!(everything_is_readable && page.objects.len() == 1),
        Err(error) => assert_eq!(error.kind, ErrorKind::Denied),
    }
}

fn finished(part: &StoredPart, content: &Bytes) -> CompletedPart {
    CompletedPart {
        number: part.number,
        etag: part.etag.clone(),
        crc32c: Digests::of(content, DigestSelection::default()).crc32c,
    }
}

#[tokio::test]
async fn an_upload_goes_on_in_a_new_process_and_its_parts_are_moved_not_copied() {
    let tree = tree();
    let content = Bytes::from((0..250_000_u32).map(|n| (n >> 3) as u8).collect::<Vec<u8>>());
    let piece = |number: usize| content.slice((number - 1) * 100_000..(number * 100_000).min(content.len()));
    let id = tree.directory.begin(&at("a"), &attributes(250_000)).await.expect("begun");
    let first = tree.directory.part(&at("a"), &id, 1, Payload::Whole(piece(1))).await.expect("stored");
    let next = open(tree.root.path());
    assert_eq!(next.parts(&at("a"), &id).await.expect("listed").expect("there"), vec![first.clone()]);
    let third = next.part(&at("a"), &id, 3, Payload::Whole(piece(3))).await.expect("stored");
    let second = next.part(&at("a"), &id, 2, Payload::Whole(piece(2))).await.expect("stored");
    assert!(
        tree.files().iter().all(|file| !["/b1.", "/b2.", "/b3."].iter().any(|name| file.contains(name))),
        "all in their places: {:?}",
        tree.files()
    );
    let parts = [finished(&first, &piece(1)), finished(&second, &piece(2)), finished(&third, &piece(3))];
    let whole = Digests::of(&content, DigestSelection::default());
    next.finish(&at("a"), &id, &parts, &whole, &Expected::Absent).await.expect("published");
    assert!(std::fs::read(tree.root.path().join("a")).expect("read") == content);
    assert_eq!(tree.files().len(), 2, "{:?}", tree.files());
}

#[tokio::test]
async fn parts_before_the_first_find_their_places_at_the_end() {
    let tree = tree();
    let content = Bytes::from((0..250_000_u32).map(|n| (n >> 3) as u8).collect::<Vec<u8>>());
    let piece = |number: usize| content.slice((number - 1) * 100_000..(number * 100_000).min(content.len()));
    let id = tree.directory.begin(&at("a"), &attributes(250_000)).await.expect("begun");
    let mut parts = Vec::new();
    for number in [3, 2, 1] {
        let part =
            tree.directory.part(&at("a"), &id, number as u32, Payload::Whole(piece(number))).await.expect("stored");
        parts.insert(0, finished(&part, &piece(number)));
    }
    let whole = Digests::of(&content, DigestSelection::default());
    tree.directory.finish(&at("a"), &id, &parts, &whole, &Expected::Any).await.expect("published");
    assert!(std::fs::read(tree.root.path().join("a")).expect("read") == content);
}

#[tokio::test]
async fn an_upload_that_was_published_before_a_crash_takes_no_more_parts() {
    let tree = tree();
    let id = tree.directory.begin(&at("a"), &attributes(1)).await.expect("begun");
    tree.directory.part(&at("a"), &id, 1, Payload::Whole("x".into())).await.expect("stored");
    // As a crash leaves it between the link and the removal.
    let data = tree.root.path().join(".skyferry/uploads").join(&*id.0).join("data");
    std::fs::hard_link(data, tree.root.path().join("a")).expect("linked");
    let next = open(tree.root.path());
    assert_eq!(next.parts(&at("a"), &id).await.expect("an answer"), None);
    let again = next.part(&at("a"), &id, 1, Payload::Whole("y".into())).await;
    assert_eq!(again.expect_err("gone").kind, ErrorKind::UploadGone);
}

#[tokio::test]
async fn a_cancelled_write_leaves_no_file() {
    let tree = tree();
    let chunks: Chunks = futures_util::stream::once(async { Ok(Bytes::from(vec![0; CHUNK])) })
        .chain(futures_util::stream::pending())
        .boxed();
    let payload = Payload::Stream { length: 10 * CHUNK as u64, chunks, crc32c: None };
    let with = attributes(10 * CHUNK as u64);
    let location = at("a");
    let put = tree.directory.put(&location, payload, &with, &Expected::Any);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), put).await.is_err());
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(tree.files(), [""; 0]);
}
