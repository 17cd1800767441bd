//! A look at one object on both sides: stored checksums, and what Skyferry wrote beside the copy, prove equality without
//! reading a byte; and only here do headers and metadata show.

use std::sync::Arc;

use skyferry_core::digest::{self, Digests};
use skyferry_core::store::metadata::lacks_headers;
use skyferry_core::store::{Object, Pin, Sink, Source};

use super::equality::same_etag;
use super::finding::{Basis, Finding, Verdict, Why};
use crate::patience::Patience;

pub struct Look {
    pub source: Arc<dyn Source>,
    pub sink: Arc<dyn Sink>,
    pub patience: Patience,
    /// What changed after this (seconds since the epoch) is on its way by an event of its own.
    pub began: i64,
    /// Headers and metadata travel, so that they are compared.
    pub headers: bool,
}

impl Look {
    pub async fn at(&self, finding: &Finding) -> anyhow::Result<Verdict> {
        let here = self.patience.ask(true, || self.source.head(&finding.source, &Pin::Newest)).await?;
        let there = self.patience.ask(true, || self.sink.head(&finding.destination)).await?;
        let verdict = match (here, there) {
            (Some(here), _) if here.identity.last_modified >= self.began => Verdict::Changing,
            (Some(here), Some(there)) => match both(finding, &here, &there) {
                Verdict::Equal(_) if self.headers && lacks_headers(&there, &here) => Verdict::Differs(Why::Headers),
                // What proved it before is the stronger proof.
                Verdict::Equal(Basis::SizeAndTime) if matches!(finding.verdict, Verdict::Equal(_)) => finding.verdict,
                verdict => verdict,
            },
            (Some(_), None) => Verdict::Differs(Why::Missing),
            (None, Some(_)) if finding.here.is_none() => Verdict::Differs(Why::Extra),
            // Deleted since it was listed.
            (None, _) => Verdict::Changing,
        };
        Ok(verdict)
    }
}

fn both(finding: &Finding, here: &Object, there: &Object) -> Verdict {
    if here.identity.size != there.identity.size {
        return Verdict::Differs(Why::Size);
    }
    let ours = there.provenance.as_ref().filter(|provenance| provenance.source == finding.source);
    let in_time = ours.and_then(|provenance| provenance.crc32c);
    let in_time = in_time.map(|crc32c| Digests { length: here.identity.size, crc32c, ..Digests::default() });
    if in_time.is_some_and(|digests| matches!(there.stored.compare(&digests), digest::Verdict::Mismatch { .. })) {
        return Verdict::Differs(Why::Checksum);
    }
    match (there.stored.agrees_with(&here.stored), ours) {
        (Some(true), _) => Verdict::Equal(Basis::Checksum),
        (Some(false), _) => Verdict::Differs(Why::Checksum),
        (None, Some(provenance)) if provenance.identity == here.identity => Verdict::Equal(Basis::Checksum),
        (None, Some(_)) => Verdict::Differs(Why::Newer),
        (None, None) if same_etag(&here.identity.etag, &there.identity.etag) => Verdict::Equal(Basis::Etag),
        (None, None) if there.identity.last_modified < here.identity.last_modified => Verdict::Differs(Why::Newer),
        (None, None) => Verdict::Equal(Basis::SizeAndTime),
    }
}
