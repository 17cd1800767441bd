//! What the journeys need: a place of one's own, peers, the program, trees to make and to compare.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

pub use fixture::{ProgramOutput, ended, s3};
use sandbox::{GcsOptions, GcsPeer, S3Options, S3Peer};
use tokio::process::{Child, Command};

pub use fixture::SOURCE as BUCKET;

pub struct Fixture {
    pub folder: tempfile::TempDir,
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture { folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Not started yet; in a place of its own, with keys for the peers.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
        self.prepare(&mut command);
        command.arg("copy").args(arguments).arg("--json");
        if !arguments.contains(&"--patience") {
            command.args(["--patience", "2s"]);
        }
        command
    }

    pub fn prepare(&self, command: &mut Command) {
        command.current_dir(self.folder.path()).env("XDG_STATE_HOME", self.path("state"));
        for (prefix, id, secret) in
            [("S3_", S3Peer::ACCESS_ID, S3Peer::SECRET), ("GCS_", GcsPeer::ACCESS_ID, GcsPeer::SECRET)]
        {
            command.env(format!("{prefix}AWS_ACCESS_KEY_ID"), id);
            command.env(format!("{prefix}AWS_SECRET_ACCESS_KEY"), secret);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("started")
    }

    pub async fn copy(&self, arguments: &[&str]) -> ProgramOutput {
        ended(self.start(arguments)).await
    }

    /// Any command, without --json.
    pub async fn run(&self, arguments: &[&str]) -> ProgramOutput {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skyferry"));
        self.prepare(&mut command);
        ended(command.args(arguments).spawn().expect("started")).await
    }

    /// A file below the folder.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        write(&self.path(name), bytes);
    }
}

pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, bytes).expect("written");
}

/// An S3 that stands in for Alibaba's OSS.
pub fn oss() -> S3Peer {
    let options = S3Options { buckets: vec![BUCKET.into()], default_checksum: false, ..S3Options::default() };
    S3Peer::start(options).expect("an S3 peer")
}

pub fn gcs() -> GcsPeer {
    GcsPeer::start(GcsOptions { buckets: vec![BUCKET.into()], ..GcsOptions::default() }).expect("a GCS peer")
}

/// The flags of one side.
pub fn at<'a>(side: &str, endpoint: &'a str, keys: &'a str) -> [String; 4] {
    [format!("--{side}-endpoint"), endpoint.to_owned(), format!("--{side}-credentials"), format!("environment:{keys}")]
}

/// As `&str`s, which is what a command takes.
pub fn all<'a>(first: &[&'a str], flags: &[&'a [String]]) -> Vec<&'a str> {
    first.iter().copied().chain(flags.iter().flat_map(|flags| flags.iter().map(String::as_str))).collect()
}

/// Bytes that no two sizes and seeds share.
pub fn bytes(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ size as u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)).to_le_bytes()
    };
    let mut out: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| next()).collect();
    out.truncate(size);
    out
}

/// Every file's bytes by its path, what is Skyferry's own left out.
pub fn tree(root: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (mut found, mut directories) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry")) {
            if entry.file_name() == OsStr::new(".skyferry") {
                continue;
            }
            if entry.file_type().expect("a type").is_dir() {
                directories.push(entry.path());
            } else {
                let path = entry.path();
                let name = path.strip_prefix(root).expect("below it").as_os_str().as_bytes().to_vec();
                found.insert(name, std::fs::read(&path).expect("read"));
            }
        }
    }
    found
}

/// The same of a peer's bucket, below a prefix.
pub fn objects(peer: &sandbox::StorePeer, prefix: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let inside = peer.objects(BUCKET).into_iter().filter(|info| info.key.starts_with(prefix));
    inside.map(|info| (info.key[prefix.len()..].into(), peer.read(BUCKET, &info.key).expect("read"))).collect()
}

/// Small files, odd names, empty ones, and two that go in parts where these begin at 5 MiB.
pub fn mixed(root: &Path, count: usize) {
    for n in 0..count {
        let size = [0, 1, 700, 4096, 70_000][n % 5];
        write(&root.join(format!("d{}/e{}/file {n}.bin", n % 7, n % 3)), &bytes(size, n as u64));
    }
    for (n, name) in
        ["a-b", "a/b", "a0", "pl+us", "per%41cent", "\u{7167}/\u{1f600}", "q?u#e&r", "a b/ c "].into_iter().enumerate()
    {
        write(&root.join(name), &bytes(100 + n, 9));
    }
    write(&root.join("large/one"), &bytes(12 << 20, 1));
    write(&root.join("large/two"), &bytes((11 << 20) + 77, 2));
}

/// Parts for objects of more than 5 MiB.
pub const PARTS: [&str; 4] = ["--multipart-threshold", "5MiB", "--part-size", "5MiB"];
