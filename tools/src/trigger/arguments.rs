//! What can be typed after `skyferry trigger`.

use std::path::PathBuf;

/// Reads and changes which events of a bucket go to which queue.
///
/// A bucket has one notification configuration, and S3 replaces it whole. So it is read, the difference is shown and
/// agreed on, and what is not Skyferry's stays word for word; it is read again before it is written, and after.
/// Skyferry's are the entries whose Id begins with skyferry-.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skyferry trigger list --bucket photos
  skyferry trigger add --bucket photos --queue arn:aws:sqs:us-west-2:123456789012:s3_migration_file_list --prefix-file prefixes.txt
  skyferry trigger add --config /etc/skyferry/agent.toml --bucket photos --prefix 2026/ --backup before.xml
  skyferry trigger remove --bucket photos --prefix 2026/ --dry-run
  skyferry trigger apply triggers.toml --prune --yes
  skyferry trigger restore before.xml --bucket photos")]
pub struct Arguments {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(clap::Subcommand)]
pub enum Verb {
    List(List),
    Add(Add),
    Remove(Remove),
    Apply(Apply),
    Restore(Restore),
}

/// Shows all entries of a bucket's configuration, whoever made them.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry trigger list --bucket photos --json")]
pub struct List {
    /// The bucket; with --config that of its route, if there is one route.
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<String>,
    /// Also write the configuration as S3 gave it to this new file.
    #[arg(long, value_name = "FILE")]
    pub backup: Option<PathBuf>,
    /// End with the entries as a line of JSON on stdout.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

/// Sends a bucket's events to a queue, all or those of some keys, and lets the bucket in at the queue's policy.
#[derive(clap::Args)]
#[command(
    after_help = "Example: skyferry trigger add --bucket photos --queue arn:aws:sqs:us-west-2:123456789012:list --prefix 2026/"
)]
pub struct Add {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub policy: Policy,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub connection: Connection,
}

/// Takes entries away: Skyferry's own by what is said of them, and others that are just what add would make of it.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry trigger remove --bucket photos --prefix-file prefixes.txt")]
pub struct Remove {
    #[command(flatten)]
    pub which: Which,
    /// All that is Skyferry's.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub connection: Connection,
}

/// Makes buckets have the triggers of a file. Run again, it changes nothing.
#[derive(clap::Args)]
#[command(after_help = "The file:
  [[triggers]]
  bucket = \"photos\"
  queue = \"arn:aws:sqs:us-west-2:123456789012:s3_migration_file_list\"
  prefixes = [\"2026/\", \"2027/\"]        # or prefix_file = \"prefixes.txt\"; neither: every key
  suffix = \".jpg\"                      # if any
  events = [\"s3:ObjectCreated:*\"]      # which is the default

Example: skyferry trigger apply triggers.toml --prune")]
pub struct Apply {
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Take away what is Skyferry's in these buckets and not in the file.
    #[arg(long)]
    pub prune: bool,
    #[command(flatten)]
    pub policy: Policy,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub connection: Connection,
}

/// Puts a configuration back as --backup wrote it, whole.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry trigger restore before.xml --bucket photos")]
pub struct Restore {
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// As in list.
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<String>,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(clap::Args)]
pub struct Which {
    /// The bucket; with --config that of its route, if there is one route.
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<String>,
    /// The queue's ARN; with --config that of its queue.
    #[arg(long, value_name = "ARN")]
    pub queue: Option<String>,
    /// Only keys that begin so; several make several entries. S3 compares letters: photos takes photos2/… too.
    #[arg(long, value_name = "PREFIX", conflicts_with = "prefix_file")]
    pub prefix: Vec<String>,
    /// A file of such prefixes, one a line.
    #[arg(long, value_name = "FILE")]
    pub prefix_file: Option<PathBuf>,
    /// Only keys that end so.
    #[arg(long, value_name = "SUFFIX")]
    pub suffix: Option<String>,
    /// Which events, by commas or several times. Else s3:ObjectCreated:*, and those that the settings of --config ask
    /// for: removals and expirations with deletes = true, restores with restore = true.
    #[arg(long, value_name = "EVENT")]
    pub events: Vec<String>,
}

#[derive(clap::Args)]
pub struct Policy {
    /// The bucket's account, where it is not the queue's.
    #[arg(long, value_name = "ACCOUNT")]
    pub source_account: Option<String>,
    /// Leave the queue's policy as it is, unread.
    #[arg(long)]
    pub keep_policy: bool,
}

#[derive(clap::Args)]
pub struct Writing {
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Show the difference, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// First write the configuration as S3 gave it to this new file, for restore.
    #[arg(long, value_name = "FILE")]
    pub backup: Option<PathBuf>,
    /// End with the counts as a line of JSON on stdout; what else is said goes to stderr.
    #[arg(long)]
    pub json: bool,
}

// (A doc comment here would become the text of every command.)
#[derive(clap::Args)]
pub struct Connection {
    /// The agent's settings: the source's credentials, region and endpoint, and the queue.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["credentials", "region", "endpoint", "queue_endpoint"])]
    pub config: Option<PathBuf>,
    /// Where the keys come from: environment:PREFIX, file:PATH#FIELD, profile:NAME, instance, ssm:NAME,
    /// secret-manager:RESOURCE#FIELD, web-identity:ROLE_ARN#AUDIENCE. Default: environment.
    #[arg(long, value_name = "PROVIDER")]
    pub credentials: Option<String>,
    /// The bucket's region.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The bucket's service, where it is not AWS: https://HOST or https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The queue's service, where it is not AWS.
    #[arg(long, value_name = "URL")]
    pub queue_endpoint: Option<String>,
}
