//! The files of a report, wherever they lie. One is read whole before a row of it is believed, to a temporary file where it
//! comes from a bucket, so that its MD5 is known first and memory stays flat.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures_util::StreamExt as _;
use md5::{Digest as _, Md5};
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::model::Location;
use skyferry_core::store::{Pin, Source};

use super::location::FileLocation;
use crate::retry::RetryPolicy;

pub struct ReportFiles {
    /// The settings' source, where that is an S3.
    source: Option<Arc<dyn Source>>,
    patience: RetryPolicy,
}

/// A file at hand, open at its start.
pub struct LocalFile {
    pub file: File,
    /// In hexadecimal.
    pub md5: String,
}

impl ReportFiles {
    pub fn new(source: Option<Arc<dyn Source>>, patience: RetryPolicy) -> ReportFiles {
        ReportFiles { source, patience }
    }

    /// What tells its state from another, without reading it. `None`: nothing is there.
    pub async fn state(&self, place: &FileLocation) -> anyhow::Result<Option<String>> {
        match place {
            FileLocation::Disk(path) => {
                let about = match std::fs::metadata(path) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    about => about.with_context(|| path.display().to_string())?,
                };
                let modified = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
                Ok(about.is_file().then(|| format!("{} {}", about.len(), modified.as_millis())))
            }
            FileLocation::Bucket(at) => {
                let source = self.source(place)?;
                let object = self.patience.ask(false, || source.head(at, &Pin::Newest)).await?;
                Ok(object.map(|object| format!("{} {}", object.identity.size, object.identity.etag)))
            }
        }
    }

    /// A small file. `None`: nothing is there.
    pub async fn read(&self, place: &FileLocation, most: u64) -> anyhow::Result<Option<Vec<u8>>> {
        if self.state(place).await?.is_none() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.fetch(place).await?.file.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            bail!("{place} has more than {most} bytes: no manifest has so many");
        }
        Ok(Some(bytes))
    }

    pub async fn fetch(&self, place: &FileLocation) -> anyhow::Result<LocalFile> {
        match place {
            FileLocation::Disk(path) => {
                let path = path.clone();
                let hashed = tokio::task::spawn_blocking(move || hash(File::open(path)?)).await?;
                hashed.with_context(|| place.to_string())
            }
            FileLocation::Bucket(at) => {
                let source = self.source(place)?;
                Ok(self.patience.ask(false, || download(source, at)).await?)
            }
        }
    }

    fn source(&self, place: &FileLocation) -> anyhow::Result<&dyn Source> {
        let missing = || {
            format!("{place}: [source] of the settings is not S3, so it cannot be read from there; download the report")
        };
        self.source.as_deref().with_context(missing)
    }
}

fn hash(mut file: File) -> std::io::Result<LocalFile> {
    let (mut md5, mut bytes) = (Md5::new(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut bytes)? {
            0 => break,
            read => md5.update(&bytes[..read]),
        }
    }
    file.rewind()?;
    Ok(LocalFile { file, md5: hexadecimal(md5) })
}

async fn download(source: &dyn Source, at: &Location) -> Result<LocalFile, CopyError> {
    let error = |kind, why: String| CopyError::new(Side::Source, kind, "GetObject", at, why);
    let Some(opened) = source.open(at, &Pin::Newest, None).await? else {
        return Err(error(ErrorKind::NotFound, "it no longer exists".into()));
    };
    let (mut chunks, mut md5) = (opened.chunks, Md5::new());
    let full = |why: std::io::Error| error(ErrorKind::Local, format!("a temporary file (TMPDIR): {why}"));
    let mut file = tempfile::tempfile().map_err(full)?;
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk?;
        md5.update(&chunk);
        // Into the page cache: no slower than the hash.
        file.write_all(&chunk).map_err(full)?;
    }
    file.rewind().map_err(full)?;
    Ok(LocalFile { file, md5: hexadecimal(md5) })
}

/// In hexadecimal.
pub fn md5(bytes: &[u8]) -> String {
    hexadecimal(Md5::new_with_prefix(bytes))
}

fn hexadecimal(md5: Md5) -> String {
    md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
