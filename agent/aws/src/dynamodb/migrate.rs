//! Records of today's and yesterday's tables that several destinations of one source share. The record named `bucket/key`
//! is the first destination's now; what it holds of another one moves to that one's own record, once, when that one
//! begins for the first time.
//!
//! **Order.** The new record is begun, then the writers are taken out of the shared one (which fences them: a writer needs
//! its attribute), then they are put into the new one. A crash between the last two loses hints and no truth: the
//! destination is looked at, for the new record is known by then, and an upload that nobody recalls is found by listing.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use super::item::{self, Item, TimeStamps};
use super::requests::UpdateError;
use super::update_expression::{UpdateExpression, number, text};
use super::{DynamoLedger, KEPT, LedgerError, Subject, record_key};
use skyferry_core::model::Writer;

/// What is said of the destination that a record names, and of no other.
const OF_THE_NAMED: [&str; 3] = ["sfOutcome", "sfReason", "sfFailures"];
/// How often a shared record is read again because somebody has begun on it meanwhile.
const ATTEMPTS: usize = 5;

impl DynamoLedger {
    /// The past of a destination whose own record has just been begun, where that is not the first of its source.
    pub(super) async fn migrate(&self, subject: &Subject, key: &str) -> Result<Item, LedgerError> {
        if subject.primary || subject.destination.bucket.is_empty() {
            return Ok(Item::new(HashMap::new()));
        }
        for _ in 0..ATTEMPTS {
            let Some(shared) = self.item(&record_key::first_destination_key(subject)).await? else { break };
            let carried = shared_attributes(&shared, subject);
            if carried.is_empty() && !shared.names(subject) {
                break;
            }
            if !self.remove_from_shared(&shared, subject).await? {
                continue;
            }
            if !carried.is_empty() {
                let mut change = UpdateExpression::default();
                carried.iter().for_each(|(name, value)| change.set_once(name, value.clone()));
                self.update(key, change, ReturnValue::None).await.map_err(UpdateError::into_error)?;
            }
            return Ok(Item::new(item::destination_attributes(subject)).with(carried));
        }
        Ok(Item::new(HashMap::new()))
    }

    /// `false`: somebody has begun on it since it was read.
    async fn remove_from_shared(&self, shared: &Item, subject: &Subject) -> Result<bool, LedgerError> {
        let mut change = UpdateExpression::default();
        let (mine, others): (Vec<_>, Vec<_>) = shared.open().into_iter().partition(|open| open.is_of(subject));
        mine.iter().for_each(|open| change.remove(&[&open.attribute]));
        if shared.published(subject).is_some() {
            ["sfPublished", "sfProof"].iter().for_each(|name| change.remove(&[name]));
        }
        if shared.names(subject) {
            OF_THE_NAMED.iter().for_each(|name| change.remove(&[name]));
            if others.is_empty() {
                change.set(&["endTime"], number(TimeStamps::now(self.times).epoch + KEPT.as_secs()));
            }
        }
        match shared.last_writer() {
            Some(writer) => change.require_equal(&["sfWriter"], text(&writer.to_string())),
            None => change.require_missing(&["sfWriter"]),
        }
        match self.update(&record_key::first_destination_key(subject), change, ReturnValue::None).await {
            Ok(_) => Ok(true),
            Err(UpdateError::Condition { .. }) => Ok(false),
            Err(UpdateError::Other(error)) => Err(error),
        }
    }

    /// A record that named another destination is the subject's from now on: how that one ended is not how this one did.
    pub(super) async fn rename(&self, subject: &Subject, key: &str, writer: Writer, before: &Item) {
        if before.names(subject) || !OF_THE_NAMED.iter().any(|name| before.attribute(name).is_some()) {
            return;
        }
        let mut change = UpdateExpression::default();
        OF_THE_NAMED.iter().for_each(|name| change.remove(&[name]));
        change.require_equal(&["sfWriter"], text(&writer.to_string()));
        self.update_best_effort(key, change).await;
    }
}

/// What a shared record holds of the subject's destination.
fn shared_attributes(shared: &Item, subject: &Subject) -> HashMap<String, AttributeValue> {
    let open = shared.open().into_iter().filter(|open| open.is_of(subject));
    let mut names: Vec<String> = open.map(|open| open.attribute).collect();
    let of = |some: &[&'static str]| some.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    if !names.is_empty() {
        names.extend(of(&["sfParts"]));
    }
    if shared.published(subject).is_some() {
        names.extend(of(&["sfPublished", "sfProof"]));
    }
    if shared.names(subject) {
        names.extend(of(&OF_THE_NAMED));
    }
    names.into_iter().filter_map(|name| Some((name.clone(), shared.attribute(&name)?.clone()))).collect()
}
