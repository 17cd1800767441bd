//! From SRC and DST to both sides, opened: for every verb that is given a pair, or one side of it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use skyferry_agent::wiring::Agent;
use skyferry_config::{Settings, StoreSettings};
use skyferry_core::model::{Key, Location};
use skyferry_core::store::{ListFrom, Pin};

use super::arguments::{Connection, Transfer};
use super::endpoint_arg::EndpointArgument;
use super::settings::{self, CopyOrigin};
use super::{default_credentials, state};
use crate::console::Console;
use crate::filter::ObjectFilter;
use crate::pages::{ListedStore, ListingTarget as Side};
use crate::retry::RetryPolicy;
use crate::usage::{OrUsage as _, UsageError};

/// What is to be opened, and how.
pub struct Pair<'a> {
    pub connection: &'a Connection,
    pub transfer: &'a Transfer,
    /// The flag's file.
    pub state: Option<&'a Path>,
    /// Nothing is written: neither a state nor a directory is made.
    pub read_only: bool,
    /// Whatever the state holds is forgotten.
    pub restart: bool,
    /// SRC may name one object: it is looked for.
    pub look: bool,
}

/// Both sides.
pub struct Opened {
    pub agent: Agent,
    pub settings: Settings,
    pub origin: CopyOrigin,
    pub from: Side,
    pub to: Side,
    /// The file's name at DST, where SRC is one object and DST is not a directory.
    pub renamed: Option<Key>,
    /// What the state belongs to.
    pub pair: Vec<u8>,
    pub state: PathBuf,
    /// What stands for a state or a destination that is not there.
    pub scratch: Option<tempfile::TempDir>,
}

impl Opened {
    /// Only SRC's object, where SRC is one.
    pub fn narrow(&self, filter: ObjectFilter) -> ObjectFilter {
        let prefix = self.from.prefix.as_bytes().len();
        match &self.origin.single {
            Some(key) => filter.only(key.as_bytes().get(prefix..).unwrap_or_default()),
            None => filter,
        }
    }
}

impl Pair<'_> {
    pub async fn open(&self, patience: &RetryPolicy, console: &Console) -> anyhow::Result<Opened> {
        let source = place(&self.connection.source, "SRC")?;
        let mut destination = place(&self.connection.destination, "DST")?;
        let mut origin = CopyOrigin::of(&source)?;
        let pair = self.name(&source, &destination);
        let may_be_single =
            origin.single.is_some() || matches!(&source, EndpointArgument::Remote { rest, .. } if !rest.is_empty());
        let file_name = file_name(&destination).filter(|_| may_be_single);
        let mut renamed = None;
        if origin.single.is_some()
            && let Some((directory, name)) = &file_name
        {
            (destination, renamed) = (directory.clone(), Some(name.clone()));
        }
        // Whether DST is a directory or a file is known when SRC has been looked at: until then none is made.
        let unknown = origin.single.is_none() && file_name.is_some() && self.look;
        let scratch = match self.read_only || unknown {
            true => Some(tempfile::tempdir().context("a temporary directory")?),
            false => None,
        };
        let file = self.state_file(&pair, scratch.as_ref().map(tempfile::TempDir::path))?;
        let by_default = default_credentials::sides(self.connection, [&source, &destination]);
        for (side, taken) in &by_default {
            console.line(&format!("skyferry: {side} keys: {}", taken.description));
        }
        let resolve = |origin: &CopyOrigin, destination: &EndpointArgument, real: bool| -> anyhow::Result<Settings> {
            let places = [&source, destination];
            let mut settings = settings::settings(self.connection, self.transfer, origin, places, &file).or_usage()?;
            if let (Some(scratch), StoreSettings::Directory { path, .. }, false) =
                (&scratch, &mut settings.destination, real)
                && !path.is_dir()
            {
                *path = scratch.path().join("nothing");
            }
            Ok(settings)
        };
        let mut settings = resolve(&origin, &destination, !self.read_only && !unknown)?;
        let mut agent = build(&settings).await?;
        if let Some((role, error)) = agent.missing().filter(|(role, _)| by_default.iter().any(|(side, _)| side == role))
        {
            let text = format!("no {role} keys ({error}): set AWS_ACCESS_KEY_ID, or name --{role}-credentials");
            return Err(UsageError(text).into());
        }
        if let (None, EndpointArgument::Remote { rest, .. }, true) = (&origin.single, &source, self.look) {
            let is_prefix = is_prefix(&agent, &origin, rest, &source, patience).await?;
            if !is_prefix {
                origin = origin.object(rest);
                if let Some((directory, name)) = file_name {
                    (destination, renamed) = (directory, Some(name));
                }
            }
            if !is_prefix || (unknown && !self.read_only) {
                drop(agent);
                settings = resolve(&origin, &destination, !self.read_only)?;
                agent = build(&settings).await?;
            }
        }
        let (from, to) = sides(&agent, &origin)?;
        Ok(Opened { agent, settings, origin, from, to, renamed, pair, state: file, scratch })
    }

    /// The state's file; of what writes nothing: the one that is there, or one of its own.
    fn state_file(&self, pair: &[u8], scratch: Option<&Path>) -> anyhow::Result<PathBuf> {
        let file = state::path(self.state, pair).or_usage()?;
        match scratch.filter(|_| self.read_only) {
            Some(scratch) if self.restart || !file.exists() => return Ok(scratch.join("state")),
            _ if self.read_only => {}
            _ if self.restart => crate::state_file::remove(&file).context("--restart")?,
            _ => {}
        }
        Ok(file)
    }

    /// What the state belongs to.
    fn name(&self, source: &EndpointArgument, destination: &EndpointArgument) -> Vec<u8> {
        let endpoint = |endpoint: &Option<String>| endpoint.clone().unwrap_or_default().into_bytes();
        let parts = [
            source.name(),
            endpoint(&self.connection.source_endpoint),
            destination.name(),
            endpoint(&self.connection.destination_endpoint),
        ];
        parts.join(&0)
    }
}

fn place(text: &Option<OsString>, which: &str) -> anyhow::Result<EndpointArgument> {
    let Some(text) = text else { return Err(UsageError(format!("{which} is required: see --help")).into()) };
    EndpointArgument::parse(text).map_err(|why| UsageError(format!("{which}: {why}")).into())
}

/// DST as a file in its directory, unless it is a directory, or is written as one.
fn file_name(destination: &EndpointArgument) -> Option<(EndpointArgument, Key)> {
    let EndpointArgument::Local(path) = destination else { return None };
    let bytes = path.as_os_str().as_encoded_bytes();
    if path.is_dir() || bytes.ends_with(b"/") {
        return None;
    }
    let name = path.file_name()?;
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    Some((EndpointArgument::Local(parent.to_owned()), Key::new(OsStr::as_encoded_bytes(name).to_vec())))
}

/// Settings that make no agent are wrong usage.
async fn build(settings: &Settings) -> anyhow::Result<Agent> {
    use skyferry_agent::wiring::WiringError::{Circle, NestedDirectories};
    Agent::build(settings).await.map_err(|error| {
        let text = match error {
            Circle(..) | NestedDirectories => {
                "DST lies within SRC, or SRC within DST: give DST another place".to_owned()
            }
            error => error.to_string(),
        };
        UsageError(text).into()
    })
}

/// Whether SRC is a prefix with something under it (`false`: it is one object). An empty bucket is there; an empty prefix
/// is a mistake.
async fn is_prefix(
    agent: &Agent,
    origin: &CopyOrigin,
    rest: &str,
    source: &EndpointArgument,
    patience: &RetryPolicy,
) -> anyhow::Result<bool> {
    let prefix = Key::from(origin.prefix.as_str());
    let page = patience.ask(false, || agent.source().list(&origin.bucket, &prefix, ListFrom::Start)).await?;
    if rest.is_empty() || !page.objects.is_empty() || page.next.is_some() {
        return Ok(true);
    }
    let at = Location::new(origin.bucket.as_str(), rest);
    match patience.ask(true, || agent.source().head(&at, &Pin::Newest)).await {
        Ok(Some(_)) if !rest.ends_with('/') => Ok(false),
        Ok(_) => Err(anyhow!("SRC {source}: there is nothing under it, and no object has this key")),
        Err(error) => Err(error.into()),
    }
}

fn sides(agent: &Agent, origin: &CopyOrigin) -> anyhow::Result<(Side, Side)> {
    let router = agent.router();
    let route = router.routes().first().context("a route")?;
    let from = Side {
        end: ListedStore::Source(agent.source().clone()),
        bucket: origin.bucket.clone(),
        prefix: route.source_prefix.clone(),
        versions: false,
    };
    let to = Side {
        end: ListedStore::Sink(agent.sink().clone()),
        bucket: route.bucket.to_string(),
        prefix: route.prefix.clone(),
        versions: false,
    };
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_file_unless_it_is_a_directory_or_written_as_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let of =
            |path: &str| file_name(&EndpointArgument::Local(path.into())).map(|(place, key)| (place.to_string(), key));
        assert_eq!(of("./name.jpg"), Some((".".into(), Key::from("name.jpg"))));
        assert_eq!(of("name.jpg"), Some((".".into(), Key::from("name.jpg"))));
        assert_eq!(of("/a/b/c"), Some(("/a/b".into(), Key::from("c"))));
        for folder in ["/a/b/", ".", "..", "/", directory.path().to_str().expect("UTF-8")] {
            assert_eq!(of(folder), None, "{folder}");
        }
    }
}
