//! What the dead letters of every queue keep.

use std::sync::Arc;
use std::time::Duration;

use skyferry_core::queue::{DeadLetter, DeadLetters, Queue, Receipt};

/// A queue and its dead letters: fresh and empty.
pub struct Subject {
    pub queue: Arc<dyn Queue>,
    pub letters: Arc<dyn DeadLetters>,
    /// What keeps the peer alive.
    pub _keep: Box<dyn Send>,
}

impl Subject {
    async fn park(&self, bodies: &[&str]) {
        for body in bodies {
            self.queue.park(body, &format!("because of {body}")).await.expect("parked");
        }
    }

    /// All that can be taken now, by their bodies.
    async fn taken(&self) -> Vec<DeadLetter> {
        let mut all = Vec::new();
        loop {
            let letters = self.letters.receive_letters(10).await.expect("taken");
            if letters.is_empty() {
                all.sort_by(|a: &DeadLetter, b| a.body.cmp(&b.body));
                return all;
            }
            all.extend(letters);
        }
    }

    async fn visible(&self) -> u64 {
        self.letters.depth().await.expect("a depth").visible
    }
}

fn bodies(letters: &[DeadLetter]) -> Vec<&str> {
    letters.iter().map(|letter| &*letter.body).collect()
}

pub async fn a_parked_message_is_taken_once_with_its_reason(on: Subject) {
    assert!(on.taken().await.is_empty(), "none is no error");
    let many: Vec<String> = (10..33).map(|n| format!("body {n}")).collect();
    on.park(&many.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let letters = on.taken().await;
    assert_eq!(bodies(&letters), many);
    assert_eq!(letters[0].reason.as_deref(), Some("because of body 10"));
    assert!(letters[0].sent.elapsed().unwrap_or_default() < Duration::from_secs(60));
}

pub async fn a_letter_that_is_given_back_can_be_taken_again_at_once(on: Subject) {
    on.park(&["a", "b"]).await;
    let receipts: Vec<Receipt> = on.taken().await.into_iter().map(|letter| letter.receipt).collect();
    on.letters.release_letters(&receipts).await.expect("given back");
    assert_eq!(on.visible().await, 2);
    assert_eq!(bodies(&on.taken().await), ["a", "b"]);
}

pub async fn a_redriven_letter_is_a_message_again_and_the_others_stay_letters(on: Subject) {
    on.park(&["a", "b", "c"]).await;
    let letters = on.taken().await;
    on.letters.redrive_letters(&letters[..2]).await.expect("redriven");
    let mut messages = on.queue.receive(10, Duration::from_secs(5)).await.expect("received");
    if messages.len() < 2 {
        messages.extend(on.queue.receive(10, Duration::from_secs(5)).await.expect("received"));
    }
    let mut got: Vec<&str> = messages.iter().map(|message| &*message.body).collect();
    got.sort_unstable();
    assert_eq!(got, ["a", "b"]);
    on.letters.release_letters(&[letters[2].receipt.clone()]).await.expect("given back");
    assert_eq!(bodies(&on.taken().await), ["c"]);
}

pub async fn a_discarded_letter_is_gone(on: Subject) {
    on.park(&["a", "b"]).await;
    let letters = on.taken().await;
    on.letters.delete_letters(&letters[..1]).await.expect("discarded");
    on.letters.release_letters(&[letters[1].receipt.clone()]).await.expect("given back");
    assert_eq!(bodies(&on.taken().await), ["b"]);
    assert!(on.queue.depth().await.expect("a depth").is_empty());
}
