//! Settings as TOML, for `--print-config`: complete, defaults spelled out, and readable again.

use std::path::Path;

use toml::{Table, Value};

use super::put::{Put as _, text};
use super::settings::*;
use super::words::Words as _;
use super::{copy_options, provider, raw, store, transfer, units};

pub(super) fn print(settings: &Settings) -> String {
    let mut root = Table::new();
    root.put("mode", settings.mode.keyword());
    let mut credentials = Table::new();
    let CredentialSettings { source, destination, queue, ledger } = &settings.credentials;
    for (role, given) in [("source", source), ("destination", destination), ("queue", queue), ("ledger", ledger)] {
        if let Some(given) = given {
            credentials.put(role, provider::to_table(given));
        }
    }
    root.put("credentials", credentials);
    root.put("queues", settings.queues.iter().map(|q| Value::Table(queue_table(q))).collect::<Vec<_>>());
    let mut ledger = ledger_table(&settings.ledger);
    if settings.ledger_times != LedgerTimeFormat::Sortable {
        ledger.put("times", settings.ledger_times.keyword());
    }
    root.put("ledger", ledger);
    root.put("source", store::to_table(&settings.source, true));
    let mut destination = store::to_table(&settings.destination, false);
    match settings.routes.as_slice() {
        [any] if any.source_bucket.is_none() => {
            destination.put("bucket", any.bucket.as_str());
            destination.put("prefix", any.prefix.as_str());
        }
        routes => root.put("routes", routes.iter().map(|r| Value::Table(route(r))).collect::<Vec<_>>()),
    }
    copy_options::put(&settings.options, &mut destination);
    root.put("destination", destination);
    root.put("transfer", transfer::to_table(&settings.transfer));
    let mut filter = Table::from_iter([("ignore_by_key".to_string(), Value::Boolean(settings.ignore_by_key))]);
    if let Some(at) = &settings.ignore_list {
        filter.put("ignore_list", list(at));
    }
    root.put("filter", filter);
    root.put("follow_jobs", settings.follow_jobs);
    if let Some(at) = &settings.bucket_pairs {
        root.put("bucket_pairs", list(at));
    }
    let listen = settings.listen.map_or("off".to_string(), |address| address.to_string());
    let mut status = Table::from_iter([("listen".to_string(), Value::String(listen))]);
    if let Some(path) = &settings.status_token_file {
        status.put("token_file", path.display().to_string());
    }
    if let Some(backlog) = &settings.backlog {
        status.put("backlog_metric", backlog.metric.as_str());
        status.put("backlog_period", units::show_duration(backlog.period));
        status.put_endpoint(Some(&backlog.endpoint));
    }
    root.put("status", status);
    if let Some(endpoint) = &settings.telemetry {
        let mut telemetry = Table::new();
        telemetry.put("otlp", endpoint.as_str());
        telemetry.put("allow_http", !endpoint.is_https());
        root.put("telemetry", telemetry);
    }
    let mut log = Table::new();
    log.put("format", settings.log.format.keyword());
    log.put("level", settings.log.level.keyword());
    log.put("metrics", settings.log.metrics.keyword());
    if let Some(file) = &settings.log.file {
        log.put("file", text(file));
    }
    root.put("log", log);
    let notes: String = settings.notes.iter().map(|note| format!("# {}\n", note.replace('\n', " "))).collect();
    notes + &explained(&root.to_string())
}

/// Each setting with what it is, from the table of settings.
fn explained(text: &str) -> String {
    let mut section = String::new();
    let mut lines = String::new();
    for line in text.lines() {
        if line.starts_with('[') {
            // `[credentials.source]` has the settings of `[credentials]`.
            section = line.trim_matches(['[', ']']).split('.').next().unwrap_or_default().to_owned();
        }
        let row = line.split_once(" = ").and_then(|(name, _)| raw::row(&section, name));
        lines += line;
        if let Some(raw::SettingRow { kind, default, help, .. }) = row {
            let default = if default.is_empty() { String::new() } else { format!("; default {default}") };
            lines += &format!("  # {help} ({kind}{default})");
        }
        lines.push('\n');
    }
    lines
}

fn list(at: &ListLocation) -> Value {
    match at {
        ListLocation::File(path) => text(path),
        ListLocation::Ssm { name, .. } => Value::String(format!("ssm:{name}")),
    }
}

fn queue_table(queue: &QueueSettings) -> Table {
    let mut table = Table::new();
    match queue {
        QueueSettings::Sqs { queue, region, endpoint } => {
            table.put("kind", "sqs");
            match queue {
                QueueName::Name(name) => table.put("name", name.as_str()),
                QueueName::Url(url) => {
                    table.put("url", url.as_str());
                    // Accepted once: plain http needed the word then, and needs it again.
                    if url.starts_with("http://") {
                        table.put("allow_http", true);
                    }
                }
            }
            table.put_some("region", region.as_deref());
            table.put_endpoint(endpoint.as_ref());
        }
        QueueSettings::Embedded { path, events } => {
            table.put("kind", "embedded");
            table.put("path", text(path));
            if let Some(EventListenerSettings { address, token_file }) = events {
                table.put("listen", address.to_string());
                table.put_some("token_file", token_file.as_deref().and_then(Path::to_str));
            }
        }
    }
    table
}

fn ledger_table(ledger: &LedgerSettings) -> Table {
    let mut table = Table::new();
    match ledger {
        LedgerSettings::DynamoDb { table: name, region, endpoint } => {
            table.put("kind", "dynamodb");
            table.put("table", name.as_str());
            table.put_some("region", region.as_deref());
            table.put_endpoint(endpoint.as_ref());
        }
        LedgerSettings::Embedded { path } => {
            table.put("kind", "embedded");
            table.put("path", text(path));
        }
        LedgerSettings::None => table.put("kind", "none"),
    }
    table
}

fn route(route: &RouteSettings) -> Table {
    let mut table = Table::new();
    table.put_some("source_bucket", route.source_bucket.as_deref());
    table.put("source_prefix", route.source_prefix.as_str());
    table.put("bucket", route.bucket.as_str());
    table.put("prefix", route.prefix.as_str());
    table.put("strip_prefix", route.strip_prefix);
    copy_options::put(&route.options, &mut table);
    table
}
