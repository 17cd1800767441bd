//! Keeps one provider's credentials: a single refresh at a time, before they expire or after a refusal.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Mutex;

use crate::{Credentials, Provider, ProviderError};

/// Ask again this long before the credentials expire.
const BEFORE_EXPIRY: Duration = Duration::from_secs(300);
/// Credentials without an expiry are asked for again this often, so that a rotated secret arrives without a restart.
const PERIOD: Duration = Duration::from_secs(300);
/// A refusal refreshes at most this often, so that a denied fleet does not hammer the secret's service.
const AFTER_REFUSAL: Duration = Duration::from_secs(10);

struct Held {
    credentials: Arc<Credentials>,
    loaded: Instant,
    refused: bool,
}

impl Held {
    fn is_fresh(&self) -> bool {
        let age = self.loaded.elapsed();
        if self.refused {
            return age < AFTER_REFUSAL;
        }
        match self.credentials.expires {
            Some(expires) => expires.duration_since(SystemTime::now()).is_ok_and(|left| left > BEFORE_EXPIRY),
            None => age < PERIOD,
        }
    }
    fn is_usable(&self) -> bool {
        self.credentials.expires.is_none_or(|expires| expires > SystemTime::now())
    }
}

/// A provider behind its cache; cheap to ask for every request.
pub struct Cached {
    provider: Box<dyn Provider>,
    held: RwLock<Option<Held>>,
    refreshing: Mutex<()>,
}

impl Cached {
    pub fn new(provider: impl Provider + 'static) -> Self {
        Cached { provider: Box::new(provider), held: RwLock::new(None), refreshing: Mutex::new(()) }
    }

    pub fn describe(&self) -> String {
        self.provider.describe()
    }

    /// The credentials that hold now. If a refresh fails while the old ones still hold, those are used.
    pub async fn get(&self) -> Result<Arc<Credentials>, ProviderError> {
        if let Some(credentials) = self.peek(Held::is_fresh) {
            return Ok(credentials);
        }
        let _one_at_a_time = self.refreshing.lock().await;
        if let Some(credentials) = self.peek(Held::is_fresh) {
            return Ok(credentials);
        }
        match self.provider.load().await {
            Ok(credentials) => {
                let credentials = Arc::new(credentials);
                let held = Held { credentials: credentials.clone(), loaded: Instant::now(), refused: false };
                *self.held.write().unwrap_or_else(|e| e.into_inner()) = Some(held);
                Ok(credentials)
            }
            Err(error) => self.peek(Held::is_usable).ok_or(error),
        }
    }

    /// The far side refused `credentials`: the next `get` asks the provider anew, unless somebody already did.
    pub fn refused(&self, credentials: &Arc<Credentials>) {
        let mut held = self.held.write().unwrap_or_else(|e| e.into_inner());
        if let Some(held) = held.as_mut().filter(|held| Arc::ptr_eq(&held.credentials, credentials)) {
            held.refused = true;
        }
    }

    fn peek(&self, good: impl Fn(&Held) -> bool) -> Option<Arc<Credentials>> {
        let held = self.held.read().unwrap_or_else(|e| e.into_inner());
        held.as_ref().filter(|held| good(held)).map(|held| held.credentials.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grant, Secret};
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counting(Arc<AtomicUsize>);

    #[async_trait::async_trait]
    impl Provider for Counting {
        fn describe(&self) -> String {
            "counting".into()
        }
        async fn load(&self) -> Result<Credentials, ProviderError> {
            let n = self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            let grant = Grant::Bearer(Secret::new(format!("token {n}")));
            Ok(Credentials { grant, region: None, expires: None })
        }
    }

    #[tokio::test]
    async fn many_askers_cause_one_load() {
        let loads = Arc::new(AtomicUsize::new(0));
        let cached = Arc::new(Cached::new(Counting(loads.clone())));
        let askers: Vec<_> = (0..20)
            .map(|_| {
                tokio::spawn({
                    let c = cached.clone();
                    async move { c.get().await.is_ok() }
                })
            })
            .collect();
        for asker in askers {
            assert!(asker.await.unwrap());
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_refusal_does_not_hammer_the_provider() {
        let loads = Arc::new(AtomicUsize::new(0));
        let cached = Cached::new(Counting(loads.clone()));
        for _ in 0..10 {
            let credentials = cached.get().await.unwrap();
            cached.refused(&credentials);
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1, "asked again only after ten seconds");
    }
}
