//! What can be typed after `skyferry deadletters`.

use std::path::PathBuf;
use std::time::Duration;

/// Shows the dead letters of the settings' queues and why each is there, and sends them again or drops them.
///
/// What Skyferry parked has its reason with it; what the queue itself gave up was received too often. To look at a letter
/// is to take it: it is hidden from others for a minute at most, and given back at the end, on Ctrl-C too.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skyferry deadletters list --config agent.toml
  skyferry deadletters show photos/2026/a.jpg --config agent.toml
  skyferry deadletters redrive --config agent.toml --reason '*access denied*' --rate 50/s
  skyferry deadletters drop --config agent.toml --key 'photos/tmp/*' --yes")]
pub struct Arguments {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(clap::Subcommand)]
pub enum Verb {
    List(List),
    Show(Show),
    Redrive(Redrive),
    Drop(Drop),
}

/// All letters by their reasons, with counts and examples.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry deadletters list --config agent.toml --json")]
pub struct List {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub place: Place,
}

/// One letter in full: its reason and its body.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry deadletters show photos/2026/a.jpg --config agent.toml")]
pub struct Show {
    /// The key, with its bucket or without; or the message's id.
    #[arg(value_name = "KEY|ID")]
    pub wanted: String,
    #[command(flatten)]
    pub place: Place,
}

/// Sends letters to their queue again, then deletes them here: interrupted, one may come twice, none is lost.
#[derive(clap::Args)]
#[command(
    after_help = "Example: skyferry deadletters redrive --config agent.toml --reason '*access denied*' --rate 50/s"
)]
pub struct Redrive {
    #[command(flatten)]
    pub which: Which,
    /// No faster than this: 50/s, 100/m.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub rate: Option<Duration>,
    /// Say what would be sent again, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub place: Place,
}

/// Deletes letters for good. What is in the ledger stays.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry deadletters drop --config agent.toml --key 'photos/tmp/*' --dry-run")]
pub struct Drop {
    #[command(flatten)]
    pub which: Which,
    /// Say what would be deleted, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Needed, unless it is a dry run.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(clap::Args)]
pub struct Which {
    /// Only letters whose reason matches: * is any run of characters, ? is one.
    #[arg(long, value_name = "GLOB")]
    pub reason: Option<String>,
    /// Only letters of a key that matches, with its bucket or without.
    #[arg(long, value_name = "GLOB")]
    pub key: Option<String>,
}

#[derive(clap::Args)]
pub struct Place {
    /// The agent's settings.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Of several queues in the settings this one, as they name it.
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<String>,
    /// End with a line of JSON on stdout; list and show give one for each letter before it.
    #[arg(long)]
    pub json: bool,
}

/// The time for one.
fn rate(text: &str) -> Result<Duration, String> {
    let wanted = || "a rate like 50/s or 100/m".to_owned();
    let (count, each) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match each {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wanted()),
    };
    let count: u32 = count.trim().parse().map_err(|_| wanted())?;
    if count == 0 { Err(wanted()) } else { Ok(Duration::from_secs_f64(seconds / f64::from(count))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_time_for_one() {
        assert_eq!(rate("50/s"), Ok(Duration::from_millis(20)));
        assert_eq!(rate("6/m"), Ok(Duration::from_secs(10)));
        assert_eq!(rate("2"), Ok(Duration::from_millis(500)));
        for wrong in ["", "0/s", "x/s", "1/d", "-1/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
