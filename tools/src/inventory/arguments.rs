//! What can be typed after `skyferry inventory`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::estimate::FleetArguments;
use crate::filter::FilterArguments;
use crate::settings::ConfigArgument;

/// Sends a job for every object of an S3 Inventory report: a start with many millions of objects, without listing them.
///
/// MANIFEST is the manifest.json of a report: s3://bucket/…/manifest.json (read with the source credentials of the settings)
/// or a file. Its manifest.checksum is beside it, its data where S3 put them or next to it. CSV and Parquet are read, with
/// the columns of the report's own schema, and each file's MD5 is checked before anything of it is sent. Only latest versions
/// are sent, unless the settings have versions = "exact". Buckets without a route are reported and left out. After an
/// interruption the same command continues.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skyferry inventory s3://reports/photos/all/2026-11-21T01-00Z/manifest.json \\
    --config agent.toml --dry-run
  skyferry inventory 2026-11-21T01-00Z/manifest.json --config agent.toml \\
    --against copies/manifest.json
  skyferry inventory photos.csv.gz --columns Bucket,Key,Size \\
    --config agent.toml --to-file jobs.txt")]
pub struct Arguments {
    /// The report's manifest.json: s3://bucket/… or a file.
    #[arg(value_name = "MANIFEST", required = true)]
    pub manifests: Vec<OsString>,
    #[command(flatten)]
    pub config: ConfigArgument,
    /// The named files are bare CSV files, compressed with gzip or not, without a header, with these columns:
    /// Bucket,Key,Size. Keys are URL-encoded, as S3 writes them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// A report of the destination (repeatable). Objects that it shows with the same size and the same MD5 are not sent;
    /// where an ETag is not an MD5, the copy must not be older than its source.
    #[arg(long, value_name = "MANIFEST")]
    pub against: Vec<OsString>,
    /// Write the jobs to this file, one message per line, and send nothing.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub to_file: Option<PathBuf>,
    /// Send deletions for objects that the report shows as deleted. Needs deletes = true in the settings.
    #[arg(long)]
    pub deletes: bool,
    #[command(flatten)]
    pub selection: FilterArguments,
    /// Skip rows that cannot be read; the exit code is then 1.
    #[arg(long)]
    pub keep_going: bool,
    /// Send nothing; show what would be sent, how long it would take and what it would cost.
    #[arg(long)]
    pub dry_run: bool,
    /// Prices for --dry-run [default: those of config/prices.toml].
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    #[command(flatten)]
    pub fleet: FleetArguments,
    /// Start with the first row, and ignore the progress of earlier runs.
    #[arg(long)]
    pub restart: bool,
    /// The file for progress [default: one for these reports and settings in $XDG_STATE_HOME/skyferry or
    /// ~/.local/state/skyferry].
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}
