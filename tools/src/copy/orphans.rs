//! Uploads that a kill or a lost answer left behind without anybody knowing their id: between the request that began them
//! and the ledger's record of it.
//!
//! Found by listing when all work is done, and ended only where everything says that they are this state's own: the key is
//! one that it has written, no writer has recorded the upload, and it began after this state's work did.

use std::time::{Duration, SystemTime};

use skyferry_agent::error::CopyError;
use skyferry_agent::ledger::{Ledger, Subject};
use skyferry_agent::object::{Key, Location};
use skyferry_agent::store::Sink;

use super::pages::Place;

/// By how much this clock and the destination's may differ.
const SKEW: Duration = Duration::from_secs(60);

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// How many were ended. `began`: when the work did.
pub async fn end(sink: &dyn Sink, ledger: &dyn Ledger, from: &Place, to: &Place, began: i64) -> anyhow::Result<usize> {
    let open = sink.uploads(&to.bucket, &to.prefix).await?;
    let known = ledger.open_uploads(&to.bucket).await?;
    let oldest = began - SKEW.as_secs() as i64;
    let mut ended = 0;
    for upload in open.into_iter().filter(|upload| upload.initiated >= oldest && !known.contains(&upload.id)) {
        let Some(rest) = upload.key.as_bytes().strip_prefix(to.prefix.as_bytes()) else { continue };
        let destination = Location::new(to.bucket.as_str(), upload.key.clone());
        let source = Location::new(from.bucket.as_str(), Key::new([from.prefix.as_bytes(), rest].concat()));
        let subject = Subject { source, destination: destination.clone(), primary: true };
        if ledger.lookup(&subject).await?.is_some() {
            sink.abort(&destination, &upload.id).await?;
            ended += 1;
        }
    }
    Ok(ended)
}

/// A server that lists no uploads, or not to these keys, is not wrong.
pub fn is_unable(error: &anyhow::Error) -> bool {
    use skyferry_agent::error::Kind::{Denied, Refused};
    error.downcast_ref::<CopyError>().is_some_and(|error| matches!(error.kind, Denied | Refused))
}
