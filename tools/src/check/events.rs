//! Whether an object that is put at the source comes back as an event: what no setting can prove. An agent that works takes the
//! event first, and then the ledger tells; where none works the queue itself is looked into, but only if little else is in it:
//! every look counts as a receive, and too many send a message to the dead letters.

use std::time::Duration;

use skyferry_core::event::{self, ParsedMessage, ParsedRecord};
use skyferry_core::ledger::{Ledger, Subject};
use skyferry_core::model::{Expected, Location};
use skyferry_core::queue::{Message, Queue, QueueError};
use skyferry_core::store::{Payload, Sink};
use tokio::time::{Instant, sleep};

use super::finding::Findings;
use super::single::{attributes, body};

const LOOKS: u32 = 4;
/// One look takes so many.
const FEW: u64 = 10;
const PAUSE: Duration = Duration::from_secs(2);

/// What hears of the source, and for how long. S3 speaks of seconds, and at times takes more than a minute.
pub struct SubscribedQueue<'a> {
    pub queue: &'a dyn Queue,
    pub ledger: &'a dyn Ledger,
    pub patience: Duration,
}

pub async fn probe(written: &dyn Sink, subject: &Subject, listener: &SubscribedQueue<'_>, findings: &mut Findings<'_>) {
    let (what, at, body) = ("events", &subject.source, body(100));
    let spare = listener.queue.traits().max_receives.is_none_or(|most| most > 2 * LOOKS);
    let few = spare && listener.queue.depth().await.is_ok_and(|depth| depth.visible + depth.in_flight < FEW);
    let put = written
        .put(at, Payload::Whole(body.clone()), &attributes(at, &body, &Default::default()), &Expected::Any)
        .await;
    if let Err(error) = put {
        let advice = "these keys may not write there: omit --notification-probe, and upload an object by hand";
        return findings.warn(what, (error.to_string(), advice), &[]);
    }
    let started = Instant::now();
    let heard = tokio::select! {
        outcome = recorded(listener.ledger, subject) => Some(format!("an agent has {outcome} it")),
        true = received(listener, at), if few => Some("it is in the queue".to_owned()),
        () = sleep(listener.patience) => None,
    };
    match heard {
        Some(heard) => findings.pass(what, format!("of {at}: {heard}, after {:.0} s", started.elapsed().as_secs_f64())),
        None if few => {
            let advice = "set the bucket's notification (`skyferry trigger`) and the queue's policy";
            let found = format!("no event of {at} within {} s", listener.patience.as_secs());
            findings.fail(what, (found, advice), &[]);
        }
        None => {
            let advice = "let an agent process the backlog first, or check the bucket's notification";
            let found = format!(
                "no agent has reported {at} within {} s, and the queue is too full to search",
                listener.patience.as_secs()
            );
            findings.warn(what, (found, advice), &[]);
        }
    }
}

/// Until the ledger tells how it ended.
async fn recorded(ledger: &dyn Ledger, subject: &Subject) -> String {
    loop {
        if let Ok(Some(record)) = ledger.lookup(subject).await
            && let Some(outcome) = record.outcome
        {
            return outcome.to_string();
        }
        sleep(PAUSE).await;
    }
}

/// `false`: not within a few looks.
async fn received(SubscribedQueue { queue, patience, .. }: &SubscribedQueue<'_>, at: &Location) -> bool {
    for _ in 0..LOOKS {
        let messages = queue.receive(10, *patience / LOOKS).await.unwrap_or_default();
        let mut heard = false;
        for message in &messages {
            heard |= is_of(message, at);
            if let Err(error) = release(*queue, message, at).await {
                eprintln!("skyferry: {error}; the message becomes visible again by itself");
            }
        }
        if heard {
            return true;
        }
    }
    false
}

/// The probe's own is done with.
async fn release(queue: &dyn Queue, message: &Message, at: &Location) -> Result<(), QueueError> {
    match is_of(message, at) {
        true => queue.delete(&message.receipt).await,
        false => queue.release(&message.receipt, Duration::ZERO).await,
    }
}

/// It is about this object and no other.
fn is_of(message: &Message, at: &Location) -> bool {
    let ParsedMessage::Records(entries) = event::parse(message.body.as_bytes()) else { return false };
    !entries.is_empty()
        && entries.iter().all(|entry| matches!(entry, ParsedRecord::Record(record) if record.source == *at))
}
