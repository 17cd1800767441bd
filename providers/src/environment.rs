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
        std::env::var(format!("{}{name}", self.prefix)).ok().filter(|value| !value.trim().is_empty())
    }

    fn required(&self, name: &str) -> Result<String, ProviderError> {
        self.read(name).ok_or_else(|| {
            let problem = format!("{}{name} is not set", self.prefix);
            ProviderError::permanent(self, problem, "export it, or name another provider")
        })
    }

    /// Whether there is a key pair at all.
    pub(crate) fn is_set(&self) -> bool {
        self.read("AWS_ACCESS_KEY_ID").is_some() && self.read("AWS_SECRET_ACCESS_KEY").is_some()
    }
}

#[async_trait]
impl Provider for Environment {
    fn describe(&self) -> String {
        format!("environment {}AWS_*", self.prefix)
    }

    async fn load(&self) -> Result<Credentials, ProviderError> {
        let access_key_id = self.required("AWS_ACCESS_KEY_ID")?;
        let secret_access_key = Secret::new(self.required("AWS_SECRET_ACCESS_KEY")?);
        let session_token = self.read("AWS_SESSION_TOKEN").map(Secret::new);
        let grant = Grant::Keys { access_key_id, secret_access_key, session_token };
        let region = self.read("AWS_REGION").or_else(|| self.read("AWS_DEFAULT_REGION"));
        Ok(Credentials { grant, region, expires: None })
    }
}
