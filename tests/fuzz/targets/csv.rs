//! Rows of a report in CSV, packed or not. The first line names the columns, as the manifest does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyferry_fuzz::inventory::manifest::ReportFormat;
use skyferry_fuzz::inventory::rows::ReportRows;
use skyferry_fuzz::inventory::schema::Schema;

/// A small packed file may become 16 MiB.
const MOST: u64 = 17 << 20;

fuzz_target!(|input: &[u8]| {
    let (columns, bytes) = input.split_at(input.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let columns = String::from_utf8_lossy(columns);
    let Ok(schema) = Schema::new(columns.split(',')) else { return };
    let file = skyferry_fuzz::file(bytes.strip_prefix(b"\n").unwrap_or(bytes));
    if let Ok(rows) = ReportRows::open(file, &ReportFormat::Csv(schema)) {
        skyferry_fuzz::read_rows(rows, MOST);
    }
});
