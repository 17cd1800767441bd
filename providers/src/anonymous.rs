//! No credentials: requests go out unsigned, as public buckets take them.

use async_trait::async_trait;

use crate::{Credentials, Grant, Provider, ProviderError, aws};

/// No credentials.
#[derive(Debug, Clone, Copy)]
pub struct Anonymous;

#[async_trait]
impl Provider for Anonymous {
    fn describe(&self) -> String {
        "anonymous: requests are not signed".into()
    }

    async fn load(&self) -> Result<Credentials, ProviderError> {
        Ok(Credentials { grant: Grant::Anonymous, region: aws::region_of_environment(), expires: None })
    }
}
