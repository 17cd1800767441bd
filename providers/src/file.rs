//! Keys from a file: JSON of the shape that the predecessors' secrets have (`keyfile`), or a section of an ini: the one of their
//! single node holds the keys of Alibaba's service.

use std::path::PathBuf;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::keyfile::{SHAPE, parse};
use crate::{Credentials, Grant, Provider, ProviderError, Secret};

const INI: &str = "expected aws_access_key_id and aws_secret_access_key (or ali_access_key_id and ali_access_key_secret) in that section";

/// A JSON file with a key pair, or with a field that holds one.
#[derive(Debug, Clone)]
pub struct File {
    /// Read again whenever it is asked.
    pub path: PathBuf,
    /// `source` or `destination` where the file holds both; the section of an ini.
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
            .map_err(|e| ProviderError::permanent(self, e.to_string(), "check the path and its permissions"))?;
        if self.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ini")) {
            let section = self.field.as_deref().unwrap_or("default");
            return in_ini(&text, section).map_err(|problem| ProviderError::permanent(self, problem, INI));
        }
        parse(&text, self.field.as_deref()).map_err(|problem| ProviderError::permanent(self, problem, SHAPE))
    }
}

/// The keys of one section. The error quotes nothing.
fn in_ini(text: &[u8], section: &str) -> Result<Credentials, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not text in UTF-8".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let header =
        |line: &str| line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name == section);
    let mut inside = false;
    let mut found = [None; 4];
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(wanted) = header(line) {
            inside = wanted;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| inside) {
            let place = match name.trim().to_ascii_lowercase().as_str() {
                "aws_access_key_id" | "ali_access_key_id" => 0,
                "aws_secret_access_key" | "ali_access_key_secret" => 1,
                "aws_session_token" => 2,
                "region" => 3,
                _ => continue,
            };
            found[place] = Some(value.trim()).filter(|value| !value.is_empty());
        }
    }
    let [Some(id), Some(secret), token, region] = found else {
        return Err(format!("it has no key pair in [{section}]"));
    };
    Ok(Credentials {
        grant: Grant::Keys {
            access_key_id: id.into(),
            secret_access_key: Secret::new(secret),
            session_token: token.map(Secret::new),
        },
        region: region.map(Into::into),
        expires: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = "\u{feff}[Basic]\r\naws_access_key_id = no\r\n[ALIOSS_TO_S3]\r\n# ali_access_key_id = no\r\n\
        ali_access_key_id = hunter1\r\nALI_access_key_secret=hunter2=\r\nali_endpoint = e\r\n[Other]\r\n"
        .as_bytes();

    #[test]
    fn a_section_of_an_ini_holds_a_key_pair() {
        let Grant::Keys { access_key_id, secret_access_key, session_token } =
            in_ini(TEXT, "ALIOSS_TO_S3").expect("keys").grant
        else {
            panic!()
        };
        assert_eq!((access_key_id.as_str(), secret_access_key.expose()), ("hunter1", "hunter2="));
        assert!(session_token.is_none());
    }

    #[test]
    fn a_section_without_keys_is_named_and_nothing_is_quoted() {
        for section in ["Basic", "Other", "missing"] {
            assert_eq!(in_ini(TEXT, section).expect_err("refused"), format!("it has no key pair in [{section}]"));
        }
        assert!(in_ini(b"[a]\xff", "a").is_err());
    }
}
