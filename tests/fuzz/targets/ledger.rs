//! A record of the ledger: an item of the table, in DynamoDB's JSON; or an upload, packed as in either ledger.
#![no_main]

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use skyferry_core::ledger::Subject;
use skyferry_core::model::Location;
use skyferry_fuzz::{codec, dynamodb};

fuzz_target!(|input: &[u8]| {
    if let Ok(Value::Object(item)) = serde_json::from_slice(input) {
        let (source, destination) = (Location::new("b", "k"), Location::new("d", "k"));
        let attributes = attributes(&item);
        dynamodb::read_item(attributes, &Subject { source, destination, primary: true });
        return;
    }
    // The token stands behind the first byte.
    let token = input.get(1..17).and_then(|token| token.try_into().ok()).map_or(0, u128::from_le_bytes);
    codec::read_all(token, input);
});

fn attributes(item: &Map<String, Value>) -> HashMap<String, AttributeValue> {
    item.iter().filter_map(|(name, value)| Some((name.clone(), attribute(value)?))).collect()
}

fn attribute(value: &Value) -> Option<AttributeValue> {
    let (kind, value) = value.as_object()?.iter().next()?;
    let text = || value.as_str().map(str::to_owned);
    let texts = || value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    Some(match kind.as_str() {
        "S" => AttributeValue::S(text()?),
        "N" => AttributeValue::N(text()?),
        "B" => AttributeValue::B(Blob::new(STANDARD.decode(text()?).ok()?)),
        "SS" => AttributeValue::Ss(texts()?),
        "NS" => AttributeValue::Ns(texts()?),
        "BOOL" => AttributeValue::Bool(value.as_bool()?),
        "L" => AttributeValue::L(value.as_array()?.iter().filter_map(attribute).collect()),
        "M" => AttributeValue::M(attributes(value.as_object()?)),
        _ => AttributeValue::Null(true),
    })
}
