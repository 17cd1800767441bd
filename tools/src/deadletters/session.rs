//! One round through dead letters. Each is taken once, and what is not settled meanwhile is given back at the end, however
//! it comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use skyferry_agent::dead_letter::ParsedLetter;
use skyferry_agent::shutdown::Shutdown;
use skyferry_core::queue::{DeadLetters, Receipt};

use crate::console::Console;
use crate::output::Output;
use crate::progress_line::{self, ProgressLine};

const MOST: usize = 10;

pub struct Session<'a> {
    pub letters: &'a dyn DeadLetters,
    pub shutdown: &'a Shutdown,
    pub output: &'a Output,
    /// The time for one letter.
    pub rate: Option<Duration>,
}

/// What a round met.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionCounts {
    pub letters: u64,
    /// Given back.
    pub left: u64,
    /// About so many are in other hands, and were not seen.
    pub elsewhere: u64,
}

/// The ids of letters that are no more.
pub type SettledIds = Vec<Arc<str>>;

impl Session<'_> {
    pub async fn all(
        &self,
        mut each: impl AsyncFnMut(Vec<ParsedLetter>) -> anyhow::Result<SettledIds>,
    ) -> anyhow::Result<SessionCounts> {
        let mut held: HashMap<Arc<str>, Receipt> = HashMap::new();
        let mut met = SessionCounts::default();
        let walked = self.round(&mut held, &mut met, &mut each).await;
        let receipts: Vec<Receipt> = held.into_values().collect();
        met.left = receipts.len() as u64;
        let in_flight = self.letters.depth().await.map(|depth| depth.in_flight);
        met.elsewhere = in_flight.as_ref().map_or(0, |all| all.saturating_sub(met.left));
        let given = self.letters.release_letters(&receipts).await;
        walked?;
        given.map_err(|error| anyhow::anyhow!("{error}; the messages become visible again within a minute"))?;
        Ok(met)
    }

    async fn round(
        &self,
        held: &mut HashMap<Arc<str>, Receipt>,
        met: &mut SessionCounts,
        each: &mut impl AsyncFnMut(Vec<ParsedLetter>) -> anyhow::Result<SettledIds>,
    ) -> anyhow::Result<()> {
        let (began, max) = (SystemTime::now(), self.at_once());
        let mut progress = ProgressLine::new(Console::new(self.output.bars.then(progress_line::bar), false));
        let mut rounds_without_news = 0;
        // Those that were seen come again after a minute: a whole round of them, and there are no others.
        while !self.shutdown.stop.is_cancelled() && rounds_without_news <= 3 + held.len() / max {
            let taken = self.letters.receive_letters(max).await?;
            if taken.is_empty() {
                break;
            }
            // What dies while this continues would be sent again for ever.
            let new = taken.into_iter().filter(|letter| {
                held.insert(letter.id.clone(), letter.receipt.clone()).is_none() && letter.sent <= began
            });
            let new: Vec<ParsedLetter> =
                new.map(|letter| ParsedLetter::new(letter, self.letters.max_receives())).collect();
            if new.is_empty() {
                rounds_without_news += 1;
                continue;
            }
            rounds_without_news = 0;
            met.letters += new.len() as u64;
            let settled = each(new).await?;
            settled.iter().for_each(|id| drop(held.remove(id)));
            let done = met.letters.saturating_sub(held.len() as u64);
            progress.update(format!("{} messages read, {done} done", met.letters));
            if let Some(pause) = self.rate.map(|one| one * settled.len() as u32) {
                self.shutdown.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            }
        }
        Ok(())
    }

    /// About a second's worth, so that no message is held for long.
    fn at_once(&self) -> usize {
        let one = self.rate.unwrap_or_default().as_secs_f64();
        if one > 0.0 { ((1.0 / one) as usize).clamp(1, MOST) } else { MOST }
    }
}
