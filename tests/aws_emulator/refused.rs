//! What an agent on a machine of Google says before it ends, when it is given an identity or a secret that cannot work: which
//! one, what was answered, what to do.

use std::path::Path;

use sandbox::{AwsKeysPeer, GcePeer, SecretsPeer};
use tokio::process::Command;

use crate::fixture::program;

const ROLE: &str = "arn:aws:iam::123456789012:role/skyferry";

struct Machine {
    metadata: GcePeer,
    secrets: SecretsPeer,
    amazon: AwsKeysPeer,
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        let metadata = GcePeer::start().expect("a metadata server");
        let secrets = SecretsPeer::start(&metadata).expect("a Secret Manager");
        secrets.only_project(GcePeer::PROJECT);
        let (amazon, folder) = (AwsKeysPeer::start().expect("an STS"), tempfile::tempdir().expect("a folder"));
        Machine { metadata, secrets, amazon, folder }
    }

    /// Runs an agent with this source of credentials until it ends, as it must, and gives what it said.
    async fn refuses(&self, source: &str) -> String {
        let file: &Path = &self.folder.path().join("agent.toml");
        let text = format!(
            "mode = \"get\"\n[credentials]\nsource = {source}\ndestination = \"google\"\n[destination]\nbucket = \"copies\"\n\
             [status]\nlisten = \"off\"\n"
        );
        std::fs::write(file, text).expect("written");
        let mut agent = Command::new(program());
        agent.arg("--config").arg(file).env("GCE_METADATA_HOST", self.metadata.host());
        agent.env("AWS_ENDPOINT_URL_STS", self.amazon.endpoint()).kill_on_drop(true);
        let ended = agent.output().await.expect("an agent");
        let printed = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{printed}");
        printed
    }

    async fn refuses_secret(&self, name: &str) -> String {
        let endpoint = self.secrets.endpoint();
        self.refuses(&format!(r#"{{ provider = "secret-manager", resource = "{name}", endpoint = "{endpoint}" }}"#))
            .await
    }
}

fn says(printed: &str, words: &[&str]) {
    for word in words {
        assert!(printed.contains(word), "{word:?} is not in: {printed}");
    }
}

#[tokio::test]
async fn a_secret_without_a_version_is_named_with_what_it_lacks() {
    let machine = Machine::new();
    let secret = format!("projects/{}/secrets/keys", GcePeer::PROJECT);
    machine.secrets.create(&secret);
    let printed = machine.refuses_secret(&format!("{secret}/versions/latest")).await;
    says(&printed, &[&secret, "NOT_FOUND", "create the secret and a version of it"]);
}

#[tokio::test]
async fn no_project_another_one_and_one_without_the_service_are_told_apart() {
    let machine = Machine::new();
    says(
        &machine.refuses_secret("projects//secrets/keys/versions/latest").await,
        &["projects/P/secrets/S/versions/latest"],
    );
    let printed = machine.refuses_secret("projects/no-such-project/secrets/keys/versions/latest").await;
    says(&printed, &["no-such-project", "correct the project"]);
    machine.secrets.disable(GcePeer::PROJECT);
    let printed = machine.refuses_secret(&format!("projects/{}/secrets/keys/versions/latest", GcePeer::PROJECT)).await;
    says(&printed, &[GcePeer::PROJECT, "enable secretmanager.googleapis.com"]);
}

#[tokio::test]
async fn a_role_that_this_token_may_not_take_is_told_with_whose_token_it_is() {
    let machine = Machine::new();
    let source = |audience: &str| {
        format!(
            r#"{{ provider = "web-identity", role_arn = "{ROLE}", region = "us-west-2", audience = "{audience}" }}"#
        )
    };
    let printed = machine.refuses(&source("skyferry")).await;
    says(&printed, &[ROLE, "AccessDenied", "trust policy", GcePeer::EMAIL, GcePeer::ACCOUNT_ID, "oaud skyferry"]);
    machine.amazon.trust(ROLE);
    let printed = machine.refuses(&source("another")).await;
    says(&printed, &[ROLE, "InvalidIdentityToken", "oaud another", "check the audience"]);
}
