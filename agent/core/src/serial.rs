//! How values travel between two processes of one machine where serde has no form of its own: what is known by a name, and a
//! key, which is bytes, for which JSON has no strings: hexadecimal.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::metrics::Outcome;
use crate::model::{Key, Token, Writer};

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(self.as_bytes()))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Key, D::Error> {
        hex::decode(String::deserialize(from)?).map(Key::new).map_err(D::Error::custom)
    }
}

/// As text, by what reads that text.
macro_rules! as_text {
    ($($name:ty: $parse:path,)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<$name, D::Error> {
                let text = String::deserialize(from)?;
                $parse(&text).ok_or_else(|| D::Error::custom(concat!("not of the form of ", stringify!($name))))
            }
        }
    )*};
}

as_text! {
    Outcome: Outcome::parse,
    Writer: Writer::parse,
    Token: Token::parse,
}
