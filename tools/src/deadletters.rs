//! `skyferry deadletters`: what was given up, why, and what becomes of it now.

mod arguments;
mod session;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use skyferry_agent::dead_letter::ParsedLetter;
use skyferry_agent::shutdown::Shutdown;
use skyferry_agent::wiring::dead_letters;
use skyferry_core::queue::{DeadLetter, DeadLetters};

use crate::cli::{self, Cli, DONE, FAILED};
use crate::output::{Output, counted};
use crate::usage::UsageError;
pub use arguments::Arguments;
use arguments::{DeadLettersCommand, DropLetters, LetterFilter, ListLetters, RedriveLetters};
use session::{Session, SessionCounts};

/// Letters shown of each kind.
const EXAMPLES: usize = 3;

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let place = match &self.verb {
            DeadLettersCommand::List(ListLetters { place, .. })
            | DeadLettersCommand::Show(arguments::ShowLetter { place, .. })
            | DeadLettersCommand::Redrive(RedriveLetters { place, .. })
            | DeadLettersCommand::Drop(DropLetters { place, .. }) => place,
        };
        if matches!(&self.verb, DeadLettersCommand::Drop(drop) if !drop.yes && !drop.dry_run) {
            return Err(
                UsageError("dropped messages cannot be restored: add --yes, or use --dry-run first".into()).into()
            );
        }
        let settings = place.config.load()?;
        cli.stoppable(async {
            let mut all = dead_letters(&settings).await?;
            all.retain(|letters| place.queue.as_ref().is_none_or(|name| *name == *letters.queue()));
            if all.is_empty() {
                return Err(UsageError("no queue in the settings has this name".into()).into());
            }
            let desk = Desk { all, shutdown: &cli.shutdown, output: &cli.output };
            let code = match &self.verb {
                DeadLettersCommand::List(list) => desk.list(list).await?,
                DeadLettersCommand::Show(output) => desk.show(&output.wanted).await?,
                DeadLettersCommand::Redrive(RedriveLetters { which, dry_run, rate, .. }) => {
                    desk.settle(&Settling { which, dry_run: *dry_run, again: true, rate: *rate }).await?
                }
                DeadLettersCommand::Drop(DropLetters { which, dry_run, .. }) => {
                    desk.settle(&Settling { which, dry_run: *dry_run, again: false, rate: None }).await?
                }
            };
            Ok(cli.shutdown.reason().map_or(code, |reason| reason.exit_code()))
        })
    }
}

/// The queues' dead letters, and how to speak of them.
struct Desk<'a> {
    all: Vec<Box<dyn DeadLetters>>,
    shutdown: &'a Shutdown,
    output: &'a Output,
}

/// Letters with one reason.
#[derive(Default)]
struct Kind {
    count: u64,
    examples: Vec<String>,
}

impl Desk<'_> {
    fn walk<'a>(&'a self, letters: &'a dyn DeadLetters) -> Session<'a> {
        Session { letters, shutdown: self.shutdown, output: self.output, rate: None }
    }

    async fn list(&self, arguments: &ListLetters) -> anyhow::Result<u8> {
        let (mut listed, mut elsewhere) = (0, 0);
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        for letters in &self.all {
            let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
            let walk = self.walk(&**letters);
            let met = walk.all(async |new| {
                for letter in new.iter().filter(|letter| arguments.which.takes(letter)) {
                    self.output.json(letter.json())?;
                    let kind = kinds.entry(letter.kind()).or_default();
                    kind.count += 1;
                    if kind.examples.len() < EXAMPLES {
                        kind.examples.push(example(letter));
                    }
                }
                Ok(Vec::new())
            });
            let met = met.await?;
            let count: u64 = kinds.values().map(|kind| kind.count).sum();
            self.output.line(&text(&**letters, &kinds, count))?;
            listed += count;
            elsewhere += self.report_elsewhere(&**letters, met);
            for (reason, kind) in kinds {
                *reasons.entry(reason).or_default() += kind.count;
            }
        }
        self.end(json!({ "letters": listed, "reasons": reasons, "elsewhere": elsewhere }))
    }

    async fn show(&self, wanted: &str) -> anyhow::Result<u8> {
        let mut found = 0;
        for letters in &self.all {
            let walk = self.walk(&**letters);
            let met = walk.all(async |new| {
                for letter in new.iter().filter(|letter| letter.is(wanted)) {
                    found += 1;
                    let ParsedLetter { letter: whole, reason, .. } = letter;
                    let (id, body, of) = (&whole.id, &whole.body, letters.name());
                    let mut line = letter.json();
                    line["body"] = (**body).into();
                    self.output.json(line)?;
                    self.output.line(&format!(
                        "{}\n  id      {id}\n  in      {of}, for {}\n  reason  {reason}\n  body    {body}",
                        letter.name(),
                        letter.age()
                    ))?;
                }
                Ok(Vec::new())
            });
            let met = met.await?;
            self.report_elsewhere(&**letters, met);
        }
        if found == 0 {
            eprintln!("skyferry: no dead letter is of {wanted}");
        }
        let code = self.end(json!({ "letters": found }))?;
        Ok(if found == 0 { FAILED } else { code })
    }

    async fn settle(&self, settling: &Settling<'_>) -> anyhow::Result<u8> {
        let Settling { which, dry_run, again, rate } = *settling;
        let done = if again { "sent again" } else { "dropped" };
        let (mut settled, mut left, mut elsewhere) = (0, 0, 0);
        for letters in &self.all {
            let walk = Session { rate, ..self.walk(&**letters) };
            let met = walk.all(async |new| {
                let meant = new.into_iter().filter(|letter| which.takes(letter));
                if dry_run {
                    meant.for_each(|letter| {
                        settled += 1;
                        eprintln!("would be {done}: {}  {}", letter.name(), letter.kind());
                    });
                    return Ok(Vec::new());
                }
                let meant: Vec<DeadLetter> = meant.map(|known| known.letter).collect();
                if again {
                    letters.redrive_letters(&meant).await?
                } else {
                    letters.delete_letters(&meant).await?
                };
                settled += meant.len() as u64;
                Ok(meant.into_iter().map(|letter| letter.id).collect())
            });
            let met = met.await.with_context(|| format!("of {}, the rest is kept", letters.name()));
            let met = met.with_context(|| format!("{} {done} before", counted(settled, "message")))?;
            left += met.left;
            elsewhere += self.report_elsewhere(&**letters, met);
        }
        let would = if dry_run { "would be " } else { "" };
        self.output.line(&format!("{} {would}{done}, {left} kept", counted(settled, "message")))?;
        let name = if again { "redriven" } else { "dropped" };
        self.end(json!({ "dry_run": dry_run, name: settled, "left": left, "elsewhere": elsewhere }))
    }

    /// What others have in progress cannot be seen, and must not look like nothing.
    fn report_elsewhere(&self, letters: &dyn DeadLetters, met: SessionCounts) -> u64 {
        if met.elsewhere > 0 {
            eprintln!(
                "skyferry: about {} of {} held by another reader and not listed: repeat in a minute",
                counted(met.elsewhere, "message"),
                letters.name()
            );
        }
        met.elsewhere
    }

    fn end(&self, result: serde_json::Value) -> anyhow::Result<u8> {
        if self.shutdown.reason().is_some() {
            eprintln!("skyferry: interrupted; unfinished messages are returned");
        }
        self.output.json(result)?;
        Ok(DONE)
    }
}

/// What becomes of letters.
#[derive(Clone, Copy)]
struct Settling<'a> {
    which: &'a LetterFilter,
    dry_run: bool,
    /// To their queue; else nowhere.
    again: bool,
    rate: Option<Duration>,
}

fn example(letter: &ParsedLetter) -> String {
    format!("{}  {} old  id {}", letter.name(), letter.age(), letter.letter.id)
}

fn text(letters: &dyn DeadLetters, kinds: &BTreeMap<String, Kind>, count: u64) -> String {
    let mut lines = Vec::new();
    let mut kinds: Vec<_> = kinds.iter().collect();
    kinds.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.count));
    for (reason, Kind { count, examples }) in kinds {
        lines.push(format!("{count:>6}  {reason}"));
        lines.extend(examples.iter().map(|example| format!("          {example}")));
        if let Some(more) = count.checked_sub(examples.len() as u64).filter(|more| *more > 0) {
            lines.push(format!("          and {more} more"));
        }
    }
    lines.push(format!("{}, the dead letters of {}: {count}", letters.name(), letters.queue()));
    lines.join("\n")
}
