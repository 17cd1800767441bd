//! The reports that were named, before anything of them is sent: their manifests' sums are right, their formats are read,
//! and every file is where it should be.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::files::{LocalFile, ReportFiles, md5};
use super::location::FileLocation;
use super::manifest::{Manifest, ReportFormat};
use super::schema::Schema;
use super::unpack::{self, Unpacked};

/// A manifest names some hundred bytes for every file, and a file has some million rows.
const MANIFEST: u64 = 64 << 20;
/// Files looked for at once.
const AT_ONCE: usize = 16;

/// One file of rows.
pub struct ReportFile {
    pub place: FileLocation,
    pub format: ReportFormat,
    /// Where rows do not name their own.
    pub bucket: Arc<str>,
    /// `None`: nobody has said.
    md5: Option<String>,
    /// What the whole of it is known by.
    pub state: String,
}

/// All parts of the places, in their order. `columns`: they are bare CSV files.
pub async fn open(
    places: &[FileLocation],
    columns: Option<&Schema>,
    files: &ReportFiles,
) -> anyhow::Result<Vec<ReportFile>> {
    let mut parts = Vec::new();
    for place in places {
        match columns {
            Some(schema) => parts.push(bare(place, schema, files).await?),
            None => parts.extend(report(place, files).await.with_context(|| place.to_string())?),
        }
    }
    Ok(parts)
}

async fn bare(place: &FileLocation, schema: &Schema, files: &ReportFiles) -> anyhow::Result<ReportFile> {
    let state = files.state(place).await?.with_context(|| format!("{place} is not there"))?;
    Ok(ReportFile {
        place: place.clone(),
        format: ReportFormat::Csv(schema.clone()),
        bucket: "".into(),
        md5: None,
        state,
    })
}

async fn report(place: &FileLocation, files: &ReportFiles) -> anyhow::Result<Vec<ReportFile>> {
    let text = files.read(place, MANIFEST).await?.context("it is not there")?;
    let manifest = Manifest::parse(&text).map_err(anyhow::Error::msg)?;
    let sum = md5(&text);
    let beside = place.checksum();
    let declared = files.read(&beside, 1024).await?.with_context(|| {
        format!("{beside} is not there: S3 writes it last, so the report may not be whole yet; a copy needs it beside the manifest")
    })?;
    let declared = String::from_utf8_lossy(&declared).trim().to_ascii_lowercase();
    if declared != sum {
        bail!(
            "its MD5 is {sum}, while {beside} has {declared:.64}: it is damaged or belongs to another report; fetch both again"
        );
    }
    let bucket: Arc<str> = manifest.bucket.into();
    let found = stream::iter(manifest.files).map(|part| {
        let (format, bucket) = (manifest.format.clone(), bucket.clone());
        async move {
            let place = find(place, &part.key, files).await?;
            let md5 = part.md5.to_ascii_lowercase();
            anyhow::Ok(ReportFile { place, format, bucket, state: md5.clone(), md5: Some(md5) })
        }
    });
    found.buffered(AT_ONCE).try_collect().await
}

async fn find(manifest: &FileLocation, key: &str, files: &ReportFiles) -> anyhow::Result<FileLocation> {
    let candidates = manifest.candidates(key);
    for candidate in &candidates {
        if files.state(candidate).await?.is_some() {
            return Ok(candidate.clone());
        }
    }
    let looked: Vec<String> = candidates.iter().map(FileLocation::to_string).collect();
    bail!("its file {key} is missing (looked for at {}); nothing was sent", looked.join(", "))
}

impl ReportFile {
    /// The file, proven: by the manifest's MD5, and where there is none by gzip's own sum.
    pub async fn fetch(&self, files: &ReportFiles) -> anyhow::Result<std::fs::File> {
        let LocalFile { file, md5 } = files.fetch(&self.place).await?;
        match &self.md5 {
            Some(declared) if *declared == md5 => Ok(file),
            Some(declared) => bail!(
                "{}: its MD5 is {md5}, while the manifest has {declared}: nothing of it was sent; fetch the report again",
                self.place
            ),
            None => {
                let checked = tokio::task::spawn_blocking(move || check(file)).await?;
                checked.map_err(|error| {
                    anyhow::anyhow!("{}: {}; nothing of it was sent", self.place, unpack::error_text(&error))
                })
            }
        }
    }
}

fn check(mut file: std::fs::File) -> std::io::Result<std::fs::File> {
    Unpacked::new(file.try_clone()?)?.check()?;
    std::io::Seek::rewind(&mut file)?;
    Ok(file)
}
