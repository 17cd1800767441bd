//! The flag of every verb that needs an agent's settings, and how they are read.

use std::path::PathBuf;

use skyferry_config::Settings;

/// `--config`.
#[derive(clap::Args)]
pub struct Config {
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

impl Config {
    /// The settings. What is wrong with them goes to stderr, and then there are none.
    pub fn load(&self) -> Option<Settings> {
        let loaded = Settings::load(&self.file, std::env::vars_os());
        loaded.inspect_err(|error| eprintln!("skyferry: {error}")).ok()
    }
}
