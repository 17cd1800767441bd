//! From the settings' providers to credentials, each behind one cache.

use std::sync::Arc;

use skyferry_providers::{Cached, Environment, File};

use super::WiringError;
use crate::config::Provider;

/// A side's keys with the region that came with them. Asked for once now, so that a wrong name is told at the start;
/// a service that does not answer is weather.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) cached: Arc<Cached>,
    pub(super) region: Option<String>,
}

pub(super) async fn credentials(role: &'static str, provider: Option<&Provider>) -> Result<Option<Keys>, WiringError> {
    let cached = match provider {
        None => return Ok(None),
        Some(Provider::Environment { prefix }) => Cached::new(Environment { prefix: prefix.clone() }),
        Some(Provider::File { path, field }) => Cached::new(File { path: path.clone(), field: field.clone() }),
        Some(other) => {
            return Err(WiringError::NotYet(format!("[credentials] {role}: provider = {:?}", other.kind())));
        }
    };
    let region = match cached.get().await {
        Ok(credentials) => credentials.region.clone(),
        Err(error) if error.passing => {
            tracing::warn!(%error, role, "no credentials yet; trying again when they are needed");
            None
        }
        Err(error) => return Err(WiringError::Credentials { role, error }),
    };
    Ok(Some(Keys { cached: Arc::new(cached), region }))
}
