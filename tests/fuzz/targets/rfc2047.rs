//! Values of headers and user metadata, plain and in the encoded words of RFC 2047.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyferry_fuzz::stores::{bytes, decode, encode, text};

fuzz_target!(|value: &[u8]| {
    let held = text(value);
    assert_eq!(bytes(&held), value, "a header's bytes");
    assert_eq!(bytes(&decode(&encode(&held))), value, "as user metadata");
    let read = decode(&held);
    assert_eq!(decode(&encode(&read)), read, "what another program wrote");
});
