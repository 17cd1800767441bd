//! Two agents on one queue. While keys are overwritten and deleted at random, both are killed, frozen past their leases and
//! started again, and the far side delays and loses answers; in the end the destination is what the source is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sandbox::{Fault, Faults, ObjectInfo, Publication, Rule, S3Options, S3Peer, UploadInfo};
use skyferry_agent::janitor::SweepScope;
use tokio::process::{Child, Command};

use crate::fixture::{Fixture, SINK, SOURCE, eventually, program};

const TRANSFER: &str = "deletes = true\nmax_delete_share = \"100%\"";
const KEYS: usize = 2_000;
/// Every so many keys a multipart object.
const LARGE: usize = 100;
/// Shorter than the freezes, and than what a kill leaves open.
const VISIBILITY: u64 = 20;
const FREEZE: Duration = Duration::from_secs(25);
const TROUBLE: Duration = Duration::from_secs(45);
/// Writers that were killed are waited for, for as long as a hold, once and perhaps twice.
const SETTLED: Duration = Duration::from_secs(200);

/// Either destination, by its back door.
enum Far {
    Gcs,
    S3(S3Peer),
}

impl Far {
    fn faults<'a>(&'a self, fixture: &'a Fixture) -> &'a Faults {
        match self {
            Far::Gcs => fixture.gcs.faults(),
            Far::S3(peer) => peer.faults(),
        }
    }
    fn objects(&self, fixture: &Fixture) -> Vec<std::sync::Arc<ObjectInfo>> {
        match self {
            Far::Gcs => fixture.gcs.objects(SINK),
            Far::S3(peer) => peer.objects(SINK),
        }
    }
    fn publications(&self, fixture: &Fixture) -> Vec<Publication> {
        match self {
            Far::Gcs => fixture.gcs.publications(),
            Far::S3(peer) => peer.publications(),
        }
    }
    fn open_uploads(&self, fixture: &Fixture) -> Vec<UploadInfo> {
        match self {
            Far::Gcs => fixture.gcs.open_uploads(SINK),
            Far::S3(peer) => peer.open_uploads(SINK),
        }
    }
}

/// The source as it is, and every state that it ever had.
#[derive(Default)]
struct Source {
    now: BTreeMap<String, u32>,
    ever: BTreeMap<String, BTreeSet<u32>>,
}

impl Source {
    async fn put(&mut self, fixture: &Fixture, random: &mut StdRng, n: usize) {
        let key = format!("k{n:04}");
        let size = if n.is_multiple_of(LARGE) {
            (9 << 20) + random.random_range(0..4096)
        } else {
            random.random_range(0..6000)
        };
        let mut body = vec![0; size];
        random.fill(&mut body[..]);
        let sum = crc32c::crc32c(&body);
        fixture.cloud.put_object(&format!("/{SOURCE}/{key}"), body).await.expect("put");
        self.ever.entry(key.clone()).or_default().insert(sum);
        self.now.insert(key, sum);
    }

    async fn remove(&mut self, fixture: &Fixture, n: usize) {
        let key = format!("k{n:04}");
        fixture.cloud.s3(Method::DELETE, &format!("/{SOURCE}/{key}"), &[], Bytes::new()).await.expect("removed");
        self.now.remove(&key);
    }
}

struct Agents {
    settings: PathBuf,
    children: [Child; 2],
    kills: usize,
    freezes: usize,
}

impl Agents {
    fn start(settings: PathBuf) -> Agents {
        let children = [start(&settings), start(&settings)];
        Agents { settings, children, kills: 0, freezes: 0 }
    }

    fn signal(&self, which: usize, signal: Signal) {
        let id = self.children[which].id().expect("it runs");
        kill(Pid::from_raw(id as i32), signal).expect("a signal");
    }

    async fn kill(&mut self, which: usize) {
        self.children[which].kill().await.expect("killed");
        self.children[which] = start(&self.settings);
        self.kills += 1;
    }

    async fn end(mut self) {
        for which in 0..2 {
            self.signal(which, Signal::SIGTERM);
            let ended = tokio::time::timeout(Duration::from_secs(25), self.children[which].wait()).await;
            assert_eq!(ended.expect("out in time").expect("an end").code(), Some(143));
        }
    }
}

/// The released program, beside the tests.
fn start(settings: &PathBuf) -> Child {
    let program = program();
    let log = settings.with_extension(format!("{}.log", rand::random::<u32>()));
    Command::new(&program)
        .arg("--config")
        .arg(settings)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(log).expect("a log"))
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; tests/run builds it", program.display()))
}

fn fault(random: &mut StdRng) -> Fault {
    let ms = |ms| Duration::from_millis(ms);
    match random.random_range(0..7) {
        0 => Fault::LostAnswer,
        1 => Fault::LateAnswer(ms(random.random_range(10..1500))),
        2 => Fault::LateEffect(ms(random.random_range(10..3000))),
        3 => Fault::NoEffect,
        4 => Fault::RefuseAfterEffect { status: 500, code: "InternalError".into() },
        5 => Fault::Refuse { status: 503, code: "SlowDown".into(), retry_after: None },
        _ => Fault::Stall(ms(random.random_range(10..1500))),
    }
}

async fn two_agents(far: Far, section: String) {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let fixture = Fixture::new(VISIBILITY, 5).await;
    let settings = fixture.settings(&section, TRANSFER);
    let mut agents = Agents::start(settings);
    let mut source = Source::default();
    for n in 0..KEYS {
        source.put(&fixture, &mut random, n).await;
    }

    let started = Instant::now();
    let (mut frozen, mut next) = (None::<(usize, Instant)>, Instant::now());
    while started.elapsed() < TROUBLE {
        for _ in 0..10 {
            let n = random.random_range(0..KEYS);
            match random.random_range(0..4) {
                0 => source.remove(&fixture, n).await,
                _ => source.put(&fixture, &mut random, n).await,
            }
        }
        far.faults(&fixture).add(Rule::any(fault(&mut random)));
        if let Some((which, _)) = frozen.filter(|(_, until)| Instant::now() >= *until) {
            agents.signal(which, Signal::SIGCONT);
            frozen = None;
        }
        if Instant::now() >= next {
            next = Instant::now() + Duration::from_millis(random.random_range(500..4000));
            let which = random.random_range(0..2);
            if frozen.is_none() && agents.freezes < 1 + agents.kills / 4 {
                agents.signal(which, Signal::SIGSTOP);
                agents.freezes += 1;
                let long =
                    if agents.freezes == 1 { FREEZE } else { Duration::from_millis(random.random_range(100..5000)) };
                frozen = Some((which, Instant::now() + long));
            } else if frozen.is_none_or(|(other, _)| other != which) {
                agents.kill(which).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if let Some((which, until)) = frozen {
        tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
        agents.signal(which, Signal::SIGCONT);
    }
    far.faults(&fixture).clear();

    eventually("the backlog ends", SETTLED, async || {
        assert_eq!(fixture.dead_letters().await, 0, "nothing goes to the dead letters");
        fixture.messages().await == 0
    })
    .await;
    eprintln!("{} kills, {} freezes, {} faults met", agents.kills, agents.freezes, far.faults(&fixture).met());
    agents.end().await;

    let there: BTreeMap<String, u32> = far
        .objects(&fixture)
        .iter()
        .map(|info| (info.key.trim_start_matches("backup/").to_owned(), info.crc32c))
        .collect();
    assert!(there == source.now, "the destination is not the source:\n{}", differences(&there, &source.now));
    for Publication { key, object, .. } in far.publications(&fixture) {
        let ever = source.ever.get(key.trim_start_matches("backup/"));
        let right = object.as_ref().is_none_or(|info| ever.is_some_and(|ever| ever.contains(&info.crc32c)));
        assert!(right, "a state that never was: {object:?}");
    }
    // What a kill left between an upload's beginning and its record is found by listing.
    let agent = fixture.agent_with(&section, TRANSFER).await;
    let swept = agent.janitor().sweep(SweepScope::OlderThan(Duration::ZERO)).await.expect("swept");
    assert_eq!((swept.live, swept.foreign), (0, 0), "{swept:?}");
    assert!(far.open_uploads(&fixture).is_empty(), "an orphan");
    assert!(swept.aborted <= 20, "{} orphans: more than kills can explain", swept.aborted);
}

fn differences(there: &BTreeMap<String, u32>, source: &BTreeMap<String, u32>) -> String {
    let keys: BTreeSet<&String> = there.keys().chain(source.keys()).collect();
    let differing = keys.into_iter().filter(|key| there.get(*key) != source.get(*key));
    differing.map(|key| format!("{key}: {:?} instead of {:?}\n", there.get(key), source.get(key))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_that_are_killed_and_frozen_end_with_the_source_on_gcs() {
    two_agents(Far::Gcs, String::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_that_are_killed_and_frozen_end_with_the_source_on_s3() {
    let peer = S3Peer::start(S3Options { buckets: vec![SINK.into()], ..S3Options::default() }).expect("an S3 peer");
    let section = format!("kind = \"s3\"\nregion = \"us-east-1\"\nendpoint = \"{}\"", peer.endpoint());
    two_agents(Far::S3(peer), section).await;
}
