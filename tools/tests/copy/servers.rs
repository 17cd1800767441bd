//! To S3 servers by other people and back. Each answers something in its own way; the bytes and the counts are right all
//! the same.

use sandbox::{Moto, Rclone};

use crate::fixture::{BUCKET, Fixture, PARTS, ProgramOutput, at, bytes, ended, tree};

/// A server under test, and how it is spoken to.
struct Server<'a> {
    fixture: &'a Fixture,
    endpoint: String,
    key: (&'static str, &'static str),
    profile: &'static str,
}

impl Server<'_> {
    async fn copy(&self, from: &str, to: &str, side: &str) -> ProgramOutput {
        let profile = [format!("--{side}-profile"), self.profile.to_owned()];
        let flags: Vec<String> = at(side, &self.endpoint, "THEIRS_").into_iter().chain(profile).collect();
        let arguments: Vec<&str> = [from, to].into_iter().chain(flags.iter().map(String::as_str)).collect();
        let mut command = self.fixture.command(&[&arguments[..], &PARTS].concat());
        command.env("THEIRS_AWS_ACCESS_KEY_ID", self.key.0).env("THEIRS_AWS_SECRET_ACCESS_KEY", self.key.1);
        ended(command.spawn().expect("started")).await
    }

    /// Three files, one of them of three parts: up, up again, down.
    async fn there_and_back(&self) {
        let bucket = format!("s3://{BUCKET}/{}", self.profile);
        self.fixture.write("tree/large", &bytes(12 << 20, 1));
        self.fixture.write("tree/d/two MiB", &bytes(2 << 20, 2));
        self.fixture.write("tree/d/small", b"small");
        let up = self.copy("tree", &bucket, "destination").await;
        // rclone does not show at once what is written into a folder while that is being made: such an object is looked at
        // again, and is there.
        let arrived = up.count("copied") + up.count("unchanged");
        assert_eq!((up.code, arrived, up.count("parked")), (Some(0), 3, 0), "{up:?}");
        let again = self.copy("tree", &bucket, "destination").await;
        let counts = (again.count("copied"), again.count("unchanged"), again.count("bytes"));
        assert_eq!((again.code, counts), (Some(0), (0, 3, 0)), "{again:?}");
        let back = format!("back-{}", self.profile);
        let down = self.copy(&bucket, &back, "source").await;
        assert_eq!((down.code, down.count("copied"), down.count("parked")), (Some(0), 3, 0), "{down:?}");
        assert!(tree(&self.fixture.path(&back)) == tree(&self.fixture.path("tree")), "the trees differ");
    }
}

async fn moto() -> Moto {
    let moto = Moto::start().await.expect("moto");
    moto.create_bucket(BUCKET).await.expect("a bucket");
    moto
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_to_moto_as_a_generic_server_and_back_and_are_then_unchanged() {
    let (fixture, moto) = (Fixture::new(), moto().await);
    let key = (Moto::ACCESS_ID, Moto::SECRET);
    Server { fixture: &fixture, endpoint: moto.endpoint(), key, profile: "generic" }.there_and_back().await;
}

/// moto shows a CRC-32 under the name of a CRC32C, so a right upload looks damaged to whoever believes it.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_to_moto_as_amazon_is_proven_or_ends_with_the_advice_of_the_profile() {
    let (fixture, moto) = (Fixture::new(), moto().await);
    let key = (Moto::ACCESS_ID, Moto::SECRET);
    let server = Server { fixture: &fixture, endpoint: moto.endpoint(), key, profile: "aws" };
    fixture.write("tree/large", &bytes(12 << 20, 1));
    let up = server.copy("tree", "s3://photos/aws", "destination").await;
    if up.count("copied") == 0 {
        assert_eq!((up.code, up.count("parked")), (Some(1), 1), "{up:?}");
        assert!(up.stderr.contains("profile") && up.stderr.contains("generic"), "{up:?}");
    } else {
        let down = server.copy("s3://photos/aws", "back", "source").await;
        assert_eq!((down.code, down.count("copied")), (Some(0), 1), "{down:?}");
        assert!(tree(&fixture.path("back")) == tree(&fixture.path("tree")), "the trees differ");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_to_rclone_serve_s3_and_back_byte_for_byte_and_are_then_unchanged() {
    let (fixture, rclone) = (Fixture::new(), Rclone::start().await.expect("rclone serve s3"));
    rclone.create_bucket(BUCKET).await.expect("a bucket");
    let key = (Rclone::ACCESS_ID, Rclone::SECRET);
    for profile in ["generic", "aws"] {
        let server = Server { fixture: &fixture, endpoint: rclone.endpoint(), key, profile };
        server.there_and_back().await;
        let held = tree(&rclone.file(BUCKET, profile));
        assert!(held == tree(&fixture.path("tree")), "the directory behind the server differs");
    }
}
