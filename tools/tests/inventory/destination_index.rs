//! Two reports side by side: what the destination's shows is not sent.

use crate::fixture::Fixture;
use crate::reports::{CURRENT, HOME, Report, ReportLine, line};

const OTHER: &str = "d41d8cd98f00b204e9800998ecf8427e";

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_destinations_report_does_not_show_is_sent() {
    let fixture = Fixture::new();
    let here = ["same", "missing", "larger", "changed", "parts", "parts newer"].map(|key| line(key, 10));
    let here = here.map(|line| match line.key.starts_with("parts") {
        true => ReportLine { etag: "900150983cd24fb0d6963f7d28e17f72-2", ..line },
        false => line,
    });
    let there = |key: &str, size, etag, modified| ReportLine {
        bucket: "copies",
        etag,
        modified,
        ..line(&format!("backup/{key}"), size)
    };
    let (tag, parts) = (line("", 0).etag, "0cc175b9c0f1b6a831c399e269772661-1");
    let (earlier, later) = ("2026-11-01T00:00:00.000Z", "2026-11-21T00:00:00.000Z");
    let there = [
        there("same", 10, tag, earlier),
        there("larger", 11, tag, later),
        there("changed", 10, OTHER, later),
        there("parts", 10, parts, later),
        there("parts newer", 10, parts, earlier),
        there("missing/not", 10, tag, later),
    ];
    let (source, copies) = (fixture.path("source"), fixture.path("copies-report"));
    let source = Report::csv(CURRENT, &here, 4).write(&source);
    let copies = Report::csv(CURRENT, &there, 4).write(&copies);
    let against = ["--against", copies.to_str().expect("UTF-8")];
    let output = fixture.run(&[&[source.to_str().expect("UTF-8")], &against[..]].concat()).await;
    assert_eq!((output.code, output.counts(["jobs", "equal"])), (Some(0), [4, 2]), "{output:?}");
    assert_eq!(fixture.keys().await, ["changed", "larger", "missing", "parts newer"]);

    std::fs::remove_file(fixture.path(format!("copies-report/{HOME}/data/part-1.csv.gz"))).expect("removed");
    let output = fixture.run(&[&[source.to_str().expect("UTF-8")], &against[..]].concat()).await;
    output.refused(1, &["--against", "part-1.csv.gz is missing"]);
    assert!(fixture.jobs().await.is_empty());
}
