//! Bad input and bad weather: what is said, what goes on, and how it ends.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use sandbox::{Access, Fault, Operation, Reply, Rule};

use crate::bench::{BUCKET, Bench, ProgramOutput, all, at, bytes, gcs, objects, s3, tree};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_not_there_is_told_at_once() {
    let (bench, s3) = (Bench::new(), s3());
    let endpoint = s3.endpoint();
    let from = at("source", &endpoint, "S3_");
    for (source, word) in [
        ("s3://photos/nothing", "nothing is under it"),
        ("s3://no-such-bucket/p", "no such bucket"),
        ("./nowhere", "nowhere"),
    ] {
        let flags = if source.starts_with('.') { Vec::new() } else { from.to_vec() };
        let said = bench.copy(&all(&[source, "to"], &[&flags])).await;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.stderr.contains(word), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_wrong_usage() {
    let bench = Bench::new();
    bench.write("tree/a", b"a");
    bench.write("other/a", b"a");
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
        let said = bench.copy(arguments).await;
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        assert!(!said.stderr.is_empty(), "{arguments:?}");
    }
    let state = ["--state", "one"];
    assert_eq!(bench.copy(&[&["tree", "to"], &state[..]].concat()).await.code, Some(0));
    let said = bench.copy(&[&["other", "to"], &state[..]].concat()).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("another SRC and DST"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_not_utf8_are_kept_by_directories_and_parked_by_services() {
    let (bench, gcs, s3) = (Bench::new(), gcs(), s3());
    bench.write("tree/good", b"good");
    let odd = bench.path("tree").join(OsStr::from_bytes(b"b\xff\xfed"));
    crate::bench::write(&odd, b"odd");
    let said = bench.copy(&["tree", "to"]).await;
    assert_eq!((said.code, said.count("copied")), (Some(0), 2), "{said:?}");
    assert!(tree(&bench.path("to")) == tree(&bench.path("tree")));
    for (url, endpoint, keys) in [("gs://photos", gcs.endpoint(), "GCS_"), ("s3://photos", s3.endpoint(), "S3_")] {
        let to = at("destination", &endpoint, keys);
        let said = bench.copy(&all(&["tree", url], &[&to])).await;
        assert_eq!((said.code, said.count("copied"), said.count("parked")), (Some(1), 1, 1), "{said:?}");
        assert!(said.stderr.contains("b\\xff\\xfed") && said.stderr.contains("UTF-8"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_of_everything_is_said_at_once_and_ends_it_after_a_while() {
    let (bench, gcs) = (Bench::new(), gcs());
    for n in 0..20 {
        bench.write(&format!("tree/{n}"), b"x");
    }
    gcs.set_access(BUCKET, Access::ReadOnly);
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let arguments = all(&["tree", "gs://photos"], &[&to]);
    let begun = Instant::now();
    let said = bench.copy(&arguments).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("access denied") && said.stderr.contains("grant"), "{said:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(said.count("parked"), 0, "weather of a whole side parks nothing: {said:?}");

    gcs.set_access(BUCKET, Access::Full);
    let said = bench.copy(&arguments).await;
    assert_eq!((said.code, said.count("copied")), (Some(0), 20), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_in_the_middle_is_borne() {
    let (bench, gcs) = (Bench::new(), gcs());
    for n in 0..200 {
        bench.write(&format!("tree/{n}"), &bytes(2000, n));
    }
    let proxy = sandbox::Proxy::start(gcs.address()).expect("a proxy");
    let endpoint = proxy.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let child = bench.start(&all(&["tree", "gs://photos", "--max-bandwidth", "200KB"], &[&to]));
    crate::resuming::until("objects", || gcs.objects(BUCKET).len() > 20).await;
    proxy.set_open(false);
    proxy.cut_all();
    tokio::time::sleep(Duration::from_secs(3)).await;
    proxy.set_open(true);
    let said = crate::bench::ended(child).await;
    // Of what was published when its answer was lost, the next look says that it is there.
    let done = said.count("copied") + said.count("unchanged");
    assert_eq!((said.code, done), (Some(0), 200), "{said:?}");
    assert!(said.stderr.contains("unavailable"), "the outage is said: {said:?}");
    assert!(objects(&gcs, "") == tree(&bench.path("tree")));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a29_one_key_that_is_always_refused_ends_it_at_the_limit_and_is_named_with_its_answer() {
    let (bench, s3) = (Bench::new(), s3());
    for n in 0..20 {
        bench.write(&format!("tree/{n}"), b"x");
    }
    bench.write("tree/bad", b"x");
    let slow = Reply { status: 503, body: "<Error><Code>SlowDown</Code></Error>".into(), ..Reply::default() };
    s3.faults().add(Rule::on(Operation::PutObject, Fault::Instead(slow)).key("bad").always());
    let endpoint = s3.endpoint();
    let to = at("destination", &endpoint, "S3_");
    let begun = Instant::now();
    let said = bench.copy(&all(&["tree", "s3://photos", "--patience", "1s"], &[&to])).await;
    assert_eq!((said.code, said.count("copied")), (Some(1), 20), "{said:?}");
    assert!(begun.elapsed() < Duration::from_secs(150), "{:?}", begun.elapsed());
    assert!(["photos/bad", "503 SlowDown"].iter().all(|part| said.stderr.contains(part)), "{said:?}");
}

/// Root may read everything and fill no disk, so these run as somebody else would: in a user namespace.
async fn unshared(bench: &Bench, script: &str) -> crate::bench::ProgramOutput {
    let mut command = tokio::process::Command::new("unshare");
    bench.prepare(&mut command);
    command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", script]);
    command.env("SKYFERRY", env!("CARGO_BIN_EXE_skyferry"));
    command.output().await.expect("unshare of util-linux").into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_ends_it_with_what_fits_and_more_room_goes_on() {
    let bench = Bench::new();
    for n in 0..8 {
        bench.write(&format!("tree/{n}"), &bytes(1 << 20, n));
    }
    std::fs::create_dir(bench.path("disk")).expect("made");
    let script = "mount -t tmpfs -o size=4m tmpfs disk
        \"$SKYFERRY\" copy tree disk/to --patience 2s --json && exit 9; code=$?
        mount -o remount,size=64m disk
        \"$SKYFERRY\" copy tree disk/to --patience 2s --json
        for n in 0 1 2 3 4 5 6 7; do cmp tree/$n disk/to/$n; done
        exit $code";
    let said = unshared(&bench, script).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("No space left") && said.stderr.contains("check the disk's space"), "{said:?}");
    assert_eq!(said.json["parked"], 0, "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_told_and_the_rest_goes_on() {
    let bench = Bench::new();
    bench.write("tree/a", b"a");
    bench.write("tree/dark/hidden", b"h");
    bench.write("tree/locked", b"l");
    bench.write("tree/z", b"z");
    use std::os::unix::fs::PermissionsExt as _;
    let forbid = |name: &str| {
        std::fs::set_permissions(bench.path(name), std::fs::Permissions::from_mode(0o000)).expect("forbidden");
    };
    forbid("tree/locked");
    forbid("tree/dark");
    let mut command = if is_root() {
        // Somebody without root's rights, who may write here and nowhere else.
        std::fs::set_permissions(bench.folder.path(), std::fs::Permissions::from_mode(0o777)).expect("opened");
        let mut command = tokio::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]);
        command.arg(env!("CARGO_BIN_EXE_skyferry"));
        command
    } else {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_skyferry"))
    };
    bench.prepare(&mut command);
    let output = command.args(["copy", "tree", "to", "--json", "--patience", "2s"]).output().await.expect("run");
    let said = ProgramOutput::from(output);
    std::fs::set_permissions(bench.path("tree/dark"), std::fs::Permissions::from_mode(0o755)).expect("opened");
    assert_eq!((said.code, said.count("copied"), said.count("parked")), (Some(1), 2, 1), "{said:?}");
    assert!(said.stderr.contains("locked") && said.stderr.contains("dark"), "{said:?}");
    assert_eq!(tree(&bench.path("to")).into_keys().collect::<Vec<_>>(), [b"a", b"z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_or_vanish_meanwhile_never_make_a_mixture() {
    let (bench, gcs) = (Bench::new(), gcs());
    let state = |n: usize| bytes((9 << 20) + n, n as u64);
    bench.write("tree/moving", &state(0));
    for n in 0..100 {
        bench.write(&format!("tree/small/{n}"), &bytes(50_000, n));
    }
    let endpoint = gcs.endpoint();
    let to = at("destination", &endpoint, "GCS_");
    let flags = ["--max-bandwidth", "8MiB", "--multipart-threshold", "5MiB", "--part-size", "5MiB"];
    let child = bench.start(&[&all(&["tree", "gs://photos"], &[&to])[..], &flags].concat());
    crate::resuming::until("a beginning", || gcs.counts().total() > 3).await;
    for n in 1..4 {
        // In one step: a file that is half written for a while is a state of it, too.
        bench.write("aside", &state(n));
        std::fs::rename(bench.path("aside"), bench.path("tree/moving")).expect("moved");
        let _ = std::fs::remove_file(bench.path(&format!("tree/small/{}", 90 + n)));
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let said = crate::bench::ended(child).await;
    assert_eq!((said.code, said.count("parked")), (Some(0), 0), "{said:?}");
    // What changed after it had been copied is the next run's.
    let said = bench.copy(&all(&["tree", "gs://photos"], &[&to])).await;
    assert_eq!((said.code, said.count("parked")), (Some(0), 0), "{said:?}");
    let right: Vec<u32> = (0..4).map(|n| crc32c::crc32c(&state(n))).collect();
    for shown in gcs.history(BUCKET, "moving").into_iter().flatten() {
        assert!(right.contains(&shown.crc32c), "a mixture was shown");
    }
    assert_eq!(gcs.object(BUCKET, "moving").expect("there").crc32c, right[3], "the newest stands");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_within_the_source_is_no_part_of_it() {
    let bench = Bench::new();
    bench.write("tree/a", b"a");
    std::fs::create_dir(bench.path("tree/state")).expect("made");
    let said = bench.copy(&["tree", "to", "--state", "tree/state/copy"]).await;
    assert_eq!((said.code, said.count("copied")), (Some(0), 1), "{said:?}");
    assert!(said.count("skipped") >= 1, "{said:?}");
    assert_eq!(tree(&bench.path("to")).into_keys().collect::<Vec<_>>(), [b"a"]);
}

fn is_root() -> bool {
    std::process::Command::new("id").arg("-u").output().expect("id").stdout.starts_with(b"0\n")
}
