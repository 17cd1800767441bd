//! The predecessors' secret as JSON, wherever it is kept: one key pair (`{"aws_access_key_id": …}`, as in SSM), or one a side
//! (`{"source": {…}, "destination": {…}}`, as in Secret Manager). Every text of it is wiped when it is dropped, and no error
//! quotes one.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use crate::{Credentials, Grant, Secret};

pub(crate) const SHAPE: &str = r#"expected {"aws_access_key_id": …, "aws_secret_access_key": …, "region": …}, or one such object for each of "source" and "destination""#;
const SIDES: [&str; 2] = ["source", "destination"];
const NEEDED: [&str; 2] = ["aws_access_key_id", "aws_secret_access_key"];

/// As much of JSON as a secret has. serde's own value would leave its texts behind in memory.
enum Json {
    Object(Vec<(String, Json)>),
    Text(Zeroizing<String>),
    Other,
}

impl Json {
    fn get(&self, name: &str) -> Option<&Json> {
        let Json::Object(fields) = self else { return None };
        fields.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Json::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }
}

/// Reads a secret's JSON; `field` picks the side. The error names what is wrong with its shape and never quotes its values.
pub(crate) fn parse(text: &[u8], field: Option<&str>) -> Result<Credentials, String> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Err("it is empty".into());
    }
    let whole: Json = serde_json::from_slice(text)
        .map_err(|e| format!("it is not JSON (line {}, column {})", e.line(), e.column()))?;
    let keys = match field {
        None => &whole,
        Some(field) => whole.get(field).ok_or_else(|| match whole.get(NEEDED[0]) {
            Some(_) => format!("it holds one key pair and no field {field:?}: take `field` out"),
            None => format!("it has no field {field:?}{}", found(&whole)),
        })?,
    };
    for name in NEEDED {
        if keys.text(name).is_none() {
            let of = field.map(|field| format!(" in {field:?}")).unwrap_or_default();
            let sides = if field.is_none() { found(&whole) } else { String::new() };
            return Err(format!("it has no text field {name:?}{of}{sides}"));
        }
    }
    let text = |name: &str| keys.text(name).unwrap_or_default();
    Ok(Credentials {
        grant: Grant::Keys {
            access_key_id: text(NEEDED[0]).into(),
            secret_access_key: Secret::new(text(NEEDED[1])),
            session_token: keys.text("aws_session_token").map(Secret::new),
        },
        region: keys.text("region").map(Into::into),
        expires: None,
    })
}

/// Which sides are there: their names alone are known not to be secret.
fn found(whole: &Json) -> String {
    let there: Vec<_> = SIDES.iter().filter(|side| whole.get(side).is_some()).map(|side| format!("{side:?}")).collect();
    if there.is_empty() { String::new() } else { format!(" (it has {}: name one with `field`)", there.join(" and ")) }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(Zeroizing::new(text.to_owned())))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Object(fields))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Json::Other)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = r#"{"source":{"aws_access_key_id":"A","aws_secret_access_key":"S","region":"us-west-2"},
                           "destination":{"aws_access_key_id":"B","aws_secret_access_key":7}}"#;

    fn rejection(text: &str, field: Option<&str>) -> String {
        parse(text.as_bytes(), field).unwrap_err()
    }

    #[test]
    fn one_side_of_a_secret_with_both_is_read() {
        let credentials = parse(BOTH.as_bytes(), Some("source")).unwrap();
        assert_eq!(credentials.region.as_deref(), Some("us-west-2"));
    }

    #[test]
    fn what_is_wrong_is_named_without_the_secret() {
        assert_eq!(
            rejection(BOTH, Some("destination")),
            r#"it has no text field "aws_secret_access_key" in "destination""#
        );
        assert!(
            rejection(BOTH, Some("elsewhere")).contains(r#"no field "elsewhere" (it has "source" and "destination""#)
        );
        assert!(rejection(BOTH, None).contains(r#"(it has "source" and "destination": name one with `field`)"#));
        assert!(rejection("hunter2", None).starts_with("it is not JSON"));
        assert!(rejection(r#"["hunter2", 1, null, true, 1.5]"#, None).starts_with("it has no text field"));
        assert!(!rejection(r#"{"aws_access_key_id":"hunter2"}"#, None).contains("hunter2"));
        assert!(rejection(" \n", None).contains("empty"));
        let flat = r#"{"aws_access_key_id":"hunter2","aws_secret_access_key":"hunter3"}"#;
        assert!(rejection(flat, Some("source")).contains("take `field` out"));
    }

    #[test]
    fn a_byte_order_mark_spaces_and_unknown_fields_are_passed_over() {
        let text = "\u{feff}{\"aws_access_key_id\":\" A\\n\",\"aws_secret_access_key\":\"S\",\"more\":[{\"a\":1}]}\r\n";
        let Grant::Keys { access_key_id, .. } = parse(text.as_bytes(), None).unwrap().grant else { panic!() };
        assert_eq!(access_key_id, "A");
    }
}
