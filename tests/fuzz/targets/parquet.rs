//! Rows of a report in Parquet. The library's own assertions are caught by the reader, and so no finding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyferry_fuzz::inventory::manifest::ReportFormat;
use skyferry_fuzz::inventory::rows::ReportRows;

/// A small file may claim so many rows.
const MOST: u64 = 17 << 20;

fuzz_target!(init: {
    let all = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let librarys = panic.location().is_some_and(|at| at.file().contains("/registry/") || at.file().contains("/rustc/"));
        if !librarys {
            all(panic);
        }
    }));
}, |bytes: &[u8]| {
    if let Ok(rows) = ReportRows::open(skyferry_fuzz::file(bytes), &ReportFormat::Parquet) {
        skyferry_fuzz::read_rows(rows, MOST);
    }
});
