//! What can be typed after `skyferry copy`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use skyferry_agent::config;

use crate::select::Selection;

/// Copies what is under SRC to under DST, on this machine alone, and goes on where it was killed.
///
/// SRC and DST are s3://bucket/prefix, gs://bucket/prefix, oss://bucket/prefix or a directory, either way round. A prefix
/// `sp` means `sp/…` and never `sp2/…`; a SRC that names one object or file copies that. What is already equal is not
/// sent again. The same command goes on where it was interrupted; nothing is ever deleted at DST.
///
/// Without --source-credentials and --destination-credentials the keys of both sides are AWS_ACCESS_KEY_ID,
/// AWS_SECRET_ACCESS_KEY and (where there is one) AWS_SESSION_TOKEN of the environment; for gs:// an interoperability key
/// under the same names. Providers: environment:PREFIX, file:PATH#FIELD, profile:NAME, instance, ssm:NAME,
/// secret-manager:RESOURCE#FIELD, web-identity:ROLE_ARN#AUDIENCE, google.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skyferry copy ./photos s3://bucket/photos
  skyferry copy s3://from/photos gs://to/photos --source-credentials environment:SRC_ --destination-credentials file:gcs.json
  skyferry copy oss://from s3://to --source-region cn-hangzhou --exclude '*.tmp' --dry-run")]
pub struct Arguments {
    #[arg(value_name = "SRC")]
    pub source: OsString,
    #[arg(value_name = "DST")]
    pub destination: OsString,

    /// The source's service, where it is not the provider's own: https://HOST or https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub source_endpoint: Option<String>,
    /// Where the source's keys come from.
    #[arg(long, value_name = "PROVIDER")]
    pub source_credentials: Option<String>,
    /// The source bucket's region.
    #[arg(long, value_name = "REGION")]
    pub source_region: Option<String>,
    /// What kind of S3 the source is: aws, aliyun-oss or generic.
    #[arg(long, value_name = "KIND")]
    pub source_profile: Option<String>,
    /// As --source-endpoint, of the destination.
    #[arg(long, value_name = "URL")]
    pub destination_endpoint: Option<String>,
    /// As --source-credentials, of the destination.
    #[arg(long, value_name = "PROVIDER")]
    pub destination_credentials: Option<String>,
    /// As --source-region, of the destination.
    #[arg(long, value_name = "REGION")]
    pub destination_region: Option<String>,
    /// As --source-profile, of the destination.
    #[arg(long, value_name = "KIND")]
    pub destination_profile: Option<String>,
    /// Take plain http from endpoints that are not on this machine.
    #[arg(long)]
    pub allow_http: bool,
    /// Pay for the requests to the source's bucket.
    #[arg(long)]
    pub request_payer: bool,
    /// Of what is written; else the bucket's own default.
    #[arg(long, value_name = "CLASS")]
    pub storage_class: Option<String>,

    #[command(flatten)]
    pub selection: Selection,

    /// Say what would be copied, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Forget how far earlier runs came and what they copied; look at everything again.
    #[arg(long)]
    pub restart: bool,
    /// Where to remember how far it came; else a file of this SRC and DST under $XDG_STATE_HOME/skyferry or
    /// ~/.local/state/skyferry.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Larger objects go in parts, and are gone on with in the middle.
    #[arg(long, value_name = "SIZE", default_value = "50MiB")]
    pub multipart_threshold: String,
    #[arg(long, value_name = "SIZE", default_value = "16MiB")]
    pub part_size: String,
    /// Bytes a second; 0 for no limit.
    #[arg(long, value_name = "SIZE", default_value = "0")]
    pub max_bandwidth: String,
    /// How long a side may refuse everything for a reason that only a person can end (no such bucket, access denied, a
    /// full disk); outages may last twenty times as long.
    #[arg(long, value_name = "TIME", value_parser = config::duration, default_value = "30s")]
    pub patience: Duration,

    /// End with the summary as a line of JSON on stdout; what else is said goes to stderr.
    #[arg(long)]
    pub json: bool,
    /// No progress on stderr.
    #[arg(long)]
    pub no_progress: bool,
    /// Show the agent's log.
    #[arg(short, long)]
    pub verbose: bool,
}
