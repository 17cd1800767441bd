//! What is promised: a report of any length in the same little memory.

use sandbox::peak_resident;

use crate::fixture::{Fixture, ended};
use crate::reports::{PARQUET, Report, ReportLine, VERSIONED, csv, gzip, line, parquet};

/// Rows of one file.
const EACH: usize = 50_000;

fn lines(file: usize) -> Vec<ReportLine> {
    let key = |n: usize| format!("some/folder {}/照-{}/object-{n:07}.dat", n % 100, n % 7);
    let rows = (file * EACH..(file + 1) * EACH).map(|n| match n % 10 {
        0 => ReportLine { delete_marker: true, version: "m", ..line(&key(n), 0) },
        1 | 2 => ReportLine { latest: false, version: "v1", ..line(&key(n), n as u64) },
        _ => ReportLine { version: "v2", ..line(&key(n), n as u64) },
    });
    rows.collect()
}

/// The most memory that the process had, in KiB.
async fn resident(fixture: &Fixture, arguments: &[&str], rows: usize) -> u64 {
    let child = fixture.start(arguments);
    let watch = tokio::spawn(peak_resident(child.id().expect("it runs")));
    let output = ended(child).await;
    assert_eq!(
        (output.code, output.count("rows"), output.count("jobs")),
        (Some(0), rows as u64, rows as u64 / 10 * 7),
        "{output:?}"
    );
    let most = watch.await.expect("watched");
    eprintln!("{rows} rows in {} s, {} MiB resident at most", output.json["seconds"], most >> 10);
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_rows_of_either_format_are_read_in_less_than_64_mib() {
    let files = if std::env::var("SKYFERRY_FORCE").as_deref() == Ok("long") { 20 } else { 4 };
    let of = |write: fn(&[ReportLine]) -> Vec<u8>| (0..files).map(|file| write(&lines(file))).collect::<Vec<_>>();
    let reports = [
        Report::of("CSV", VERSIONED, of(|lines| gzip(&csv(VERSIONED, lines)))),
        Report::of("Parquet", PARQUET, of(parquet)),
    ];
    for report in reports {
        let fixture = Fixture::new();
        let manifest = report.write(fixture.folder.path());
        let arguments = [manifest.to_str().expect("UTF-8"), "--to-file", "jobs.txt"];
        let most = resident(&fixture, &arguments, files * EACH).await;
        assert!((1..64 << 10).contains(&most), "{most} KiB resident");
    }
}
