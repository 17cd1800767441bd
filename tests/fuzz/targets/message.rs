//! A queue's message: events of S3, test events, SNS and EventBridge around them, a jobsender's job.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyferry_core::event::{MAX_BODY, ParsedMessage, ParsedRecord, parse};

fuzz_target!(|body: &[u8]| {
    let ParsedMessage::Records(entries) = parse(body) else { return };
    for entry in entries {
        let alone = match &entry {
            ParsedRecord::Record(record) => record.to_message(),
            ParsedRecord::Malformed(bad) => bad.body.clone(),
        };
        if alone.len() > MAX_BODY {
            continue;
        }
        let ParsedMessage::Records(again) = parse(alone.as_bytes()) else { panic!("alone it is no message: {alone}") };
        match (&entry, &again[..]) {
            (ParsedRecord::Record(before), [ParsedRecord::Record(after)]) => assert_eq!(before, after),
            (ParsedRecord::Malformed(before), [ParsedRecord::Malformed(after)]) => assert_eq!(before.reason, after.reason),
            _ => panic!("{entry:?} became {again:?}"),
        }
    }
});
