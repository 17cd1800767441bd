//! What is put into a printed table: texts, endpoints, paths.

use std::path::Path;

use toml::{Table, Value};

use super::endpoint::Endpoint;

pub(super) trait Put {
    fn put(&mut self, name: &str, value: impl Into<Value>);
    fn put_some(&mut self, name: &str, value: Option<&str>);
    fn put_endpoint(&mut self, endpoint: Option<&Endpoint>);
}

impl Put for Table {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.insert(name.into(), value.into());
    }
    fn put_some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }
    fn put_endpoint(&mut self, endpoint: Option<&Endpoint>) {
        if let Some(endpoint) = endpoint {
            self.put("endpoint", endpoint.as_str());
            if !endpoint.is_https() && !endpoint.is_loopback() {
                self.put("allow_http", true);
            }
        }
    }
}

pub(super) fn text(path: &Path) -> Value {
    Value::String(path.display().to_string())
}
