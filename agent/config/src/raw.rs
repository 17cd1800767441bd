//! Settings as they are written: every value a text, nothing checked but the names. The names stand here and nowhere else;
//! [`fields_of`] asks serde for them.

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// Numbers and booleans too: the environment has only texts, and resolving gives better errors than serde.
pub(super) type RawValue = Option<String>;

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident { $($field:ident),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name { $(pub $field: RawValue,)* }
    )* };
}

tables! {
    Queue { kind, name, url, region, endpoint, allow_http, path, listen, token_file }
    Ledger { kind, table, region, endpoint, allow_http, path, times }
    Source { kind, region, endpoint, allow_http, path_style, request_payer, expected_owner, profile, path }
    Destination {
        kind, bucket, prefix, storage_class, region, endpoint, allow_http, path_style, expected_owner, profile, path,
    }
    Route { source_bucket, source_prefix, bucket, prefix, strip_prefix, storage_class }
    Transfer {
        multipart_threshold, part_size, max_objects, memory_budget, max_bandwidth, stall_timeout, verify, deletes,
        max_delete_share, versions, metadata, tags, restore,
    }
    Filter { ignore_list, ignore_by_key }
    Status { listen, backlog_metric, backlog_period, endpoint, allow_http }
    Log { format, level, metrics, file }
    /// The fields of all providers together; which belong to which is checked when the kind is known.
    Provider { provider, name, region, resource, field, prefix, path, role_arn, audience, endpoint, allow_http }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCredentials {
    pub source: Option<Provider>,
    pub destination: Option<Provider>,
    pub queue: Option<Provider>,
    pub ledger: Option<Provider>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSettings {
    pub mode: RawValue,
    pub bucket_pairs: RawValue,
    pub follow_jobs: RawValue,
    pub credentials: RawCredentials,
    pub queue: Option<Queue>,
    pub queues: Vec<Queue>,
    pub ledger: Ledger,
    pub source: Source,
    pub destination: Destination,
    pub routes: Vec<Route>,
    pub transfer: Transfer,
    pub filter: Filter,
    pub status: Status,
    pub log: Log,
}

/// What a name stands for.
pub(super) enum SettingNode {
    Value,
    Table(&'static [&'static str]),
    Tables(&'static [&'static str]),
    /// A table of tables: credentials.
    Nested(&'static [&'static str], &'static [&'static str]),
}

/// The names at the top.
pub(super) fn top() -> &'static [&'static str] {
    fields_of::<RawSettings>()
}

pub(super) fn node(name: &str) -> Option<SettingNode> {
    Some(match name {
        "mode" | "bucket_pairs" | "follow_jobs" => SettingNode::Value,
        "credentials" => SettingNode::Nested(fields_of::<RawCredentials>(), fields_of::<Provider>()),
        "queue" => SettingNode::Table(fields_of::<Queue>()),
        "queues" => SettingNode::Tables(fields_of::<Queue>()),
        "ledger" => SettingNode::Table(fields_of::<Ledger>()),
        "source" => SettingNode::Table(fields_of::<Source>()),
        "destination" => SettingNode::Table(fields_of::<Destination>()),
        "routes" => SettingNode::Tables(fields_of::<Route>()),
        "transfer" => SettingNode::Table(fields_of::<Transfer>()),
        "filter" => SettingNode::Table(fields_of::<Filter>()),
        "status" => SettingNode::Table(fields_of::<Status>()),
        "log" => SettingNode::Table(fields_of::<Log>()),
        _ => return None,
    })
}

/// The names that serde reads for a struct: a deserialiser that listens to the question and gives no answer.
fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    let _ = T::deserialize(Listener(&mut fields));
    fields
}

struct Listener<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Listener<'_> {
    type Error = de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(de::Error::custom("only asked"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not a struct"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_at_the_top_has_its_names_below() {
        assert!(top().contains(&"transfer"));
        for name in top() {
            match node(name) {
                Some(SettingNode::Value) => {}
                Some(SettingNode::Table(names) | SettingNode::Tables(names)) => assert!(!names.is_empty(), "{name}"),
                Some(SettingNode::Nested(names, below)) => assert!(!names.is_empty() && !below.is_empty(), "{name}"),
                None => panic!("{name}"),
            }
        }
    }
}
