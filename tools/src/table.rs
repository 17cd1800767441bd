//! `skyferry table`: the ledger's table on DynamoDB, made as the predecessors' stacks made it, and told as their dump told it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use skyferry_agent::wiring::{create_table, dump_table};
use skyferry_aws::dynamodb::COLUMNS;
use skyferry_config::Settings;

use crate::cells::cell;
use crate::settings::Config;
use crate::show::Show;
use crate::{DONE, WRONG};

/// Creates or exports the ledger's DynamoDB table.
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
        config: Config,
        /// Print one line of JSON on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Writes every record as a line of CSV: the columns of the earlier programs, and the outcome. Reads the whole table,
    /// page by page.
    #[command(after_help = "Example: skyferry table dump --config /etc/skyferry/agent.toml --output objects.csv")]
    Dump {
        #[command(flatten)]
        config: Config,
        /// A new file to write to, instead of stdout.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Print the count as one line of JSON on stdout; needs --output.
        #[arg(long, requires = "output")]
        json: bool,
    },
}

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let (config, json) = match &arguments.verb {
        Verb::Create { config, json } | Verb::Dump { config, json, .. } => (config, *json),
    };
    let Some(settings) = config.load() else { return Ok(WRONG) };
    match &arguments.verb {
        Verb::Create { .. } => create(&settings, &Show::new(json, false), json),
        Verb::Dump { output: None, .. } => {
            let mut lines = csv::Writer::from_writer(crate::show::out());
            dump(&settings, &mut lines).map(|_| DONE)
        }
        Verb::Dump { output: Some(path), .. } if path.exists() => {
            eprintln!("skyferry: {} is there already; name another file", path.display());
            Ok(WRONG)
        }
        Verb::Dump { output: Some(path), .. } => dump_into(&settings, path, &Show::new(json, false), json),
    }
}

fn create(settings: &Settings, show: &Show, json: bool) -> anyhow::Result<u8> {
    let runtime = skyferry_agent::process::runtime()?;
    let (table, no_expiry) = runtime.block_on(create_table(settings))?;
    match &no_expiry {
        None => show.say(&format!("the table {table} is there, with its index and its expiry"))?,
        Some(answer) => {
            show.say(&format!("the table {table} is there, with its index"))?;
            eprintln!(
                "skyferry: warning: expiry cannot be switched on: {answer}; old records stay until you remove them"
            );
        }
    }
    if json {
        let told = match no_expiry {
            None => serde_json::json!({ "table": table }),
            Some(answer) => serde_json::json!({ "table": table, "no_expiry": answer }),
        };
        show.json(&told.to_string())?;
    }
    Ok(DONE)
}

/// The file is whole or not there.
fn dump_into(settings: &Settings, path: &Path, show: &Show, json: bool) -> anyhow::Result<u8> {
    let file = File::create_new(path).with_context(|| path.display().to_string())?;
    let told = dump(settings, &mut csv::Writer::from_writer(file));
    let (table, records) = told.inspect_err(|_| drop(std::fs::remove_file(path)))?;
    show.say(&format!("{records} records of {table} in {}", path.display()))?;
    if json {
        let told = serde_json::json!({ "table": table, "records": records, "output": path.display().to_string() });
        show.json(&told.to_string())?;
    }
    Ok(DONE)
}

/// The table's name, and how many records there were.
fn dump<W: Write>(settings: &Settings, lines: &mut csv::Writer<W>) -> anyhow::Result<(String, u64)> {
    let runtime = skyferry_agent::process::runtime()?;
    let (mut records, mut failed) = (0, None);
    lines.write_record(COLUMNS)?;
    let table = runtime.block_on(dump_table(settings, |rows| {
        records += rows.len() as u64;
        failed =
            rows.iter().try_for_each(|row| lines.write_record(row.iter().map(|text| cell(text).into_owned()))).err();
        failed.is_none()
    }))?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    lines.flush()?;
    Ok((table, records))
}
