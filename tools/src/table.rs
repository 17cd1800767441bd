//! `skyferry table`: the ledger's table on DynamoDB, made as the predecessors' stacks made it, and told as their dump told it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use skyferry_agent::wiring::{create_table, dump_table};
use skyferry_aws::dynamodb::COLUMNS;
use skyferry_config::Settings;

use crate::cells::cell;
use crate::cli::{self, Cli, DONE};
use crate::output::{Output, counted};
use crate::settings::ConfigArgument;
use crate::usage::UsageError;

/// Creates the ledger's DynamoDB table, or exports the ledger.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry table create --config /etc/skyferry/agent.toml")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Creates the table with its index and expiry, billed per request. What exists already is kept, and what is missing is
    /// added.
    #[command(after_help = "Example: skyferry table create --config /etc/skyferry/agent.toml")]
    Create {
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// Writes every record as a line of CSV: the columns of the earlier programs, and the outcome. Reads the whole ledger,
    /// page by page; of an embedded one it has source, destination, size and how it ended.
    #[command(after_help = "Example: skyferry table dump --config /etc/skyferry/agent.toml \\
    --output objects.csv")]
    Dump {
        #[command(flatten)]
        config: ConfigArgument,
        /// A new file to write to, instead of stdout.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        match &self.verb {
            Verb::Create { config } => {
                let settings = config.load()?;
                cli.block_on(async { create(&settings, &cli.output).await })
            }
            Verb::Dump { output: None, .. } if cli.output.is_json() => {
                Err(UsageError("--json needs --output: the records are CSV".into()).into())
            }
            Verb::Dump { config, output } => {
                let settings = config.load()?;
                cli.block_on(async {
                    match output {
                        None => {
                            dump(&settings, &mut csv::Writer::from_writer(crate::output::out())).await.map(|_| DONE)
                        }
                        Some(path) => dump_into(&settings, path, &cli.output).await,
                    }
                })
            }
        }
    }
}

async fn create(settings: &Settings, output: &Output) -> anyhow::Result<u8> {
    let (table, no_expiry) = create_table(settings).await?;
    match no_expiry {
        None => {
            output.line(&format!("the table {table} is there, with its index and its expiry"))?;
            output.json(json!({ "table": table }))?;
        }
        Some(answer) => {
            output.line(&format!("the table {table} is there, with its index"))?;
            eprintln!(
                "skyferry: warning: expiry cannot be switched on: {answer}; old records stay until you remove them"
            );
            output.json(json!({ "table": table, "no_expiry": answer }))?;
        }
    }
    Ok(DONE)
}

/// The file is whole or not there.
async fn dump_into(settings: &Settings, path: &Path, output: &Output) -> anyhow::Result<u8> {
    if path.exists() {
        return Err(UsageError(format!("{} exists already; name another file", path.display())).into());
    }
    let file = File::create_new(path).with_context(|| path.display().to_string())?;
    let reported = dump(settings, &mut csv::Writer::from_writer(file)).await;
    let (table, records) = reported.inspect_err(|_| drop(std::fs::remove_file(path)))?;
    output.line(&format!("{} of {table} in {}", counted(records, "record"), path.display()))?;
    output.json(json!({ "table": table, "records": records, "output": path.display().to_string() }))?;
    Ok(DONE)
}

/// The table's name, and how many records there were.
async fn dump<W: Write>(settings: &Settings, lines: &mut csv::Writer<W>) -> anyhow::Result<(String, u64)> {
    let (mut records, mut failed) = (0, None);
    lines.write_record(COLUMNS)?;
    let table = dump_table(settings, |rows| {
        records += rows.len() as u64;
        failed =
            rows.iter().try_for_each(|row| lines.write_record(row.iter().map(|text| cell(text).into_owned()))).err();
        failed.is_none()
    })
    .await?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    lines.flush()?;
    Ok((table, records))
}
