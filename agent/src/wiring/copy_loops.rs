//! Refuses routes that would copy one object for ever: where both sides are one service, none may write where one reads.

use std::path::{Component, Path, PathBuf};

use super::{RoleCredentials, WiringError};
use skyferry_config::{Settings, StoreSettings};
use skyferry_core::route::Router;

pub(super) fn refuse_copy_loops(
    settings: &Settings,
    router: &Router,
    keys: [&Option<RoleCredentials>; 2],
) -> Result<(), WiringError> {
    let region = |keys: &Option<RoleCredentials>| keys.as_ref().and_then(|keys| keys.region.clone());
    let [from, to] = [(&settings.source, keys[0]), (&settings.destination, keys[1])];
    if let (StoreSettings::Directory { path: from, .. }, StoreSettings::Directory { path: to, .. }) = (from.0, to.0) {
        let (from, to) = (real(from), real(to));
        let nested = from.starts_with(&to) || to.starts_with(&from);
        return if nested { Err(WiringError::NestedDirectories) } else { Ok(()) };
    }
    if from.0.namespace(region(from.1)) != to.0.namespace(region(to.1)) {
        return Ok(());
    }
    match router.copy_loops().next() {
        Some((writes, reads)) => Err(WiringError::Circle(writes.to_string(), reads.to_string())),
        None => Ok(()),
    }
}

/// The path without links as far as it exists; in what does not, `..` can only take a name back.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let known = absolute.ancestors().find_map(|upper| Some((upper, std::fs::canonicalize(upper).ok()?)));
    let Some((upper, mut real)) = known else { return absolute };
    for component in absolute.strip_prefix(upper).unwrap_or(Path::new("")).components() {
        match component {
            Component::ParentDir => drop(real.pop()),
            Component::Normal(name) => real.push(name),
            _ => {}
        }
    }
    real
}
