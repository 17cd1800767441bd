//! Settings as they are written: every value a text, nothing checked but the names. Here is the table of all settings: name,
//! type, default and help. `docs/settings.md`, the comments of `--print-config` and the check of the example files are
//! made from it; [`fields_of`] asks serde for the names.

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// Numbers and booleans too: the environment has only texts, and resolving gives better errors than serde.
pub(super) type RawValue = Option<String>;

/// A setting as the reference has it.
pub(super) struct SettingRow {
    pub name: &'static str,
    /// Its type, with its unit or its words.
    pub kind: &'static str,
    /// As it would be written; empty: none.
    pub default: &'static str,
    pub help: &'static str,
}

/// A section: its rows, and texts for them.
macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:literal = $default:literal, $help:literal;)* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name { $(pub $field: RawValue,)* }

        impl $name {
            pub const ROWS: &'static [SettingRow] = &[$(
                SettingRow { name: stringify!($field), kind: $kind, default: $default, help: $help },
            )*];
        }
    )* };
}

tables! {
    Queue {
        kind: "sqs, embedded" = "sqs", "The service: SQS, or a SQLite file on this machine.";
        name: "name" = "s3_migration_file_list", "SQS: the queue, in the account of its credentials.";
        url: "URL" = "", "SQS: the queue by its URL, instead of `name`: for a queue of another account.";
        region: "region" = "", "SQS: by default the region of the credentials.";
        endpoint: "URL" = "", "SQS: by default the region's own.";
        allow_http: "true, false" = "false", "Plain HTTP elsewhere than on loopback.";
        path: "file" = "skyferry.db", "embedded: the file; it may be the ledger's.";
        listen: "address:port" = "", "embedded: where events are received by HTTP; by default nowhere.";
        token_file: "file" = "", "embedded: a file with the token that senders show; required unless `listen` is on loopback.";
    }
    Ledger {
        kind: "dynamodb, embedded, none" = "dynamodb", "The service. Without a ledger several guarantees are weaker.";
        table: "name" = "s3_migration_file_list", "DynamoDB: the table.";
        region: "region" = "", "DynamoDB: by default the region of the credentials.";
        endpoint: "URL" = "", "DynamoDB: by default the region's own.";
        allow_http: "true, false" = "false", "Plain HTTP elsewhere than on loopback.";
        path: "file" = "skyferry.db", "embedded: the file; it may be the queue's.";
        times: "sortable, predecessor" = "sortable", "How `startTime_f` and `endTime_f` are written.";
    }
    Source {
        kind: "s3, gcs, directory" = "s3", "The service that is read.";
        region: "region" = "", "s3: by default the region of the credentials.";
        endpoint: "URL" = "", "s3, gcs: by default the service's own.";
        allow_http: "true, false" = "false", "Plain HTTP elsewhere than on loopback.";
        path_style: "true, false" = "", "s3: the bucket in the path instead of the host. By default as the endpoint and `profile` need it.";
        request_payer: "true, false" = "false", "s3: the requester pays.";
        expected_owner: "account id" = "", "s3: 12 digits in quotes; buckets of any other account are refused.";
        profile: "aws, aliyun-oss, generic" = "aws", "s3: which dialect the endpoint speaks.";
        path: "directory" = "", "directory: the folder.";
    }
    Destination {
        kind: "s3, gcs, directory" = "gcs", "The service that is written.";
        bucket: "name" = "", "The bucket, where a route names none.";
        prefix: "prefix" = "", "What comes before each source key.";
        storage_class: "class, source" = "STANDARD", "The storage class of copies; source: that of each source object; \"\": the bucket's default.";
        encryption: "sse-s3, sse-kms, cmek" = "", "How copies are encrypted at rest: sse-s3 and sse-kms on S3, cmek on Google Cloud Storage. By default as the bucket does.";
        kms_key: "key" = "", "sse-kms: the key's ARN, id or alias; by default AWS's own key for S3. cmek: projects/P/locations/L/keyRings/R/cryptoKeys/K.";
        bucket_key: "true, false" = "", "sse-kms: one data key for many objects, so fewer requests to KMS; by default as the bucket has it.";
        acl: "canned ACL" = "", "s3: the ACL of copies, such as bucket-owner-full-control; by default none is sent.";
        custom_time: "none, modified" = "none", "gcs: modified sets Custom-Time to the Last-Modified of the source, by which lifecycles age.";
        retention: "none, source" = "none", "s3, gcs: source gives copies the object lock (mode and date) of their sources.";
        overwrite: "always, if-older, never" = "always", "Which objects a copy may replace; never: it is only created. What stays is reported as skipped.";
        region: "region" = "", "s3: by default the region of the credentials.";
        endpoint: "URL" = "", "s3, gcs: by default the service's own.";
        allow_http: "true, false" = "false", "Plain HTTP elsewhere than on loopback.";
        path_style: "true, false" = "", "s3: the bucket in the path instead of the host. By default as the endpoint and `profile` need it.";
        expected_owner: "account id" = "", "s3: 12 digits in quotes; buckets of any other account are refused.";
        profile: "aws, aliyun-oss, generic" = "aws", "s3: which dialect the endpoint speaks.";
        path: "directory" = "", "directory: the folder.";
    }
    Route {
        source_bucket: "name" = "", "Required: the bucket that this route allows.";
        source_prefix: "prefix" = "", "Only keys in this folder.";
        bucket: "name" = "", "By default the bucket of `[destination]`.";
        prefix: "prefix" = "", "By default the prefix of `[destination]`.";
        strip_prefix: "true, false" = "false", "The source prefix is left out at the destination.";
        storage_class: "class" = "", "By default the class of `[destination]`.";
        encryption: "sse-s3, sse-kms, cmek" = "", "By default the encryption, the key and the bucket key of `[destination]`.";
        kms_key: "key" = "", "Of this route's `encryption`.";
        bucket_key: "true, false" = "", "Of this route's `encryption`.";
        acl: "canned ACL" = "", "By default the ACL of `[destination]`.";
        custom_time: "none, modified" = "", "By default that of `[destination]`.";
        retention: "none, source" = "", "By default that of `[destination]`.";
        overwrite: "always, if-older, never" = "", "By default that of `[destination]`.";
    }
    Transfer {
        multipart_threshold: "size" = "50MiB", "Larger objects are sent in parts.";
        part_size: "size" = "16MiB", "Bytes of one part; grows where an object would need too many parts. At least 5MiB (a directory: 1MiB).";
        max_objects: "number" = "0", "Objects in flight at most; 0: adaptive.";
        memory_budget: "size" = "64MiB", "Bytes of objects in memory at most; at least 2MiB.";
        max_bandwidth: "size per second, or times with one each" = "0", "Bytes per second of this agent; 0: no limit. By the clock: 08:00 10MB/s, 18:00 0.";
        time_zone: "name" = "", "The clock of `max_bandwidth`, such as Europe/Berlin; by default this machine's.";
        stall_timeout: "duration" = "2m", "A transfer without progress for so long is tried again; 1s to 1h.";
        verify: "auto, md5" = "auto", "auto: the cheapest checksums that prove a copy. md5: an MD5 of each part as well.";
        deletes: "true, false" = "false", "What is deleted at the source is deleted at the destination.";
        max_delete_share: "percent" = "50%", "Share of deletions, within ten minutes, beyond which deletions stop.";
        versions: "latest, exact" = "latest", "exact: the version that the event names is copied.";
        metadata: "true, false" = "true", "Content headers and user metadata are copied.";
        tags: "true, false" = "false", "Object tags are copied.";
        restore: "true, false" = "false", "A restore of archived objects is requested.";
    }
    Filter {
        ignore_list: "file, or ssm:NAME" = "", "Patterns of objects that are left out, one on a line.";
        ignore_by_key: "true, false" = "false", "Patterns are compared with the key alone as well as with `bucket/key`.";
    }
    Status {
        listen: "address:port, off" = "127.0.0.1:9180", "Where the agent shows its status and metrics.";
        token_file: "file" = "", "A file with the token of those who may pause, resume, limit the bandwidth and send dead letters again from the page; without it the page is read-only.";
        backlog_metric: "true, false, metric type" = "false", "One agent publishes the queues' backlog to Cloud Monitoring.";
        backlog_period: "duration" = "1m", "The time between two points of that metric; at least 6s.";
        endpoint: "URL" = "https://monitoring.googleapis.com", "Of Cloud Monitoring.";
        allow_http: "true, false" = "false", "Plain HTTP elsewhere than on loopback.";
    }
    Telemetry {
        otlp: "URL" = "", "Where traces and metrics are sent by OTLP over HTTP, like `http://127.0.0.1:4318`; by default nowhere.";
        allow_http: "true, false" = "false", "Plain HTTP elsewhere than on loopback.";
    }
    Log {
        format: "auto, json, text, predecessor" = "auto", "auto: text on a terminal, JSON elsewhere; predecessor: lines as the metric filters of the earlier programs read them.";
        level: "error, warn, info, debug, trace" = "info", "The least severe level that is logged.";
        metrics: "off, emf" = "off", "emf: a line every minute in CloudWatch's embedded metric format.";
        file: "file" = "", "The log in a file as well as on stderr; opened again after a rotation.";
    }
    /// The fields of all providers together; which belong to which is checked when the kind is known.
    Provider {
        provider: "instance, ssm, secret-manager, environment, file, profile, web-identity, google, anonymous" = "", "Where the keys are: [Credentials](credentials.md).";
        name: "name" = "", "ssm: the parameter. profile: the profile.";
        region: "region" = "", "ssm, web-identity: by default the machine's.";
        resource: "resource" = "", "secret-manager: `projects/P/secrets/S/versions/latest`.";
        field: "name" = "", "secret-manager, file: the field that holds the keys.";
        prefix: "text" = "", "environment: what comes before `AWS_ACCESS_KEY_ID` and the other names.";
        path: "file" = "", "file: the file.";
        role_arn: "ARN" = "", "web-identity: the role to take.";
        audience: "text" = "", "web-identity, google: the token's audience.";
        endpoint: "URL" = "", "By default the service's own.";
        allow_http: "true, false" = "false", "Plain HTTP elsewhere than on loopback.";
    }
}

/// Settings outside any section.
const TOP: &[SettingRow] = &[
    SettingRow {
        name: "mode",
        kind: "get, put",
        default: "get",
        help: "Where credentials come from that are not set: get on Google Cloud (one secret for both sides), put on EC2 (the machine's role, and SSM).",
    },
    SettingRow {
        name: "bucket_pairs",
        kind: "file, or ssm:NAME",
        default: "",
        help: "The earlier programs' bucket pairs.",
    },
    SettingRow {
        name: "follow_jobs",
        kind: "true, false",
        default: "false",
        help: "Where the bucket pairs may not be read, the destinations that jobs name are accepted.",
    },
];

/// Every section with its rows, in the order of the reference; the first has no name.
pub(super) const SECTIONS: [(&str, &[SettingRow]); 12] = [
    ("", TOP),
    ("credentials", Provider::ROWS),
    ("queue", Queue::ROWS),
    ("ledger", Ledger::ROWS),
    ("source", Source::ROWS),
    ("destination", Destination::ROWS),
    ("routes", Route::ROWS),
    ("transfer", Transfer::ROWS),
    ("filter", Filter::ROWS),
    ("status", Status::ROWS),
    ("telemetry", Telemetry::ROWS),
    ("log", Log::ROWS),
];

/// The row of a setting; `queues` are like `queue`.
pub(super) fn row(section: &str, name: &str) -> Option<&'static SettingRow> {
    let section = if section == "queues" { "queue" } else { section };
    let (_, rows) = SECTIONS.iter().find(|(known, _)| *known == section)?;
    rows.iter().find(|row| row.name == name)
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
    pub telemetry: Telemetry,
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
        "telemetry" => SettingNode::Table(fields_of::<Telemetry>()),
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
