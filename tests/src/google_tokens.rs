//! Google's tokens: what one peer issues another one takes, until they expire or are revoked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::http_peer::lock;

#[derive(Debug, Default)]
struct Issued {
    access: BTreeMap<String, Instant>,
    count: u64,
}

/// The access tokens of one metadata server. Clones share what was issued.
#[derive(Clone, Debug, Default)]
pub struct GoogleTokens(Arc<Mutex<Issued>>);

impl GoogleTokens {
    /// A new access token that is taken for so long.
    pub(crate) fn access(&self, lives: Duration) -> String {
        let mut issued = lock(&self.0);
        issued.count += 1;
        let token = format!("ya29.sandbox-{}-{:016x}", issued.count, rand::random::<u64>());
        issued.access.insert(token.clone(), Instant::now() + lives);
        token
    }

    pub(crate) fn accepts(&self, token: &str) -> bool {
        lock(&self.0).access.get(token).is_some_and(|until| *until > Instant::now())
    }

    /// No token issued so far is taken any more.
    pub(crate) fn revoke(&self) {
        lock(&self.0).access.clear();
    }

    /// An identity token with these claims. Nobody here can check its signature, so it has none that means anything.
    pub(crate) fn identity(claims: &serde_json::Value) -> String {
        let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let head = serde_json::json!({"alg": "RS256", "kid": "sandbox", "typ": "JWT"});
        format!("{}.{}.{}", part(&head), part(claims), BASE64_URL_SAFE_NO_PAD.encode("signature"))
    }

    /// The claims of such a token.
    pub(crate) fn claims(token: &str) -> Option<serde_json::Value> {
        let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice(&claims).ok()
    }
}
