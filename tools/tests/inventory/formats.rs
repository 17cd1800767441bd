//! Parquet says the same as CSV, and what is neither is refused.

use crate::fixture::Fixture;
use crate::journeys::versions;
use crate::reports::{PARQUET, Report, ReportLine, VERSIONED, line, parquet};

#[tokio::test(flavor = "multi_thread")]
async fn parquet_gives_the_same_jobs_as_csv() {
    let mut lines = versions();
    lines.extend((0..5000).map(|n| line(&format!("many/{n}"), n)));
    let mut found = Vec::new();
    let reports = [
        Report::csv(VERSIONED, &lines, 2000),
        Report::of("Parquet", PARQUET, lines.chunks(2500).map(parquet).collect()),
    ];
    for report in reports {
        let fixture = Fixture::new();
        let manifest = report.write(fixture.folder.path());
        let output = fixture.run(&[manifest.to_str().expect("UTF-8")]).await;
        assert_eq!((output.code, output.counts(["rows", "jobs"])), (Some(0), [5027, 5012]), "{output:?}");
        found.push(fixture.jobs().await);
    }
    assert!(found[0] == found[1], "they differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn orc_is_refused_with_what_to_do() {
    let fixture = Fixture::new();
    let manifest =
        Report::of("ORC", "struct<bucket:string,key:string>", vec![b"ORC".to_vec()]).write(fixture.folder.path());
    let output = fixture.run(&[manifest.to_str().expect("UTF-8")]).await;
    output.refused(1, &["ORC, which is not read", "CSV or Parquet", "--columns"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parquet_file_that_is_none_is_refused() {
    let fixture = Fixture::new();
    let mut bytes = parquet(&[line("a", 1), ReportLine { latest: false, ..line("b", 1) }]);
    bytes.truncate(bytes.len() - 30);
    let manifest = Report::of("Parquet", PARQUET, vec![bytes]).write(fixture.folder.path());
    let output = fixture.run(&[manifest.to_str().expect("UTF-8")]).await;
    output.refused(1, &["part-0.parquet", "not a readable Parquet file"]);
    assert!(fixture.jobs().await.is_empty());
}
