//! Settings as TOML, for `--print-config`: complete, defaults spelled out, and readable again.

use std::path::Path;

use toml::{Table, Value};

use super::endpoint::Endpoint;
use super::provider::ProviderSettings;
use super::settings::*;
use super::units;

pub(super) fn print(settings: &Settings) -> String {
    let mut root = Table::new();
    root.put("mode", settings.mode.keyword());
    let mut credentials = Table::new();
    let CredentialSettings { source, destination, queue, ledger } = &settings.credentials;
    for (role, given) in [("source", source), ("destination", destination), ("queue", queue), ("ledger", ledger)] {
        if let Some(given) = given {
            credentials.put(role, provider(given));
        }
    }
    root.put("credentials", credentials);
    root.put("queues", settings.queues.iter().map(|q| Value::Table(queue_table(q))).collect::<Vec<_>>());
    let mut ledger = ledger_table(&settings.ledger);
    if settings.ledger_times != LedgerTimeFormat::Sortable {
        ledger.put("times", settings.ledger_times.keyword());
    }
    root.put("ledger", ledger);
    root.put("source", store(&settings.source, true));
    let mut destination = store(&settings.destination, false);
    match settings.routes.as_slice() {
        [any] if any.source_bucket.is_none() => {
            destination.put("bucket", any.bucket.as_str());
            destination.put("prefix", any.prefix.as_str());
            destination.put("storage_class", any.storage_class.as_deref().unwrap_or_default());
        }
        routes => root.put("routes", routes.iter().map(|r| Value::Table(route(r))).collect::<Vec<_>>()),
    }
    root.put("destination", destination);
    root.put("transfer", transfer(&settings.transfer));
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
    if let Some(backlog) = &settings.backlog {
        status.put("backlog_metric", backlog.metric.as_str());
        status.put("backlog_period", units::show_duration(backlog.period));
        status.put_endpoint(Some(&backlog.endpoint));
    }
    root.put("status", status);
    let mut log = Table::new();
    log.put("format", settings.log.format.keyword());
    log.put("level", settings.log.level.keyword());
    log.put("metrics", settings.log.metrics.keyword());
    if let Some(file) = &settings.log.file {
        log.put("file", text(file));
    }
    root.put("log", log);
    let notes: String = settings.notes.iter().map(|note| format!("# {}\n", note.replace('\n', " "))).collect();
    notes + &root.to_string()
}

fn list(at: &ListLocation) -> Value {
    match at {
        ListLocation::File(path) => text(path),
        ListLocation::Ssm { name, .. } => Value::String(format!("ssm:{name}")),
    }
}

trait Put {
    fn put(&mut self, name: &str, value: impl Into<Value>);
    fn put_some(&mut self, name: &str, value: Option<&str>);
    fn put_endpoint(&mut self, endpoint: Option<&Endpoint>);
}

impl Put for Table {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.insert(name.into(), value.into());
    }
    fn put_some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }
    fn put_endpoint(&mut self, endpoint: Option<&Endpoint>) {
        if let Some(endpoint) = endpoint {
            self.put("endpoint", endpoint.as_str());
            if !endpoint.is_https() && !endpoint.is_loopback() {
                self.put("allow_http", true);
            }
        }
    }
}

fn text(path: &Path) -> Value {
    Value::String(path.display().to_string())
}

fn provider(provider: &ProviderSettings) -> Table {
    let mut table = Table::new();
    table.put("provider", provider.kind());
    match provider {
        ProviderSettings::Instance { endpoint } => table.put_endpoint(endpoint.as_ref()),
        ProviderSettings::Ssm { name, region, endpoint } => {
            table.put("name", name.as_str());
            table.put_some("region", region.as_deref());
            table.put_endpoint(endpoint.as_ref());
        }
        ProviderSettings::SecretManager { resource, field, endpoint } => {
            table.put("resource", resource.as_str());
            table.put_some("field", field.as_deref());
            table.put_endpoint(endpoint.as_ref());
        }
        ProviderSettings::Environment { prefix } => table.put("prefix", prefix.as_str()),
        ProviderSettings::File { path, field } => {
            table.put("path", text(path));
            table.put_some("field", field.as_deref());
        }
        ProviderSettings::Profile { name } => table.put("name", name.as_str()),
        ProviderSettings::WebIdentity { role_arn, audience, region, endpoint } => {
            table.put("role_arn", role_arn.as_str());
            table.put_some("audience", audience.as_deref());
            table.put_some("region", region.as_deref());
            table.put_endpoint(endpoint.as_ref());
        }
        ProviderSettings::Google { audience, endpoint } => {
            table.put_some("audience", audience.as_deref());
            table.put_endpoint(endpoint.as_ref());
        }
        ProviderSettings::Anonymous => {}
    }
    table
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

fn store(store: &StoreSettings, source: bool) -> Table {
    let mut table = Table::new();
    match store {
        StoreSettings::S3(s3) => {
            table.put("kind", "s3");
            table.put_some("region", s3.region.as_deref());
            table.put_endpoint(s3.endpoint.as_ref());
            table.put("profile", s3.profile.keyword());
            table.put("path_style", s3.path_style);
            if source {
                table.put("request_payer", s3.request_payer);
            }
            table.put_some("expected_owner", s3.expected_owner.as_deref());
        }
        StoreSettings::Gcs { endpoint } => {
            table.put("kind", "gcs");
            table.put_endpoint(Some(endpoint));
        }
        StoreSettings::Directory { path } => {
            table.put("kind", "directory");
            table.put("path", text(path));
        }
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
    table.put("storage_class", route.storage_class.as_deref().unwrap_or_default());
    table
}

fn transfer(transfer: &TransferSettings) -> Table {
    let mut table = Table::new();
    table.put("multipart_threshold", units::show_size(transfer.multipart_threshold));
    table.put("part_size", units::show_size(transfer.part_size));
    table.put("max_objects", i64::from(transfer.max_objects.unwrap_or(0)));
    table.put("memory_budget", units::show_size(transfer.memory_budget));
    table.put("max_bandwidth", units::show_size(transfer.max_bandwidth.unwrap_or(0)));
    table.put("stall_timeout", units::show_duration(transfer.stall_timeout));
    table.put("verify", transfer.verify.keyword());
    table.put("deletes", transfer.deletes);
    table.put("max_delete_share", format!("{}%", transfer.max_delete_share));
    table.put("versions", transfer.versions.keyword());
    table.put("metadata", transfer.metadata);
    table.put("tags", transfer.tags);
    table.put("restore", transfer.restore);
    table
}
