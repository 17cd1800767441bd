//! `skyferry`: everything that a person types. One file a verb; this one parses, sets up the log and hands over. A library
//! too, for the one verb that also runs where nobody types: [`resumable`], the scan of a Lambda function.

mod cells;
mod check;
mod clean;
mod compare;
mod completions;
mod copy;
mod deadletters;
#[cfg(feature = "demo")]
mod demo;
mod estimate;
mod inventory;
mod jobs;
mod pages;
mod patience;
mod pause;
mod prefixes;
mod remember;
mod scan;
mod scope;
mod select;
mod settings;
mod show;
mod spelling;
mod status;
mod stopping;
mod table;
mod ticker;
mod trigger;
mod usage;
mod verify;
mod voice;

pub use scan::resumable;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const DONE: u8 = 0;
/// Something differs, was parked or failed.
const FAILED: u8 = 1;
/// Settings or usage.
const WRONG: u8 = 2;

/// Keeps a Google Cloud Storage bucket or a China-region S3 bucket in step with an Amazon S3 bucket.
#[derive(Parser)]
#[command(name = "skyferry", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Check(check::Arguments),
    Clean(clean::Arguments),
    Completions(completions::Arguments),
    Copy(Box<copy::Arguments>),
    Deadletters(deadletters::Arguments),
    #[cfg(feature = "demo")]
    Demo(demo::Arguments),
    Inventory(Box<inventory::Arguments>),
    Pause(pause::PauseArguments),
    Resume(pause::ResumeArguments),
    Scan(Box<scan::Arguments>),
    Status(status::Arguments),
    Table(table::Arguments),
    Trigger(Box<trigger::Arguments>),
    Verify(Box<verify::Arguments>),
}

/// The program.
pub fn main() -> ExitCode {
    skyferry_agent::process::settle("skyferry");
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { WRONG } else { DONE });
        }
    };
    let ended: anyhow::Result<u8> = match arguments.verb {
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Clean(arguments) => clean::run(&arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
        Verb::Copy(arguments) => copy::run(&arguments),
        Verb::Deadletters(arguments) => deadletters::run(&arguments),
        #[cfg(feature = "demo")]
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Inventory(arguments) => inventory::run(&arguments),
        Verb::Pause(arguments) => pause::pause(&arguments),
        Verb::Resume(arguments) => pause::resume(&arguments),
        Verb::Scan(arguments) => scan::run(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Table(arguments) => table::run(&arguments),
        Verb::Trigger(arguments) => trigger::run(&arguments),
        Verb::Verify(arguments) => verify::run(&arguments),
    };
    ExitCode::from(ended.unwrap_or_else(|error| {
        eprintln!("skyferry: {error:#}");
        if error.is::<usage::Usage>() { WRONG } else { FAILED }
    }))
}
