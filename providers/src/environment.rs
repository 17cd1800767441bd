//! Keys from environment variables: `<prefix>AWS_ACCESS_KEY_ID` and its two companions.

use async_trait::async_trait;

use crate::{Credentials, Grant, Provider, ProviderError, Secret};

/// Reads the variables at every load, so that nothing is kept twice.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `SRC_` reads `SRC_AWS_ACCESS_KEY_ID`; empty reads the plain names.
    pub prefix: String,
}

impl Environment {
    fn read(&self, name: &str) -> Option<String> {
        std::env::var(format!("{}{name}", self.prefix)).ok().filter(|value| !value.is_empty())
    }

    fn demand(&self, name: &str) -> Result<String, ProviderError> {
        self.read(name).ok_or_else(|| ProviderError {
            from: self.describe(),
            problem: format!("{}{name} is not set", self.prefix),
            advice: "export it, or name another provider".into(),
            passing: false,
        })
    }
}

#[async_trait]
impl Provider for Environment {
    fn describe(&self) -> String {
        format!("environment {}AWS_*", self.prefix)
    }

    async fn load(&self) -> Result<Credentials, ProviderError> {
        let access_key_id = self.demand("AWS_ACCESS_KEY_ID")?;
        let secret_access_key = Secret::new(self.demand("AWS_SECRET_ACCESS_KEY")?);
        let session_token = self.read("AWS_SESSION_TOKEN").map(Secret::new);
        let grant = Grant::Keys { access_key_id, secret_access_key, session_token };
        Ok(Credentials { grant, region: self.read("AWS_REGION"), expires: None })
    }
}
