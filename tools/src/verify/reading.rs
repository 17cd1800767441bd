//! The strongest proof: the destination's bytes, read and compared with what the source stores of its own, or with its bytes
//! where it stores nothing that can be compared. Which objects are read is drawn again for each run.

use std::hash::{BuildHasher as _, RandomState};
use std::str::FromStr;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use skyferry_core::digest::{self, DigestSelection, Digests, Hasher};
use skyferry_core::error::CopyError;
use skyferry_core::store::{OpenedObject, Pin, Sink, Source};

use crate::compare::{Comparison, Difference, EqualityBasis, Finding};
use crate::retry::RetryPolicy;

/// Objects at once, of one range.
const AT_ONCE: usize = 4;
/// An object that changes while it is read is read again so often.
const TRIES: usize = 3;

/// Of all objects: more than 0, at most 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadShare(f64);

impl FromStr for ReadShare {
    type Err = String;

    fn from_str(text: &str) -> Result<ReadShare, String> {
        let number = |text: &str, of: f64| text.trim().parse::<f64>().ok().map(|number| number / of);
        let share = match text.strip_suffix('%') {
            _ if text == "all" => Some(1.0),
            Some(percent) => number(percent, 100.0),
            None => number(text, 1.0),
        };
        share
            .filter(|share| 0.0 < *share && *share <= 1.0)
            .map(ReadShare)
            .ok_or("expected a share like 1%, 0.001 or all".into())
    }
}

pub struct ContentCheck {
    share: ReadShare,
    drawn: RandomState,
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
    patience: RetryPolicy,
}

impl ContentCheck {
    pub fn new(share: ReadShare, source: Arc<dyn Source>, sink: Arc<dyn Sink>, patience: RetryPolicy) -> ContentCheck {
        ContentCheck { share, drawn: RandomState::new(), source, sink, patience }
    }

    /// Reads those of the equal ones that are drawn.
    pub async fn read(&self, findings: &mut [Finding]) -> anyhow::Result<()> {
        let drawn = findings.iter_mut().filter(|finding| self.draws(finding));
        let reads = stream::iter(drawn).map(|finding| async move {
            finding.verdict = self.compare(finding).await?;
            anyhow::Ok(())
        });
        reads.buffer_unordered(AT_ONCE).try_collect().await
    }

    fn draws(&self, finding: &Finding) -> bool {
        let hash = self.drawn.hash_one(&finding.source.key) as f64 / u64::MAX as f64;
        matches!(finding.verdict, Comparison::Equal(_)) && hash <= self.share.0
    }

    async fn compare(&self, finding: &Finding) -> Result<Comparison, CopyError> {
        for _ in 0..TRIES {
            let newest = || self.source.head(&finding.source, &Pin::Newest);
            let Some(before) = self.patience.ask(true, newest).await? else { return Ok(Comparison::Changing) };
            let select = DigestSelection::for_source(&before.stored, true);
            let read = self
                .patience
                .ask(true, async || digest_body(self.sink.open(&finding.destination).await?, select).await);
            let Some(there) = read.await? else { return Ok(Comparison::Differs(Difference::Missing)) };
            let equal = match before.stored.compare(&there) {
                digest::DigestCheck::Verified(_) => true,
                digest::DigestCheck::Mismatch { .. } => false,
                digest::DigestCheck::NothingToCompare => {
                    let open = || self.source.open(&finding.source, &Pin::Newest, None);
                    let read = self.patience.ask(true, async || digest_body(open().await?, select).await);
                    read.await?.is_some_and(|here| here.length == there.length && here.crc32c == there.crc32c)
                }
            };
            if equal {
                return Ok(Comparison::Equal(EqualityBasis::Read));
            }
            let after = self.patience.ask(true, newest).await?;
            if after.is_some_and(|after| after.identity == before.identity) {
                return Ok(Comparison::Differs(Difference::Content));
            }
        }
        Ok(Comparison::Changing)
    }
}

async fn digest_body(opened: Option<OpenedObject>, select: DigestSelection) -> Result<Option<Digests>, CopyError> {
    let Some(OpenedObject { mut chunks, .. }) = opened else { return Ok(None) };
    let mut hasher = Hasher::new(select);
    while let Some(chunk) = chunks.next().await {
        hasher.update(&chunk?);
    }
    Ok(Some(hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_a_fraction_or_all() {
        for (text, share) in [("1%", 0.01), ("0.5", 0.5), ("all", 1.0), ("100%", 1.0)] {
            assert_eq!(text.parse(), Ok(ReadShare(share)), "{text}");
        }
        for wrong in ["", "0", "101%", "-1", "2", "some", "NaN", "%"] {
            assert!(wrong.parse::<ReadShare>().is_err(), "{wrong}");
        }
    }
}
