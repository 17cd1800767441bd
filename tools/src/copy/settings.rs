//! From the command line to the agent's settings: they are written as the settings file would have them, so that there is
//! one place that knows defaults, and one that refuses.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use skyferry_config::{ConfigError, ProviderSettings, Settings, StoreSettings};
use skyferry_core::model::Key;

use super::arguments::{Connection, Transfer};
use super::default_credentials;
use super::endpoint_arg::{EndpointArgument, Scheme};
use crate::state_file;

/// What is copied: all that is under a prefix, or one object.
#[derive(Clone, Debug)]
pub struct CopyOrigin {
    /// As the source's listing knows it.
    pub bucket: String,
    /// With a slash at its end, or empty.
    pub prefix: String,
    /// The one key, where SRC names one.
    pub single: Option<Key>,
    /// Of a local SRC.
    directory: Option<PathBuf>,
}

impl CopyOrigin {
    /// All that is under it; of a local file: that file.
    pub fn of(source: &EndpointArgument) -> anyhow::Result<CopyOrigin> {
        let path = match source {
            EndpointArgument::Remote { bucket, rest, .. } => {
                return Ok(CopyOrigin {
                    bucket: bucket.clone(),
                    prefix: with_slash(rest),
                    single: None,
                    directory: None,
                });
            }
            EndpointArgument::Local(path) => path,
        };
        let about = std::fs::metadata(path).with_context(|| format!("SRC {}", path.display()))?;
        let real = std::fs::canonicalize(path)?;
        if about.is_dir() {
            return Ok(CopyOrigin::directory(&real, None));
        }
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else { bail!("SRC {}", path.display()) };
        Ok(CopyOrigin::directory(parent, Some(Key::new(name.as_encoded_bytes().to_vec()))))
    }

    /// The key of a file, if it lies in the directory that is copied.
    pub fn key_of(&self, file: &Path) -> Option<Vec<u8>> {
        let real = std::fs::canonicalize(file.parent()?).ok()?.join(file.file_name()?);
        let within = real.strip_prefix(self.directory.as_ref()?).ok()?;
        Some(within.as_os_str().as_encoded_bytes().to_vec())
    }

    fn directory(path: &Path, single: Option<Key>) -> CopyOrigin {
        let name = path.file_name().map_or("directory".into(), OsStr::to_string_lossy);
        CopyOrigin { bucket: name.into_owned(), prefix: String::new(), single, directory: Some(path.to_owned()) }
    }

    /// The object whose key is SRC's, if there is nothing under it as a prefix.
    pub fn object(&self, key: &str) -> CopyOrigin {
        let prefix = key.rfind('/').map_or("", |slash| &key[..=slash]);
        CopyOrigin { prefix: prefix.into(), single: Some(Key::from(key)), ..self.clone() }
    }
}

/// `sp` is `sp/`; empty stays empty.
fn with_slash(prefix: &str) -> String {
    if prefix.is_empty() || prefix.ends_with('/') { prefix.into() } else { format!("{prefix}/") }
}

/// One side's flags.
struct Side<'a> {
    name: &'static str,
    place: &'a EndpointArgument,
    endpoint: Option<String>,
    credentials: Option<&'a str>,
    region: Option<&'a str>,
    profile: Option<&'a str>,
}

pub fn settings(
    arguments: &Connection,
    transfer: &Transfer,
    origin: &CopyOrigin,
    [source, destination]: [&EndpointArgument; 2],
    state: &Path,
) -> anyhow::Result<Settings> {
    let from = Side {
        name: "source",
        place: source,
        endpoint: arguments.source_endpoint.clone(),
        credentials: arguments.source_credentials.as_deref(),
        region: arguments.source_region.as_deref(),
        profile: arguments.source_profile.as_deref(),
    };
    let to = Side {
        name: "destination",
        place: destination,
        endpoint: arguments.destination_endpoint.clone(),
        credentials: arguments.destination_credentials.as_deref(),
        region: arguments.destination_region.as_deref(),
        profile: arguments.destination_profile.as_deref(),
    };
    let text = toml(arguments, transfer, origin, &from, &to)?;
    let environment = std::env::vars().filter(|(name, _)| name.starts_with("AWS_ENDPOINT_URL")).collect();
    let here = std::env::current_dir().context("the current directory")?;
    let parsed = Settings::parse(&here.join("command line"), &text, &environment);
    let mut settings = parsed.map_err(|error| anyhow!(as_flags(&error)))?;
    // Paths need not be UTF-8, as texts of settings have to be.
    let state = state.to_owned();
    settings.queues = vec![skyferry_config::QueueSettings::Embedded { path: state.clone(), events: None }];
    settings.ledger = skyferry_config::LedgerSettings::Embedded { path: state };
    if let Some(path) = &origin.directory {
        settings.source = StoreSettings::Directory { path: path.clone(), metadata: kept_elsewhere(path) };
    }
    if let EndpointArgument::Local(path) = destination {
        let path = std::path::absolute(path)?;
        settings.destination = StoreSettings::Directory { metadata: kept_elsewhere(&path), path };
    }
    settings.credentials.source = provider(&from, &here)?;
    settings.credentials.destination = provider(&to, &here)?;
    Ok(settings)
}

fn toml(
    arguments: &Connection,
    transfer: &Transfer,
    origin: &CopyOrigin,
    from: &Side<'_>,
    to: &Side<'_>,
) -> anyhow::Result<String> {
    let mut text = String::from(
        "[queue]\nkind = \"embedded\"\npath = \"state\"\n[ledger]\nkind = \"embedded\"\npath = \"state\"\n\
         [status]\nlisten = \"off\"\n",
    );
    let mut fields = |table: &str, fields: &[(&str, Option<&str>)]| {
        let _ = writeln!(text, "{table}");
        for (name, value) in fields {
            // What JSON says of a text, TOML says too.
            let _ = value.map(|value| writeln!(text, "{name} = {}", serde_json::Value::from(value)));
        }
    };
    for side in [from, to] {
        if !side.place.is_local() {
            fields(&format!("[credentials.{}]", side.name), &[("provider", Some("environment"))]);
        } else if let Some((flag, _)) = side.remote_flags().into_iter().find(|(_, value)| value.is_some()) {
            bail!("--{}-{flag} does not belong to the directory {}", side.name, side.place);
        }
    }
    let flag = |set: bool| set.then_some("true");
    let oss = [from.oss_endpoint()?, to.oss_endpoint()?];
    let mut store = |side: &Side<'_>, oss: &Option<String>, more: &[(&str, Option<&str>)]| {
        let remote = !side.place.is_local();
        let mut rows = vec![
            ("kind", Some(side.kind())),
            ("region", side.region.filter(|_| remote)),
            ("endpoint", side.endpoint.as_deref().or(oss.as_deref())),
            ("profile", side.profile.or(oss.as_ref().map(|_| "aliyun-oss"))),
            ("path", (!remote).then_some("directory")),
            ("allow_http", flag(arguments.allow_http && remote)),
        ];
        rows.extend(more);
        fields(&format!("[{}]", side.name), &rows);
    };
    store(from, &oss[0], &[("request_payer", flag(arguments.request_payer))]);
    let (bucket, prefix) = match to.place {
        EndpointArgument::Remote { bucket, rest, .. } => (bucket.as_str(), rest.as_str()),
        EndpointArgument::Local(_) => ("directory", ""),
    };
    let class = transfer.storage_class.as_deref().unwrap_or("");
    let bucket_key = transfer.bucket_key.map(|flag| if flag { "true" } else { "false" });
    let written = [
        ("bucket", Some(bucket)),
        ("prefix", Some(prefix)),
        ("storage_class", Some(class)),
        ("encryption", transfer.encryption.as_deref()),
        ("kms_key", transfer.kms_key.as_deref()),
        ("bucket_key", bucket_key),
        ("acl", transfer.acl.as_deref()),
        ("custom_time", transfer.custom_time.as_deref()),
        ("retention", transfer.retention.as_deref()),
        ("overwrite", transfer.overwrite.as_deref()),
    ];
    store(to, &oss[1], &written);
    let route = [
        ("source_bucket", Some(origin.bucket.as_str())),
        ("source_prefix", Some(&origin.prefix)),
        ("strip_prefix", Some("true")),
    ];
    fields("[[routes]]", &route);
    let transfers = transfer.transfers.map(|objects| objects.to_string());
    let rows = [
        ("multipart_threshold", Some(transfer.multipart_threshold.as_str())),
        ("part_size", Some(&transfer.part_size)),
        ("max_bandwidth", Some(&transfer.max_bandwidth)),
        ("max_objects", transfers.as_deref()),
    ];
    fields("[transfer]", &rows);
    Ok(text)
}

impl Side<'_> {
    fn kind(&self) -> &'static str {
        match self.place {
            EndpointArgument::Local(_) => "directory",
            EndpointArgument::Remote { scheme: Scheme::Gcs, .. } => "gcs",
            EndpointArgument::Remote { .. } => "s3",
        }
    }

    fn remote_flags(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("endpoint", self.endpoint.as_deref()),
            ("credentials", self.credentials),
            ("region", self.region),
            ("profile", self.profile),
        ]
    }

    /// Of an `oss://`: the flag's, or that of the region.
    fn oss_endpoint(&self) -> anyhow::Result<Option<String>> {
        if !matches!(self.place, EndpointArgument::Remote { scheme: Scheme::Oss, .. }) {
            return Ok(None);
        }
        let region = self.region.map(|region| region.trim_start_matches("oss-"));
        let own = region.map(|region| format!("https://oss-{region}.aliyuncs.com"));
        let name = self.name;
        let found = self.endpoint.clone().or(own);
        Ok(Some(found.with_context(|| format!("oss:// needs --{name}-region (cn-hangzhou) or --{name}-endpoint"))?))
    }
}

/// Where the metadata of a directory's files is kept: with the states, so that the user's folder has the files alone. What is
/// kept in the folder itself (by an agent, or an earlier version) stays in use there.
fn kept_elsewhere(path: &Path) -> Option<PathBuf> {
    if path.join(".skyferry/meta").is_dir() {
        return None;
    }
    // Its name is the same before and after it is made.
    let parent = || Some(std::fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?));
    let real = std::fs::canonicalize(path).ok().or_else(parent).unwrap_or_else(|| path.to_owned());
    let name = format!("directory-{:032x}", state_file::fnv(real.as_os_str().as_encoded_bytes()));
    state_file::directory().ok().map(|directory| directory.join(name))
}

fn provider(side: &Side<'_>, here: &Path) -> anyhow::Result<Option<ProviderSettings>> {
    if side.place.is_local() {
        return Ok(None);
    }
    let Some(text) = side.credentials else { return Ok(Some(default_credentials::of(side.place).provider)) };
    let provider = ProviderSettings::from_argument(text, here);
    Ok(Some(provider.map_err(|wanted| anyhow!("--{}-credentials: {wanted}", side.name))?))
}

/// Settings by the names of their flags.
fn as_flags(error: &ConfigError) -> String {
    // The longer names first.
    let names = [
        ("source.", "--source-"),
        ("destination.encryption", "--encryption"),
        ("destination.kms_key", "--kms-key"),
        ("destination.bucket_key", "--bucket-key"),
        ("destination.acl", "--acl"),
        ("destination.custom_time", "--custom-time"),
        ("destination.retention", "--retention"),
        ("destination.", "--destination-"),
        ("transfer.multipart_threshold", "--multipart-threshold"),
        ("transfer.part_size", "--part-size"),
        ("transfer.max_bandwidth", "--max-bandwidth"),
    ];
    let ConfigError::Invalid(problems) = error else { return error.to_string() };
    let message = problems.iter().map(|problem| {
        let mut text = skyferry_config::Problem { origin: None, ..problem.clone() }.to_string();
        for (setting, flag) in names {
            text = text.replace(setting, flag);
        }
        text
    });
    message.collect::<Vec<_>>().join("\n")
}
