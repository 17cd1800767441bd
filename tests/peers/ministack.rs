//! ministack, started and ended by the sandbox: a put object becomes an event in a queue.

use sandbox::Ministack;
use tokio::net::TcpStream;

#[tokio::test]
async fn ministack_sends_events_to_its_queues_and_ends_with_its_owner() {
    let stack = Ministack::start().await.unwrap();
    stack.create_queue_with_dead_letters("events", 30, 3).await.unwrap();
    stack.create_bucket_with_events("photos", "events").await.unwrap();
    stack.put_object("/photos/a%20b", "hello").await.unwrap();
    // The event follows the answer to the PUT, sooner or later.
    let mut bodies: Vec<String> = Vec::new();
    for _ in 0..100 {
        bodies.extend(stack.peek("events").await.unwrap().iter().map(|m| m["Body"].to_string()));
        if bodies.len() >= 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(bodies.iter().any(|body| body.contains("s3:TestEvent")), "{bodies:?}");
    assert!(bodies.iter().any(|body| body.contains("ObjectCreated:Put") && body.contains("a+b")), "{bodies:?}");
    assert_eq!(stack.depth("events").await.unwrap()[1], bodies.len() as u64);
    let address = stack.address();
    drop(stack);
    assert!(TcpStream::connect(address).await.is_err());
}
