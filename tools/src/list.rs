//! `skyferry ls` and `skyferry size`: what is under a URL, one object a line as the pages arrive, or its sum.

use std::cell::Cell;
use std::ffi::OsString;
use std::time::Duration;

use indicatif::BinaryBytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use skyferry_config as config;
use skyferry_core::store::Listed;

use crate::cli::{self, Cli, DONE};
use crate::copy::Pair;
use crate::copy::arguments::{Connection, Transfer};
use crate::filter::{FilterArguments, ObjectFilter};
use crate::output::objects;
use crate::pages::Pages;
use crate::retry::RetryPolicy;
use crate::usage::OrUsage as _;

/// Lists the objects under a URL: size, time of change and key, or with --json one object per line.
///
/// URL is s3://bucket/prefix, gs://bucket/prefix, oss://bucket/prefix or a directory, or names one object. Keys are shown
/// without the prefix, and lines appear while the listing continues. Credentials are found as for `skyferry copy`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skyferry ls s3://bucket/photos
  skyferry ls gs://bucket --include '*.jpg' --newer-than 1d --json")]
pub struct LsArguments {
    #[command(flatten)]
    what: What,
}

/// Counts the objects under a URL and their bytes.
///
/// URL and flags are those of `skyferry ls`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skyferry size s3://bucket/photos
  skyferry size oss://bucket --region cn-hangzhou --json")]
pub struct SizeArguments {
    #[command(flatten)]
    what: What,
}

// (A doc comment here would become the text of both commands.)
#[derive(clap::Args)]
struct What {
    /// s3://bucket/prefix, gs://…, oss://… or a directory.
    #[arg(value_name = "URL")]
    url: OsString,
    /// The endpoint, if it is not the default: https://HOST or https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The credentials provider.
    #[arg(long, value_name = "PROVIDER")]
    credentials: Option<String>,
    /// The bucket's region.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The kind of S3: aws, aliyun-oss or generic.
    #[arg(long, value_name = "KIND")]
    profile: Option<String>,
    /// Allow plain HTTP to endpoints on other machines.
    #[arg(long)]
    allow_http: bool,
    /// Pay for the requests (requester pays).
    #[arg(long)]
    request_payer: bool,
    #[command(flatten)]
    selection: FilterArguments,
    /// How long the service may refuse everything for a reason that only a person can repair.
    #[arg(long, value_name = "TIME", value_parser = config::duration, default_value = "30s")]
    patience: Duration,
}

/// An object for programs.
#[derive(Serialize)]
struct Row<'a> {
    key: String,
    size: u64,
    modified: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    etag: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_class: Option<&'a str>,
}

impl cli::Command for LsArguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        cli.block_on(async {
            let each = |rest: &[u8], row: &Listed| {
                let key = String::from_utf8_lossy(rest).into_owned();
                let modified = Timestamp::from_second(row.last_modified).unwrap_or_default().to_string();
                if !cli.output.is_json() {
                    let key = skyferry_core::model::Key::new(rest.to_vec());
                    return cli.output.line(&format!("{:>14}  {modified}  {key}", row.size));
                }
                let storage_class = row.storage_class.as_deref();
                cli.output.json(Row { key, size: row.size, modified, etag: &row.etag, storage_class })
            };
            self.what.each(cli, each).await.map(|()| DONE)
        })
    }
}

impl cli::Command for SizeArguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        cli.block_on(async {
            let (count, bytes) = (Cell::new(0u64), Cell::new(0u64));
            let each = |_: &[u8], row: &Listed| {
                count.set(count.get() + 1);
                bytes.set(bytes.get() + row.size);
                Ok(())
            };
            let shown = || format!("{}, {}", objects(count.get()), BinaryBytes(bytes.get()));
            tokio::select! {
                counted = self.what.each(cli, each) => counted?,
                () = cli.ticker(shown) => {}
            }
            cli.console.clear();
            cli.output.line(&format!("{} ({} bytes)", shown(), bytes.get()))?;
            cli.output.json(json!({ "objects": count.get(), "bytes": bytes.get() }))?;
            Ok(DONE)
        })
    }
}

impl What {
    /// Every object that is meant, in the order of the listing.
    async fn each(&self, cli: &Cli, mut each: impl FnMut(&[u8], &Listed) -> std::io::Result<()>) -> anyhow::Result<()> {
        let filter = ObjectFilter::new(&self.selection).or_usage()?;
        let patience = RetryPolicy::new(self.patience, cli.console.clone());
        // An agent reads from here to nowhere.
        let nowhere = tempfile::tempdir()?;
        let connection = Connection {
            source: Some(self.url.clone()),
            destination: Some(nowhere.path().join("nothing/").into()),
            source_endpoint: self.endpoint.clone(),
            source_credentials: self.credentials.clone(),
            source_region: self.region.clone(),
            source_profile: self.profile.clone(),
            allow_http: self.allow_http,
            request_payer: self.request_payer,
            ..Connection::default()
        };
        let state = nowhere.path().join("state");
        let pair = Pair {
            connection: &connection,
            transfer: &Transfer::default(),
            state: Some(&state),
            read_only: true,
            restart: false,
            look: true,
        };
        let opened = pair.open(&patience, &cli.console).await?;
        let (filter, from) = (opened.narrow(filter), &opened.from);
        let prefix = from.prefix.as_bytes().len();
        let mut pages = Pages::new(from.clone(), None, patience);
        while let Some(page) = pages.next().await {
            for row in &page? {
                let rest = row.key.as_bytes().get(prefix..).unwrap_or_default();
                if filter.accepts(&from.bucket, row, rest) {
                    each(rest, row)?;
                }
            }
        }
        Ok(())
    }
}
