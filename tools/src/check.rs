//! `skyferry check`: what an agent with these settings would meet, found out by trying it, before one runs.

mod events;
mod finding;
mod folder;
mod keys;
mod large;
mod ledger;
mod parts;
mod promises;
mod queue;
mod single;
mod source;

use std::sync::Arc;
use std::time::Duration;

use skyferry_agent::shutdown::Shutdown;
use skyferry_agent::wiring::{ALLOW, Components, DENIED, bucket_pairs};
use skyferry_config as config;
use skyferry_config::Settings;
use skyferry_core::ledger::Subject;
use skyferry_core::model::Key;
use skyferry_core::route::{BucketPairs, Route, RouteDecision};
use skyferry_core::store::Sink;

use crate::cli::{self, Cli, DONE, FAILED};
use crate::output::{Output, counted};
use crate::settings::ConfigArgument;
use crate::usage::UsageError;
use events::SubscribedQueue;
use finding::{CheckStatus, Findings};
use folder::ProbeFolder;
use large::ProbeTarget;

/// Where STS is, if not at its region's own place: as Amazon's own programs read it.
const STS: [&str; 2] = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"];

/// Tries everything that an agent with these settings will do, and explains how to repair what fails.
///
/// Credentials, source, destination, queue and ledger are tried one by one; each fact is a line with `ok`, `warning` or
/// `FAILED`. At the destination, objects and uploads of 5 MiB in all are written to a randomly named folder under the probe
/// prefix and removed again, also after Ctrl-C. (A versioned bucket keeps the removed versions.) The queue gets a test event
/// like S3's own, which agents pass over, and the ledger a note of the result for the agents' pages; nothing else is written.
/// A permission that is missing is named. At the end, the promises that this bucket supports are listed. The exit code is 1
/// if something failed; warnings do not count.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry check --config /etc/skyferry/agent.toml")]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The folder for probes, under the destination's prefix.
    #[arg(long, value_name = "PREFIX", default_value = ".skyferry-check/")]
    probe_prefix: String,
    /// Write nothing: neither to the destination, nor to the ledger, nor to the queue.
    #[arg(long, visible_alias = "dry-run")]
    no_write: bool,
    /// Also put an object at the source, under the probe prefix, and wait for its event [default time: 90s]. The event is
    /// looked for in the ledger if an agent is running, else in the queue, if that is nearly empty.
    #[arg(long, value_name = "TIME", conflicts_with = "no_write", value_parser = config::duration)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "90s")]
    notification_probe: Option<Duration>,
}

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let settings = self.config.load()?;
        let prefix = self.probe_prefix.trim_end_matches('/');
        if prefix.is_empty() || prefix.starts_with('/') {
            return Err(UsageError("--probe-prefix is a folder of its own, like .skyferry-check/".into()).into());
        }
        let mut findings = Findings::new(&cli.output);
        let prefix = format!("{prefix}/");
        let finished = cli.stoppable(check(&settings, self, &prefix, &cli.shutdown, &mut findings))?;
        conclude(&findings, &cli.output)?;
        Ok(match (finished, findings.count(CheckStatus::Failed)) {
            (false, _) => cli.stopped(),
            (true, 0) => DONE,
            (true, _) => FAILED,
        })
    }
}

/// `false`: interrupted.
async fn check(
    settings: &Settings,
    arguments: &Arguments,
    prefix: &str,
    shutdown: &Shutdown,
    findings: &mut Findings<'_>,
) -> anyhow::Result<bool> {
    let write = !arguments.no_write;
    let sts = STS.iter().find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()));
    let components = Components::open(settings, sts).await?;
    let mut routes: Vec<&Route> = components.router.iter().flat_map(|router| router.routes()).collect();
    let folders = folders(&components, &routes, prefix);
    let heard =
        if arguments.notification_probe.is_some() { event_probes(&components, &routes, prefix) } else { Vec::new() };
    routes.sort_by_key(|route| (route.source_bucket.clone(), route.source_prefix.clone()));
    let looked = async {
        identities(&components, findings);
        routes_of(&components, settings, findings).await;
        for (name, queue) in &components.queues {
            queue::probe(name, queue, write, findings).await;
        }
        let kept = !matches!(settings.ledger, config::LedgerSettings::None);
        ledger::probe(&components.ledger, kept, write, findings).await;
        if let (Ok(opened), Ok(router)) = (&components.ledger, &components.router) {
            ledger::check_permissions(&*opened.ledger, router, findings).await;
        }
        match &components.source {
            Ok(source) => {
                for route in &routes {
                    source::probe(&**source, route, settings, findings).await;
                }
            }
            Err(error) => {
                findings.about("source");
                findings.fail("open", error, &[]);
            }
        }
        for heard in &heard {
            events_of(&components, heard, arguments.notification_probe.unwrap_or_default(), findings).await;
        }
        destination(&components, &folders, settings, write, findings).await;
    };
    let finished = tokio::select! {
        () = looked => true,
        () = shutdown.stop.cancelled() => false,
    };
    if let (true, true, Ok(opened)) = (finished, write, &components.ledger) {
        promises::publish(&*opened.ledger, &findings.facts).await;
    }
    // What is gone at the source is copied no more.
    for Heard { source, copies, .. } in &heard {
        clear(source, shutdown, findings).await;
        clear(copies, shutdown, findings).await;
    }
    for (folder, _) in folders.iter().filter(|_| write) {
        clear(folder, shutdown, findings).await;
    }
    Ok(finished)
}

fn identities(components: &Components, findings: &mut Findings<'_>) {
    findings.about("keys");
    for identity in &components.identities {
        match &identity.caller {
            Ok(Some(caller)) => findings.pass(identity.role, format!("{caller}, from {}", identity.from)),
            Ok(None) => findings.pass(identity.role, format!("from {}", identity.from)),
            Err(error) => findings.fail(identity.role, error, &[]),
        }
    }
}

/// The allow-list, the predecessors' bucket pairs included.
async fn routes_of(components: &Components, settings: &Settings, findings: &mut Findings<'_>) {
    findings.about("routes");
    match (&components.router, &settings.bucket_pairs) {
        (Err(error), _) => findings.fail("routes", error, &[]),
        (Ok(router), Some(at)) => match router.without_pairs() {
            None => findings.pass("bucket pairs", format!("{} are known", router.pairs().len())),
            Some(BucketPairs::Denied) => findings.warn("bucket pairs", (DENIED, ALLOW), &[]),
            Some(_) => match bucket_pairs(at, &settings.metadata).await {
                Err(error) => findings.fail("bucket pairs", &error, &[]),
                Ok(_) => findings.warn("bucket pairs", ("could not be read at first", "try again"), &[]),
            },
        },
        (Ok(_), None) => {}
    }
}

/// A folder for each place that routes write to, and each way in which they store there.
fn folders<'a>(components: &Components, routes: &[&'a Route], prefix: &str) -> Vec<(ProbeFolder, &'a Route)> {
    let Ok(sink) = &components.sink else { return Vec::new() };
    let mut places: Vec<&Route> = routes.to_vec();
    places.sort_by_key(|route| (route.bucket.clone(), route.prefix.clone()));
    places.dedup_by_key(|route| (route.bucket.clone(), route.prefix.clone(), route.options.clone()));
    let folder = |route: &Route| ProbeFolder::new(sink.clone(), route.bucket.clone(), &route.prefix, prefix);
    places.into_iter().map(|route| (folder(route), route)).collect()
}

async fn destination(
    components: &Components,
    folders: &[(ProbeFolder, &Route)],
    settings: &Settings,
    write: bool,
    findings: &mut Findings<'_>,
) {
    // A directory is written by this very program: nothing comes between.
    let far = settings.destination.kind().needs_keys;
    let sink: &Arc<dyn Sink> = match &components.sink {
        Ok(sink) => sink,
        Err(error) => {
            findings.about("destination");
            return findings.fail("open", error, &[2, 3, 4, 7, 10]);
        }
    };
    for (folder, route) in folders {
        findings.about(format!("destination {}/{}", route.bucket, route.prefix));
        if !write {
            findings.warn("write", ("not tried (--no-write)", "leave it out to try everything"), &[]);
            continue;
        }
        let options = &route.options;
        let place = ProbeTarget { sink, folder, options, remedy: remedy(&settings.destination) };
        if single::probe(&place, findings).await {
            if far {
                single::wrong_bytes(&**sink, folder, options, findings).await;
            }
            large::probe(&place, findings).await;
            parts::probe(&place, findings).await;
            if far {
                keys::probe(&place, route.prefix.as_bytes().is_empty(), findings).await;
            }
        }
    }
}

/// What to try with an S3 that does not do as Amazon's does.
fn remedy(destination: &config::StoreSettings) -> &'static str {
    match destination {
        config::StoreSettings::S3(s3) if s3.profile == config::S3Dialect::Aws => {
            "if this is not AWS, set [destination] profile = \"generic\", and check again"
        }
        _ => "",
    }
}

/// A probe of a bucket's events, with the two places where it may leave something.
struct Heard {
    subject: Subject,
    source: ProbeFolder,
    copies: ProbeFolder,
}

fn event_probes(components: &Components, routes: &[&Route], prefix: &str) -> Vec<Heard> {
    let (Ok(router), Ok(written), Ok(sink)) = (&components.router, &components.source_written, &components.sink) else {
        return Vec::new();
    };
    let heard = |route: &&Route| {
        let bucket = route.source_bucket.clone()?;
        let source = ProbeFolder::new(written.clone(), bucket, &route.source_prefix, prefix);
        let at = source.at("event");
        let RouteDecision::Copy { destination, .. } = router.decide(&at, None) else { return None };
        let under = destination.key.as_bytes().strip_suffix(b"event")?.to_vec();
        let copies = ProbeFolder::of(sink.clone(), destination.bucket.clone(), Key::new(under));
        copies.at("event");
        Some(Heard { subject: Subject::of(router, at, destination), source, copies })
    };
    routes.iter().filter_map(heard).collect()
}

async fn events_of(components: &Components, heard: &Heard, patience: Duration, findings: &mut Findings<'_>) {
    findings.about(format!("source {}", heard.subject.source.bucket));
    let (Ok(written), Ok(ledger)) = (&components.source_written, &components.ledger) else {
        return findings.warn("events", ("not tried: see above", ""), &[]);
    };
    let Some((_, Ok(queue))) = components.queues.iter().find(|(_, queue)| queue.is_ok()) else {
        return findings.warn("events", ("not tried: no queue answered", ""), &[]);
    };
    let listener = SubscribedQueue { queue: &*queue.queue, ledger: &*ledger.ledger, patience };
    events::probe(&**written, &heard.subject, &listener, findings).await;
}

/// A second signal leaves it.
async fn clear(folder: &ProbeFolder, shutdown: &Shutdown, findings: &mut Findings<'_>) {
    findings.about(format!("probe {}/{}", folder.bucket(), folder.prefix()));
    let stays = tokio::select! {
        stays = folder.clear() => stays,
        () = shutdown.now.cancelled() => vec!["whatever is there".to_owned()],
    };
    match &stays[..] {
        [] => findings.pass("cleaning up", "nothing is left of it"),
        stays => findings.fail("cleaning up", (format!("left: {}", stays.join(", ")), "remove it by hand"), &[]),
    }
}

fn conclude(findings: &Findings<'_>, output: &Output) -> anyhow::Result<()> {
    let promises = promises::promises(&findings.facts);
    let (failed, warnings) = (findings.count(CheckStatus::Failed), findings.count(CheckStatus::Warning));
    output.line(&promises::describe(&promises))?;
    output.line(&format!(
        "{}, {failed} failed, {}",
        counted(findings.facts.len() as u64, "fact"),
        counted(warnings as u64, "warning")
    ))?;
    output.json(serde_json::json!({
        "facts": findings.facts, "promises": promises, "failed": failed, "warnings": warnings,
    }))?;
    Ok(())
}
