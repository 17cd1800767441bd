//! The predecessors' single node: its ini files as they are, and keys where Amazon's own programs find them.

use sandbox::{S3Options, S3Peer};

use crate::fixture::{BUCKET, Fixture, PARTS, ProgramOutput, all, at, bytes, ended, objects, s3};

/// `~/.aws` with a profile for the peer, by its two variables.
async fn copy(fixture: &Fixture, arguments: &[&str]) -> ProgramOutput {
    let keys =
        format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", S3Peer::ACCESS_ID, S3Peer::SECRET);
    fixture.write("aws/credentials", keys.as_bytes());
    fixture.write("aws/config", b"[default]\nregion = us-east-1\n");
    let mut command = fixture.command(arguments);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        command.env_remove(name);
    }
    command.env("AWS_SHARED_CREDENTIALS_FILE", fixture.path("aws/credentials"));
    command.env("AWS_CONFIG_FILE", fixture.path("aws/config")).env("AWS_EC2_METADATA_DISABLED", "true");
    ended(command.spawn().expect("started")).await
}

fn upload_ini(job: &str, endpoint: &str, ali: &str) -> String {
    format!(
        "\u{feff}[Basic]\r\nJobType = {job}\r\n# 'LOCAL_TO_S3' | 'S3_TO_S3' | 'ALIOSS_TO_S3'\r\nDesEndpointURL = {endpoint}\r\n\
         DesBucket = {BUCKET}\r\nS3Prefix = in\r\nSrcFileIndex = *\r\nDesProfileName = default\r\n[LOCAL_TO_S3]\r\nSrcDir = tree\r\n\
         [S3_TO_S3]\r\nSrcBucket = {BUCKET}\r\nSrcProfileName = default\r\nSrcEndpointURL = {ali}\r\n[ALIOSS_TO_S3]\r\n\
         ali_SrcBucket = {BUCKET}\r\nali_access_key_id = {}\r\nali_access_key_secret = {}\r\nali_endpoint = {ali}\r\n\
         [Advanced]\r\nChunkSize = 5\r\nMaxRetry = 20\r\nMaxThread = 5\r\nMaxParallelFile = 5\r\nStorageClass = STANDARD\r\n\
         ifVerifyMD5 = False\r\nDontAskMeToClean = True\r\nLoggingLevel = INFO\r\n",
        S3Peer::ACCESS_ID,
        S3Peer::SECRET
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_single_nodes_ini_files_are_printed_as_commands_and_run() {
    let (fixture, from, to) = (Fixture::new(), s3(), s3());
    fixture.write("tree/a/b", &bytes(100, 1));
    fixture.write("tree/large", &bytes(60 << 20, 1));
    from.set_object(BUCKET, "in/cloud", bytes(50, 2)).expect("an object");
    from.set_object(BUCKET, "other", bytes(50, 2)).expect("an object");
    for (job, arrives) in [("LOCAL_TO_S3", "in/a/b"), ("S3_TO_S3", "in/cloud"), ("ALIOSS_TO_S3", "in/cloud")] {
        let to = if job == "ALIOSS_TO_S3" { &s3() } else { &to };
        fixture.write("s3_upload_config.ini", upload_ini(job, &to.endpoint(), &from.endpoint()).as_bytes());
        let output = copy(&fixture, &["--config", "s3_upload_config.ini"]).await;
        assert_eq!(output.code, Some(0), "{job}: {output:?}");
        assert!(to.object(BUCKET, arrives).is_some() && to.object(BUCKET, "other").is_none(), "{job}: {output:?}");
        assert!(
            output.stderr.contains("means: skyferry copy ") && output.stderr.contains("--part-size 5MiB"),
            "{output:?}"
        );
        assert!(!output.stderr.contains(S3Peer::SECRET), "{output:?}");
    }
    assert_eq!(to.read(BUCKET, "in/large").expect("there"), bytes(60 << 20, 1));
    let down = format!(
        "[Basic]\nSrcProfileName = default\nEndPointURL = {}\nSrcBucket = {BUCKET}\nS3Prefix = in\nSrcFileIndex = a/b\n\
         DesDir = back\n[Advanced]\nChunkSize = 5\n",
        to.endpoint()
    );
    fixture.write("s3_download_config.ini", down.as_bytes());
    let output = copy(&fixture, &["--config=s3_download_config.ini", "--dry-run"]).await;
    assert_eq!((output.code, fixture.path("back").exists()), (Some(0), false), "what is typed is added: {output:?}");
    let output = copy(&fixture, &["--config", "s3_download_config.ini"]).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1), "{output:?}");
    assert_eq!(std::fs::read(fixture.path("back/in/a/b")).expect("where it was put"), bytes(100, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ini_that_means_no_copy_is_wrong_usage() {
    let fixture = Fixture::new();
    fixture.write("s3_upload_config.ini", b"[Basic]\nJobType = S3_TO_S3\nDesBucket = b\n");
    for (arguments, word) in [
        (&["--config", "s3_upload_config.ini"][..], "S3_TO_S3.SrcBucket is missing"),
        (&["--config", "nothing.ini"], "nothing.ini"),
        (&["--config", "s3_upload_config.ini", "a", "b"], "cannot be used with"),
        (&[], "required"),
    ] {
        let output = copy(&fixture, arguments).await;
        assert!(output.code == Some(2) && output.stderr.contains(word), "{arguments:?}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_flags_the_keys_are_those_that_amazons_programs_take_and_are_named() {
    let (fixture, s3) = (Fixture::new(), s3());
    fixture.write("tree/a", b"a");
    let endpoint = s3.endpoint();
    let arguments = ["tree", "s3://photos", "--destination-endpoint", &endpoint];
    let output = copy(&fixture, &arguments).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("destination keys: profile default ("), "{output:?}");
    let mut none = fixture.command(&arguments);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        none.env_remove(name);
    }
    none.env("HOME", fixture.path("nobody")).env("AWS_EC2_METADATA_DISABLED", "true");
    let output = ended(none.spawn().expect("started")).await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("destination keys: the role of this container or machine"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_c13_archives_kms_oss_and_requester_pays_stay_right() {
    // Under KMS an ETag is not an MD5; Alibaba's service stores no checksum of Amazon's kinds.
    let peer = |md5, default_checksum| {
        S3Peer::start(S3Options { buckets: vec![BUCKET.into()], md5, default_checksum, ..S3Options::default() })
            .expect("an S3 peer")
    };
    for (from, scheme) in [(peer(false, true), "s3://photos"), (peer(true, false), "oss://photos")] {
        let (fixture, to) = (Fixture::new(), peer(false, true));
        for (key, size) in [("small", 30), ("one PUT", 3 << 20), ("parts", 11 << 20)] {
            from.set_object(BUCKET, key, bytes(size, 1)).expect("an object");
        }
        from.set_object(BUCKET, "archived", "x").expect("an object");
        from.amend(BUCKET, "archived", |object| object.attributes.storage_class = "GLACIER".into());
        let (from_at, to_at) = (from.endpoint(), to.endpoint());
        let sides = [at("source", &from_at, "S3_"), at("destination", &to_at, "S3_")];
        let flags = ["--request-payer", "--storage-class", "STANDARD_IA"];
        let arguments = [&all(&[scheme, "s3://photos"], &[&sides[0], &sides[1]])[..], &flags, &PARTS].concat();
        let output = fixture.copy(&arguments).await;
        assert_eq!((output.code, output.count("copied"), output.count("parked")), (Some(1), 3, 1), "{output:?}");
        assert!(output.stderr.contains("archived") && output.stderr.contains("restore the object"), "{output:?}");
        assert_eq!(to.object(BUCKET, "small").expect("there").attributes.storage_class, "STANDARD_IA");
        from.amend(BUCKET, "archived", |object| object.attributes.storage_class = "STANDARD".into());
        let output = fixture.copy(&arguments).await;
        assert_eq!((output.code, output.count("copied"), output.count("unchanged")), (Some(0), 1, 3), "{output:?}");
        assert!(objects(&to, "") == objects(&from, ""), "the copies differ");
    }
}
