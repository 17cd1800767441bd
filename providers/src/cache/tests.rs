use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::*;
use crate::{Grant, Secret};

/// Gives a new token at every load; may be told to hang, to fail, or how long its tokens live.
#[derive(Default)]
struct Script {
    loads: AtomicUsize,
    hang: Mutex<bool>,
    fail: Mutex<bool>,
    lives: Mutex<Option<Duration>>,
    begun: Notify,
}

#[async_trait]
impl Provider for Arc<Script> {
    fn describe(&self) -> String {
        "script".into()
    }
    async fn load(&self) -> Result<Credentials, ProviderError> {
        let n = self.loads.fetch_add(1, Ordering::SeqCst);
        self.begun.notify_one();
        if *self.hang.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        if *self.fail.lock().unwrap() {
            return Err(ProviderError::temporary(self, "away", "wait"));
        }
        let grant = Grant::Bearer(Secret::new(format!("token {n}")));
        let expires = self.lives.lock().unwrap().map(|lives| SystemTime::now() + lives);
        Ok(Credentials { grant, region: None, expires })
    }
}

fn cached() -> (Arc<Script>, Arc<Cached>) {
    let script = Arc::<Script>::default();
    (script.clone(), Arc::new(Cached::new(script)))
}

fn token(credentials: &Credentials) -> String {
    let Grant::Bearer(token) = &credentials.grant else { panic!() };
    token.expose().into()
}

/// As if everything held had been loaded so long ago.
fn age(cached: &Cached, by: Duration) {
    let mut held = cached.0.held.write().unwrap();
    let held = held.as_mut().expect("loaded");
    held.loaded = held.loaded.checked_sub(by).expect("a machine that has run for longer");
}

#[tokio::test]
async fn many_askers_cause_one_load() {
    let (script, cached) = cached();
    let askers: Vec<_> = (0..20)
        .map(|_| {
            let cached = cached.clone();
            tokio::spawn(async move { cached.get().await.is_ok() })
        })
        .collect();
    for asker in askers {
        assert!(asker.await.unwrap());
    }
    assert_eq!(script.loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refusal_does_not_hammer_the_provider() {
    let (script, cached) = cached();
    for _ in 0..10 {
        let credentials = cached.get().await.unwrap();
        cached.refused(&credentials);
    }
    assert_eq!(script.loads.load(Ordering::SeqCst), 1, "asked again only after ten seconds");
}

#[tokio::test]
async fn refused_credentials_are_replaced_and_waited_for() {
    let (_, cached) = cached();
    let old = cached.get().await.unwrap();
    cached.refused(&old);
    age(&cached, AFTER_REFUSAL);
    assert_eq!(token(&cached.get().await.unwrap()), "token 1");
    cached.refused(&old);
    assert_eq!(token(&cached.get().await.unwrap()), "token 1", "a late refusal of the old ones means nothing");
}

#[tokio::test]
async fn a_refresh_that_hangs_blocks_nobody_who_holds_good_credentials() {
    let (script, cached) = cached();
    cached.get().await.unwrap();
    script.begun.notified().await;
    *script.hang.lock().unwrap() = true;
    age(&cached, Duration::from_secs(300));
    for _ in 0..100 {
        assert_eq!(token(&cached.get().await.unwrap()), "token 0");
    }
    script.begun.notified().await;
    assert_eq!(token(&cached.get().await.unwrap()), "token 0");
    assert_eq!(script.loads.load(Ordering::SeqCst), 2, "one refresh under way, not a hundred");
}

#[tokio::test]
async fn a_provider_that_never_answers_is_an_outage_within_seconds() {
    let script = Arc::<Script>::default();
    let cached = Cached::with_patience(script.clone(), Duration::from_millis(50));
    *script.hang.lock().unwrap() = true;
    let error = cached.get().await.unwrap_err();
    assert!(error.passing && error.problem.contains("no answer within"), "{error}");
    *script.hang.lock().unwrap() = false;
    age_failure(&cached);
    assert_eq!(token(&cached.get().await.unwrap()), "token 1", "and it is asked again");
}

/// As if the last failure had been longer ago than any pause.
fn age_failure(cached: &Cached) {
    let mut failed = cached.0.failed.lock().unwrap();
    let (at, _) = failed.as_mut().expect("failed");
    *at = at.checked_sub(AFTER_FAILURE).expect("a machine that has run for longer");
}

#[tokio::test]
async fn a_failed_refresh_leaves_the_old_ones_in_use_and_is_not_repeated_at_once() {
    let (script, cached) = cached();
    cached.get().await.unwrap();
    *script.fail.lock().unwrap() = true;
    age(&cached, Duration::from_secs(300));
    cached.0.refreshed(AFTER_FAILURE).await;
    for _ in 0..10 {
        assert_eq!(token(&cached.get().await.unwrap()), "token 0");
    }
    assert_eq!(script.loads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn expired_credentials_are_never_given() {
    let (script, cached) = cached();
    *script.lives.lock().unwrap() = Some(Duration::ZERO);
    let error = cached.get().await.unwrap_err();
    assert!(error.problem.contains("expired"), "{error}");
    *script.lives.lock().unwrap() = Some(Duration::from_secs(3600));
    assert_eq!(token(&cached.get().await.unwrap()), "token 1");
}

#[test]
fn what_is_held_ages_from_fresh_to_stale_to_expired_and_never_back() {
    let (start, clock) = (Instant::now(), SystemTime::now());
    for life in [3, 60, 900, 901, 3600, 21_600].map(Duration::from_secs) {
        let credentials =
            Credentials { grant: Grant::Bearer(Secret::new("t")), region: None, expires: Some(clock + life) };
        let mut held = Held { credentials: Arc::new(credentials), loaded: start, loaded_at: clock, refused: false };
        let mut last = 0;
        for step in 0..=120_u32 {
            let age = life * step / 100;
            let look = held.freshness(start + age, clock + age, Duration::from_secs(300));
            let rank = [Freshness::Fresh, Freshness::Stale, Freshness::Expired]
                .iter()
                .position(|known| *known == look)
                .unwrap();
            assert!(rank >= last, "{life:?} {step}");
            last = rank;
            assert_eq!(look == Freshness::Expired, step >= 100, "{life:?} {step}");
            assert!(
                step > 66 || life > Duration::from_secs(900) || look == Freshness::Fresh,
                "two thirds of a short life"
            );
            held.refused = true;
            let refused = held.freshness(start + age, clock + age, Duration::from_secs(300));
            assert!(refused != Freshness::Stale, "a refusal is not forgotten");
            held.refused = false;
        }
        assert_eq!(last, 2);
    }
}
