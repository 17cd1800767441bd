//! All that a machine of a managed group on Google Cloud meets when it starts, in a process of its own: its metadata server with
//! the template's attributes, the bucket with the package, Secret Manager with the keys, Cloud Monitoring, the destination;
//! and ministack as Amazon's side.
//!
//!     google PACKAGE OPS_AGENT [NAME FILE]...        two packages, and the attributes of the machine, each from a file
//!
//! Prints one line of JSON: where everything is. Then answers one line of stdin each; ends when stdin closes.
//! `put KEY BYTES` at the source, `copied KEY`, `parts` that the open uploads hold, `messages` visible and in flight,
//! `points` of the backlog, `stall` the fourth part of every upload, `forgive` that, `preempt` the machine.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use sandbox::{Fault, GcePeer, GcsOptions, GcsPeer, Ministack, MonitoringPeer, Operation, Rule, SecretsPeer};
use serde_json::{Value, json};
use skyferry_aws::dynamodb::{self, DynamoOptions};
use skyferry_providers::{Cached, File};

/// What `deploy-gce/aws` calls queue and table, and `deploy-gce` the secret.
const NAME: &str = "skyferry";
const SECRET: &str = "skyferry-keys";
const SOURCE: &str = "photos";
const SINK: &str = "copies";
const PACKAGES: &str = "packages";

struct World {
    machine: GcePeer,
    secrets: SecretsPeer,
    monitoring: MonitoringPeer,
    gcs: GcsPeer,
    cloud: Ministack,
}

impl World {
    async fn start(packages: [&str; 2], attributes: &[String]) -> anyhow::Result<World> {
        let machine = GcePeer::start()?;
        for pair in attributes.chunks(2) {
            let [name, file] = pair else { bail!("an attribute is NAME FILE") };
            machine.set_attribute(name, &std::fs::read_to_string(file).with_context(|| file.clone())?);
        }
        let buckets = vec![SINK.into(), PACKAGES.into()];
        let gcs = GcsPeer::start(GcsOptions { buckets, tokens: Some(machine.mint()), ..GcsOptions::default() })?;
        for (key, package) in ["skyferry.deb", "ops-agent.deb"].into_iter().zip(packages) {
            gcs.set_object(PACKAGES, key, &std::fs::read(package).with_context(|| package.to_owned())?)?;
        }
        let secrets = SecretsPeer::start(&machine)?;
        let key = |id: &str, secret: &str, region: &str| json!({"aws_access_key_id": id, "aws_secret_access_key": secret, "region": region});
        let source = key("SANDBOX", "sandbox", Ministack::REGION);
        let both = json!({"source": source, "destination": key(GcsPeer::ACCESS_ID, GcsPeer::SECRET, "auto")});
        secrets.add(&format!("projects/{}/secrets/{SECRET}", GcePeer::PROJECT), both.to_string());
        let cloud = Ministack::start().await?;
        cloud.create_queue_with_dead_letters(NAME, 300, 12).await?;
        cloud.create_bucket_with_events(SOURCE, NAME).await?;
        let keys = tempfile::NamedTempFile::new()?;
        std::fs::write(keys.path(), source.to_string())?;
        let options = DynamoOptions {
            table: NAME.into(),
            region: None,
            endpoint: Some(cloud.endpoint()),
            machine: "sandbox".into(),
        };
        dynamodb::create(options, Arc::new(Cached::new(File { path: keys.path().to_owned(), field: None }))).await?;
        let monitoring = MonitoringPeer::start(&[&machine])?;
        Ok(World { machine, secrets, monitoring, gcs, cloud })
    }

    fn places(&self) -> Value {
        json!({
            "metadata": self.machine.host(), "project": GcePeer::PROJECT, "secrets": self.secrets.endpoint(),
            "monitoring": self.monitoring.endpoint(), "gcs": self.gcs.endpoint(), "amazon": self.cloud.endpoint(),
        })
    }

    async fn answer(&self, words: &[&str]) -> anyhow::Result<Value> {
        Ok(match words {
            ["put", key, bytes] => {
                let body: Vec<u8> = (0..bytes.parse::<usize>()?).map(|n| (n / 7 % 251) as u8).collect();
                self.cloud.put_object(&format!("/{SOURCE}/{key}"), body).await?;
                json!({})
            }
            ["copied", key] => json!(self.gcs.object(SINK, key).is_some()),
            ["parts"] => json!(self.gcs.open_uploads(SINK).iter().map(|upload| upload.parts.len()).sum::<usize>()),
            ["messages"] => json!(self.cloud.depth(NAME).await?[..2]),
            ["points"] => json!(self.monitoring.points().len()),
            ["stall"] => {
                let stall = Fault::Stall(Duration::from_secs(600));
                self.gcs.faults().add(Rule::on(Operation::UploadPart, stall).part(4).always());
                json!({})
            }
            ["forgive"] => {
                self.gcs.faults().clear();
                json!({})
            }
            ["preempt"] => {
                self.machine.preempt();
                json!({})
            }
            other => bail!("not a request: {other:?}"),
        })
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (package, ops_agent) = arguments.next().zip(arguments.next()).context("which packages?")?;
    let attributes: Vec<String> = arguments.collect();
    let runtime = tokio::runtime::Runtime::new()?;
    let world = runtime.block_on(World::start([&package, &ops_agent], &attributes))?;
    say(&world.places())?;
    for line in std::io::stdin().lock().lines() {
        say(&runtime.block_on(world.answer(&line?.split(' ').collect::<Vec<_>>()))?)?;
    }
    let _inside = runtime.enter();
    drop(world);
    Ok(())
}

fn say(value: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}
