//! Parquet says the same as CSV, and what is neither is refused.

use crate::bench::Bench;
use crate::journeys::versions;
use crate::reports::{Line, PARQUET, Report, VERSIONED, line, parquet};

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
        let bench = Bench::new();
        let manifest = report.write(bench.folder.path());
        let said = bench.run(&[manifest.to_str().expect("UTF-8")]).await;
        assert_eq!((said.code, said.counts(["rows", "jobs"])), (Some(0), [5027, 5012]), "{said:?}");
        found.push(bench.jobs().await);
    }
    assert!(found[0] == found[1], "they differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn orc_is_refused_with_what_to_do() {
    let bench = Bench::new();
    let manifest =
        Report::of("ORC", "struct<bucket:string,key:string>", vec![b"ORC".to_vec()]).write(bench.folder.path());
    let said = bench.run(&[manifest.to_str().expect("UTF-8")]).await;
    said.refused(1, &["ORC, which is not read", "CSV or Parquet", "--columns"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parquet_file_that_is_none_is_refused() {
    let bench = Bench::new();
    let mut bytes = parquet(&[line("a", 1), Line { latest: false, ..line("b", 1) }]);
    bytes.truncate(bytes.len() - 30);
    let manifest = Report::of("Parquet", PARQUET, vec![bytes]).write(bench.folder.path());
    let said = bench.run(&[manifest.to_str().expect("UTF-8")]).await;
    said.refused(1, &["part-0.parquet", "not a readable Parquet file"]);
    assert!(bench.jobs().await.is_empty());
}
