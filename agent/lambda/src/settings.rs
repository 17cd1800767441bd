//! Where a function's settings come from, what its size makes of them, and what cannot work in one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use futures_util::TryStreamExt as _;
use skyferry_aws::sqs::region_of_url;
use skyferry_config::{LedgerSettings, QueueName, QueueSettings, Settings};
use skyferry_core::error::Side;
use skyferry_core::model::Location;
use skyferry_core::store::{Pin, Source as _};
use skyferry_providers::{Cached, Instance, Ssm};
use skyferry_stores::http::{Transport, TransportOptions};
use skyferry_stores::s3::{S3, S3Options, S3Profile};

pub type EnvironmentVariables = BTreeMap<String, String>;

/// Names the settings: a file, `ssm:NAME` or `s3://BUCKET/KEY`.
const CONFIG: &str = "SKYFERRY_CONFIG";
const FILE: &str = "agent.toml";
/// What settings are read as at most.
const LONGEST: usize = 1 << 20;
/// The budget for bytes in flight that settings have without a word about it is for a function of 16 times as much memory.
const USUAL_BUDGET: u64 = 64 << 20;
const SHARE: u64 = 16;
/// What settings may ask for at most, and what is too little to work.
const LARGEST_SHARE: u64 = 4;
const LEAST_BUDGET: u64 = 8 << 20;

/// This process's variables; those that are not UTF-8 are left out.
pub fn environment() -> EnvironmentVariables {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The function's settings: what [`CONFIG`] names, else the package's file, else the predecessors' variables.
pub async fn load(environment: &EnvironmentVariables) -> anyhow::Result<Settings> {
    let root = PathBuf::from(environment.get("LAMBDA_TASK_ROOT").map_or(".", String::as_str));
    let named = environment.get(CONFIG).filter(|named| !named.is_empty());
    let settings = match named.map(String::as_str) {
        Some(named) => match (named.strip_prefix("ssm:"), named.strip_prefix("s3://")) {
            (Some(name), _) => parse(&root, named, &parameter(name, environment).await?, environment)?,
            (_, Some(place)) => parse(&root, named, &object(place, environment).await?, environment)?,
            _ => file(&root.join(named), environment)?,
        },
        None if root.join(FILE).is_file() => file(&root.join(FILE), environment)?,
        None if Settings::has_legacy_variables(environment) => Settings::from_legacy_variables(environment)?,
        None => bail!(
            "no settings: put {FILE} into the package, or set {CONFIG} to ssm:NAME or s3://BUCKET/KEY (or set the earlier program's variables, table_queue_name and the others)"
        ),
    };
    fit(settings, environment)
}

fn file(path: &Path, environment: &EnvironmentVariables) -> anyhow::Result<Settings> {
    Ok(Settings::load(path, environment)?)
}

/// File names in it are relative to the package.
fn parse(root: &Path, from: &str, text: &str, environment: &EnvironmentVariables) -> anyhow::Result<Settings> {
    let name = from.rsplit(['/', ':']).next().unwrap_or(FILE);
    Settings::parse(&root.join(name), text, environment).with_context(|| format!("the settings in {from}"))
}

async fn parameter(name: &str, environment: &EnvironmentVariables) -> anyhow::Result<String> {
    let endpoint = endpoint("SSM", environment);
    let ssm = Ssm { name: name.to_owned(), region: None, endpoint, reader: role() };
    Ok(ssm.text().await.context("the settings cannot be read")?.to_string())
}

async fn object(place: &str, environment: &EnvironmentVariables) -> anyhow::Result<String> {
    let (bucket, key) = place.split_once('/').with_context(|| format!("{CONFIG} = s3://{place} names no key"))?;
    let endpoint = endpoint("S3", environment);
    let transport = TransportOptions {
        allow_http: endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")),
        ..TransportOptions::default()
    };
    let options = S3Options {
        profile: S3Profile::named("aws").context("no profile aws")?,
        path_style: None,
        endpoint,
        region: environment.get("AWS_REGION").cloned(),
        request_payer: false,
        expected_owner: None,
    };
    let transport = Transport::new(&transport.with_environment())?;
    let store = S3::new(options, role(), Side::Source, transport)?;
    let opened = store.open(&Location::new(bucket, key), &Pin::Newest, None).await?;
    let opened = opened.with_context(|| format!("the settings s3://{place} are not there"))?;
    if opened.length > LONGEST as u64 {
        bail!("the settings s3://{place} have {} bytes, which are no settings", opened.length);
    }
    let chunks: Vec<_> = opened.chunks.try_collect().await?;
    let bytes: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect();
    String::from_utf8(bytes).with_context(|| format!("the settings s3://{place} are not text"))
}

fn role() -> Arc<Cached> {
    Arc::new(Cached::new(Instance { endpoint: None, or_environment: true }))
}

fn endpoint(service: &str, environment: &EnvironmentVariables) -> Option<String> {
    let names = [format!("AWS_ENDPOINT_URL_{service}"), "AWS_ENDPOINT_URL".to_owned()];
    names.iter().find_map(|name| environment.get(name).filter(|url| !url.is_empty()).cloned())
}

/// Refuses what cannot work in a function, and takes the bytes in flight from its memory; how many objects and parts there
/// are at once follows from those.
fn fit(mut settings: Settings, environment: &EnvironmentVariables) -> anyhow::Result<Settings> {
    if let LedgerSettings::Embedded { .. } = settings.ledger {
        bail!(
            "[ledger] kind = \"embedded\" is a file, which a function cannot keep: set kind = \"dynamodb\" and table"
        );
    }
    let here = environment.get("AWS_REGION").map(String::as_str).unwrap_or_default();
    for queue in &settings.queues {
        let (name, region) = match queue {
            QueueSettings::Embedded { .. } => {
                bail!(
                    "[queue] kind = \"embedded\" is a file, and a function's messages come from SQS: set kind = \"sqs\""
                )
            }
            QueueSettings::Sqs { queue: QueueName::Url(url), region, .. } => {
                (url, region.clone().or_else(|| region_of_url(url)))
            }
            QueueSettings::Sqs { queue: QueueName::Name(name), region, .. } => (name, region.clone()),
        };
        if let Some(region) = region.filter(|region| !here.is_empty() && region != here) {
            return Err(anyhow!(
                "[queue] {name} is in the region {region}, and this function runs in {here}: a function gets messages only from queues of its own region; correct the setting, or deploy the function in {region}"
            ));
        }
    }
    let memory = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").and_then(|size| size.parse::<u64>().ok());
    if let Some(memory) = memory.map(|mebibytes| mebibytes << 20) {
        let budget = settings.transfer.memory_budget;
        let budget = if budget == USUAL_BUDGET { memory / SHARE } else { budget.min(memory / LARGEST_SHARE) };
        settings.transfer.memory_budget = budget.max(LEAST_BUDGET);
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"
        mode = "put"
        [queue]
        name = "list"
        region = "eu-west-1"
        [destination]
        bucket = "copies"
        [[routes]]
        source_bucket = "photos"
    "#;

    fn fitted(text: &str, memory: &str) -> anyhow::Result<Settings> {
        let environment = [("AWS_REGION", "eu-west-1"), ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory)];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        fit(Settings::parse(Path::new("/var/task/agent.toml"), text, &environment)?, &environment)
    }

    #[test]
    fn bytes_in_flight_follow_the_functions_memory() {
        let budget = |text: &str, memory| fitted(text, memory).unwrap().transfer.memory_budget >> 20;
        assert_eq!([budget(TOML, "1024"), budget(TOML, "512"), budget(TOML, "128")], [64, 32, 8]);
        let own = format!("{TOML}\n[transfer]\nmemory_budget = \"200MiB\"");
        assert_eq!([budget(&own, "2048"), budget(&own, "512")], [200, 128], "never more than a quarter");
    }

    #[test]
    fn a_queue_of_another_region_is_refused() {
        let elsewhere = TOML.replace("eu-west-1", "us-east-1");
        let by_url = TOML.replace("name = \"list\"", "url = \"https://sqs.us-east-1.amazonaws.com/123456789012/list\"");
        for text in [elsewhere, by_url.replace("region = \"eu-west-1\"", "")] {
            let error = fitted(&text, "512").unwrap_err().to_string();
            assert!(error.contains("us-east-1") && error.contains("eu-west-1"), "{error}");
        }
    }

    #[test]
    fn what_is_a_file_of_one_machine_is_refused() {
        let ledger = format!("{TOML}\n[ledger]\nkind = \"embedded\"\npath = \"x.db\"");
        assert!(fitted(&ledger, "512").unwrap_err().to_string().contains("[ledger]"));
    }
}
