mod receives;

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::shutdown::ShutdownReason;
use skyferry_core::queue::QueueTraits;
use skyferry_sqlite::SqliteFile;

const STEADY: Duration = Duration::from_millis(100);
const EMPTY: DrainUntil = DrainUntil::Empty { steady: STEADY };

/// An embedded queue with so many messages, and a drain's other half.
struct Bench {
    queue: Arc<dyn Queue>,
    metrics: Arc<Metrics>,
    breaker: Arc<Breaker>,
    shutdown: Shutdown,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn new(messages: usize) -> Bench {
        let dir = tempfile::tempdir().expect("a directory");
        let traits = QueueTraits {
            visibility: Duration::from_millis(600),
            retention: Duration::from_secs(3600),
            max_receives: None,
            dead_letters: None,
        };
        let file = SqliteFile::open(&dir.path().join("state")).expect("opened");
        let queue: Arc<dyn Queue> = Arc::new(file.queue("q", traits).await.expect("a queue"));
        let bodies: Vec<String> = (0..messages).map(|n| n.to_string()).collect();
        queue.send(&bodies).await.expect("sent");
        let (metrics, breaker, shutdown) = (Arc::default(), Arc::default(), Shutdown::default());
        Bench { queue, metrics, breaker, shutdown, _dir: dir }
    }

    fn drain(&self, objects: usize, work: JobRunner) -> Drain {
        let limiter = Arc::new(Limiter::new(64 << 20, 0).with_objects(objects));
        let (breaker, metrics) = (self.breaker.clone(), self.metrics.clone());
        Drain::new(self.queue.clone(), limiter, breaker, PauseWatch::default(), metrics, work)
    }

    async fn left(&self) -> u64 {
        let depth = self.queue.depth().await.expect("a depth");
        depth.visible + depth.in_flight + depth.delayed
    }
}

/// A job as a function of the message and `stop`; `true` deletes the message, `false` gives it back at once.
fn work<F>(queue: &Arc<dyn Queue>, job: impl Fn(Message, CancellationToken) -> F + Send + Sync + 'static) -> JobRunner
where
    F: Future<Output = bool> + Send + 'static,
{
    let queue = queue.clone();
    Arc::new(move |message, lease, _cancelled, stop| {
        let (queue, receipt, job) = (queue.clone(), message.receipt.clone(), job(message, stop));
        Box::pin(async move {
            let done = job.await;
            lease.end().await;
            let _ = if done { queue.delete(&receipt).await } else { queue.release(&receipt, Duration::ZERO).await };
        })
    })
}

#[tokio::test]
async fn until_empty_ends_when_every_message_has_ended() {
    let bench = Bench::new(57).await;
    let most = Arc::new(AtomicUsize::new(0));
    let (seen, metrics) = (most.clone(), bench.metrics.clone());
    let job = work(&bench.queue, move |_, _| {
        seen.fetch_max(metrics.inflight_objects.get() as usize, Relaxed);
        async { true }
    });
    let drained = bench.drain(8, job).run(EMPTY, bench.shutdown.clone()).await;
    assert_eq!((drained, bench.left().await), (DrainReport::default(), 0));
    assert!((1..=8).contains(&most.load(Relaxed)), "no more than there is room for");
    assert_eq!(bench.metrics.inflight_objects.get(), 0);
}

#[tokio::test]
async fn until_empty_waits_for_a_delayed_message() {
    let bench = Bench::new(1).await;
    let first = bench.queue.receive(1, Duration::ZERO).await.expect("received").remove(0);
    bench.queue.release(&first.receipt, STEADY * 4).await.expect("released");
    bench.drain(8, work(&bench.queue, |_, _| async { true })).run(EMPTY, bench.shutdown.clone()).await;
    assert_eq!(bench.left().await, 0);
}

#[tokio::test]
async fn a_panicking_job_takes_no_other_with_it_and_its_message_comes_back() {
    let bench = Bench::new(20).await;
    let job = work(&bench.queue, |message, _| async move {
        assert!(message.received > 1 || *message.body != *"7", "a defect");
        true
    });
    let drained = bench.drain(8, job).run(EMPTY, bench.shutdown.clone()).await;
    assert_eq!((drained, bench.left().await), (DrainReport { panicked: 1, aborted: 0 }, 0));
}

#[tokio::test]
async fn a_stop_reaches_the_jobs_and_nothing_more_is_received() {
    let bench = Bench::new(30).await;
    let (shutdown, seen) = (bench.shutdown.clone(), Arc::new(Mutex::new(Vec::new())));
    let bodies = seen.clone();
    let job = work(&bench.queue, move |message, stop| {
        bodies.lock().unwrap().push(message.body);
        if shutdown.reason().is_none() {
            shutdown.request(ShutdownReason::Terminate);
        }
        async move {
            stop.cancelled().await;
            false
        }
    });
    let begun = Instant::now();
    let drained = bench.drain(8, job).run(DrainUntil::Stopped, bench.shutdown.clone()).await;
    assert_eq!((drained, bench.left().await), (DrainReport::default(), 30));
    assert!(seen.lock().unwrap().len() <= 8 && begun.elapsed() < Duration::from_secs(5));
    let again = bench.queue.receive(10, Duration::ZERO).await.expect("received");
    assert_eq!(again.len(), 10, "visible at once");
}

#[tokio::test]
async fn an_idle_agent_stops_within_seconds() {
    let bench = Bench::new(0).await;
    let drain = bench.drain(8, work(&bench.queue, |_, _| async { true }));
    let running = tokio::spawn(drain.run(DrainUntil::Stopped, bench.shutdown.clone()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    bench.shutdown.request(ShutdownReason::Terminate);
    tokio::time::timeout(Duration::from_secs(3), running).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn a_message_that_arrives_while_draining_is_given_back_at_once() {
    let bench = Bench::new(0).await;
    let worked = Arc::new(AtomicBool::new(false));
    let seen = worked.clone();
    let job = work(&bench.queue, move |_, _| {
        seen.store(true, Relaxed);
        async { true }
    });
    let running = tokio::spawn(bench.drain(8, job).run(DrainUntil::Stopped, bench.shutdown.clone()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    bench.shutdown.request(ShutdownReason::Terminate);
    bench.queue.send(&["late".into()]).await.expect("sent");
    running.await.expect("no panic");
    let again = bench.queue.receive(1, Duration::ZERO).await.expect("received");
    assert!(again.len() == 1 && !worked.load(Relaxed));
}

#[tokio::test]
async fn a_second_request_gives_up_at_once() {
    let bench = Bench::new(3).await;
    let shutdown = bench.shutdown.clone();
    let job = work(&bench.queue, move |_, _| {
        shutdown.request(ShutdownReason::Interrupt);
        std::future::pending()
    });
    let running = bench.drain(8, job).run(DrainUntil::Stopped, bench.shutdown.clone());
    let drained = tokio::time::timeout(Duration::from_secs(3), running).await.expect("in time");
    assert!(drained.aborted > 0, "jobs that never end are given up");
    assert_eq!(bench.left().await, 3);
}

#[tokio::test]
async fn in_an_outage_one_message_at_a_time_is_tried_and_a_success_lets_all_through() {
    let bench = Bench::new(40).await;
    let breaker = bench.breaker.clone();
    let (denied, tried) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (door, tries) = (denied.clone(), tried.clone());
    let job = work(&bench.queue, move |_, _| {
        tries.fetch_add(1, Relaxed);
        let open = !door.load(Relaxed);
        match open {
            true => breaker.succeeded(Channel::DestinationWrites),
            false => breaker.failed(Channel::DestinationWrites, "denied"),
        }
        async move { open }
    });
    let running = tokio::spawn(bench.drain(8, job).run(EMPTY, bench.shutdown.clone()));
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(tried.load(Relaxed) <= 16, "{tried:?}");
    assert_eq!((bench.breaker.outage().map(|o| o.channel), bench.left().await), (Some(Channel::DestinationWrites), 40));
    denied.store(false, Relaxed);
    assert_eq!(running.await.expect("no panic"), DrainReport::default());
    assert_eq!((bench.breaker.outage(), bench.left().await), (None, 0));
}
