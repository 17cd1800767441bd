//! Equal or not, with as few requests as will do: what the listings say, then the ledger in batches, then, if asked for, a
//! look at both sides.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use skyferry_core::ledger::{Ledger, Subject};
use skyferry_core::model::{Key, Location};
use skyferry_core::route::{RouteDecision, Router};

use super::equality::{by_ledger, by_listings, is_open};
use super::finding::{ComparedSides, Comparison, Difference, EqualityBasis, Finding, ListedPair};
use super::head_check::HeadCheck;
use crate::filter::ObjectFilter;

/// Looks at once, of one range.
const LOOKS: usize = 32;

pub struct Classifier {
    pub router: Arc<Router>,
    pub filter: ObjectFilter,
    pub ledger: Arc<dyn Ledger>,
    pub look: HeadCheck,
    /// A look at what neither the listings nor the ledger decide; where headers travel, at everything: listings show none.
    pub head: bool,
    /// A look at whatever seems to differ, before it is reported: it may have changed while it was listed.
    pub confirm: bool,
}

/// The findings of a batch, and how many objects are not meant by a rule or a flag.
#[derive(Default)]
pub struct Classified {
    pub findings: Vec<Finding>,
    pub skipped: u64,
}

impl Classifier {
    pub fn with_head(self, head: bool) -> Classifier {
        Classifier { head, ..self }
    }

    pub async fn classify(&self, sides: &ComparedSides, pairs: Vec<ListedPair>) -> anyhow::Result<Classified> {
        let mut judged = Classified::default();
        for pair in pairs {
            match self.relevance(sides, pair) {
                Relevance::Yes(finding) => judged.findings.push(*finding),
                Relevance::Skipped => judged.skipped += 1,
                Relevance::Elsewhere => {}
            }
        }
        self.ask_the_ledger(&mut judged.findings).await?;
        self.check_heads(&mut judged.findings).await?;
        // What the destination's listing told alone and the source has all the same is told by the source's listing too: in
        // another place, or in the next comparison.
        judged
            .findings
            .retain(|finding| finding.here.is_some() || finding.verdict == Comparison::Differs(Difference::Extra));
        Ok(judged)
    }

    /// Whether the pair is this route's, and what the listings say of it.
    fn relevance(&self, sides: &ComparedSides, pair: ListedPair) -> Relevance {
        let (here, there) = match pair {
            ListedPair::Both(here, there) => (Some(here), Some(there)),
            ListedPair::Source(here) => (Some(here), None),
            ListedPair::Destination(there) => (None, Some(there)),
        };
        let row = here.as_ref().or(there.as_ref());
        let prefix = if here.is_some() { &sides.from.prefix } else { &sides.to.prefix };
        let Some(rest) = row.and_then(|row| row.key.as_bytes().get(prefix.as_bytes().len()..)) else {
            return Relevance::Elsewhere;
        };
        let at = |bucket: &str, prefix: &Key| Location::new(bucket, Key::new([prefix.as_bytes(), rest].concat()));
        let (source, expected) = (at(&sides.from.bucket, &sides.from.prefix), at(&sides.to.bucket, &sides.to.prefix));
        match self.router.decide(&source, sides.pair.then_some(&expected)) {
            RouteDecision::Copy { destination, .. } if destination == expected => {}
            // The prefix itself has no name at the destination; what a rule leaves out is nobody's loss there.
            RouteDecision::Ignored { .. } | RouteDecision::NotRouted(_) if here.is_some() => return Relevance::Skipped,
            _ => return Relevance::Elsewhere,
        }
        let taken = match &here {
            Some(here) => self.filter.accepts(&sides.from.bucket, here, rest),
            None => self.filter.accepts_key(&source, rest),
        };
        if !taken {
            return if here.is_some() { Relevance::Skipped } else { Relevance::Elsewhere };
        }
        let verdict = by_listings(here.as_ref(), there.as_ref());
        Relevance::Yes(Box::new(Finding { source, destination: expected, here, there, verdict }))
    }

    async fn ask_the_ledger(&self, findings: &mut [Finding]) -> anyhow::Result<()> {
        let mut open: Vec<&mut Finding> = findings.iter_mut().filter(|finding| is_open(finding.verdict)).collect();
        let subject =
            |finding: &&mut Finding| Subject::of(&self.router, finding.source.clone(), finding.destination.clone());
        let subjects: Vec<Subject> = open.iter().map(subject).collect();
        if subjects.is_empty() {
            return Ok(());
        }
        for (finding, record) in open.iter_mut().zip(self.ledger.lookup_all(&subjects).await?) {
            if let (Some(here), Some(there), Some(record)) = (&finding.here, &finding.there, record)
                && by_ledger(&record, here, there)
            {
                finding.verdict = Comparison::Equal(EqualityBasis::Ledger);
            }
        }
        Ok(())
    }

    async fn check_heads(&self, findings: &mut [Finding]) -> anyhow::Result<()> {
        let doubtful = |finding: &&mut Finding| match finding.verdict {
            Comparison::Equal(_) if self.head && self.look.headers => true,
            verdict if is_open(verdict) => self.head || (self.confirm && matches!(verdict, Comparison::Differs(_))),
            Comparison::Differs(_) => self.confirm,
            _ => false,
        };
        let looks = stream::iter(findings.iter_mut().filter(doubtful)).map(|finding| async move {
            finding.verdict = self.look.at(finding).await?;
            anyhow::Ok(())
        });
        looks.buffer_unordered(LOOKS).try_collect().await
    }
}

enum Relevance {
    Yes(Box<Finding>),
    Skipped,
    /// Another route's, or nobody's.
    Elsewhere,
}
