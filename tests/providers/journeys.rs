//! Agents that live on these identities, in process between two stores: get on a machine of Google, put on one of Amazon,
//! and the notices that end them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fixture::build;
use sandbox::{Fault, GcsOptions, GcsPeer, Operation, Rule, S3Options, S3Peer};
use skyferry_agent::shutdown::{Shutdown, ShutdownReason};
use skyferry_agent::wiring::{Agent, RunUntil};
use skyferry_config::Settings;
use skyferry_core::metrics::{MetricsFormat, Summary};

use crate::{OnAmazon, OnGoogle, SECRET};

const PART: usize = 5 << 20;
const PARTS: usize = 4;

fn pair(id: &str, secret: &str, region: &str) -> String {
    format!(r#"{{"aws_access_key_id":"{id}","aws_secret_access_key":"{secret}","region":"{region}"}}"#)
}

/// Both clouds' machines, an S3 to read from, and where to write to: a GCS and an S3 that stands for China's.
struct World {
    google: OnGoogle,
    amazon: OnAmazon,
    s3: S3Peer,
    gcs: GcsPeer,
    china: S3Peer,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let (google, amazon) = (OnGoogle::start(), OnAmazon::start());
        let bucket = |name: &str| S3Options { buckets: vec![name.into()], ..S3Options::default() };
        let tokens = Some(google.metadata.mint());
        let gcs = GcsOptions { buckets: vec!["copies".into()], tokens, ..GcsOptions::default() };
        let side = |id, secret| pair(id, secret, "us-west-2");
        let (source, destination) =
            (side(S3Peer::ACCESS_ID, S3Peer::SECRET), side(GcsPeer::ACCESS_ID, GcsPeer::SECRET));
        google.secrets.add(SECRET, format!(r#"{{"source":{source},"destination":{destination}}}"#));
        amazon.metadata.set_key(S3Peer::ACCESS_ID, S3Peer::SECRET);
        amazon.keys.admit(S3Peer::ACCESS_ID);
        amazon.keys.put("s3_migration_credentials", &pair(S3Peer::ACCESS_ID, S3Peer::SECRET, "cn-northwest-1"));
        World {
            google,
            amazon,
            s3: S3Peer::start(bucket("photos")).expect("an S3"),
            gcs: GcsPeer::start(gcs).expect("a GCS"),
            china: S3Peer::start(bucket("copies")).expect("an S3"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// What a machine of both clouds would have in its environment.
    fn environment(&self) -> BTreeMap<String, String> {
        let named = |name: &str, value: String| (name.to_owned(), value);
        BTreeMap::from([
            named("GCE_METADATA_HOST", self.google.metadata.host()),
            named("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.amazon.metadata.endpoint()),
            named("AWS_ENDPOINT_URL_SSM", self.amazon.keys.endpoint()),
            named("AWS_ENDPOINT_URL_STS", self.amazon.keys.endpoint()),
        ])
    }

    fn settings(&self, credentials: &str, destination: &str) -> Settings {
        let text = format!(
            "{credentials}\n[queue]\nkind = \"embedded\"\n[ledger]\nkind = \"embedded\"\n[status]\nlisten = \"off\"\n\
             [source]\nregion = \"us-west-2\"\nendpoint = {:?}\n\
             [transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"\n\
             [destination]\nbucket = \"copies\"\nstorage_class = \"\"\n{destination}\n[[routes]]\nsource_bucket = \"photos\"\n",
            self.s3.endpoint()
        );
        Settings::parse(&self.folder.path().join("agent.toml"), &text, &self.environment()).expect("settings")
    }

    fn get(&self) -> Settings {
        let resource = format!("{SECRET}/versions/latest");
        let endpoint = self.google.secrets.endpoint();
        let credentials =
            format!("mode = \"get\"\n[credentials]\nsource = {{ resource = {resource:?}, endpoint = {endpoint:?} }}\n");
        self.settings(&credentials, &format!("endpoint = {:?}", self.gcs.endpoint()))
    }

    fn put(&self) -> Settings {
        self.settings("mode = \"put\"", &format!("kind = \"s3\"\nendpoint = {:?}", self.china.endpoint()))
    }

    /// Lets an agent drain one event of each key.
    async fn drain(&self, settings: &Settings, keys: &[&str]) -> Summary {
        let agent = build(settings).await;
        let bodies: Vec<String> = keys.iter().map(|key| created(key)).collect();
        agent.queue().send(&bodies).await.expect("sent");
        let run = agent.run(RunUntil::Empty, Shutdown::default());
        tokio::time::timeout(Duration::from_secs(60), run).await.expect("the queue empties").expect("a run").summary
    }
}

fn created(key: &str) -> String {
    fixture::created("photos", key)
}

#[tokio::test]
async fn get_lives_on_one_secret_for_both_sides() {
    let world = World::new();
    world.s3.set_object("photos", "a", b"from amazon").expect("an object");
    let summary = world.drain(&world.get(), &["a"]).await;
    assert_eq!((summary.copied, summary.parked), (1, 0));
    assert_eq!(world.gcs.read("copies", "a").expect("there"), b"from amazon");
    let agent = build(&world.get()).await;
    let output = agent.description().join("\n");
    assert!(output.contains("source: S3 at") && output.contains(&format!("Secret Manager {SECRET}")), "{output}");
    assert!(output.contains("(destination)") && !output.contains(GcsPeer::SECRET), "{output}");
    agent.check().await.expect("all there");
}

#[tokio::test]
async fn put_lives_on_the_machines_role_and_a_parameter() {
    let world = World::new();
    world.s3.set_object("photos", "a", b"to china").expect("an object");
    let summary = world.drain(&world.put(), &["a"]).await;
    assert_eq!((summary.copied, summary.parked), (1, 0));
    assert_eq!(world.china.read("copies", "a").expect("there"), b"to china");
    let output = build(&world.put()).await.description().join("\n");
    assert!(
        output.contains("the machine's own role") && output.contains("SSM parameter s3_migration_credentials"),
        "{output}"
    );
    assert!(output.contains("cn-northwest-1"), "{output}");
    assert_eq!(world.amazon.metadata.refused(), 0, "version 1 was asked");
}

#[tokio::test]
async fn no_key_at_all_is_needed_on_google() {
    let world = World::new();
    let role = "arn:aws:iam::123456789012:role/reader";
    world.amazon.keys.trust(role);
    world.s3.set_object("photos", "a", b"keyless").expect("an object");
    let credentials = format!(
        "[credentials]\nsource = {{ provider = \"web-identity\", role_arn = {role:?} }}\ndestination = \"google\"\n"
    );
    // The S3 peer knows one key, so the role's is checked by its own tests; here the Bearer token is what counts.
    let settings = world.settings(&credentials, &format!("endpoint = {:?}", world.gcs.endpoint()));
    let agent = build(&settings).await;
    agent.check().await.expect("both identities are there");
    let bearer = "[credentials]\nsource = \"instance\"\ndestination = \"google\"\n";
    let settings = world.settings(bearer, &format!("endpoint = {:?}", world.gcs.endpoint()));
    drop(agent);
    let summary = world.drain(&settings, &["a"]).await;
    assert_eq!((summary.copied, summary.parked), (1, 0));
    assert_eq!(world.gcs.read("copies", "a").expect("there"), b"keyless");
}

#[tokio::test]
async fn a_bearer_token_is_refused_where_amazon_would_get_it() {
    let world = World::new();
    let settings = world.settings(
        "[credentials]\nsource = \"instance\"\ndestination = \"google\"\n",
        &format!("kind = \"s3\"\nendpoint = {:?}", world.china.endpoint()),
    );
    let error = Agent::build(&settings).await.err().expect("refused").to_string();
    assert!(error.contains("destination") && error.contains("web-identity"), "{error}");
}

#[tokio::test]
async fn a_secret_rotated_in_mid_backlog_costs_no_message_and_no_restart() {
    let world = World::new();
    for key in ["a", "b"] {
        world.s3.set_object("photos", key, key.as_bytes()).expect("an object");
    }
    let wrong = pair("GOOG1EREVOKED", "revoked", "auto");
    let right = pair(GcsPeer::ACCESS_ID, GcsPeer::SECRET, "auto");
    let source = pair(S3Peer::ACCESS_ID, S3Peer::SECRET, "us-west-2");
    world.google.secrets.add(SECRET, format!(r#"{{"source":{source},"destination":{wrong}}}"#));
    let agent = build(&world.get()).await;
    let metrics = agent.metrics().clone();
    agent.queue().send(&[created("a"), created("b")]).await.expect("sent");
    let rotate = async {
        while metrics.summary().retries == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world.google.secrets.add(SECRET, format!(r#"{{"source":{source},"destination":{right}}}"#));
    };
    let run = agent.run(RunUntil::Empty, Shutdown::default());
    let (report, ()) = tokio::time::timeout(Duration::from_secs(110), async { tokio::join!(run, rotate) })
        .await
        .expect("the backlog ends when the secret is right");
    let summary = report.expect("a run").summary;
    assert_eq!((summary.copied, summary.parked), (2, 0));
    // What was refused meanwhile is what the metrics show.
    let page = metrics.render(MetricsFormat::Prometheus);
    let value = |series: &str| page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<u64>().ok());
    let puts = |status: &str| {
        value(&format!("skyferry_requests_total{{side=\"destination\",verb=\"PutObject\",status=\"{status}\"}}"))
    };
    assert!(puts("2xx") == Some(2) && puts("4xx").is_some_and(|refused| refused > 0), "{page}");
    assert!(
        value("skyferry_request_seconds_count{side=\"source\",verb=\"GetObject\",status=\"2xx\"}") >= Some(2),
        "{page}"
    );
    assert!(
        page.contains("skyferry_route_objects_total{queue=") && value("skyferry_attempts_total") > Some(2),
        "{page}"
    );
}

#[tokio::test]
async fn the_ignore_list_is_read_from_a_parameter() {
    let world = World::new();
    world.s3.set_object("photos", "a.tmp", b"x").expect("an object");
    world.amazon.keys.put("s3_migrate_ignore_list", "*.tmp\n");
    let mut settings = world.put();
    let endpoint = skyferry_config::Endpoint::parse(&world.amazon.keys.endpoint(), false).expect("an endpoint");
    let at = |name: &str| skyferry_config::ListLocation::Ssm { name: name.into(), endpoint: Some(endpoint.clone()) };
    settings.ignore_list = Some(at("s3_migrate_ignore_list"));
    let summary = world.drain(&settings, &["a.tmp"]).await;
    assert_eq!((summary.copied, summary.skipped), (0, 1));
    settings.ignore_list = Some(at("nothing"));
    let error = Agent::build(&settings).await.err().expect("refused").to_string();
    assert!(error.contains("ssm:nothing") && error.contains("ParameterNotFound"), "{error}");
}

/// Runs an agent into the middle of a large object, gives notice, and lets a successor finish.
async fn noticed(world: &World, settings: &Settings, give: impl FnOnce(), reason: ShutdownReason) {
    let body: Vec<u8> = (0..PART * PARTS).map(|n| (n / 7 % 251) as u8).collect();
    world.s3.set_object("photos", "large", &body).expect("an object");
    world
        .gcs
        .faults()
        .add(Rule::on(Operation::UploadPart, Fault::Stall(Duration::from_secs(60))).part(PARTS as u32).always());
    let agent = build(settings).await;
    let queue = agent.queue().clone();
    queue.send(&[created("large")]).await.expect("sent");
    let shutdown = Shutdown::default();
    let notice = async {
        let held = || world.gcs.open_uploads("copies").iter().map(|upload| upload.parts.len()).sum::<usize>();
        while held() < PARTS - 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        give();
        Instant::now()
    };
    let (report, given) = tokio::join!(agent.run(RunUntil::Stopped, shutdown.clone()), notice);
    assert!(given.elapsed() < Duration::from_secs(25), "{:?}", given.elapsed());
    assert_eq!((shutdown.reason(), report.expect("a run").drained.aborted), (Some(reason), 0));
    assert_eq!(queue.depth().await.expect("asked").visible, 1, "the message is given back at once");
    drop(queue);

    world.gcs.faults().clear();
    let before = world.gcs.counts().of(Operation::UploadPart);
    // Its machine has had no notice.
    let mut successor = settings.clone();
    successor.metadata = skyferry_config::MetadataEndpoints::default();
    successor.credentials.source = file(world, "source.json", S3Peer::ACCESS_ID, S3Peer::SECRET);
    successor.credentials.destination = file(world, "destination.json", GcsPeer::ACCESS_ID, GcsPeer::SECRET);
    let summary = world.drain(&successor, &[]).await;
    assert_eq!((summary.copied, summary.parked), (1, 0));
    assert_eq!(world.gcs.counts().of(Operation::UploadPart) - before, 1, "it goes on at the next part");
    assert!(world.gcs.read("copies", "large").expect("there") == body);
}

fn file(world: &World, name: &str, id: &str, secret: &str) -> Option<skyferry_config::ProviderSettings> {
    let path = world.folder.path().join(name);
    std::fs::write(&path, pair(id, secret, "us-west-2")).expect("written");
    Some(skyferry_config::ProviderSettings::File { path, field: None })
}

#[tokio::test]
async fn a_preempted_agent_is_out_in_time_and_its_successor_goes_on_at_the_next_part() {
    let world = World::new();
    let settings = world.get();
    noticed(&world, &settings, || world.google.metadata.preempt(), ShutdownReason::Preempted).await;
}

/// On Amazon with the GCS peer as destination, whose uploads can be looked at.
fn on_amazon(world: &World) -> Settings {
    world.amazon.keys.put("gcs", &pair(GcsPeer::ACCESS_ID, GcsPeer::SECRET, "auto"));
    let credentials = "mode = \"put\"\n[credentials]\ndestination = \"ssm:gcs\"\n";
    world.settings(credentials, &format!("endpoint = {:?}", world.gcs.endpoint()))
}

#[tokio::test]
async fn an_agent_on_a_spot_machine_that_ends_is_out_in_time() {
    let world = World::new();
    let settings = on_amazon(&world);
    noticed(&world, &settings, || world.amazon.metadata.interrupt(), ShutdownReason::Spot).await;
    assert_eq!(world.amazon.metadata.refused(), 0, "version 1 was asked");
}

#[tokio::test]
async fn an_agent_that_is_recommended_to_move_does_so() {
    let world = World::new();
    let settings = on_amazon(&world);
    noticed(&world, &settings, || world.amazon.metadata.rebalance(), ShutdownReason::Rebalance).await;
}

#[tokio::test]
async fn an_agent_whose_group_takes_its_machine_out_is_out_in_time() {
    let world = World::new();
    let settings = on_amazon(&world);
    noticed(&world, &settings, || world.amazon.metadata.take_out(), ShutdownReason::ScaleIn).await;
}

#[tokio::test]
async fn a_metadata_server_that_is_away_gives_no_notice_and_no_trouble() {
    let world = World::new();
    world.s3.set_object("photos", "a", b"x").expect("an object");
    let settings = on_amazon(&world);
    let agent = build(&settings).await;
    world.amazon.metadata.inject("/spot/", sandbox::PeerFault::Status(500), 1000);
    world.amazon.metadata.inject("/rebalance", sandbox::PeerFault::Drop, 1000);
    world.amazon.metadata.inject("/autoscaling/", sandbox::PeerFault::Status(500), 1000);
    agent.queue().send(&[created("a")]).await.expect("sent");
    let run = agent.run(RunUntil::Empty, Shutdown::default());
    let report = tokio::time::timeout(Duration::from_secs(60), run).await.expect("an end").expect("a run");
    assert_eq!(report.summary.copied, 1);
}
