//! A queue's message: events of S3, test events, SNS and EventBridge around them, a jobsender's job.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyferry_core::event::{Entry, MAX_BODY, Parsed, parse};

fuzz_target!(|body: &[u8]| {
    let Parsed::Records(entries) = parse(body) else { return };
    for entry in entries {
        let alone = match &entry {
            Entry::Record(record) => record.to_message(),
            Entry::Malformed(bad) => bad.body.clone(),
        };
        if alone.len() > MAX_BODY {
            continue;
        }
        let Parsed::Records(again) = parse(alone.as_bytes()) else { panic!("alone it is no message: {alone}") };
        match (&entry, &again[..]) {
            (Entry::Record(before), [Entry::Record(after)]) => assert_eq!(before, after),
            (Entry::Malformed(before), [Entry::Malformed(after)]) => assert_eq!(before.reason, after.reason),
            _ => panic!("{entry:?} became {again:?}"),
        }
    }
});
