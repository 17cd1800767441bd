//! A look at one object on both sides: stored checksums, and what Skyferry wrote beside the copy, prove equality without
//! reading a byte; and only here do headers and metadata show.

use std::sync::Arc;

use skyferry_core::digest::{self, Digests};
use skyferry_core::store::metadata::lacks_headers;
use skyferry_core::store::{Object, Pin, Sink, Source};

use super::equality::same_etag;
use super::finding::{Comparison, Difference, EqualityBasis, Finding};
use crate::retry::RetryPolicy;

pub struct HeadCheck {
    pub source: Arc<dyn Source>,
    pub sink: Arc<dyn Sink>,
    pub patience: RetryPolicy,
    /// What changed after this (seconds since the epoch) is on its way by an event of its own.
    pub began: i64,
    /// Headers and metadata travel, so that they are compared.
    pub headers: bool,
}

impl HeadCheck {
    pub async fn at(&self, finding: &Finding) -> anyhow::Result<Comparison> {
        let here = self.patience.ask(true, || self.source.head(&finding.source, &Pin::Newest)).await?;
        let there = self.patience.ask(true, || self.sink.head(&finding.destination)).await?;
        let verdict = match (here, there) {
            (Some(here), _) if here.identity.last_modified >= self.began => Comparison::Changing,
            (Some(here), Some(there)) => match both(finding, &here, &there) {
                Comparison::Equal(_) if self.headers && lacks_headers(&there, &here) => {
                    Comparison::Differs(Difference::Headers)
                }
                // What proved it before is the stronger proof.
                Comparison::Equal(EqualityBasis::SizeAndTime) if matches!(finding.verdict, Comparison::Equal(_)) => {
                    finding.verdict
                }
                verdict => verdict,
            },
            (Some(_), None) => Comparison::Differs(Difference::Missing),
            (None, Some(_)) if finding.here.is_none() => Comparison::Differs(Difference::Extra),
            // Deleted since it was listed.
            (None, _) => Comparison::Changing,
        };
        Ok(verdict)
    }
}

fn both(finding: &Finding, here: &Object, there: &Object) -> Comparison {
    if here.identity.size != there.identity.size {
        return Comparison::Differs(Difference::Size);
    }
    let ours = there.provenance.as_ref().filter(|provenance| provenance.source == finding.source);
    let in_time = ours.and_then(|provenance| provenance.crc32c);
    let in_time = in_time.map(|crc32c| Digests { length: here.identity.size, crc32c, ..Digests::default() });
    if in_time.is_some_and(|digests| matches!(there.stored.compare(&digests), digest::DigestCheck::Mismatch { .. })) {
        return Comparison::Differs(Difference::Checksum);
    }
    match (there.stored.agrees_with(&here.stored), ours) {
        (Some(true), _) => Comparison::Equal(EqualityBasis::Checksum),
        (Some(false), _) => Comparison::Differs(Difference::Checksum),
        (None, Some(provenance)) if provenance.identity == here.identity => Comparison::Equal(EqualityBasis::Checksum),
        (None, Some(_)) => Comparison::Differs(Difference::Newer),
        (None, None) if same_etag(&here.identity.etag, &there.identity.etag) => Comparison::Equal(EqualityBasis::Etag),
        (None, None) if there.identity.last_modified < here.identity.last_modified => {
            Comparison::Differs(Difference::Newer)
        }
        (None, None) => Comparison::Equal(EqualityBasis::SizeAndTime),
    }
}
