//! What somebody must show who may change something over HTTP. From a file, never printed.

use std::path::Path;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Why a file has no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("{setting} {path}: {error}")]
    Unreadable { setting: &'static str, path: String, error: std::io::Error },
    #[error(
        "{setting} {path} holds no token: write one line of at least {SHORTEST} letters, digits, `-`, `.`, `_` or `~` into it"
    )]
    NoToken { setting: &'static str, path: String },
}

/// Fewer characters can be guessed.
const SHORTEST: usize = 16;

/// What a sender must show.
pub struct Token(Zeroizing<String>);

impl Token {
    /// One line; blanks around it do not count. `setting`: whose file it is, for the error.
    pub fn read(path: &Path, setting: &'static str) -> Result<Token, TokenError> {
        let name = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) => return Err(TokenError::Unreadable { setting, path: name, error }),
        };
        let token = text.trim();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if token.len() < SHORTEST || !token.bytes().all(plain) {
            return Err(TokenError::NoToken { setting, path: name });
        }
        Ok(Token(Zeroizing::new(token.to_owned())))
    }

    /// As it is; for tests and for what has none in a file.
    pub fn new(text: &str) -> Token {
        Token(Zeroizing::new(text.to_owned()))
    }

    /// Looks at every byte, so that the time it takes says nothing of where they differ.
    pub fn is(&self, shown: &str) -> bool {
        let (own, shown) = (self.0.as_bytes(), shown.as_bytes());
        own.len() == shown.len() && own.iter().zip(shown).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }

    /// Shown as `Authorization: Bearer`, which no page of another origin can send without being allowed to.
    pub fn is_borne(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|shown| self.is(&shown))
    }
}

pub fn bearer(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let (scheme, value) = authorization(headers)?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Zeroizing::new(value.to_owned()))
}

/// The password of `Basic`.
pub fn password(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let (scheme, value) = authorization(headers)?;
    let decoded = Zeroizing::new(STANDARD.decode(value).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?);
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Zeroizing::new(password.to_owned()))
}

fn authorization(headers: &HeaderMap) -> Option<(&str, &str)> {
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some((scheme, value.trim()))
}
