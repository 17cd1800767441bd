//! Keeps one provider's credentials: a single refresh at a time, before they expire, from time to time, or after a refusal.
//!
//! A refresh runs in a task of its own. Who holds credentials that are still good gets those and never waits for it, so a
//! service that hangs costs nothing until they expire.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::{Credentials, Provider, ProviderError};

/// Ask again this long before the credentials expire; a third of their life if that is shorter.
const BEFORE_EXPIRY: Duration = Duration::from_secs(300);
/// A refusal refreshes at most this often, so that a denied fleet does not hammer the secret's service.
const AFTER_REFUSAL: Duration = Duration::from_secs(4);
/// How long a request waits for what replaces refused credentials, before it tries the old ones again.
const WHILE_REFUSED: Duration = Duration::from_secs(3);
/// A failed refresh is not tried again sooner, with good credentials at hand and without.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
const WITHOUT_ANY: Duration = Duration::from_secs(1);
/// A provider that does not answer within this has failed.
const PATIENCE: Duration = Duration::from_secs(12);

struct Held {
    credentials: Arc<Credentials>,
    loaded: Instant,
    loaded_at: SystemTime,
    refused: bool,
}

/// What to do with what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    Fresh,
    /// Good, and time to ask for newer ones.
    Stale,
    /// The far side does not take them.
    Refused,
    Expired,
}

impl Held {
    fn freshness(&self, now: Instant, clock: SystemTime, period: Duration) -> Freshness {
        let age = now.saturating_duration_since(self.loaded);
        let expired = self.credentials.expires.is_some_and(|expires| expires <= clock);
        if expired {
            return Freshness::Expired;
        }
        if self.refused {
            return if age < AFTER_REFUSAL { Freshness::Fresh } else { Freshness::Refused };
        }
        let fresh = match self.credentials.expires {
            Some(expires) => {
                let life = expires.duration_since(self.loaded_at).unwrap_or_default();
                expires.duration_since(clock).unwrap_or_default() > BEFORE_EXPIRY.min(life / 3)
            }
            None => age < period,
        };
        if fresh { Freshness::Fresh } else { Freshness::Stale }
    }
}

struct Inner {
    provider: Box<dyn Provider>,
    held: RwLock<Option<Held>>,
    /// The last refresh failed so, then.
    failed: Mutex<Option<(Instant, ProviderError)>>,
    /// Whether a refresh is in progress; told when one ends.
    refreshing: watch::Sender<bool>,
    patience: Duration,
}

/// A provider behind its cache; cheap to ask for every request.
///
/// ```
/// use skyferry_providers::{Anonymous, Cached, Grant};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let keys = Cached::new(Anonymous);
/// assert!(matches!(keys.get().await?.grant, Grant::Anonymous));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Cached(Arc<Inner>);

impl Cached {
    /// Nothing is asked before the first use.
    pub fn new(provider: impl Provider + 'static) -> Self {
        Cached::with_patience(provider, PATIENCE)
    }

    fn with_patience(provider: impl Provider + 'static, patience: Duration) -> Self {
        Cached(Arc::new(Inner {
            provider: Box::new(provider),
            held: RwLock::new(None),
            failed: Mutex::new(None),
            refreshing: watch::Sender::new(false),
            patience,
        }))
    }

    /// As the provider describes itself.
    pub fn describe(&self) -> String {
        self.0.provider.describe()
    }

    /// When the credentials end that are held now; `None`: never, or there are none.
    pub fn expires(&self) -> Option<SystemTime> {
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().and_then(|held| held.credentials.expires)
    }

    pub(crate) fn provider(&self) -> &dyn Provider {
        &*self.0.provider
    }

    /// The credentials that hold now. If a refresh fails while the old ones still hold, those are used.
    pub async fn get(&self) -> Result<Arc<Credentials>, ProviderError> {
        match self.0.freshness() {
            Some((credentials, Freshness::Fresh)) => Ok(credentials),
            Some((credentials, Freshness::Stale)) => {
                self.0.refresh(AFTER_FAILURE);
                Ok(credentials)
            }
            Some((credentials, Freshness::Refused)) => {
                // A wait that ends without newer ones ends with the old ones.
                let _ = tokio::time::timeout(WHILE_REFUSED, self.0.refreshed(AFTER_REFUSAL)).await;
                Ok(self.0.freshness().map_or(credentials, |(newest, _)| newest))
            }
            None | Some((_, Freshness::Expired)) => {
                self.0.refreshed(WITHOUT_ANY).await;
                match self.0.freshness() {
                    Some((credentials, look)) if look != Freshness::Expired => Ok(credentials),
                    _ => Err(self.0.last_error()),
                }
            }
        }
    }

    /// The far side refused `credentials`: the next `get` asks the provider again, unless somebody already did.
    pub fn refused(&self, credentials: &Arc<Credentials>) {
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut().filter(|held| Arc::ptr_eq(&held.credentials, credentials)) {
            held.refused = true;
        }
    }
}

impl Inner {
    fn freshness(&self) -> Option<(Arc<Credentials>, Freshness)> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref()?;
        Some((held.credentials.clone(), held.freshness(Instant::now(), SystemTime::now(), self.provider.period())))
    }

    fn last_error(&self) -> ProviderError {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().map_or_else(
            || ProviderError::temporary(&*self.provider, "its credentials have expired", "check this machine's clock"),
            |(_, error)| error.clone(),
        )
    }

    /// Starts a refresh, unless one is in progress or has failed less than `pause` ago.
    fn refresh(self: &Arc<Self>, pause: Duration) {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.as_ref().is_some_and(|(at, _)| at.elapsed() < pause) {
            return;
        }
        drop(failed);
        if self.refreshing.send_if_modified(|under_way| !std::mem::replace(under_way, true)) {
            let inner = self.clone();
            tokio::spawn(async move {
                let _done = Done(inner.clone());
                inner.load().await;
            });
        }
    }

    /// After a refresh, the one that is in progress or a new one.
    async fn refreshed(self: &Arc<Self>, pause: Duration) {
        let mut refreshing = self.refreshing.subscribe();
        self.refresh(pause);
        // The sender lives as long as `self`.
        let _ = refreshing.wait_for(|under_way| !under_way).await;
    }

    async fn load(&self) {
        let asked = tokio::time::timeout(self.patience, self.provider.load()).await;
        let asked = asked.map(|loaded| {
            let clean = |credentials: Credentials| {
                let advice = "store it again: a copy from a page or a terminal can carry such characters";
                credentials.clean().map_err(|problem| ProviderError::permanent(&*self.provider, problem, advice))
            };
            loaded.and_then(clean)
        });
        let loaded = asked.unwrap_or_else(|_| {
            let problem = format!("no answer within {} seconds", self.patience.as_secs_f32());
            Err(ProviderError::temporary(&*self.provider, problem, "it will be retried; check the network"))
        });
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok(credentials) => {
                let held = Held {
                    credentials: Arc::new(credentials),
                    loaded: Instant::now(),
                    loaded_at: SystemTime::now(),
                    refused: false,
                };
                *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(held);
                *failed = None;
            }
            Err(error) => {
                if self.held.read().unwrap_or_else(PoisonError::into_inner).is_some() {
                    tracing::warn!(%error, "credentials could not be renewed; the old ones are used until they expire");
                }
                *failed = Some((Instant::now(), error));
            }
        }
    }
}

/// However a refresh ends, by a panic too, the next one can begin.
struct Done(Arc<Inner>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.refreshing.send_replace(false);
    }
}

#[cfg(test)]
mod tests;
