//! What can be typed after `skyferry deadletters`.

use std::time::Duration;

use skyferry_agent::dead_letter::ParsedLetter;

use crate::settings::ConfigArgument;

/// Lists, resends or deletes the dead letters of the queues in the settings.
///
/// Messages that Skyferry parked carry the reason; others were received too often. Reading a message hides it from other
/// readers for at most a minute; it is returned at the end, also after Ctrl-C.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skyferry deadletters list --config agent.toml
  skyferry deadletters show photos/2026/a.jpg --config agent.toml
  skyferry deadletters redrive --config agent.toml \\
    --reason '*access denied*' --rate 50/s
  skyferry deadletters drop --config agent.toml --key 'photos/tmp/*' --yes")]
pub struct Arguments {
    #[command(subcommand)]
    pub verb: DeadLettersCommand,
}

#[derive(clap::Subcommand)]
pub enum DeadLettersCommand {
    List(ListLetters),
    Show(ShowLetter),
    Redrive(RedriveLetters),
    Drop(DropLetters),
}

/// Lists all messages by reason, with counts and examples.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry deadletters list --config agent.toml --json")]
pub struct ListLetters {
    #[command(flatten)]
    pub which: LetterFilter,
    #[command(flatten)]
    pub place: LetterQueue,
}

/// Shows one message in full: its reason and its body.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry deadletters show photos/2026/a.jpg --config agent.toml")]
pub struct ShowLetter {
    /// The key, with or without its bucket, or the message id.
    #[arg(value_name = "KEY|ID")]
    pub wanted: String,
    #[command(flatten)]
    pub place: LetterQueue,
}

/// Sends messages back to their queue, then deletes them here. An interruption can duplicate a message, but loses none.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry deadletters redrive --config agent.toml \\
    --reason '*access denied*' --rate 50/s")]
pub struct RedriveLetters {
    #[command(flatten)]
    pub which: LetterFilter,
    /// Maximum rate: 50/s, 100/m.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub rate: Option<Duration>,
    /// Show what would be sent, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub place: LetterQueue,
}

/// Deletes messages permanently. The ledger is not changed.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry deadletters drop --config agent.toml --key 'photos/tmp/*' \\
    --dry-run")]
pub struct DropLetters {
    #[command(flatten)]
    pub which: LetterFilter,
    /// Show what would be deleted, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Required, unless --dry-run is given.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub place: LetterQueue,
}

#[derive(clap::Args)]
pub struct LetterFilter {
    /// Only messages whose reason matches: * matches any characters, ? matches one.
    #[arg(long, value_name = "GLOB")]
    pub reason: Option<String>,
    /// Only messages whose key matches, with or without its bucket.
    #[arg(long, value_name = "GLOB")]
    pub key: Option<String>,
}

impl LetterFilter {
    pub fn takes(&self, letter: &ParsedLetter) -> bool {
        letter.matches(self.reason.as_deref(), self.key.as_deref())
    }
}

#[derive(clap::Args)]
pub struct LetterQueue {
    #[command(flatten)]
    pub config: ConfigArgument,
    /// If the settings have several queues: only this one, by its name there.
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<String>,
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
