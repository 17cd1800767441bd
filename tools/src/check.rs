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

use skyferry_agent::notice::Shutdown;
use skyferry_agent::wiring::{ALLOW, Apart, DENIED, bucket_pairs};
use skyferry_config as config;
use skyferry_config::Settings;
use skyferry_core::ledger::Subject;
use skyferry_core::object::Key;
use skyferry_core::route::{Decision, Pairs, Route};
use skyferry_core::store::Sink;

use crate::cli::{self, Cli, DONE, FAILED};
use crate::settings::Config;
use crate::show::Show;
use crate::usage::Usage;
use events::Ears;
use finding::{Findings, Verdict};
use folder::Folder;
use large::Place;

/// Where STS is, if not at its region's own place: as Amazon's own programs read it.
const STS: [&str; 2] = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"];

/// Tries everything that an agent with these settings will do, and explains how to repair what fails.
///
/// Credentials, source, destination, queue and ledger are tried one by one; each fact is a line with `ok`, `warning` or
/// `FAILED`. At the destination, objects and uploads of 5 MiB in all are written to a randomly named folder under the probe
/// prefix and removed again, also after Ctrl-C. (A versioned bucket keeps the removed versions.) The queue gets a test event
/// like S3's own, which agents pass over; nothing else is written. A permission that is missing is named. At the end, the
/// promises that this bucket supports are listed. The exit code is 1 if something failed; warnings do not count.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry check --config /etc/skyferry/agent.toml")]
pub struct Arguments {
    #[command(flatten)]
    config: Config,
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
            return Err(Usage("--probe-prefix is a folder of its own, like .skyferry-check/".into()).into());
        }
        let mut findings = Findings::new(&cli.show);
        let prefix = format!("{prefix}/");
        let finished = cli.stoppable(check(&settings, self, &prefix, &cli.shutdown, &mut findings))?;
        conclude(&findings, &cli.show)?;
        Ok(match (finished, findings.count(Verdict::Failed)) {
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
    let apart = Apart::open(settings, sts).await?;
    let mut routes: Vec<&Route> = apart.router.iter().flat_map(|router| router.routes()).collect();
    let folders = folders(&apart, &routes, prefix);
    let heard = if arguments.notification_probe.is_some() { to_be_heard(&apart, &routes, prefix) } else { Vec::new() };
    routes.sort_by_key(|route| (route.source_bucket.clone(), route.source_prefix.clone()));
    let looked = async {
        identities(&apart, findings);
        routes_of(&apart, settings, findings).await;
        for (name, queue) in &apart.queues {
            queue::probe(name, queue, write, findings).await;
        }
        let kept = !matches!(settings.ledger, config::Ledger::None);
        ledger::probe(&apart.ledger, kept, write, findings).await;
        if let (Ok(opened), Ok(router)) = (&apart.ledger, &apart.router) {
            ledger::rights(&*opened.ledger, router, findings).await;
        }
        match &apart.source {
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
            events_of(&apart, heard, arguments.notification_probe.unwrap_or_default(), findings).await;
        }
        destination(&apart, &folders, settings, write, findings).await;
    };
    let finished = tokio::select! {
        () = looked => true,
        () = shutdown.stop.cancelled() => false,
    };
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

fn identities(apart: &Apart, findings: &mut Findings<'_>) {
    findings.about("keys");
    for identity in &apart.identities {
        match &identity.caller {
            Ok(Some(caller)) => findings.fine(identity.role, format!("{caller}, from {}", identity.from)),
            Ok(None) => findings.fine(identity.role, format!("from {}", identity.from)),
            Err(error) => findings.fail(identity.role, error, &[]),
        }
    }
}

/// The allow-list, the predecessors' bucket pairs included.
async fn routes_of(apart: &Apart, settings: &Settings, findings: &mut Findings<'_>) {
    findings.about("routes");
    match (&apart.router, &settings.bucket_pairs) {
        (Err(error), _) => findings.fail("routes", error, &[]),
        (Ok(router), Some(at)) => match router.without_pairs() {
            None => findings.fine("bucket pairs", format!("{} are known", router.pairs().len())),
            Some(Pairs::Denied) => findings.warn("bucket pairs", (DENIED, ALLOW), &[]),
            Some(_) => match bucket_pairs(at, &settings.metadata).await {
                Err(error) => findings.fail("bucket pairs", &error, &[]),
                Ok(_) => findings.warn("bucket pairs", ("could not be read at first", "try again"), &[]),
            },
        },
        (Ok(_), None) => {}
    }
}

/// A folder for each place that routes write to, with the storage class that they write.
fn folders<'a>(apart: &Apart, routes: &[&'a Route], prefix: &str) -> Vec<(Folder, &'a Route)> {
    let Ok(sink) = &apart.sink else { return Vec::new() };
    let mut places: Vec<&Route> = routes.to_vec();
    places.sort_by_key(|route| (route.bucket.clone(), route.prefix.clone()));
    places.dedup_by_key(|route| (route.bucket.clone(), route.prefix.clone()));
    let folder = |route: &Route| Folder::new(sink.clone(), route.bucket.clone(), &route.prefix, prefix);
    places.into_iter().map(|route| (folder(route), route)).collect()
}

async fn destination(
    apart: &Apart,
    folders: &[(Folder, &Route)],
    settings: &Settings,
    write: bool,
    findings: &mut Findings<'_>,
) {
    // A directory is written by this very program: nothing comes between.
    let far = !matches!(settings.destination, config::Store::Directory { .. });
    let sink: &Arc<dyn Sink> = match &apart.sink {
        Ok(sink) => sink,
        Err(error) => {
            findings.about("destination");
            return findings.fail("open", error, &[2, 3, 4, 7, 10]);
        }
    };
    for (folder, route) in folders {
        findings.about(format!("destination {}/{}", route.bucket, route.prefix));
        if !write {
            findings.warn("write", ("not tried (--no-write)", "leave it out, and all of it is tried"), &[]);
            continue;
        }
        let class = route.storage_class.as_deref();
        let place = Place { sink, folder, storage_class: class, remedy: remedy(&settings.destination) };
        if single::probe(&place, findings).await {
            if far {
                single::wrong_bytes(&**sink, folder, class, findings).await;
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
fn remedy(destination: &config::Store) -> &'static str {
    match destination {
        config::Store::S3(s3) if s3.profile == config::Dialect::Aws => {
            "if this is not Amazon's own service, set [destination] profile = \"generic\", and check again"
        }
        _ => "",
    }
}

/// A probe of a bucket's events, with the two places where it may leave something.
struct Heard {
    subject: Subject,
    source: Folder,
    copies: Folder,
}

fn to_be_heard(apart: &Apart, routes: &[&Route], prefix: &str) -> Vec<Heard> {
    let (Ok(router), Ok(written), Ok(sink)) = (&apart.router, &apart.source_written, &apart.sink) else {
        return Vec::new();
    };
    let heard = |route: &&Route| {
        let bucket = route.source_bucket.clone()?;
        let source = Folder::new(written.clone(), bucket, &route.source_prefix, prefix);
        let at = source.at("event");
        let Decision::Go { destination, .. } = router.decide(&at, None) else { return None };
        let under = destination.key.as_bytes().strip_suffix(b"event")?.to_vec();
        let copies = Folder::of(sink.clone(), destination.bucket.clone(), Key::new(under));
        copies.at("event");
        Some(Heard { subject: Subject::of(router, at, destination), source, copies })
    };
    routes.iter().filter_map(heard).collect()
}

async fn events_of(apart: &Apart, heard: &Heard, patience: Duration, findings: &mut Findings<'_>) {
    findings.about(format!("source {}", heard.subject.source.bucket));
    let (Ok(written), Ok(ledger)) = (&apart.source_written, &apart.ledger) else {
        return findings.warn("events", ("not tried: see above", ""), &[]);
    };
    let Some((_, Ok(queue))) = apart.queues.iter().find(|(_, queue)| queue.is_ok()) else {
        return findings.warn("events", ("not tried: no queue answers", ""), &[]);
    };
    let ears = Ears { queue: &*queue.queue, ledger: &*ledger.ledger, patience };
    events::probe(&**written, &heard.subject, &ears, findings).await;
}

/// A second signal leaves it.
async fn clear(folder: &Folder, shutdown: &Shutdown, findings: &mut Findings<'_>) {
    findings.about(format!("probe {}/{}", folder.bucket(), folder.prefix()));
    let stays = tokio::select! {
        stays = folder.clear() => stays,
        () = shutdown.now.cancelled() => vec!["whatever is there".to_owned()],
    };
    match &stays[..] {
        [] => findings.fine("cleaning up", "nothing of it is left"),
        stays => findings.fail("cleaning up", (format!("left: {}", stays.join(", ")), "remove it by hand"), &[]),
    }
}

fn conclude(findings: &Findings<'_>, show: &Show) -> anyhow::Result<()> {
    let promises = promises::promises(&findings.facts);
    let (failed, warnings) = (findings.count(Verdict::Failed), findings.count(Verdict::Warning));
    show.say(&promises::words(&promises))?;
    show.say(&format!("{} facts, {failed} failed, {warnings} warnings", findings.facts.len()))?;
    show.json(serde_json::json!({
        "facts": findings.facts, "promises": promises, "failed": failed, "warnings": warnings,
    }))?;
    Ok(())
}
