//! What can be typed after `skyferry trigger`.

use std::path::PathBuf;

/// Shows and changes which events of a bucket are sent to which queue.
///
/// A bucket has one notification configuration, and writing it replaces it as a whole. It is read, the difference is shown
/// for confirmation, it is read again, written, and read back. Skyferry's entries are those whose Id begins with skyferry-;
/// all others are kept unchanged.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skyferry trigger list --bucket photos
  skyferry trigger add --bucket photos \\
    --queue arn:aws:sqs:us-west-2:123456789012:s3_migration_file_list \\
    --prefix-file prefixes.txt
  skyferry trigger add --config /etc/skyferry/agent.toml --bucket photos \\
    --prefix 2026/ --backup before.xml
  skyferry trigger remove --bucket photos --prefix 2026/ --dry-run
  skyferry trigger apply triggers.toml --prune --yes
  skyferry trigger restore before.xml --bucket photos")]
pub struct Arguments {
    #[command(subcommand)]
    pub verb: TriggerCommand,
}

#[derive(clap::Subcommand)]
pub enum TriggerCommand {
    List(ListEntries),
    Add(AddEntries),
    Remove(RemoveEntries),
    Apply(ApplyEntries),
    Restore(RestoreEntries),
}

/// Lists all entries of a bucket, including those of other programs.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry trigger list --bucket photos --json")]
pub struct ListEntries {
    /// The bucket. With --config: the bucket of its route, if there is one route.
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<String>,
    /// Also write the configuration, as S3 returned it, to this new file.
    #[arg(long, value_name = "FILE")]
    pub backup: Option<PathBuf>,
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

/// Sends a bucket's events to a queue, for all keys or some, and admits the bucket in the queue's policy.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry trigger add --bucket photos \\
    --queue arn:aws:sqs:us-west-2:123456789012:list --prefix 2026/")]
pub struct AddEntries {
    #[command(flatten)]
    pub which: EntryFilter,
    #[command(flatten)]
    pub policy: PolicyArguments,
    #[command(flatten)]
    pub writing: WriteArguments,
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

/// Removes Skyferry's entries that match the flags, and other entries that are exactly what `add` would create.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry trigger remove --bucket photos --prefix-file prefixes.txt")]
pub struct RemoveEntries {
    #[command(flatten)]
    pub which: EntryFilter,
    /// All entries of Skyferry.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub writing: WriteArguments,
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

/// Makes buckets match a file of triggers. Running it again changes nothing.
#[derive(clap::Args)]
#[command(after_help = "The file:
  [[triggers]]
  bucket = \"photos\"
  queue = \"arn:aws:sqs:us-west-2:123456789012:s3_migration_file_list\"
  prefixes = [\"2026/\", \"2027/\"]        # or prefix_file = \"prefixes.txt\"; neither: every key
  suffix = \".jpg\"                      # if any
  events = [\"s3:ObjectCreated:*\"]      # which is the default

Example: skyferry trigger apply triggers.toml --prune")]
pub struct ApplyEntries {
    /// The file of triggers.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Remove Skyferry's entries in these buckets that are not in the file.
    #[arg(long)]
    pub prune: bool,
    #[command(flatten)]
    pub policy: PolicyArguments,
    #[command(flatten)]
    pub writing: WriteArguments,
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

/// Restores a whole configuration from a file that --backup wrote.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry trigger restore before.xml --bucket photos")]
pub struct RestoreEntries {
    /// The file that --backup wrote.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// As for list.
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<String>,
    #[command(flatten)]
    pub writing: WriteArguments,
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

#[derive(clap::Args)]
pub struct EntryFilter {
    /// The bucket. With --config: the bucket of its route, if there is one route.
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<String>,
    /// The queue's ARN. With --config: the queue of the settings.
    #[arg(long, value_name = "ARN")]
    pub queue: Option<String>,
    /// Only keys with this prefix; repeatable, one entry each. S3 compares text: photos also matches photos2/…
    #[arg(long, value_name = "PREFIX", conflicts_with = "prefix_file")]
    pub prefix: Vec<String>,
    /// A file with one prefix per line.
    #[arg(long, value_name = "FILE")]
    pub prefix_file: Option<PathBuf>,
    /// Only keys with this suffix.
    #[arg(long, value_name = "SUFFIX")]
    pub suffix: Option<String>,
    /// Events, separated by commas or repeated [default: s3:ObjectCreated:*, and with --config also removals and expirations
    /// if deletes = true, restores if restore = true].
    #[arg(long, value_name = "EVENT")]
    pub events: Vec<String>,
}

#[derive(clap::Args)]
pub struct PolicyArguments {
    /// The bucket's account, if it is not the queue's.
    #[arg(long, value_name = "ACCOUNT")]
    pub source_account: Option<String>,
    /// Do not read or change the queue's policy.
    #[arg(long)]
    pub keep_policy: bool,
}

#[derive(clap::Args)]
pub struct WriteArguments {
    /// Do not ask for confirmation.
    #[arg(long)]
    pub yes: bool,
    /// Show the difference, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Before the change, write the configuration as S3 returned it to this new file, for restore.
    #[arg(long, value_name = "FILE")]
    pub backup: Option<PathBuf>,
}

// (A doc comment here would become the text of every command.)
#[derive(clap::Args)]
pub struct ConnectionArguments {
    /// The agent's settings file: source credentials, region, endpoint, and the queue.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["credentials", "region", "endpoint", "queue_endpoint"])]
    pub config: Option<PathBuf>,
    /// Where the credentials come from: environment:PREFIX, file:PATH#FIELD, profile:NAME, instance, ssm:NAME,
    /// secret-manager:RESOURCE#FIELD, web-identity:ROLE_ARN#AUDIENCE [default: environment].
    #[arg(long, value_name = "PROVIDER")]
    pub credentials: Option<String>,
    /// The bucket's region.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The endpoint for the bucket, if not AWS: https://HOST or https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The endpoint for the queue, if not AWS.
    #[arg(long, value_name = "URL")]
    pub queue_endpoint: Option<String>,
}
