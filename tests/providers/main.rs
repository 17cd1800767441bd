//! Where keys come from, against peers as strict as the clouds: what is read, what is said when it cannot be, and an agent that
//! lives on both.

mod amazon;
mod google;
mod journeys;
mod refusals;
mod whole;
mod written;

use std::sync::Arc;

use sandbox::{AwsKeysPeer, Ec2Peer, GcePeer, SecretsPeer};
use skyferry_providers::{Cached, Credentials, Google, Grant, Instance, Provider, ProviderError, SecretManager, Ssm};

pub const SECRET: &str = "projects/p/secrets/keys";
pub const HIDDEN: &str = "hunter2+not/to/be/seen";

/// A key pair as the predecessors write it.
pub fn pair(id: &str, region: &str) -> String {
    format!(r#"{{"aws_access_key_id":"{id}","aws_secret_access_key":"{HIDDEN}","region":"{region}"}}"#)
}

pub fn id(credentials: &Credentials) -> &str {
    match &credentials.grant {
        Grant::Keys { access_key_id, .. } => access_key_id,
        other => panic!("{other:?}"),
    }
}

/// The error, which must not show the secret.
pub async fn refused(provider: &dyn Provider) -> ProviderError {
    let error = provider.load().await.expect_err("refused");
    assert!(!format!("{error} {error:?}").contains(HIDDEN), "{error}");
    error
}

/// A Google machine and the Secret Manager that takes its tokens.
pub struct OnGoogle {
    pub metadata: GcePeer,
    pub secrets: SecretsPeer,
}

impl OnGoogle {
    pub fn start() -> OnGoogle {
        let metadata = GcePeer::start().expect("a metadata server");
        let secrets = SecretsPeer::start(&metadata).expect("a Secret Manager");
        OnGoogle { metadata, secrets }
    }

    pub fn identity(&self) -> Google {
        Google { endpoint: Some(self.metadata.endpoint()), ..Google::default() }
    }

    pub fn secret(&self, version: &str, field: Option<&str>) -> SecretManager {
        SecretManager {
            resource: format!("{SECRET}/versions/{version}"),
            field: field.map(Into::into),
            endpoint: Some(self.secrets.endpoint()),
            reader: self.identity(),
        }
    }
}

/// An Amazon machine, and the SSM and STS that know its role.
pub struct OnAmazon {
    pub metadata: Ec2Peer,
    pub keys: AwsKeysPeer,
}

impl OnAmazon {
    pub fn start() -> OnAmazon {
        let (metadata, keys) =
            (Ec2Peer::start().expect("a metadata service"), AwsKeysPeer::start().expect("SSM and STS"));
        keys.admit(Ec2Peer::ACCESS_ID);
        OnAmazon { metadata, keys }
    }

    pub fn instance(&self) -> Instance {
        Instance { endpoint: Some(self.metadata.endpoint()), ..Instance::default() }
    }

    pub fn parameter(&self, name: &str) -> Ssm {
        Ssm {
            name: name.into(),
            region: None,
            endpoint: Some(self.keys.endpoint()),
            reader: Arc::new(Cached::new(self.instance())),
        }
    }
}
