//! The predecessors' ini (`s3_migration_cluster_config.ini`, of the cluster and of 3GSync), or the variables that the serverless
//! one had instead, as the settings that they mean: each key becomes one or is named as without effect, so that nobody has to
//! guess what a file that moved over does.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Map, Value, ValueKind};

use super::ini;
use super::problem::{Problem, ProblemKind};

/// Every key that they had, with the section that it stood in; it is taken in any of them.
const KEYS: [(&str, &[&str]); 3] = [
    (
        "Basic",
        &[
            "JobType",
            "SrcEndPointURL",
            "DestEndPointURL",
            "table_queue_name",
            "sqs_queue_name",
            "ssm_parameter_bucket",
            "ssm_parameter_credentials",
            "Des_bucket_default",
            "Des_prefix_default",
        ],
    ),
    (
        "Mode",
        &[
            "StorageClass",
            "ResumableThreshold",
            "MaxRetry",
            "MaxThread",
            "MaxParallelFile",
            "JobTimeout",
            "JobsenderCompareVersionId",
            "UpdateVersionId",
            "GetObjectWithVersionId",
        ],
    ),
    ("Debug", &["ChunkSize", "CleanUnfinishedUpload", "ifVerifyMD5Twice", "LoggingLevel", "LocalProfileMode"]),
];

/// What the functions of the serverless predecessor have as variables besides those of the same names as keys above. All of
/// them are read there and nowhere else.
const VARIABLES: [&str; 3] = ["sqs_queue", "ssm_parameter_ignore_list", "checkip_url"];
/// One of these makes an environment the predecessor's.
const TELLING: [&str; 4] =
    ["table_queue_name", "ssm_parameter_credentials", "Des_bucket_default", "ssm_parameter_bucket"];

/// Keys of which nothing is left, and why.
const WITHOUT_EFFECT: [(&str, &str); 9] = [
    ("checkip_url", "the ledger names the function's log stream"),
    ("ssm_parameter_bucket", "3GSync did not read it either"),
    ("MaxRetry", "failures are retried until they succeed, or the object is parked if the error is its own"),
    ("MaxThread", "the number of parts adapts to the network"),
    ("MaxParallelFile", "the number of objects adapts to the network; [transfer] max_objects limits it"),
    ("JobTimeout", "a message is kept as long as its copy makes progress"),
    (
        "JobsenderCompareVersionId",
        "it is about the jobsender: `scan --versions` names versions, and the scan function where this is True",
    ),
    ("UpdateVersionId", "every read is pinned to one state of the source"),
    ("CleanUnfinishedUpload", "an upload is continued where this is safe, and aborted elsewhere"),
];

/// Environment variables that override keys of these names.
const OVERRIDES: [&str; 3] = ["table_queue_name", "sqs_queue_name", "ssm_parameter_bucket"];

/// What a file came to.
#[derive(Default)]
pub(super) struct LegacySettings {
    /// By their path.
    pub values: Map<String, Value>,
    /// What became of each key, a line each.
    pub notes: Vec<String>,
    pub problems: Vec<Problem>,
}

/// A key's value and where it came from.
struct Given {
    name: String,
    value: String,
    origin: String,
}

struct SettingsReader {
    given: BTreeMap<String, Given>,
    reading: LegacySettings,
}

/// Reads the file's text. The error says which line is none of an ini.
pub(super) fn read(file: &Path, text: &str, environment: &BTreeMap<String, String>) -> Result<LegacySettings, String> {
    let mut reader = SettingsReader { given: BTreeMap::new(), reading: LegacySettings::default() };
    for ini::IniEntry { section, key, value } in ini::parse(text)? {
        let name = format!("{section}.{key}");
        let origin = format!("{}: {name}", file.display());
        match known_key(&key) {
            None => {
                let what = ProblemKind::Unknown { nearest: nearest(&key) };
                reader.reading.problems.push(Problem { setting: name, origin: Some(file.display().to_string()), what });
            }
            Some(_) if value.is_empty() => reader.reading.notes.push(format!("{name} is empty: treated as absent")),
            Some(key) => drop(reader.given.insert(key.to_owned(), Given { name, value, origin })),
        }
    }
    for name in OVERRIDES {
        if let Some(value) = environment.get(name).filter(|value| !value.is_empty()) {
            let given =
                Given { name: name.into(), value: value.clone(), origin: format!("environment variable {name}") };
            reader.given.insert(name.to_owned(), given);
        }
    }
    reader.map();
    Ok(reader.reading)
}

/// Whether these are the variables of the serverless predecessor's functions.
pub(super) fn has_variables(environment: &BTreeMap<String, String>) -> bool {
    TELLING.iter().any(|name| environment.get(*name).is_some_and(|value| !value.is_empty()))
}

/// The same settings from variables: of the worker, or of the jobsender.
pub(super) fn read_variables(environment: &BTreeMap<String, String>) -> LegacySettings {
    let mut reader = SettingsReader { given: BTreeMap::new(), reading: LegacySettings::default() };
    for name in all().map(|(_, name)| name).chain(VARIABLES) {
        match environment.get(name) {
            None => {}
            Some(value) if value.is_empty() => {
                reader.reading.notes.push(format!("{name} is empty: treated as absent"));
            }
            Some(value) => {
                let origin = format!("environment variable {name}");
                reader.given.insert(name.to_owned(), Given { name: name.to_owned(), value: value.clone(), origin });
            }
        }
    }
    // The table is not the queue here: a worker's queue is where its events come from, and the jobsender's has a name.
    if let Some(queue) = reader.take("sqs_queue") {
        reader.map_to(&queue, &[("queue.name", &queue.value)]);
    }
    if let Some(table) = reader.take("table_queue_name") {
        reader.map_to(&table, &[("ledger.table", &table.value)]);
    }
    if let Some(list) = reader.take("ssm_parameter_ignore_list") {
        reader.map_to(&list, &[("filter.ignore_list", &format!("ssm:{}", list.value))]);
    }
    reader.map();
    reader.reading
}

fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYS.iter().flat_map(|(section, keys)| keys.iter().map(move |key| (*section, *key)))
}

fn known_key(key: &str) -> Option<&'static str> {
    all().map(|(_, known)| known).find(|known| known.eq_ignore_ascii_case(key))
}

fn nearest(key: &str) -> String {
    let key = key.to_ascii_lowercase();
    let far = |known: &str| strsim::damerau_levenshtein(&key, &known.to_ascii_lowercase());
    all().min_by_key(|(_, known)| far(known)).map(|(section, known)| format!("{section}.{known}")).unwrap_or_default()
}

impl SettingsReader {
    fn take(&mut self, key: &str) -> Option<Given> {
        self.given.remove(key)
    }

    fn set(&mut self, path: &str, value: &str, origin: &str) {
        let value = Value::new(Some(&origin.to_owned()), ValueKind::String(value.to_owned()));
        self.reading.values.insert(path.to_owned(), value);
    }

    /// `given` became `paths`.
    fn map_to(&mut self, given: &Given, paths: &[(&str, &str)]) {
        for (path, value) in paths {
            self.set(path, value, &given.origin);
        }
        let became: Vec<String> = paths.iter().map(|(path, value)| format!("{path} = {value:?}")).collect();
        self.reading.notes.push(format!("{} = {:?} became {}", given.name, given.value, became.join(", ")));
    }

    fn ignore(&mut self, given: &Given, why: &str) {
        self.reading.notes.push(format!("{} = {:?} has no effect: {why}", given.name, given.value));
    }

    fn refuse(&mut self, given: &Given, wanted: &str) {
        let what = ProblemKind::Value { found: given.value.clone(), wanted: wanted.into() };
        self.reading.problems.push(Problem { setting: given.name.clone(), origin: Some(given.origin.clone()), what });
    }

    fn map(&mut self) {
        const AS_THEIRS: &str = "the predecessors' rules";
        self.set("filter.ignore_by_key", "true", AS_THEIRS);
        self.set("follow_jobs", "true", AS_THEIRS);
        self.set("ledger.times", "predecessor", AS_THEIRS);
        let cluster = !self.given.contains_key("SrcEndPointURL") && !self.given.contains_key("DestEndPointURL");
        self.identities(cluster);
        self.names();
        if cluster {
            if let Some(pairs) = self.take("ssm_parameter_bucket") {
                self.map_to(&pairs, &[("bucket_pairs", &format!("ssm:{}", pairs.value))]);
            }
            self.set("destination.kind", "s3", "the cluster's ini has no endpoints");
        }
        self.endpoint("SrcEndPointURL", "source");
        self.endpoint("DestEndPointURL", "destination");
        self.sizes();
        self.switch("GetObjectWithVersionId", ("transfer.versions", "exact"), "the newest state is read, whole");
        self.switch(
            "ifVerifyMD5Twice",
            ("transfer.verify", "md5"),
            "every object is verified by what both sides store",
        );
        self.log();
        for (key, why) in WITHOUT_EFFECT {
            if let Some(given) = self.take(key) {
                self.ignore(&given, why);
            }
        }
    }

    /// Who reads, who writes: the job's type, where the other side's key is, and two fixed profiles on a developer's machine.
    fn identities(&mut self, cluster: bool) {
        let job = self.take("JobType");
        let at = self.take("ssm_parameter_credentials");
        if let Some(local) = self.take("LocalProfileMode") {
            match flag(&local.value) {
                Some(true) => {
                    let profiles = [
                        ("credentials.source.provider", "profile"),
                        ("credentials.source.name", "iad"),
                        ("credentials.destination.provider", "profile"),
                        ("credentials.destination.name", "zhy"),
                    ];
                    self.map_to(&local, &profiles);
                    for given in [job, at].into_iter().flatten() {
                        self.ignore(&given, "LocalProfileMode takes two profiles instead");
                    }
                    return;
                }
                Some(false) => self.ignore(&local, "it is off"),
                None => self.refuse(&local, "True or False"),
            }
        }
        let fallback = if cluster { "PUT" } else { "GET" };
        let job = job.unwrap_or_else(|| Given {
            name: "Basic.JobType".into(),
            value: fallback.into(),
            origin: "the predecessors' default".into(),
        });
        let at = at.unwrap_or_else(|| Given {
            name: "Basic.ssm_parameter_credentials".into(),
            value: "s3_migration_credentials".into(),
            origin: "the predecessors' default".into(),
        });
        let on_google = at.value.starts_with("projects/");
        match (job.value.to_ascii_uppercase().as_str(), on_google) {
            ("GET", true) => {
                self.map_to(&job, &[("mode", "get")]);
                let secret = [
                    ("credentials.source.provider", "secret-manager"),
                    ("credentials.source.resource", &at.value),
                    ("credentials.source.field", "source"),
                    ("credentials.destination.provider", "secret-manager"),
                    ("credentials.destination.resource", &at.value),
                    ("credentials.destination.field", "destination"),
                ];
                self.map_to(&at, &secret);
            }
            ("GET", false) => {
                let machine = [
                    ("mode", "put"),
                    ("credentials.destination.provider", "instance"),
                    ("credentials.queue.provider", "instance"),
                    ("credentials.ledger.provider", "instance"),
                ];
                self.map_to(&job, &machine);
                self.map_to(&at, &parameter("source", &at.value).each_ref().map(|(path, value)| (&**path, &**value)));
            }
            ("PUT", false) => {
                self.map_to(&job, &[("mode", "put"), ("credentials.source.provider", "instance")]);
                self.map_to(
                    &at,
                    &parameter("destination", &at.value).each_ref().map(|(path, value)| (&**path, &**value)),
                );
            }
            ("PUT", true) => self.refuse(&at, "the name of an SSM parameter, where JobType = PUT has its key"),
            _ => self.refuse(&job, "PUT or GET"),
        }
    }

    fn names(&mut self) {
        let table = self.take("table_queue_name");
        let queue = self.take("sqs_queue_name");
        match (&table, &queue) {
            // Older files have one name for both.
            (Some(both), None) => self.map_to(both, &[("ledger.table", &both.value), ("queue.name", &both.value)]),
            (table, queue) => {
                if let Some(table) = table {
                    self.map_to(table, &[("ledger.table", &table.value)]);
                }
                if let Some(queue) = queue {
                    self.map_to(queue, &[("queue.name", &queue.value)]);
                }
            }
        }
        for (key, path) in [
            ("Des_bucket_default", "destination.bucket"),
            ("Des_prefix_default", "destination.prefix"),
            ("StorageClass", "destination.storage_class"),
        ] {
            if let Some(given) = self.take(key) {
                self.map_to(&given, &[(path, &given.value)]);
            }
        }
    }

    /// 3GSync's endpoints are hosts; the clouds' own need no setting.
    fn endpoint(&mut self, key: &str, side: &str) {
        let Some(given) = self.take(key) else {
            return;
        };
        let text = given.value.trim_end_matches('/');
        let host = text.split_once("://").map_or(text, |(_, host)| host).to_ascii_lowercase();
        let of_amazon = host == "s3.amazonaws.com" || host.contains(".amazonaws.com");
        let google = host.ends_with("googleapis.com") || (side == "destination" && !of_amazon);
        let kind = if google { "gcs" } else { "s3" };
        let kind_at = format!("{side}.kind");
        if matches!(host.as_str(), "s3.amazonaws.com" | "storage.googleapis.com") {
            self.map_to(&given, &[(&kind_at, kind)]);
        } else {
            let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
            self.map_to(&given, &[(&kind_at, kind), (&format!("{side}.endpoint"), &url)]);
        }
    }

    fn sizes(&mut self) {
        for (key, path) in [("ResumableThreshold", "transfer.multipart_threshold"), ("ChunkSize", "transfer.part_size")]
        {
            let Some(given) = self.take(key) else {
                continue;
            };
            match given.value.parse::<u32>() {
                Ok(mebibytes) => self.map_to(&given, &[(path, &format!("{mebibytes}MiB"))]),
                Err(_) => self.refuse(&given, "a whole number of MiB"),
            }
        }
    }

    /// A switch that means a setting when it is on.
    fn switch(&mut self, key: &str, on: (&str, &str), off: &str) {
        let Some(given) = self.take(key) else {
            return;
        };
        match flag(&given.value) {
            Some(true) => self.map_to(&given, &[on]),
            Some(false) => self.ignore(&given, off),
            None => self.refuse(&given, "True or False"),
        }
    }

    /// Their metric filters continue reading the log.
    fn log(&mut self) {
        self.set("log.format", "predecessor", "the predecessors' log");
        self.reading.notes.push("log.format = \"predecessor\": lines as their metric filters read them".into());
        let Some(given) = self.take("LoggingLevel") else {
            return;
        };
        let level = match given.value.to_ascii_uppercase().as_str() {
            "DEBUG" => "debug",
            "INFO" => "info",
            "WARNING" | "WARN" => "warn",
            "ERROR" | "CRITICAL" => "error",
            _ => return self.refuse(&given, "one of WARNING, INFO, DEBUG, ERROR"),
        };
        self.map_to(&given, &[("log.level", level)]);
    }
}

/// A side's key pair in SSM. A table and no text, so that the environment can add to it.
fn parameter(side: &str, name: &str) -> [(String, String); 2] {
    let at = |field: &str| format!("credentials.{side}.{field}");
    [(at("provider"), "ssm".into()), (at("name"), name.into())]
}

/// A boolean as `configparser` reads it.
fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}
