//! `skyferry`: everything that a person types. One module a verb, and a row of the list below; what
//! they share is in `cli`. A library
//! too, for the one verb that also runs where nobody types: [`resumable`], the scan of a Lambda function.

mod cells;
mod check;
mod clean;
mod cli;
mod compare;
mod completions;
mod console;
mod copy;
mod dashboard;
mod deadletters;
#[cfg(feature = "demo")]
mod demo;
mod estimate;
mod filter;
mod inventory;
mod jobs;
mod key_encoding;
mod limit;
mod list;
mod manual;
mod output;
mod pages;
mod pause;
mod prefixes;
mod progress_line;
mod report;
mod retry;
mod scan;
mod scope;
mod settings;
mod spool;
mod state;
mod state_file;
mod status;
mod sync;
mod table;
mod time;
mod trigger;
mod usage;
mod verify;
mod version;

pub use scan::resumable;

use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::{Parser, Subcommand};

/// What panicked elsewhere has been reported there.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a Google Cloud Storage bucket or a China-region S3 bucket in step with an Amazon S3 bucket.
#[derive(Parser)]
#[command(name = "skyferry", version = skyferry_core::version::long(), arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  skyferry copy ./photos s3://bucket/photos
  skyferry check --config agent.toml
  skyferry status --config agent.toml --watch
  skyferry help copy")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    flags: cli::Flags,
}

/// The enumeration of the verbs, and the way to each.
macro_rules! verbs {
    ($($(#[$feature:meta])* $name:ident: $arguments:ty,)*) => {
        #[derive(Subcommand)]
        enum Verb {
            $($(#[$feature])* $name(Box<$arguments>),)*
        }

        impl Verb {
            fn run(&self, flags: &cli::Flags) -> ExitCode {
                match self {
                    $($(#[$feature])* Verb::$name(arguments) => cli::run(&**arguments, flags),)*
                }
            }
        }
    };
}

verbs! {
    Check: check::Arguments,
    Clean: clean::Arguments,
    Completions: completions::Arguments,
    Copy: copy::Arguments,
    Dashboard: dashboard::Arguments,
    Deadletters: deadletters::Arguments,
    #[cfg(feature = "demo")]
    Demo: demo::Arguments,
    Inventory: inventory::Arguments,
    Limit: limit::Arguments,
    Ls: list::LsArguments,
    Man: manual::Arguments,
    Pause: pause::PauseArguments,
    Resume: pause::ResumeArguments,
    Scan: scan::Arguments,
    Size: list::SizeArguments,
    State: state::Arguments,
    Status: status::Arguments,
    Sync: sync::Arguments,
    Table: table::Arguments,
    Trigger: trigger::Arguments,
    Verify: verify::Arguments,
    Version: version::Arguments,
}

/// The program.
pub fn main() -> ExitCode {
    skyferry_agent::hardening::harden("skyferry");
    match Arguments::try_parse() {
        Ok(arguments) => arguments.verb.run(&arguments.flags),
        Err(error) => {
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { cli::WRONG } else { cli::DONE })
        }
    }
}
