//! Settings: a TOML file and the environment, raw (`raw.rs`), merged (`merge.rs`), then resolved and checked
//! (`resolve.rs`) into [`Settings`], whose types cannot hold what makes no sense. All problems are reported at once.
//!
//! The names are fixed: operators' files rely on them. The predecessors' ini becomes the same tree
//! (`ini.rs`, `legacy_ini.rs`), and their bucket pairs become routes (`bucket_pairs.rs`).

mod bandwidth;
pub mod bucket_pairs;
mod copy_options;
mod endpoint;
pub mod ini;
mod legacy_ini;
mod lines;
mod merge;
mod print;
mod problem;
mod provider;
mod provider_text;
mod put;
mod raw;
mod reader;
#[cfg(test)]
mod reference;
mod resolve;
mod routes;
mod settings;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod transfer;
mod units;
mod words;

use std::collections::BTreeMap;
use std::path::Path;

pub use bandwidth::BandwidthPlan;
pub use endpoint::Endpoint;
pub use problem::{ConfigError, Problem, ProblemKind};
pub use provider::ProviderSettings;
pub use settings::*;
pub use store::{S3Dialect, S3Settings, StoreSettings};
pub use transfer::{TransferSettings, VerifyMode, VersionMode};
pub use units::{duration, rate, size};

/// What the predecessors take from beside their ini where it is there, and the setting that it is here: patterns, and the bucket
/// pairs of 3GSync's jobsender.
const BESIDE_AN_INI: [(&str, &str); 2] =
    [("s3_migration_ignore_list.txt", "filter.ignore_list"), ("jobsender_bucket_list.txt", "bucket_pairs")];

impl Settings {
    /// Reads the file, then lets the environment (all of it: `std::env::vars_os`) override: `SKYFERRY__SECTION__KEY`,
    /// and AWS's own `AWS_ENDPOINT_URL[_SERVICE]` where no endpoint is set. Variables that are not UTF-8 are left out.
    pub fn load<K, V>(file: &Path, environment: impl IntoIterator<Item = (K, V)>) -> Result<Settings, ConfigError>
    where
        K: Into<std::ffi::OsString>,
        V: Into<std::ffi::OsString>,
    {
        let read = |source| ConfigError::Read { path: file.to_owned(), source };
        let text = std::fs::read_to_string(file).map_err(read)?;
        let path = std::path::absolute(file).map_err(read)?;
        let environment: BTreeMap<String, String> = environment
            .into_iter()
            .filter_map(|(name, value)| Some((name.into().into_string().ok()?, value.into().into_string().ok()?)))
            .collect();
        let beside: Vec<_> =
            BESIDE_AN_INI.into_iter().filter(|(name, _)| path.with_file_name(name).is_file()).collect();
        Settings::read(&path, &text, &environment, &beside)
    }

    /// The same without touching the disk: `text` is the content of `file`, whose directory other file names are
    /// relative to.
    ///
    /// ```
    /// use std::{collections::BTreeMap, path::Path};
    /// use skyferry_config::Settings;
    ///
    /// let text = r#"
    ///     mode = "put"
    ///     queue.name = "events"
    ///     ledger.table = "events"
    ///     destination = { kind = "s3", bucket = "copies", region = "cn-north-1" }
    /// "#;
    /// let file = Path::new("/etc/skyferry/agent.toml");
    /// assert!(Settings::parse(file, text, &BTreeMap::new()).is_ok());
    /// let error = Settings::parse(file, "mod = \"put\"", &BTreeMap::new()).unwrap_err();
    /// assert!(error.to_string().contains("did you mean mode?"));
    /// ```
    pub fn parse(file: &Path, text: &str, environment: &BTreeMap<String, String>) -> Result<Settings, ConfigError> {
        Settings::read(file, text, environment, &[])
    }

    /// `beside`: which of [`BESIDE_AN_INI`] are there.
    fn read(
        file: &Path,
        text: &str,
        environment: &BTreeMap<String, String>,
        beside: &[(&str, &str)],
    ) -> Result<Settings, ConfigError> {
        merge::SettingsTree::read(file, text, environment, beside)
            .and_then(|tree| resolve::resolve(tree, file.parent().unwrap_or(Path::new("")), environment))
            .map_err(|error| lines::with_lines(error, file, text))
    }

    /// Whether the environment has the variables by which the predecessors' Lambda functions were set.
    pub fn has_legacy_variables(environment: &BTreeMap<String, String>) -> bool {
        legacy_ini::has_variables(environment)
    }

    /// The settings that those variables mean.
    pub fn from_legacy_variables(environment: &BTreeMap<String, String>) -> Result<Settings, ConfigError> {
        resolve::resolve(merge::SettingsTree::from_legacy_variables(environment)?, Path::new(""), environment)
    }

    /// `--print-config`: TOML that reads back as the same settings, defaults and all. Holds no secret, as settings do not.
    pub fn to_toml(&self) -> String {
        print::print(self)
    }
}
