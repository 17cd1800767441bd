//! A bucket's notification configuration, which is read, changed and written back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyferry_fuzz::trigger::configuration::Configuration;
use skyferry_fuzz::trigger::entry::{FilterEncoding, KeyFilter, TriggerEntry, events};

fuzz_target!(|text: &str| {
    for spelling in [FilterEncoding::Plain, FilterEncoding::Form] {
        let Ok(before) = Configuration::read(text, spelling) else { return };
        assert!(before.is_same(&Configuration::read(before.text(), spelling).expect("its own text")));
        let ours = TriggerEntry::ours(
            "arn:aws:sqs:us-east-1:1:q",
            KeyFilter::new("a b/", "").expect("a filter"),
            events(&["s3:ObjectCreated:*".into()]).expect("events"),
        );
        if before.entries().any(|entry| *entry == ours) {
            return;
        }
        // An entry that comes and goes leaves every other byte.
        let with = before.with(&[], std::slice::from_ref(&ours)).expect("with one more");
        assert!(with.entries().any(|entry| *entry == ours), "the new entry is lost: {}", with.text());
        assert!(before.missing_in(&with).is_empty(), "others are lost: {}", with.text());
        let without = with.with(std::slice::from_ref(&ours), &[]).expect("without it");
        assert_eq!(without.text(), before.text());
    }
});
