//! The flag of every verb that needs an agent's settings, and how they are read.

use std::path::PathBuf;

use skyferry_config::Settings;

use crate::usage::UsageError;

/// `--config`.
#[derive(clap::Args)]
pub struct ConfigArgument {
    /// The agent's settings file.
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        env = "SKYFERRY_CONFIG",
        hide_env_values = true,
        default_value = "/etc/skyferry/agent.toml"
    )]
    pub file: PathBuf,
}

impl ConfigArgument {
    /// The settings. What is wrong with them is an error of usage.
    pub fn load(&self) -> anyhow::Result<Settings> {
        Settings::load(&self.file, std::env::vars_os()).map_err(|error| UsageError(error.to_string()).into())
    }
}
