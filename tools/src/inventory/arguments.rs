//! What can be typed after `skyferry inventory`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::estimate::Fleet;
use crate::select::Selection;

/// Sends a job for every object of an S3 Inventory report: the way to begin with a bucket of many millions, without listing it.
///
/// MANIFEST is the manifest.json of a report, s3://bucket/…/manifest.json (read with the settings' source) or a file; its
/// manifest.checksum lies beside it, its data where S3 has put them or next to it. CSV and Parquet are read, all columns by
/// the report's own schema, every file's MD5 checked before anything of it is sent. Only the latest versions are meant,
/// unless the settings say versions = "exact"; buckets without a route are told and left out. The same command goes on where
/// it was interrupted.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skyferry inventory s3://reports/photos/all/2026-11-21T01-00Z/manifest.json --config agent.toml --dry-run
  skyferry inventory 2026-11-21T01-00Z/manifest.json --config agent.toml --against copies/manifest.json
  skyferry inventory photos.csv.gz --columns Bucket,Key,Size --config agent.toml --to-file jobs.txt")]
pub struct Arguments {
    #[arg(value_name = "MANIFEST", required = true)]
    pub manifests: Vec<OsString>,
    /// The agent's settings: routes, queue, credentials.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// What is named are bare CSV files, packed with gzip or not, without a header, with these columns: Bucket,Key,Size. Keys
    /// are URL-encoded, as S3 writes them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// A report of the destination (may be given several times): what it shows with the same size and the same MD5, or, where
    /// an ETag is no MD5, not older than its source, is not sent.
    #[arg(long, value_name = "MANIFEST")]
    pub against: Vec<OsString>,
    /// Write the jobs into this file, a message a line, and send nothing.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub to_file: Option<PathBuf>,
    /// Send deletions for what the report shows as deleted. Needs deletes = true in the settings.
    #[arg(long)]
    pub deletes: bool,
    #[command(flatten)]
    pub selection: Selection,
    /// Leave out rows that cannot be read and go on; then the exit code is 1.
    #[arg(long)]
    pub keep_going: bool,
    /// Send nothing; say what would be sent, how long it would take and what it would cost.
    #[arg(long)]
    pub dry_run: bool,
    /// Prices for --dry-run; else those of config/prices.toml.
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    #[command(flatten)]
    pub fleet: Fleet,
    /// Begin at the first row, however far an earlier run came.
    #[arg(long)]
    pub restart: bool,
    /// Where to remember how far it came; else a file of these reports and settings under $XDG_STATE_HOME/skyferry or
    /// ~/.local/state/skyferry.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// End with the counts as a line of JSON on stdout; what else is said goes to stderr.
    #[arg(long)]
    pub json: bool,
    /// No progress on stderr.
    #[arg(long)]
    pub no_progress: bool,
}
