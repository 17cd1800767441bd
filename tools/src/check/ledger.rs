//! The ledger: that it answers, keeps what is written, and forgets what has ended.

use std::time::Duration;

use skyferry_agent::pause::Pause;
use skyferry_agent::wiring::{LedgerComponent, WiringError};
use skyferry_core::ledger::{Ledger, LedgerError, Subject};
use skyferry_core::model::{Location, Token};
use skyferry_core::route::Router;

use super::finding::Findings;

const FIRST_PAGE: Duration = Duration::from_secs(3);
/// The name of a note of its own.
const NOTE: &str = "check";
/// What rests on it.
const OF_THE_LEDGER: &[u8] = &[1, 4, 5, 6, 7, 8, 10];
/// By which items expire.
const EXPIRY: &str = "endTime";

pub async fn probe(
    opened: &Result<LedgerComponent, WiringError>,
    kept: bool,
    write: bool,
    findings: &mut Findings<'_>,
) {
    let LedgerComponent { ledger, table } = match opened {
        Ok(opened) => opened,
        Err(error) => {
            findings.about("ledger");
            return findings.fail("open", error, OF_THE_LEDGER);
        }
    };
    findings.about(format!("ledger {}", ledger.name()));
    if !kept {
        let advice = "name a table or a file under [ledger], unless weaker guarantees are sufficient";
        return findings.warn("kind", ("none: nothing is remembered", advice), OF_THE_LEDGER);
    }
    match Pause::read(&**ledger).await {
        Ok(None) => findings.pass("read", "nothing is paused"),
        Ok(Some(pause)) => findings.warn("read", (format!("the fleet is {pause}"), "`skyferry resume` ends it"), &[]),
        Err(error) => return findings.fail("read", (error.to_string(), ""), &[]),
    }
    if write {
        match written(&**ledger).await {
            Ok(true) => findings.pass("write", "compared and set"),
            Ok(false) => findings.warn("write", ("another check is running", "check again"), &[]),
            Err(error) => findings.fail("write", &error, &[]),
        }
    }
    if let Some(table) = table {
        let found = format!("{} items some hours ago", table.items);
        match table.expiry.as_deref() {
            Some(EXPIRY) => findings.pass("expiry", format!("by {EXPIRY}; {found}")),
            Some(other) => {
                let advice = "records are never deleted: let the table expire by endTime";
                findings.warn("expiry", (format!("by {other} instead of {EXPIRY}; {found}"), advice), &[]);
            }
            None => {
                let advice = "records are never deleted: `skyferry table create` switches expiry on";
                findings.warn("expiry", (format!("none; {found}"), advice), &[]);
            }
        }
    }
}

async fn written(ledger: &dyn Ledger) -> Result<bool, LedgerError> {
    let value = Token::random().to_string();
    let old = ledger.note(NOTE).await?;
    let set = ledger.set_note(NOTE, old.as_deref(), Some(value.as_bytes())).await?;
    Ok(set && ledger.set_note(NOTE, Some(value.as_bytes()), None).await?)
}

/// What single objects do not need: many records at once, and the uploads of a whole bucket.
pub async fn check_permissions(ledger: &dyn Ledger, router: &Router, findings: &mut Findings<'_>) {
    findings.about(format!("ledger {}", ledger.name()));
    let subject = Subject::unrouted(Location::new("skyferry-check", "skyferry-check"), None);
    if let Err(error) = ledger.lookup_all(&[subject.clone(), subject]).await {
        findings.fail("read many", &error, &[]);
    }
    let Some(route) = router.routes().first() else { return };
    // The first page tells; the whole table may be large.
    if let Ok(Err(error)) = tokio::time::timeout(FIRST_PAGE, ledger.open_uploads(&route.bucket)).await {
        findings.fail("uploads", &error, &[10]);
    }
}
