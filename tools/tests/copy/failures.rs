//! Bad input and outages: what is said, what continues, and how it ends.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use sandbox::{Access, Fault, Operation, Reply, Rule};

use crate::fixture::{BUCKET, Fixture, ProgramOutput, all, at, bytes, gcs, objects, s3, tree};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_not_there_is_told_at_once() {
    let (fixture, s3) = (Fixture::new(), s3());
    let endpoint = s3.endpoint();
    let from = at("source", &endpoint, "S3_");
    for (source, word) in [
        ("s3://photos/nothing", "nothing under it"),
        ("s3://no-such-bucket/p", "no such bucket"),
        ("./nowhere", "nowhere"),
    ] {
        let flags = if source.starts_with('.') { Vec::new() } else { from.to_vec() };
        let output = fixture.copy(&all(&[source, "to"], &[&flags])).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(word), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_wrong_usage() {
    let fixture = Fixture::new();
    fixture.write("tree/a", b"a");
    fixture.write("other/a", b"a");
    for arguments in [
        &["tree", "tree"][..],
        &["tree", "tree/within"],
        &["tree", "."],
        &["tree", "ftp://somewhere"],
        &["tree", "to", "--source-endpoint", "http://127.0.0.1:1"],
        &["tree", "s3://b", "--destination-endpoint", "http://example.com"],
        &["tree", "oss://b"],
        &["tree", "to", "--part-size", "1"],
        &["tree", "to", "--min-size", "much"],
        &["tree", "to", "--ignore-list", "missing"],
        &["tree", "s3://b"],
        &[
            "s3://b/a",
            "s3://b",
            "--source-credentials",
            "environment:S3_",
            "--destination-credentials",
            "environment:S3_",
        ],
    ] {
        let output = fixture.copy(arguments).await;
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    let state = ["--state", "one"];
    assert_eq!(fixture.copy(&[&["tree", "to"], &state[..]].concat()).await.code, Some(0));
    let output = fixture.copy(&[&["other", "to"], &state[..]].concat()).await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("another SRC and DST"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_not_utf8_are_kept_by_directories_and_parked_by_services() {
    let (fixture, gcs, s3) = (Fixture::new(), gcs(), s3());
    fixture.write("tree/good", b"good");
    let odd = fixture.path("tree").join(OsStr::from_bytes(b"b\xff\xfed"));
    crate::fixture::write(&odd, b"odd");
    let output = fixture.copy(&["tree", "to"]).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 2), "{output:?}");
    assert!(tree(&fixture.path("to")) == tree(&fixture.path("tree")));
    for (url, endpoint, keys) in [("gs://photos", gcs.endpoint(), "GCS_"), ("s3://photos", s3.endpoint(), "S3_")] {
        let to = at("destination", &endpoint, keys);
        let output = fixture.copy(&all(&["tree", url], &[&to])).await;
        assert_eq!((output.code, output.count("copied"), output.count("parked")), (Some(1), 1, 1), "{output:?}");
        assert!(output.stderr.contains("b\\xff\\xfed") && output.stderr.contains("UTF-8"), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_of_everything_is_said_at_once_and_ends_it_after_a_while() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    for n in 0..20 {
        fixture.write(&format!("tree/{n}"), b"x");
    }
    gcs.set_access(BUCKET, Access::ReadOnly);
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = all(&["tree", "gs://photos"], &[&to]);
    let begun = Instant::now();
    let output = fixture.copy(&arguments).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("access denied") && output.stderr.contains("grant"), "{output:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(output.count("parked"), 0, "weather of a whole side parks nothing: {output:?}");

    gcs.set_access(BUCKET, Access::Full);
    let output = fixture.copy(&arguments).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 20), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_in_the_middle_is_borne() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    for n in 0..200 {
        fixture.write(&format!("tree/{n}"), &bytes(2000, n));
    }
    let proxy = sandbox::Proxy::start(gcs.address()).expect("a proxy");
    let endpoint = proxy.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let child = fixture.start(&all(&["tree", "gs://photos", "--max-bandwidth", "200KB"], &[&to]));
    crate::resuming::until("objects", || gcs.objects(BUCKET).len() > 20).await;
    proxy.set_open(false);
    proxy.cut_all();
    tokio::time::sleep(Duration::from_secs(3)).await;
    proxy.set_open(true);
    let output = crate::fixture::ended(child).await;
    // Of what was published when its answer was lost, the next look says that it is there.
    let done = output.count("copied") + output.count("unchanged");
    assert_eq!((output.code, done), (Some(0), 200), "{output:?}");
    assert!(output.stderr.contains("unavailable"), "the outage is said: {output:?}");
    assert!(objects(&gcs, "") == tree(&fixture.path("tree")));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a29_one_key_that_is_always_refused_ends_it_at_the_limit_and_is_named_with_its_answer() {
    let (fixture, s3) = (Fixture::new(), s3());
    for n in 0..20 {
        fixture.write(&format!("tree/{n}"), b"x");
    }
    fixture.write("tree/bad", b"x");
    let slow = Reply { status: 503, body: "<Error><Code>SlowDown</Code></Error>".into(), ..Reply::default() };
    s3.faults().add(Rule::on(Operation::PutObject, Fault::Instead(slow)).key("bad").always());
    let endpoint = s3.endpoint();
    let to = at("destination", &endpoint, "S3_");
    let begun = Instant::now();
    let output = fixture.copy(&all(&["tree", "s3://photos", "--patience", "1s"], &[&to])).await;
    assert_eq!((output.code, output.count("copied")), (Some(1), 20), "{output:?}");
    assert!(begun.elapsed() < Duration::from_secs(150), "{:?}", begun.elapsed());
    assert!(["photos/bad", "503 SlowDown"].iter().all(|part| output.stderr.contains(part)), "{output:?}");
}

/// Root may read everything and fill no disk, so these run as somebody else would: in a user namespace.
async fn unshared(fixture: &Fixture, script: &str) -> crate::fixture::ProgramOutput {
    let mut command = tokio::process::Command::new("unshare");
    fixture.prepare(&mut command);
    command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", script]);
    command.env("SKYFERRY", env!("CARGO_BIN_EXE_skyferry"));
    command.output().await.expect("unshare of util-linux").into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_ends_it_with_what_fits_and_more_room_goes_on() {
    let fixture = Fixture::new();
    for n in 0..8 {
        fixture.write(&format!("tree/{n}"), &bytes(1 << 20, n));
    }
    std::fs::create_dir(fixture.path("disk")).expect("made");
    let script = "mount -t tmpfs -o size=4m tmpfs disk
        \"$SKYFERRY\" copy tree disk/to --patience 2s --json && exit 9; code=$?
        mount -o remount,size=64m disk
        \"$SKYFERRY\" copy tree disk/to --patience 2s --json
        for n in 0 1 2 3 4 5 6 7; do cmp tree/$n disk/to/$n; done
        exit $code";
    let output = unshared(&fixture, script).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("No space left") && output.stderr.contains("check the disk's space"), "{output:?}");
    assert_eq!(output.json["parked"], 0, "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_told_and_the_rest_goes_on() {
    let fixture = Fixture::new();
    fixture.write("tree/a", b"a");
    fixture.write("tree/dark/hidden", b"h");
    fixture.write("tree/locked", b"l");
    fixture.write("tree/z", b"z");
    use std::os::unix::fs::PermissionsExt as _;
    let forbid = |name: &str| {
        std::fs::set_permissions(fixture.path(name), std::fs::Permissions::from_mode(0o000)).expect("forbidden");
    };
    forbid("tree/locked");
    forbid("tree/dark");
    let mut command = if is_root() {
        // Somebody without root's rights, who may write here and nowhere else.
        std::fs::set_permissions(fixture.folder.path(), std::fs::Permissions::from_mode(0o777)).expect("opened");
        let mut command = tokio::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]);
        command.arg(env!("CARGO_BIN_EXE_skyferry"));
        command
    } else {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_skyferry"))
    };
    fixture.prepare(&mut command);
    let output = command.args(["copy", "tree", "to", "--json", "--patience", "2s"]).output().await.expect("run");
    let output = ProgramOutput::from(output);
    std::fs::set_permissions(fixture.path("tree/dark"), std::fs::Permissions::from_mode(0o755)).expect("opened");
    assert_eq!((output.code, output.count("copied"), output.count("parked")), (Some(1), 2, 1), "{output:?}");
    assert!(output.stderr.contains("locked") && output.stderr.contains("dark"), "{output:?}");
    assert_eq!(tree(&fixture.path("to")).into_keys().collect::<Vec<_>>(), [b"a", b"z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_or_vanish_meanwhile_never_make_a_mixture() {
    let (fixture, gcs) = (Fixture::new(), gcs());
    let state = |n: usize| bytes((9 << 20) + n, n as u64);
    fixture.write("tree/moving", &state(0));
    for n in 0..100 {
        fixture.write(&format!("tree/small/{n}"), &bytes(50_000, n));
    }
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let flags = ["--max-bandwidth", "8MiB", "--multipart-threshold", "5MiB", "--part-size", "5MiB"];
    let child = fixture.start(&[&all(&["tree", "gs://photos"], &[&to])[..], &flags].concat());
    crate::resuming::until("a beginning", || gcs.counts().total() > 3).await;
    for n in 1..4 {
        // In one step: a file that is half written for a while is a state of it, too.
        fixture.write("aside", &state(n));
        std::fs::rename(fixture.path("aside"), fixture.path("tree/moving")).expect("moved");
        let _ = std::fs::remove_file(fixture.path(&format!("tree/small/{}", 90 + n)));
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let output = crate::fixture::ended(child).await;
    assert_eq!((output.code, output.count("parked")), (Some(0), 0), "{output:?}");
    // What changed after it had been copied is the next run's.
    let output = fixture.copy(&all(&["tree", "gs://photos"], &[&to])).await;
    assert_eq!((output.code, output.count("parked")), (Some(0), 0), "{output:?}");
    let right: Vec<u32> = (0..4).map(|n| crc32c::crc32c(&state(n))).collect();
    for shown in gcs.history(BUCKET, "moving").into_iter().flatten() {
        assert!(right.contains(&shown.crc32c), "a mixture was shown");
    }
    assert_eq!(gcs.object(BUCKET, "moving").expect("there").crc32c, right[3], "the newest stands");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_within_the_source_is_no_part_of_it() {
    let fixture = Fixture::new();
    fixture.write("tree/a", b"a");
    std::fs::create_dir(fixture.path("tree/state")).expect("made");
    let output = fixture.copy(&["tree", "to", "--state", "tree/state/copy"]).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1), "{output:?}");
    assert!(output.count("skipped") >= 1, "{output:?}");
    assert_eq!(tree(&fixture.path("to")).into_keys().collect::<Vec<_>>(), [b"a"]);
}

fn is_root() -> bool {
    std::process::Command::new("id").arg("-u").output().expect("id").stdout.starts_with(b"0\n")
}
