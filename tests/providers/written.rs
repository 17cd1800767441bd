//! The provider that docs/credentials.md shows how to write: here it is compiled, asked, and compared with what stands there.

// docs/credentials.md
use async_trait::async_trait;
use skyferry_providers::{Credentials, Grant, Provider, ProviderError, Secret};

/// Keys from a command: its stdout is the id, a space, the secret.
pub struct Command(pub &'static str);

#[async_trait]
impl Provider for Command {
    fn describe(&self) -> String {
        format!("command {}", self.0)
    }
    async fn load(&self) -> Result<Credentials, ProviderError> {
        let out = tokio::process::Command::new(self.0).output().await;
        let out = out.map_err(|e| ProviderError::permanent(self, e.to_string(), "check that it is installed"))?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let (id, secret) = text.trim().split_once(' ').ok_or_else(|| {
            ProviderError::permanent(self, "it printed no pair", "let it print an id, a space and a secret")
        })?;
        let (access_key_id, secret_access_key) = (id.to_owned(), Secret::new(secret));
        let grant = Grant::Keys { access_key_id, secret_access_key, session_token: None };
        Ok(Credentials { grant, region: None, expires: None })
    }
}
// end

#[tokio::test]
async fn the_provider_of_the_documentation_works_as_it_stands_there() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/credentials.md");
    let page = std::fs::read_to_string(page).expect("docs/credentials.md");
    let code = include_str!("written.rs").split("// docs/credentials.md\n").nth(1).expect("its beginning");
    let code = code.split("// end").next().expect("its end");
    assert!(page.contains(code), "docs/credentials.md shows another provider:\n{code}");

    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("keys");
    std::fs::write(&script, "#!/bin/sh\necho AKIA from-a-command\n").expect("written");
    let command = Box::leak(script.display().to_string().into_boxed_str());
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    let credentials = Command(command).load().await.expect("a key pair");
    assert_eq!(crate::id(&credentials), "AKIA");
    let error = crate::refused(&Command("/nowhere/keys")).await;
    assert!(error.to_string().contains("command /nowhere/keys"), "{error}");
}
