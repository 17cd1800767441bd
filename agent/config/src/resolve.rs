//! Raw texts to [`Settings`]: defaults, presets of the mode, and every check. Goes on after a problem, to find them all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use super::endpoint::Endpoint;
use super::merge::SettingsTree;
use super::problem::{ConfigError, Problem, ProblemKind};
use super::raw::{self, RawSettings, RawValue};
use super::reader::SettingsReader;
use super::settings::*;
use super::store::StoreSettings;
use super::{provider, routes, status, store, transfer};

/// The predecessors' queue and table are called so, and so are the defaults.
const LIST_NAME: &str = "s3_migration_file_list";
const SSM_NAME: &str = "s3_migration_credentials";
const EMBEDDED: &str = "skyferry.db";

pub(super) fn resolve(
    tree: SettingsTree,
    base: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Settings, ConfigError> {
    if !tree.problems.is_empty() {
        // Names and shapes first: with those wrong, everything else would be complained of for no reason.
        return Err(ConfigError::Invalid(tree.problems));
    }
    let read = |error: config::ConfigError| {
        ConfigError::Invalid(vec![Problem {
            setting: "settings".into(),
            origin: None,
            what: ProblemKind::Invalid(error.to_string()),
        }])
    };
    let raw: RawSettings = tree.root.clone().try_deserialize().map_err(read)?;
    let mut r = SettingsReader { base, problems: Vec::new(), tree: Some(&tree), environment: Some(environment) };
    let settings = settings(&mut r, raw);
    match settings {
        Some(settings) if r.problems.is_empty() => Ok(Settings { notes: tree.notes.clone(), ..settings }),
        _ => Err(ConfigError::Invalid(r.problems)),
    }
}

fn settings(r: &mut SettingsReader, raw: RawSettings) -> Option<Settings> {
    let mode = r.keyword("mode", raw.mode, Mode::Get);
    let source = store::source(r, raw.source);
    let destination = store::destination(r, &raw.destination);
    let queues = queues(r, raw.queue, raw.queues);
    let ledger_times = r.keyword("ledger.times", raw.ledger.times.clone(), LedgerTimeFormat::Sortable);
    let ledger = ledger(r, raw.ledger);
    let keys_for = Keyed {
        source: source.as_ref().is_none_or(|store| store.kind().needs_keys),
        destination: destination.as_ref().is_none_or(|store| store.kind().needs_keys),
        queue: queues.iter().any(|queue| matches!(queue, QueueSettings::Sqs { .. })),
        ledger: matches!(ledger, Some(LedgerSettings::DynamoDb { .. })),
    };
    let credentials = credentials(r, mode, raw.credentials, keys_for);
    let backlog = status::backlog(r, raw.status.clone(), &ledger);
    let kind = raw.destination.kind.clone().unwrap_or_else(|| "gcs".into());
    let allow_http = r.flag("telemetry.allow_http", raw.telemetry.allow_http, false);
    let telemetry = r.endpoint("telemetry.otlp", raw.telemetry.otlp, allow_http, None);
    let in_files = matches!(destination, Some(StoreSettings::Directory { .. }));
    let paired = raw.bucket_pairs.as_ref().is_some_and(|list| !list.is_empty());
    let (routes, options) = routes::read(r, raw.routes, raw.destination, &kind, paired);
    Some(Settings {
        mode,
        transfer: transfer::read(r, raw.transfer, in_files),
        follow_jobs: r.flag("follow_jobs", raw.follow_jobs, false),
        ignore_by_key: r.flag("filter.ignore_by_key", raw.filter.ignore_by_key, false),
        ignore_list: list(r, "filter.ignore_list", raw.filter.ignore_list),
        bucket_pairs: list(r, "bucket_pairs", raw.bucket_pairs),
        notes: Vec::new(),
        listen: status::listen(r, raw.status.listen.clone()),
        status_token_file: raw.status.token_file.as_ref().map(|path| r.base.join(path)),
        backlog,
        telemetry,
        log: LogSettings {
            format: r.keyword("log.format", raw.log.format, LogFormat::Auto),
            level: r.keyword("log.level", raw.log.level, LogLevel::Info),
            metrics: r.keyword("log.metrics", raw.log.metrics, LogMetrics::Off),
            file: raw.log.file.filter(|file| !file.is_empty()).map(|file| r.base.join(file)),
        },
        metadata: MetadataEndpoints {
            google: r.metadata("GCE_METADATA_HOST", "http://"),
            amazon: r.metadata("AWS_EC2_METADATA_SERVICE_ENDPOINT", ""),
        },
        credentials,
        queues,
        ledger: ledger?,
        ledger_times,
        source: source?,
        destination: destination?,
        routes,
        options,
    })
}

fn list(r: &mut SettingsReader, setting: &'static str, text: RawValue) -> Option<ListLocation> {
    let text = text.filter(|text| !text.is_empty())?;
    match text.strip_prefix("ssm:") {
        Some(name) => {
            let name = r.required(setting, Some(name.into()), "ssm: and the parameter's name")?;
            Some(ListLocation::Ssm { name, endpoint: r.endpoint(setting, None, false, Some("SSM")) })
        }
        None => Some(ListLocation::File(r.base.join(text))),
    }
}

/// Which sides need credentials at all.
struct Keyed {
    source: bool,
    destination: bool,
    queue: bool,
    ledger: bool,
}

fn credentials(r: &mut SettingsReader, mode: Mode, mut raw: raw::RawCredentials, keyed: Keyed) -> CredentialSettings {
    if keyed.source {
        raw.source = Some(preset(mode, raw.source.take(), raw.destination.as_ref(), "source"));
    }
    if keyed.destination {
        raw.destination = Some(preset(mode, raw.destination.take(), raw.source.as_ref(), "destination"));
    }
    let mut read = |role: &str, raw: Option<raw::Provider>| {
        raw.and_then(|raw| provider::read(r, &format!("credentials.{role}"), raw))
    };
    let source = read("source", raw.source);
    let destination = read("destination", raw.destination);
    let queue = read("queue", raw.queue).or_else(|| source.clone().filter(|_| keyed.queue));
    let ledger = read("ledger", raw.ledger).or_else(|| source.clone().filter(|_| keyed.ledger));
    for (role, needed, found) in [("queue", keyed.queue, &queue), ("ledger", keyed.ledger, &ledger)] {
        if needed && found.is_none() && !keyed.source {
            r.note(
                &format!("credentials.{role}"),
                ProblemKind::Missing("the source has none that could be used".into()),
            );
        }
    }
    CredentialSettings { source, destination, queue, ledger }
}

/// Fills in what the mode implies: with `get` both sides' keys are two fields of one secret; with `put` the source is read
/// with the machine's role and the destination's key is in SSM.
fn preset(mode: Mode, given: Option<raw::Provider>, other: Option<&raw::Provider>, role: &str) -> raw::Provider {
    let mut provider = given.unwrap_or_default();
    let kind = provider.provider.get_or_insert_with(|| {
        let kind = match (mode, role) {
            (Mode::Get, _) => "secret-manager",
            (Mode::Put, "source") => "instance",
            (Mode::Put, _) => "ssm",
        };
        kind.into()
    });
    match kind.as_str() {
        "secret-manager" => {
            let secret = other.filter(|o| o.provider.as_deref().is_none_or(|kind| kind == "secret-manager"));
            if provider.resource.is_none() {
                provider.resource = secret.and_then(|o| o.resource.clone());
                provider.endpoint = provider.endpoint.or_else(|| secret.and_then(|o| o.endpoint.clone()));
                provider.allow_http = provider.allow_http.or_else(|| secret.and_then(|o| o.allow_http.clone()));
            }
            provider.field.get_or_insert_with(|| role.into());
        }
        "ssm" => {
            provider.name.get_or_insert_with(|| SSM_NAME.into());
        }
        _ => {}
    }
    provider
}

fn queues(r: &mut SettingsReader, one: Option<raw::Queue>, many: Vec<raw::Queue>) -> Vec<QueueSettings> {
    if one.is_some() && !many.is_empty() {
        r.invalid("queue", "and [[queues]] are both given: put all queues into [[queues]]".into());
    }
    if many.is_empty() {
        return queue(r, "queue", one.unwrap_or_default()).into_iter().collect();
    }
    many.into_iter().enumerate().filter_map(|(i, raw)| queue(r, &format!("queues[{i}]"), raw)).collect()
}

fn queue(r: &mut SettingsReader, at: &str, raw: raw::Queue) -> Option<QueueSettings> {
    let allow = r.flag(&format!("{at}.allow_http"), raw.allow_http, false);
    match raw.kind.as_deref().unwrap_or("sqs") {
        "embedded" => {
            r.refuse_foreign_fields(
                at,
                "embedded",
                &[("name", &raw.name), ("url", &raw.url), ("region", &raw.region), ("endpoint", &raw.endpoint)],
            );
            let events = event_listener(r, at, raw.listen, raw.token_file);
            Some(QueueSettings::Embedded { path: r.path(raw.path, EMBEDDED), events })
        }
        "sqs" => {
            let embedded = [("path", &raw.path), ("listen", &raw.listen), ("token_file", &raw.token_file)];
            r.refuse_foreign_fields(at, "sqs", &embedded);
            let queue = match (raw.name, raw.url) {
                (Some(_), Some(_)) => {
                    r.invalid(&format!("{at}.url"), "and name are both given: keep one of them".into());
                    return None;
                }
                (name, None) => QueueName::Name(name.unwrap_or_else(|| LIST_NAME.into())),
                (None, Some(url)) => {
                    // A queue's URL is an endpoint with a path.
                    let uri: Result<http::Uri, _> = url.parse();
                    let host = uri.ok().and_then(|u| Some(format!("{}://{}", u.scheme_str()?, u.authority()?)));
                    if let Err(wanted) = Endpoint::parse(host.as_deref().unwrap_or_default(), allow) {
                        r.invalid(&format!("{at}.url"), format!("does not begin with {wanted}"));
                    }
                    QueueName::Url(url)
                }
            };
            let endpoint = r.endpoint(&format!("{at}.endpoint"), raw.endpoint, allow, Some("SQS"));
            Some(QueueSettings::Sqs { queue, region: raw.region.filter(|region| !region.is_empty()), endpoint })
        }
        other => {
            r.refuse(&format!("{at}.kind"), other, "one of sqs, embedded");
            None
        }
    }
}

/// Whoever may send events decides what is copied and deleted: an address that others can reach needs a token.
fn event_listener(
    r: &mut SettingsReader,
    at: &str,
    listen: RawValue,
    token_file: RawValue,
) -> Option<EventListenerSettings> {
    let name = format!("{at}.listen");
    let token_file = token_file.map(|path| r.base.join(path));
    let Some(text) = listen else {
        if token_file.is_some() {
            r.invalid(&format!("{at}.token_file"), format!("is for events over HTTP: set {name} too"));
        }
        return None;
    };
    let address: SocketAddr = r.value(&name, Some(text), None, |text| {
        text.parse().map(Some).map_err(|_| "an address and port like \"127.0.0.1:9181\"".into())
    })?;
    if token_file.is_none() && !address.ip().is_loopback() {
        r.invalid(&name, format!("is not on loopback, so others can send events: set {at}.token_file"));
    }
    Some(EventListenerSettings { address, token_file })
}

fn ledger(r: &mut SettingsReader, raw: raw::Ledger) -> Option<LedgerSettings> {
    let allow = r.flag("ledger.allow_http", raw.allow_http, false);
    let remote = [("table", &raw.table), ("region", &raw.region), ("endpoint", &raw.endpoint)];
    match raw.kind.as_deref().unwrap_or("dynamodb") {
        "none" => {
            r.refuse_foreign_fields("ledger", "none", &remote);
            Some(LedgerSettings::None)
        }
        "embedded" => {
            r.refuse_foreign_fields("ledger", "embedded", &remote);
            Some(LedgerSettings::Embedded { path: r.path(raw.path, EMBEDDED) })
        }
        "dynamodb" => {
            r.refuse_foreign_fields("ledger", "dynamodb", &[("path", &raw.path)]);
            Some(LedgerSettings::DynamoDb {
                table: raw.table.unwrap_or_else(|| LIST_NAME.into()),
                region: raw.region.filter(|region| !region.is_empty()),
                endpoint: r.endpoint("ledger.endpoint", raw.endpoint, allow, Some("DYNAMODB")),
            })
        }
        other => {
            r.refuse("ledger.kind", other, "one of dynamodb, embedded, none");
            None
        }
    }
}
