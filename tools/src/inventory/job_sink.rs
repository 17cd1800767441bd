//! Where jobs go: into the queue, into a file, or nowhere but into an estimate.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use super::row_filter::ListedJob;
use crate::estimate::Estimate;
use crate::jobs::JobSender;

pub enum JobSink {
    Queue(JobSender),
    File(FileSink),
    /// Nowhere: what it would take.
    Estimate(Box<Estimate>),
}

/// A message a line. It gets its name when it is whole.
pub struct FileSink {
    path: PathBuf,
    beside: BufWriter<NamedTempFile>,
}

impl FileSink {
    pub fn new(path: &Path) -> anyhow::Result<FileSink> {
        let path = std::path::absolute(path)?;
        let folder = path.parent().unwrap_or(&path);
        let beside = NamedTempFile::new_in(folder).with_context(|| format!("--to-file {}", path.display()))?;
        Ok(FileSink { beside: BufWriter::with_capacity(256 << 10, beside), path })
    }
}

impl JobSink {
    /// Returns when all of them are there.
    pub async fn take(&mut self, jobs: Vec<ListedJob>) -> anyhow::Result<()> {
        match self {
            JobSink::Queue(queue) => {
                for job in jobs {
                    queue.send(job.body).await?;
                }
                queue.flush().await?;
            }
            JobSink::File(file) => {
                for job in jobs {
                    writeln!(file.beside, "{}", job.body).with_context(|| file.path.display().to_string())?;
                }
            }
            JobSink::Estimate(estimate) => jobs.iter().filter_map(|job| job.size).for_each(|size| estimate.add(size)),
        }
        Ok(())
    }

    /// The estimate, where it is one.
    pub fn finish(self) -> anyhow::Result<Option<Estimate>> {
        let FileSink { path, beside } = match self {
            JobSink::File(file) => file,
            JobSink::Estimate(estimate) => return Ok(Some(*estimate)),
            JobSink::Queue(_) => return Ok(None),
        };
        let whole = || {
            use std::os::unix::fs::PermissionsExt as _;
            let beside = beside.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            // A temporary file is its owner's alone; this one is not temporary.
            beside.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
            beside.persist(&path)?;
            std::io::Result::Ok(())
        };
        whole().map(|()| None).with_context(|| path.display().to_string())
    }
}
