//! The reports that were named, before anything of them is sent: their manifests' sums are right, their formats are read,
//! and every file is where it should be.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::files::{Files, Local, md5};
use super::manifest::{Format, Manifest};
use super::place::Place;
use super::schema::Schema;
use super::unpack::{self, Unpacked};

/// A manifest names some hundred bytes for every file, and a file has some million rows.
const MANIFEST: u64 = 64 << 20;
/// Files looked for at once.
const AT_ONCE: usize = 16;

/// One file of rows.
pub struct Part {
    pub place: Place,
    pub format: Format,
    /// Where rows do not name their own.
    pub bucket: Arc<str>,
    /// `None`: nobody has said.
    md5: Option<String>,
    /// What the whole of it is known by.
    pub state: String,
}

/// All parts of the places, in their order. `columns`: they are bare CSV files.
pub async fn open(places: &[Place], columns: Option<&Schema>, files: &Files) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for place in places {
        match columns {
            Some(schema) => parts.push(bare(place, schema, files).await?),
            None => parts.extend(report(place, files).await.with_context(|| place.to_string())?),
        }
    }
    Ok(parts)
}

async fn bare(place: &Place, schema: &Schema, files: &Files) -> anyhow::Result<Part> {
    let state = files.look(place).await?.with_context(|| format!("{place} is not there"))?;
    Ok(Part { place: place.clone(), format: Format::Csv(schema.clone()), bucket: "".into(), md5: None, state })
}

async fn report(place: &Place, files: &Files) -> anyhow::Result<Vec<Part>> {
    let text = files.read(place, MANIFEST).await?.context("it is not there")?;
    let manifest = Manifest::parse(&text).map_err(anyhow::Error::msg)?;
    let sum = md5(&text);
    let beside = place.checksum();
    let said = files.read(&beside, 1024).await?.with_context(|| {
        format!("{beside} is not there: S3 writes it last, so the report may not be whole yet; a copy needs it beside the manifest")
    })?;
    let said = String::from_utf8_lossy(&said).trim().to_ascii_lowercase();
    if said != sum {
        bail!("its MD5 is {sum}, and {beside} says {said:.64}: it is damaged or another report's; fetch both again");
    }
    let bucket: Arc<str> = manifest.bucket.into();
    let found = stream::iter(manifest.files).map(|part| {
        let (format, bucket) = (manifest.format.clone(), bucket.clone());
        async move {
            let place = find(place, &part.key, files).await?;
            let md5 = part.md5.to_ascii_lowercase();
            anyhow::Ok(Part { place, format, bucket, state: md5.clone(), md5: Some(md5) })
        }
    });
    found.buffered(AT_ONCE).try_collect().await
}

async fn find(manifest: &Place, key: &str, files: &Files) -> anyhow::Result<Place> {
    let candidates = manifest.candidates(key);
    for candidate in &candidates {
        if files.look(candidate).await?.is_some() {
            return Ok(candidate.clone());
        }
    }
    let looked: Vec<String> = candidates.iter().map(Place::to_string).collect();
    bail!("its file {key} is missing (looked for at {}); nothing was sent", looked.join(", "))
}

impl Part {
    /// The file, proven: by the manifest's MD5, and where there is none by gzip's own sum.
    pub async fn fetch(&self, files: &Files) -> anyhow::Result<std::fs::File> {
        let Local { file, md5 } = files.fetch(&self.place).await?;
        match &self.md5 {
            Some(said) if *said == md5 => Ok(file),
            Some(said) => bail!(
                "{}: its MD5 is {md5}, and the manifest says {said}: nothing of it was sent; fetch the report again",
                self.place
            ),
            None => {
                let checked = tokio::task::spawn_blocking(move || check(file)).await?;
                checked.map_err(|error| {
                    anyhow::anyhow!("{}: {}; nothing of it was sent", self.place, unpack::told(&error))
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
