//! Reads one value after the other, and continues after what is wrong with one, to find all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::endpoint::Endpoint;
use super::merge::SettingsTree;
use super::problem::{Problem, ProblemKind};
use super::raw::RawValue;
use super::units;
use super::words::Words;

/// Reads values and notes what is wrong with them.
pub(super) struct SettingsReader<'a> {
    pub base: &'a Path,
    pub problems: Vec<Problem>,
    /// Knows where values came from. `None` off the command line.
    pub tree: Option<&'a SettingsTree>,
    pub environment: Option<&'a BTreeMap<String, String>>,
}

impl<'a> SettingsReader<'a> {
    /// For one value from the command line.
    pub fn bare(base: &'a Path) -> Self {
        SettingsReader { base, problems: Vec::new(), tree: None, environment: None }
    }

    pub fn note(&mut self, setting: &str, what: ProblemKind) {
        let origin = self.tree.and_then(|tree| tree.origin(setting));
        self.problems.push(Problem { setting: setting.into(), origin, what });
    }

    pub fn refuse(&mut self, setting: &str, found: &str, wanted: &str) {
        self.note(setting, ProblemKind::Value { found: found.into(), wanted: wanted.into() });
    }

    pub fn invalid(&mut self, setting: &str, text: String) {
        self.note(setting, ProblemKind::Invalid(text));
    }

    pub fn required(&mut self, setting: &str, text: RawValue, advice: &str) -> Option<String> {
        let text = text.filter(|text| !text.is_empty());
        if text.is_none() {
            self.note(setting, ProblemKind::Missing(advice.into()));
        }
        text
    }

    pub fn value<T>(
        &mut self,
        setting: &str,
        text: RawValue,
        default: T,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let Some(text) = text else { return default };
        read(text.trim()).unwrap_or_else(|wanted| {
            self.refuse(setting, &text, &wanted);
            default
        })
    }

    pub fn keyword<T: Words>(&mut self, setting: &str, text: RawValue, default: T) -> T {
        self.value(setting, text, default, T::read)
    }

    pub fn flag(&mut self, setting: &str, text: RawValue, default: bool) -> bool {
        self.value(setting, text, default, |text| text.parse().map_err(|_| "true or false".to_string()))
    }

    pub fn size(&mut self, setting: &str, text: RawValue, default: u64, least: u64, most: u64) -> u64 {
        self.value(setting, text, default, |text| match units::size(text)? {
            bytes if (least..=most).contains(&bytes) => Ok(bytes),
            _ => Err(format!("between {} and {}", units::show_size(least), units::show_size(most))),
        })
    }

    /// Fields that this kind has no use for: set in error, so not passed over in silence.
    pub fn refuse_foreign_fields(&mut self, at: &str, kind: &str, fields: &[(&str, &RawValue)]) {
        for (name, _) in fields.iter().filter(|(_, value)| value.is_some()) {
            self.invalid(&format!("{at}.{name}"), format!("does not belong to kind = {kind:?}: remove it"));
        }
    }

    /// A variable of the clouds' own. Metadata servers speak plain http and are not on loopback.
    pub fn metadata(&mut self, name: &str, scheme: &str) -> Option<Endpoint> {
        let value = self.environment?.get(name).filter(|value| !value.is_empty())?;
        let parsed = Endpoint::parse(&format!("{scheme}{value}"), true);
        if parsed.is_err() {
            self.invalid(name, format!("is not the address of a metadata server, like {scheme}host:port"));
        }
        parsed.ok()
    }

    pub fn path(&self, text: RawValue, default: &str) -> PathBuf {
        self.base.join(text.as_deref().unwrap_or(default))
    }

    /// `service`: AWS's name for it in `AWS_ENDPOINT_URL_…`. The value is not shown: it may hold a password.
    pub fn endpoint(
        &mut self,
        setting: &str,
        text: RawValue,
        allow_http: bool,
        service: Option<&str>,
    ) -> Option<Endpoint> {
        let from_aws = |name: &str| {
            let value = self.environment?.get(name).filter(|value| !value.is_empty())?;
            Some((name.to_string(), value.clone()))
        };
        let (name, url) = match (text.filter(|text| !text.is_empty()), service) {
            (Some(text), _) => (setting.to_string(), text),
            (None, Some(service)) => {
                from_aws(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| from_aws("AWS_ENDPOINT_URL"))?
            }
            (None, None) => return None,
        };
        match Endpoint::parse(&url, allow_http) {
            Ok(endpoint) => Some(endpoint),
            Err(wanted) => {
                self.invalid(&name, format!("is not {wanted}"));
                None
            }
        }
    }
}
