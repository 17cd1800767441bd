//! Keys from a JSON file: the predecessors' secret, as SSM (`{"aws_access_key_id": …}`) or the GCP secret
//! (`{"source": {…}, "destination": {…}}`) holds it. `field` picks the side.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::Deserialize;

use crate::{Credentials, Grant, Provider, ProviderError, Secret};

#[derive(Debug, Clone)]
pub struct File {
    pub path: PathBuf,
    /// `source` or `destination` where the file holds both.
    pub field: Option<String>,
}

/// The three fields that the predecessors' secrets have.
#[derive(Deserialize)]
struct KeyFile {
    aws_access_key_id: String,
    aws_secret_access_key: String,
    #[serde(default)]
    aws_session_token: Option<String>,
    #[serde(default)]
    region: Option<String>,
}

impl File {
    fn error(&self, problem: impl Into<String>, advice: &str) -> ProviderError {
        ProviderError { from: self.describe(), problem: problem.into(), advice: advice.into(), passing: false }
    }
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
        let text = tokio::fs::read_to_string(&self.path)
            .await
            .map_err(|e| self.error(e.to_string(), "check the path and its permissions"))?;
        parse(&text, self.field.as_deref()).map_err(|problem| self.error(problem, SHAPE))
    }
}

const SHAPE: &str =
    r#"expected {"aws_access_key_id": …, "aws_secret_access_key": …, "region": …}, or one such object a field"#;

/// Reads a secret's JSON. The error names what is wrong with its shape and never quotes its values.
fn parse(text: &str, field: Option<&str>) -> Result<Credentials, String> {
    let mut value: serde_json::Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|e| format!("not JSON (line {}, column {})", e.line(), e.column()))?;
    if let Some(field) = field {
        value = value.get_mut(field).map(serde_json::Value::take).ok_or_else(|| format!("no field {field:?}"))?;
    }
    for name in ["aws_access_key_id", "aws_secret_access_key"] {
        if !value.get(name).is_some_and(serde_json::Value::is_string) {
            return Err(format!("no text field {name:?}"));
        }
    }
    let keys: KeyFile = serde_json::from_value(value).map_err(|_| "a field is not text".to_string())?;
    Ok(Credentials {
        grant: Grant::Keys {
            access_key_id: keys.aws_access_key_id,
            secret_access_key: Secret::new(keys.aws_secret_access_key),
            session_token: keys.aws_session_token.map(Secret::new),
        },
        region: keys.region,
        expires: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = r#"{"source":{"aws_access_key_id":"A","aws_secret_access_key":"S","region":"us-west-2"},
                           "destination":{"aws_access_key_id":"B","aws_secret_access_key":7}}"#;

    #[test]
    fn one_side_of_a_secret_with_both_is_read() {
        let credentials = parse(BOTH, Some("source")).unwrap();
        assert_eq!(credentials.region.as_deref(), Some("us-west-2"));
    }

    #[test]
    fn what_is_wrong_is_named_without_the_secret() {
        assert_eq!(parse(BOTH, Some("destination")).unwrap_err(), r#"no text field "aws_secret_access_key""#);
        assert_eq!(parse(BOTH, Some("elsewhere")).unwrap_err(), r#"no field "elsewhere""#);
        assert!(parse("hunter2", None).unwrap_err().starts_with("not JSON"));
        assert!(!parse(r#"{"aws_access_key_id":"hunter2"}"#, None).unwrap_err().contains("hunter2"));
    }
}
