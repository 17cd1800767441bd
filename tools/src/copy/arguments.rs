//! What can be typed after `skyferry copy`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use skyferry_config as config;

use crate::filter::FilterArguments;

/// Copies objects from SRC to DST, on this machine alone. After an interruption the same command continues.
///
/// SRC and DST are s3://bucket/prefix, gs://bucket/prefix, oss://bucket/prefix or a directory, in any combination. A prefix
/// `sp` means the folder `sp/`; a SRC that names one object or file copies that one, to a local DST under that name unless
/// DST is a directory or ends in `/`. Equal objects are not sent again, and nothing is deleted at DST (`skyferry sync` does).
///
/// Without --source-credentials and --destination-credentials each side uses the first of these that exists: the variables
/// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and (if set) AWS_SESSION_TOKEN, which for gs:// hold an interoperability key; the
/// profile AWS_PROFILE, or the profile default in ~/.aws; the role of the container or machine. gs:// uses Google's application
/// default credentials instead of the last two. The choice is printed. Providers: environment:PREFIX, file:PATH#FIELD,
/// profile:NAME, instance, ssm:NAME, secret-manager:RESOURCE#FIELD, web-identity:ROLE_ARN#AUDIENCE, google, anonymous (a
/// public source).
///
/// --config reads s3_upload_config.ini or s3_download_config.ini of the earlier single-node program instead of SRC and DST,
/// prints the equivalent command and runs it. Flags that are given as well take precedence over the file.
#[derive(clap::Args)]
#[command(override_usage = "skyferry copy [OPTIONS] SRC DST")]
#[command(after_help = "Examples:
  skyferry copy ./photos s3://bucket/photos
  skyferry copy s3://from/photos gs://to/photos \\
    --source-credentials environment:SRC_ \\
    --destination-credentials file:gcs.json
  skyferry copy oss://from s3://to --source-region cn-hangzhou \\
    --exclude '*.tmp' --dry-run
  skyferry copy s3://bucket/photos/one.jpg ./one.jpg
  skyferry copy --config s3_upload_config.ini")]
pub struct Arguments {
    #[command(flatten)]
    pub job: Job,
    /// The ini file of the earlier single-node program, instead of SRC and DST.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "destination"])]
    pub config: Option<PathBuf>,

    /// Take the objects under SRC from an S3 Inventory report instead of a listing: its manifest.json, as s3://… (read with
    /// the source's credentials) or as a file. Repeatable.
    #[arg(long, value_name = "MANIFEST")]
    pub inventory: Vec<OsString>,
}

// What `copy` and `sync` have in common. (A doc comment of these would become the text of the commands.)
#[derive(clap::Args)]
pub struct Job {
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub selection: FilterArguments,
    /// Show what would be copied, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Discard the state of earlier runs, and compare every object again.
    #[arg(long)]
    pub restart: bool,
    /// The state file [default: one for this SRC and DST in $XDG_STATE_HOME/skyferry or ~/.local/state/skyferry].
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    #[command(flatten)]
    pub transfer: Transfer,
    /// How long a side may refuse everything for a reason that only a person can repair (no such bucket, access denied, a
    /// full disk); outages may last twenty times as long.
    #[arg(long, value_name = "TIME", value_parser = config::duration, default_value = "30s")]
    pub patience: Duration,
}

// SRC and DST, and how each is reached.
#[derive(clap::Args, Default)]
pub struct Connection {
    /// The source: s3://bucket/prefix, gs://…, oss://… or a directory.
    #[arg(value_name = "SRC")]
    pub source: Option<OsString>,
    /// The destination, in the same forms.
    #[arg(value_name = "DST")]
    pub destination: Option<OsString>,
    /// The source's endpoint, if it is not the default: https://HOST or https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub source_endpoint: Option<String>,
    /// The source's credentials provider.
    #[arg(long, value_name = "PROVIDER")]
    pub source_credentials: Option<String>,
    /// The source bucket's region.
    #[arg(long, value_name = "REGION")]
    pub source_region: Option<String>,
    /// The kind of S3 at the source: aws, aliyun-oss or generic.
    #[arg(long, value_name = "KIND")]
    pub source_profile: Option<String>,
    /// As --source-endpoint, for the destination.
    #[arg(long, value_name = "URL")]
    pub destination_endpoint: Option<String>,
    /// As --source-credentials, for the destination.
    #[arg(long, value_name = "PROVIDER")]
    pub destination_credentials: Option<String>,
    /// As --source-region, for the destination.
    #[arg(long, value_name = "REGION")]
    pub destination_region: Option<String>,
    /// As --source-profile, for the destination.
    #[arg(long, value_name = "KIND")]
    pub destination_profile: Option<String>,
    /// Allow plain HTTP to endpoints on other machines.
    #[arg(long)]
    pub allow_http: bool,
    /// Pay for requests to the source's bucket (requester pays).
    #[arg(long)]
    pub request_payer: bool,
}

// How objects are sent.
#[derive(clap::Args)]
pub struct Transfer {
    /// The storage class to write; source: that of each source object [default: the bucket's own].
    #[arg(long, value_name = "CLASS")]
    pub storage_class: Option<String>,
    /// How the copies are encrypted at rest: sse-s3 or sse-kms on S3, cmek on Google Cloud Storage [default: as the bucket
    /// does].
    #[arg(long, value_name = "KIND")]
    pub encryption: Option<String>,
    /// The key for sse-kms (its ARN, id or alias) or for cmek (projects/P/locations/L/keyRings/R/cryptoKeys/K).
    #[arg(long, value_name = "KEY")]
    pub kms_key: Option<String>,
    /// With sse-kms, use one data key for many objects (true), or not (false) [default: as the bucket has it].
    #[arg(long, value_name = "BOOL")]
    pub bucket_key: Option<bool>,
    /// The canned ACL of the copies, on S3, such as bucket-owner-full-control [default: none is sent].
    #[arg(long, value_name = "ACL")]
    pub acl: Option<String>,
    /// Set Google's Custom-Time to the Last-Modified of the source.
    #[arg(long, value_name = "FROM", value_parser = ["none", "modified"])]
    pub custom_time: Option<String>,
    /// Give the copies the object lock of their sources.
    #[arg(long, value_name = "FROM", value_parser = ["none", "source"])]
    pub retention: Option<String>,
    /// Which objects at DST may be replaced; the others are reported as skipped [default: always].
    #[arg(long, value_name = "POLICY", value_parser = ["always", "if-older", "never"])]
    pub overwrite: Option<String>,
    /// Larger objects are sent in parts, and can be resumed in the middle.
    #[arg(long, value_name = "SIZE", default_value = "50MiB")]
    pub multipart_threshold: String,
    /// Bytes of one part; grows where an object would need too many parts.
    #[arg(long, value_name = "SIZE", default_value = "16MiB")]
    pub part_size: String,
    /// Bytes per second; 0 for no limit. By the clock: '08:00 10MB, 18:00 0'.
    #[arg(long, value_name = "SIZE", default_value = "0")]
    pub max_bandwidth: String,
    /// Objects in flight at most [default: as many as bring more].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub transfers: Option<u32>,
}

impl Default for Transfer {
    fn default() -> Transfer {
        Transfer {
            storage_class: None,
            encryption: None,
            kms_key: None,
            bucket_key: None,
            acl: None,
            custom_time: None,
            retention: None,
            overwrite: None,
            multipart_threshold: "50MiB".into(),
            part_size: "16MiB".into(),
            max_bandwidth: "0".into(),
            transfers: None,
        }
    }
}
