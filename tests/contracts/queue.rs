//! What every queue keeps. Times come in units of the implementation's own `tick`, since SQS counts in whole seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skyferry_core::queue::{Message, Queue, QueueError, Receipt};

/// Where peers are less strict than the service that they stand for.
pub struct Can {
    /// A delivery whose visibility has ended cannot be extended, also while nobody else has received the message. SQS says
    /// so (`MessageNotInflight`); ministack takes it, and hides the message again.
    pub ends_with_visibility: bool,
    /// A receipt can be deleted again. SQS takes that; to ministack it is a receipt that was never given.
    pub deletes_again: bool,
}

impl Can {
    pub const ALL: Can = Can { ends_with_visibility: true, deletes_again: true };
}

/// A queue under test: fresh, empty, its visibility `4 * tick`.
pub struct Subject {
    pub queue: Arc<dyn Queue>,
    pub tick: Duration,
    /// How long a long poll may take to see what is there.
    pub patience: Duration,
    pub can: Can,
    /// What keeps the peer alive.
    pub _keep: Box<dyn Send>,
}

impl Subject {
    async fn send(&self, body: &str) {
        self.queue.send(&[body.to_string()]).await.expect("sent");
    }
    async fn one(&self) -> Message {
        let mut messages = self.queue.receive(1, self.patience).await.expect("received");
        assert_eq!(messages.len(), 1, "one message within the patience");
        messages.remove(0)
    }
    async fn none_within(&self, wait: Duration) {
        let messages = self.queue.receive(1, wait).await.expect("received");
        assert!(messages.is_empty(), "unexpected: {messages:?}");
    }
}

pub async fn a_sent_message_is_received_once_with_its_body_and_count(on: Subject) {
    on.send("héllo\n\"{}\"").await;
    let message = on.one().await;
    assert_eq!((&*message.body, message.received), ("héllo\n\"{}\"", 1));
    let age = message.sent.elapsed().unwrap_or_default();
    assert!(age < Duration::from_secs(60), "{age:?}");
    on.none_within(on.tick).await;
}

pub async fn a_batch_arrives_whole_whatever_its_size(on: Subject) {
    let bodies: Vec<String> = (0..23).map(|n| format!("body {n}")).collect();
    on.queue.send(&bodies).await.expect("sent");
    let mut got = Vec::new();
    while got.len() < bodies.len() {
        let messages = on.queue.receive(10, on.patience).await.expect("received");
        assert!((1..=10).contains(&messages.len()));
        for message in messages {
            on.queue.delete(&message.receipt).await.expect("deleted");
            got.push(message.body.to_string());
        }
    }
    got.sort();
    let mut bodies = bodies;
    bodies.sort();
    assert_eq!(got, bodies);
}

pub async fn an_empty_batch_is_no_error(on: Subject) {
    on.queue.send(&[]).await.expect("nothing to do");
    on.none_within(Duration::ZERO).await;
}

pub async fn a_message_that_nobody_ends_comes_back_when_its_visibility_ends(on: Subject) {
    on.send("a").await;
    let first = on.one().await;
    on.none_within(on.tick).await;
    let again = on.one().await;
    assert_eq!((again.id, again.received), (first.id, 2));
    assert_ne!(again.receipt, first.receipt);
}

pub async fn a_released_message_is_delivered_again_at_once(on: Subject) {
    on.send("a").await;
    let first = on.one().await;
    let started = Instant::now();
    on.queue.release(&first.receipt, Duration::ZERO).await.expect("released");
    assert_eq!(on.one().await.received, 2);
    assert!(started.elapsed() < on.tick * 3, "before its visibility would have ended");
}

pub async fn a_released_message_is_delivered_again_after_its_delay(on: Subject) {
    on.send("a").await;
    let first = on.one().await;
    let started = Instant::now();
    on.queue.release(&first.receipt, on.tick * 2).await.expect("released");
    assert_eq!(on.one().await.received, 2);
    assert!(started.elapsed() >= on.tick, "{:?}", started.elapsed());
}

pub async fn releasing_a_delivery_that_has_ended_is_no_error(on: Subject) {
    on.send("a").await;
    let message = on.one().await;
    on.queue.delete(&message.receipt).await.expect("deleted");
    on.queue.release(&message.receipt, Duration::ZERO).await.expect("no error");
    on.none_within(on.tick).await;
}

pub async fn an_extended_message_stays_invisible(on: Subject) {
    on.send("a").await;
    let message = on.one().await;
    on.queue.extend(&message.receipt, on.tick * 12).await.expect("extended");
    on.none_within(on.tick * 6).await;
}

pub async fn extending_a_deleted_message_tells_that_the_lease_is_lost(on: Subject) {
    on.send("a").await;
    let message = on.one().await;
    on.queue.delete(&message.receipt).await.expect("deleted");
    let answer = on.queue.extend(&message.receipt, on.tick).await;
    assert!(matches!(answer, Err(QueueError::LeaseLost)), "{answer:?}");
}

pub async fn extending_a_delivery_whose_visibility_has_ended_tells_that_the_lease_is_lost(on: Subject) {
    on.send("a").await;
    let message = on.one().await;
    tokio::time::sleep(on.tick * 5).await;
    let answer = on.queue.extend(&message.receipt, on.tick).await;
    match on.can.ends_with_visibility {
        true => assert!(matches!(answer, Err(QueueError::LeaseLost)), "{answer:?}"),
        false => answer.expect("a peer that is less strict takes it"),
    }
}

pub async fn a_deleted_message_never_comes_back(on: Subject) {
    on.send("a").await;
    let message = on.one().await;
    on.queue.delete(&message.receipt).await.expect("deleted");
    let again = on.queue.delete(&message.receipt).await;
    match on.can.deletes_again {
        true => again.expect("deleting again is no error"),
        false => assert!(matches!(again, Err(QueueError::LeaseLost)), "{again:?}"),
    }
    on.none_within(on.tick * 5).await;
}

pub async fn a_renewed_message_is_a_new_one_with_a_fresh_count(on: Subject) {
    on.send("a").await;
    on.queue.release(&on.one().await.receipt, Duration::ZERO).await.expect("released");
    let old = on.one().await;
    assert_eq!(old.received, 2);
    on.queue.renew(&old, "b", Duration::ZERO).await.expect("renewed");
    let new = on.one().await;
    assert_eq!((&*new.body, new.received), ("b", 1));
    assert_ne!(new.id, old.id);
    on.none_within(on.tick).await;
}

pub async fn a_renewed_message_waits_for_its_delay(on: Subject) {
    on.send("a").await;
    let old = on.one().await;
    let started = Instant::now();
    on.queue.renew(&old, "b", on.tick * 2).await.expect("renewed");
    assert_eq!(&*on.one().await.body, "b");
    assert!(started.elapsed() >= on.tick);
}

pub async fn parking_leaves_the_delivery_to_its_holder(on: Subject) {
    on.send("a").await;
    let message = on.one().await;
    on.queue.park("a", "the key is too long").await.expect("parked");
    if on.queue.traits().dead_letters.is_some() {
        assert_eq!(on.queue.dead_letters_waiting().await.expect("asked"), Some(1));
    }
    on.queue.extend(&message.receipt, on.tick * 4).await.expect("still held");
    on.queue.delete(&message.receipt).await.expect("deleted");
}

pub async fn a_long_poll_sees_a_message_that_is_sent_meanwhile(on: Subject) {
    let started = Instant::now();
    let (message, ()) = tokio::join!(on.one(), async {
        tokio::time::sleep(on.tick).await;
        on.send("late").await;
    });
    assert_eq!(&*message.body, "late");
    assert!(started.elapsed() >= on.tick);
}

pub async fn a_receive_that_finds_nothing_ends_with_its_wait(on: Subject) {
    let started = Instant::now();
    on.none_within(on.tick * 2).await;
    assert!(started.elapsed() >= on.tick);
}

pub async fn two_receivers_never_hold_one_message(on: Subject) {
    let bodies: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    on.queue.send(&bodies).await.expect("sent");
    let drain = || async {
        let mut got = Vec::new();
        loop {
            let messages = on.queue.receive(3, on.tick / 2).await.expect("received");
            if messages.is_empty() {
                return got;
            }
            for message in messages {
                on.queue.delete(&message.receipt).await.expect("deleted");
                got.push(message.body.to_string());
            }
        }
    };
    let (a, b, c) = tokio::join!(drain(), drain(), drain());
    let mut all = [a, b, c].concat();
    all.sort_by_key(|body| body.parse::<u32>().expect("a number"));
    assert_eq!(all, bodies);
}

pub async fn depth_tells_visible_in_flight_and_delayed_apart(on: Subject) {
    on.queue.send(&["a".into(), "b".into(), "c".into()]).await.expect("sent");
    let message = on.one().await;
    on.queue.release(&message.receipt, on.tick * 20).await.expect("released");
    let held = on.one().await;
    on.queue.extend(&held.receipt, on.tick * 20).await.expect("extended");
    let depth = on.queue.depth().await.expect("told");
    assert_eq!((depth.visible, depth.in_flight + depth.delayed), (1, 2), "{depth:?}");
    assert!(!depth.is_empty());
}

pub async fn a_receipt_that_was_never_given_is_refused(on: Subject) {
    on.send("a").await;
    let answer = on.queue.extend(&Receipt("nonsense".into()), on.tick).await;
    assert!(answer.is_err());
    assert_eq!(on.one().await.received, 1, "and does no harm");
}
