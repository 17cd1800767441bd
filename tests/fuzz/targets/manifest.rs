//! The manifest of an S3 Inventory report.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyferry_fuzz::inventory::manifest::Manifest;

fuzz_target!(|text: &[u8]| {
    let _ = Manifest::parse(text);
});
