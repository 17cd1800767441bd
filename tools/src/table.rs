//! `skyferry table`: the ledger's table on DynamoDB, as the predecessors' stacks made it.

use std::path::PathBuf;

use skyferry_agent::wiring::create_table;

use crate::show::Show;
use crate::{DONE, WRONG};

/// Makes the ledger's table on DynamoDB with its index and its expiry, billed by request. What is there already stays,
/// and what is missing of it is added.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry table create --config /etc/skyferry/agent.toml")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Makes it, or completes it.
    Create {
        /// The agent's settings.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// End with a line of JSON on stdout.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let Verb::Create { config, json } = &arguments.verb;
    let Some(settings) = crate::settings(config) else { return Ok(WRONG) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let table = runtime.block_on(create_table(&settings))?;
    let show = Show::new(*json, false);
    show.say(&format!("the table {table} is there, with its index and its expiry"))?;
    if *json {
        show.json(&serde_json::json!({ "table": table }).to_string())?;
    }
    Ok(DONE)
}
