//! Keys from a JSON file, of the shape that the predecessors' secrets have (`keyfile`).

use std::path::PathBuf;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::keyfile::{SHAPE, parse};
use crate::{Credentials, Provider, ProviderError};

#[derive(Debug, Clone)]
pub struct File {
    pub path: PathBuf,
    /// `source` or `destination` where the file holds both.
    pub field: Option<String>,
}

#[async_trait]
impl Provider for File {
    fn describe(&self) -> String {
        match &self.field {
            Some(field) => format!("file {} ({field})", self.path.display()),
            None => format!("file {}", self.path.display()),
        }
    }

    async fn load(&self) -> Result<Credentials, ProviderError> {
        let read = tokio::fs::read(&self.path).await;
        let text = read
            .map(Zeroizing::new)
            .map_err(|e| ProviderError::lasting(self, e.to_string(), "check the path and its permissions"))?;
        parse(&text, self.field.as_deref()).map_err(|problem| ProviderError::lasting(self, problem, SHAPE))
    }
}
