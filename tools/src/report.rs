//! What was found about each object, in a report: CSV, or JSON by the line; in a file, or at the destination's own service. And
//! the summary, sent to where somebody waits for it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use skyferry_agent::wiring::Agent;
use skyferry_config::Settings;
use skyferry_core::digest::{DigestSelection, Digests, Hasher};
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::model::{Expected, Key, Location, SourceIdentity, Token};
use skyferry_core::store::{Chunks, Listed, Metadata, Payload, Provenance, StoreKind, WriteAttributes};

use crate::cells::cell;
use crate::compare::{Comparison, Finding};
use crate::console::Console;
use crate::usage::UsageError;

/// How long a webhook is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of a report on its way.
const CHUNK: usize = 256 << 10;

// What is reported, and to whom.
#[derive(clap::Args)]
pub struct ReportArguments {
    /// Write every difference to this file, or to s3://bucket/key or gs://bucket/key at the destination's service: CSV, or JSON
    /// lines if the name ends in .json or .jsonl.
    #[arg(long, value_name = "FILE")]
    report: Option<OsString>,
    /// Report every object, equal ones with what proves it.
    #[arg(long, requires = "report")]
    report_all: bool,
    /// Send the summary, as --json prints it, to this URL by POST at the end.
    #[arg(long, value_name = "URL", value_parser = webhook)]
    notify: Option<reqwest::Url>,
}

fn webhook(text: &str) -> Result<reqwest::Url, String> {
    let wanted = || "https://…, or http:// on loopback".to_owned();
    let url = reqwest::Url::parse(text).map_err(|_| wanted())?;
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() == "https" || (url.scheme() == "http" && local) { Ok(url) } else { Err(wanted()) }
}

impl ReportArguments {
    /// Before anything is listed: what cannot be written is found out first.
    pub fn create(&self, settings: &Settings) -> anyhow::Result<Option<ObjectReport>> {
        let Some(name) = &self.report else { return Ok(None) };
        let (file, remote) = match remote(name, settings)? {
            Some(at) => (tempfile::tempfile().context("a temporary file")?, Some(at)),
            None => (File::create(name).with_context(|| format!("--report {}", name.display()))?, None),
        };
        let extension = Path::new(name).extension();
        let json = extension.is_some_and(|extension| extension == "json" || extension == "jsonl");
        let kept = file.try_clone()?;
        let rows = match json {
            true => Rows::Json(BufWriter::new(file)),
            false => Rows::Csv(Box::new(csv::Writer::from_writer(file))),
        };
        Ok(Some(ObjectReport { rows, all: self.report_all, file: kept, remote }))
    }

    /// That nobody could be told changes nothing about what was found.
    pub async fn notify(&self, summary: &serde_json::Value, console: &Console) {
        let Some(url) = &self.notify else { return };
        let sent = async {
            let client = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
            let request = client.build()?.post(url.clone()).header("content-type", "application/json");
            request.body(summary.to_string()).send().await?.error_for_status()
        };
        if let Err(error) = sent.await {
            // The URL itself may be a secret.
            let (host, why) = (url.host_str().unwrap_or_default(), error.without_url());
            console.line(&format!("skyferry: warning: the summary could not be sent to {host}: {why}"));
        }
    }
}

/// Where an object of that name lies; `None`: it is a file.
fn remote(name: &OsString, settings: &Settings) -> anyhow::Result<Option<Location>> {
    let Some((scheme, rest)) = name.to_str().and_then(|name| name.split_once("://")) else { return Ok(None) };
    let destination = settings.destination.kind();
    let speaks = match scheme {
        "s3" => *destination == StoreKind::S3,
        "gs" => *destination == StoreKind::GCS,
        _ => return Err(UsageError(format!("--report {scheme}://: it is a file, s3://… or gs://…")).into()),
    };
    if !speaks {
        let service = destination.service;
        let text =
            format!("--report {scheme}://: reports go to the destination's service, which is {service}, or to a file");
        return Err(UsageError(text).into());
    }
    match rest.split_once('/') {
        Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => Ok(Some(Location::new(bucket, Key::from(key)))),
        _ => Err(UsageError(format!("--report {scheme}://{rest} names no object")).into()),
    }
}

/// A report that is being written.
pub struct ObjectReport {
    rows: Rows,
    /// Equal objects too.
    all: bool,
    file: File,
    remote: Option<Location>,
}

enum Rows {
    Csv(Box<csv::Writer<File>>),
    Json(BufWriter<File>),
}

#[derive(Serialize)]
struct Row {
    difference: Option<&'static str>,
    source: String,
    destination: String,
    source_size: Option<u64>,
    destination_size: Option<u64>,
    source_etag: Option<String>,
    destination_etag: Option<String>,
    source_modified: Option<String>,
    destination_modified: Option<String>,
    /// What proves that both are equal.
    equal_by: Option<&'static str>,
}

impl ObjectReport {
    pub fn add(&mut self, finding: &Finding) -> anyhow::Result<()> {
        let (difference, equal_by) = match finding.verdict {
            Comparison::Differs(why) => (Some(why.name()), None),
            Comparison::Equal(basis) if self.all => (None, Some(basis.name())),
            Comparison::Changing if self.all => (Some("changing"), None),
            Comparison::Equal(_) | Comparison::Changing => return Ok(()),
        };
        let size = |row: &Option<Listed>| row.as_ref().map(|row| row.size);
        let etag = |row: &Option<Listed>| row.as_ref().map(|row| cell(&row.etag).into_owned());
        let modified = |row: &Option<Listed>| {
            let time = row.as_ref().map(|row| Timestamp::from_second(row.last_modified));
            time.and_then(Result::ok).map(|time| time.to_string())
        };
        let Finding { source, destination, here, there, .. } = finding;
        let row = Row {
            difference,
            source: cell(&source.to_string()).into_owned(),
            destination: cell(&destination.to_string()).into_owned(),
            source_size: size(here),
            destination_size: size(there),
            source_etag: etag(here),
            destination_etag: etag(there),
            source_modified: modified(here),
            destination_modified: modified(there),
            equal_by,
        };
        match &mut self.rows {
            Rows::Csv(csv) => csv.serialize(row)?,
            Rows::Json(file) => writeln!(file, "{}", serde_json::to_string(&row)?)?,
        }
        Ok(())
    }

    /// Until now some of it may only be in memory, or here instead of there.
    pub async fn finish(mut self, agent: &Agent) -> anyhow::Result<()> {
        let content_type = match &mut self.rows {
            Rows::Csv(csv) => csv.flush().map(|()| "text/csv; charset=utf-8"),
            Rows::Json(file) => file.flush().map(|()| "application/x-ndjson"),
        }?;
        match self.remote.take() {
            Some(at) => self.upload(agent, &at, content_type).await.with_context(|| format!("--report {at}")),
            None => Ok(()),
        }
    }

    /// As copies are stored: a bucket that demands encryption demands it of this, too.
    async fn upload(mut self, agent: &Agent, at: &Location, content_type: &str) -> anyhow::Result<()> {
        let whole = digest(&mut self.file)?;
        let size = whole.length;
        let identity =
            SourceIdentity { etag: "report".into(), size, last_modified: Timestamp::now().as_second(), version: None };
        let source = Location::new("skyferry-report", at.key.clone());
        let options = agent.router().routes().first().map(|route| route.options.clone()).unwrap_or_default();
        let with = WriteAttributes {
            metadata: Metadata {
                content_type: Some(content_type.to_owned()),
                storage_class: options.class_of(&Metadata::default()),
                ..Metadata::default()
            },
            provenance: Provenance {
                source,
                identity,
                token: Token::random(),
                crc32c: Some(whole.crc32c),
                headers: None,
            },
            size,
            options,
        };
        let payload = match size {
            0 => Payload::Whole(Bytes::new()),
            length => Payload::Stream { length, chunks: chunks(self.file, at), crc32c: None },
        };
        let written = agent.sink().put(at, payload, &with, &Expected::Any).await?;
        if written.stored.compare(&whole).is_mismatch() {
            bail!("the destination stores other bytes than were sent");
        }
        Ok(())
    }
}

/// Of all its bytes; then it is at its start again.
fn digest(file: &mut File) -> std::io::Result<Digests> {
    file.seek(SeekFrom::Start(0))?;
    let (mut hasher, mut buffer) = (Hasher::new(DigestSelection::default()), vec![0; CHUNK]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(hasher.finish())
}

fn chunks(file: File, at: &Location) -> Chunks {
    let at = at.clone();
    let read = move |mut file: File| {
        let at = at.clone();
        async move {
            let mut buffer = vec![0; CHUNK];
            match file.read(&mut buffer) {
                Ok(0) => None,
                Ok(read) => {
                    buffer.truncate(read);
                    Some((Ok(Bytes::from(buffer)), file))
                }
                Err(error) => {
                    let why = error.to_string();
                    Some((Err(CopyError::new(Side::Source, ErrorKind::Local, "read", &at, why)), file))
                }
            }
        }
    };
    stream::unfold(file, read).boxed()
}
