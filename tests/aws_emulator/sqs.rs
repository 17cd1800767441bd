//! SQS beyond the contract of queues: what it refuses, what goes in one request, what a dead letter holds.

use std::sync::Arc;
use std::time::Duration;

use sandbox::{Direction, Ministack, Proxy, Wire};
use serde_json::json;
use skyferry_aws::sqs::{QueueName, Sqs, SqsOptions};
use skyferry_core::queue::{Queue, QueueError};
use skyferry_providers::Cached;

use fixture::{CLOUD_KEYS, eventually};

const WAIT: Duration = Duration::from_secs(5);

async fn open(endpoint: String, queue: QueueName) -> Result<Sqs, QueueError> {
    Sqs::open(SqsOptions { queue, region: None, endpoint: Some(endpoint) }, Arc::new(Cached::new(CLOUD_KEYS))).await
}

async fn list(stack: &Ministack) -> Sqs {
    stack.create_queue_with_dead_letters("list", 30, 5).await.expect("a queue");
    open(stack.endpoint(), QueueName::Name("list".into())).await.expect("opened")
}

fn unusable<T>(answer: Result<T, QueueError>) -> String {
    match answer {
        Err(error @ QueueError::Unusable { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it works"),
    }
}

#[tokio::test]
async fn a_queue_tells_its_own_settings_on_ministack() {
    let stack = Ministack::start().await.expect("ministack");
    let queue = list(&stack).await;
    let traits = queue.traits();
    assert_eq!((traits.visibility, traits.max_receives), (Duration::from_secs(30), Some(5)));
    assert_eq!((traits.retention, traits.dead_letters.as_deref()), (Duration::from_secs(345_600), Some("list-dead")));
    let by_url = open(stack.endpoint(), QueueName::Url(stack.queue_url("list"))).await.expect("opened by its URL");
    by_url.send(&["a".into()]).await.expect("sent");
    assert_eq!(queue.receive(1, WAIT).await.expect("received").len(), 1, "one queue");
    let bare = SqsOptions { queue: QueueName::Url(stack.queue_url("list")), region: None, endpoint: None };
    Sqs::open(bare, Arc::new(Cached::new(CLOUD_KEYS))).await.expect("a URL of one's own is its endpoint");
    stack.create_queue("eager", &[("VisibilityTimeout", "43200".into())]).await.expect("a queue");
    let eager = open(stack.endpoint(), QueueName::Name("eager".into())).await.expect("opened");
    assert_eq!(eager.traits().visibility, Duration::from_secs(3600), "no longer than a heartbeat needs");
}

#[tokio::test]
async fn queues_that_cannot_work_are_refused_with_advice_on_ministack() {
    let stack = Ministack::start().await.expect("ministack");
    stack.create_queue("list.fifo", &[("FifoQueue", "true".into())]).await.expect("a queue");
    let refused = async |queue| unusable(open(stack.endpoint(), queue).await);
    let fifo = refused(QueueName::Name("list.fifo".into())).await;
    assert!(fifo.contains("FIFO") && fifo.contains("standard"), "{fifo}");
    let missing = refused(QueueName::Name("lost".into())).await;
    assert!(missing.contains("lost") && missing.contains("region"), "{missing}");
    let url = format!("{}/123456789012/theirs", stack.endpoint());
    let theirs = refused(QueueName::Url(url.clone())).await;
    assert!(theirs.contains(&url) && theirs.contains("policy"), "{theirs}");
}

#[tokio::test]
async fn an_outage_is_weather_and_then_it_is_over_on_ministack() {
    let stack = Ministack::start().await.expect("ministack");
    list(&stack).await;
    let proxy = Proxy::start(stack.address()).expect("a proxy");
    let queue = open(proxy.endpoint(), QueueName::Name("list".into())).await.expect("opened");
    proxy.set_open(false);
    proxy.cut_all();
    let answer = queue.receive(1, Duration::ZERO).await;
    assert!(matches!(answer, Err(QueueError::Unavailable { .. })), "{answer:?}");
    proxy.set_open(true);
    queue.send(&["a".into()]).await.expect("sent");
    assert_eq!(queue.receive(1, WAIT).await.expect("received").len(), 1);
}

#[tokio::test]
async fn deletions_of_many_go_ten_in_a_request_on_ministack() {
    let stack = Ministack::start().await.expect("ministack");
    list(&stack).await;
    let proxy = Proxy::start(stack.address()).expect("a proxy");
    let queue = open(proxy.endpoint(), QueueName::Name("list".into())).await.expect("opened");
    let bodies: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    queue.send(&bodies).await.expect("sent");
    let mut messages = Vec::new();
    while messages.len() < bodies.len() {
        messages.extend(queue.receive(10, WAIT).await.expect("received"));
    }
    let before = proxy.counts().up;
    queue.delete(&messages[0].receipt).await.expect("deleted");
    let one = proxy.counts().up - before;
    let deletes = messages[1..].iter().map(|message| queue.delete(&message.receipt));
    for deleted in futures_util::future::join_all(deletes).await {
        deleted.expect("deleted");
    }
    let many = proxy.counts().up - before - one;
    assert!(many < one * 39 / 3, "{one} bytes for one, {many} for 39: they were put together");
    assert!(queue.depth().await.expect("told").is_empty());
}

#[tokio::test]
async fn one_client_serves_many_long_polls_and_a_deletion_beside_on_ministack() {
    let stack = Ministack::start().await.expect("ministack");
    let queue = Arc::new(list(&stack).await);
    queue.send(&["a".into()]).await.expect("sent");
    let message = queue.receive(1, WAIT).await.expect("received").remove(0);
    let polls: Vec<_> = (0..30)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.receive(10, Duration::from_secs(4)).await })
        })
        .collect();
    let started = std::time::Instant::now();
    queue.delete(&message.receipt).await.expect("deleted");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    for poll in polls {
        assert!(poll.await.expect("no panic").expect("received").is_empty());
    }
    assert!(started.elapsed() < Duration::from_secs(8), "all at once: {:?}", started.elapsed());
}

#[tokio::test]
async fn a_deletion_whose_answer_is_lost_ends_the_message_on_ministack() {
    let stack = Ministack::start().await.expect("ministack");
    list(&stack).await;
    let proxy = Proxy::start(stack.address()).expect("a proxy");
    let queue = open(proxy.endpoint(), QueueName::Name("list".into())).await.expect("opened");
    queue.send(&["a".into()]).await.expect("sent");
    let message = queue.receive(1, WAIT).await.expect("received").remove(0);
    proxy.cut_all();
    let next = proxy.counts().connections;
    proxy.script(next..=next, Direction::Down, Wire::Cut(1));
    // To ministack the second attempt's receipt is none; to SQS it is one that is deleted.
    let answer = queue.delete(&message.receipt).await;
    assert!(matches!(answer, Ok(()) | Err(QueueError::LeaseLost)), "{answer:?}");
    assert!(queue.depth().await.expect("told").is_empty());
}

#[tokio::test]
async fn a_dead_letter_keeps_every_character_and_says_why_on_ministack() {
    let stack = Ministack::start().await.expect("ministack");
    let queue = list(&stack).await;
    let body = json!({ "Src_bucket": "b", "Src_key": "odd \u{fffe}\u{ffff} 你" }).to_string();
    queue.park(&body, &format!("because \u{1} {}", "of it ".repeat(500))).await.expect("parked");
    let letters = stack.peek("list-dead").await.expect("peeked");
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    let read: serde_json::Value = serde_json::from_str(letter["Body"].as_str().expect("a body")).expect("JSON");
    assert_eq!(read["Src_key"], "odd \u{fffe}\u{ffff} 你");
    let reason = letter["MessageAttributes"]["SkyferryReason"]["StringValue"].as_str().expect("a reason");
    assert!(reason.starts_with("because \u{fffd} of it") && reason.len() <= 1000, "{reason}");
}

#[tokio::test]
async fn a_body_as_large_as_the_queue_takes_is_parked_and_large_ones_are_sent_apart_on_ministack() {
    let stack = Ministack::start().await.expect("ministack");
    let queue = list(&stack).await;
    queue.park(&"x".repeat(1 << 20), "too odd").await.expect("parked, without its reason where there is no room");
    assert_eq!(stack.depth("list-dead").await.expect("told")[0], 1);
    let bodies: Vec<String> = (0..9).map(|n| n.to_string().repeat(200 << 10)).collect();
    queue.send(&bodies).await.expect("sent");
    eventually("all are there", WAIT, async || queue.depth().await.is_ok_and(|depth| depth.visible == 9)).await;
    let answer = unusable(queue.send(&["x".repeat(2 << 20)]).await);
    assert!(answer.contains("MaximumMessageSize") || answer.contains("refused"), "{answer}");
}
