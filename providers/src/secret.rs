//! A string that is never printed and is wiped when dropped.

use std::fmt;

use zeroize::Zeroizing;

/// A text that is not printed and is wiped when it is dropped.
///
/// ```
/// let secret = skyferry_providers::Secret::new("hush");
/// assert_eq!(secret.expose(), "hush");
/// assert!(!format!("{secret:?}").contains("hush"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }
    /// The text itself: for signing and for a request's headers, nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
    }
}
