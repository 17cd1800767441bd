//! When two objects count as equal without a look at either: the one classification for every command that lists both sides.

use skyferry_core::ledger::LedgerRecord;
use skyferry_core::store::Listed;

use super::finding::{Comparison, Difference, EqualityBasis};

/// By how many seconds a listing may round a time otherwise than a look does.
const ROUNDING: i64 = 1;

/// What the listings decide alone.
pub fn by_listings(here: Option<&Listed>, there: Option<&Listed>) -> Comparison {
    let (here, there) = match (here, there) {
        (Some(here), Some(there)) => (here, there),
        (Some(_), None) => return Comparison::Differs(Difference::Missing),
        _ => return Comparison::Differs(Difference::Extra),
    };
    if here.size != there.size {
        Comparison::Differs(Difference::Size)
    } else if same_etag(&here.etag, &there.etag) {
        Comparison::Equal(EqualityBasis::Etag)
    } else if is_md5(&here.etag) && is_md5(&there.etag) {
        Comparison::Differs(Difference::Etag)
    } else if there.last_modified < here.last_modified {
        Comparison::Differs(Difference::Newer)
    } else {
        Comparison::Equal(EqualityBasis::SizeAndTime)
    }
}

/// Listings do not tell encryption: under SSE-KMS what looks like an MD5 is none. So unequal ones decide nothing yet.
pub(super) fn is_open(verdict: Comparison) -> bool {
    matches!(
        verdict,
        Comparison::Differs(Difference::Etag | Difference::Newer) | Comparison::Equal(EqualityBasis::SizeAndTime)
    )
}

/// Equal ETags mean equal bytes; two that are missing mean nothing.
pub fn same_etag(here: &str, there: &str) -> bool {
    !here.is_empty() && here == there
}

fn is_md5(etag: &str) -> bool {
    etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What the ledger recorded, and both listings still show.
pub fn by_ledger(record: &LedgerRecord, here: &Listed, there: &Listed) -> bool {
    let Some(published) = record.published.as_ref().filter(|_| record.ended) else { return false };
    let known = &published.identity;
    same_etag(&known.etag, &here.etag)
        && known.size == here.size
        && (known.last_modified - here.last_modified).abs() <= ROUNDING
        && there.size == here.size
        && there.revision.as_ref() == Some(&published.revision)
}
