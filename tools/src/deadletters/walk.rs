//! One round through dead letters. Each is taken once, and what is not settled meanwhile is given back at the end, however
//! it comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use skyferry_agent::notice::Shutdown;
use skyferry_core::queue::{DeadLetters, Receipt};

use super::known::Known;
use crate::show::Show;
use crate::ticker::{self, Line};
use crate::voice::Voice;

const MOST: usize = 10;

pub struct Walk<'a> {
    pub letters: &'a dyn DeadLetters,
    pub shutdown: &'a Shutdown,
    pub show: &'a Show,
    /// The time for one letter.
    pub rate: Option<Duration>,
}

/// What a round met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    pub letters: u64,
    /// Given back.
    pub left: u64,
    /// About so many are in other hands, and were not seen.
    pub elsewhere: u64,
}

/// The ids of letters that are no more.
pub type Settled = Vec<Arc<str>>;

impl Walk<'_> {
    pub async fn all(&self, mut each: impl AsyncFnMut(Vec<Known>) -> anyhow::Result<Settled>) -> anyhow::Result<Met> {
        let mut held: HashMap<Arc<str>, Receipt> = HashMap::new();
        let mut met = Met::default();
        let walked = self.round(&mut held, &mut met, &mut each).await;
        let receipts: Vec<Receipt> = held.into_values().collect();
        met.left = receipts.len() as u64;
        let in_flight = self.letters.depth().await.map(|depth| depth.in_flight);
        met.elsewhere = in_flight.as_ref().map_or(0, |all| all.saturating_sub(met.left));
        let given = self.letters.give_back(&receipts).await;
        walked?;
        given.map_err(|error| anyhow::anyhow!("{error}; the messages become visible again within a minute"))?;
        Ok(met)
    }

    async fn round(
        &self,
        held: &mut HashMap<Arc<str>, Receipt>,
        met: &mut Met,
        each: &mut impl AsyncFnMut(Vec<Known>) -> anyhow::Result<Settled>,
    ) -> anyhow::Result<()> {
        let (began, max) = (SystemTime::now(), self.at_once());
        let mut progress = Line::new(Voice::new(self.show.bars.then(ticker::bar), false));
        let mut rounds_without_news = 0;
        // Those that were seen come again after a minute: a whole round of them, and there are no others.
        while !self.shutdown.stop.is_cancelled() && rounds_without_news <= 3 + held.len() / max {
            let taken = self.letters.take(max).await?;
            if taken.is_empty() {
                break;
            }
            // What dies while this goes on would be sent again for ever.
            let new = taken.into_iter().filter(|letter| {
                held.insert(letter.id.clone(), letter.receipt.clone()).is_none() && letter.sent <= began
            });
            let new: Vec<Known> = new.map(|letter| Known::new(letter, self.letters.max_receives())).collect();
            if new.is_empty() {
                rounds_without_news += 1;
                continue;
            }
            rounds_without_news = 0;
            met.letters += new.len() as u64;
            let settled = each(new).await?;
            settled.iter().for_each(|id| drop(held.remove(id)));
            let done = met.letters.saturating_sub(held.len() as u64);
            progress.tell(format!("{} messages read, {done} done", met.letters));
            if let Some(pause) = self.rate.map(|one| one * settled.len() as u32) {
                self.shutdown.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            }
        }
        Ok(())
    }

    /// About a second's worth, so that no letter waits in hand for long.
    fn at_once(&self) -> usize {
        let one = self.rate.unwrap_or_default().as_secs_f64();
        if one > 0.0 { ((1.0 / one) as usize).clamp(1, MOST) } else { MOST }
    }
}
