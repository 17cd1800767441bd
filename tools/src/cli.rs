//! What all verbs share: flags about output, the log, the runtime, signals, and the exit code. A verb is a module whose
//! `Arguments` implement [`Command`], and a row of the list in lib.rs.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use skyferry_agent::hardening;
use skyferry_agent::shutdown::{Shutdown, ShutdownReason};
use skyferry_agent::wiring::WiringError;

use crate::console::{self, Console};
use crate::output::Output;
use crate::progress_line;
use crate::usage::{OrUsage as _, UsageError};

/// The work is done, and there is nothing to report.
pub const DONE: u8 = 0;
/// Something differs, was parked or failed.
pub const FAILED: u8 = 1;
/// Settings or usage.
pub const WRONG: u8 = 2;

/// How long what still blocks at the end is waited for: a host name that is being resolved cannot be cancelled.
const LAST: Duration = Duration::from_secs(1);

/// The flags of every verb.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct Flags {
    /// Print the result as JSON on stdout; everything else goes to stderr.
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress on stderr.
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Show each object and what happens; -vv shows each request, too.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show only errors and the result.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Append the log to this file; with -vv each request, too.
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

/// A verb.
pub trait Command {
    /// Its work is an agent's or a listing's, whose warnings are shown also without -v.
    const WARNINGS: bool = false;

    /// Ends with the exit code; with an error it is [`FAILED`], with [`UsageError`] [`WRONG`].
    fn run(&self, cli: &Cli) -> anyhow::Result<u8>;
}

/// What a verb is given.
pub struct Cli {
    /// The result goes here,
    pub output: Output,
    /// and everything else that a person reads here.
    pub console: Console,
    pub shutdown: Shutdown,
    pub verbose: bool,
    progress: bool,
}

impl Cli {
    fn open(flags: &Flags, warnings: bool) -> anyhow::Result<Cli> {
        let (verbose, progress) = (flags.verbose > 0, !flags.no_progress && !flags.quiet);
        // A log between the bars would tear them to pieces.
        let output = Output::new(flags.json, progress && (!verbose || flags.log_file.is_some()));
        let console = Console::new(output.bars.then(progress_line::bar), flags.quiet);
        let file = |path: &PathBuf| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.with_context(|| format!("--log-file {}", path.display())).or_usage()
        };
        match flags.log_file.as_ref().map(file).transpose()? {
            Some(file) => console::log_to(flags.verbose.max(1), file),
            None => console::log(flags.verbose, warnings && !flags.quiet, &console),
        }
        Ok(Cli { output, console, shutdown: Shutdown::default(), verbose, progress })
    }

    /// Runs it to its end; a signal drops it where it is.
    pub fn block_on(&self, work: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
        self.stoppable(async {
            tokio::select! {
                ended = work => ended,
                () = self.shutdown.stop.cancelled() => Ok(self.stopped()),
            }
        })
    }

    /// Runs what minds [`Cli::shutdown`] by itself.
    pub fn stoppable<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let runtime = hardening::runtime()?;
        let ended = runtime.block_on(async {
            self.shutdown.listen()?;
            work.await
        });
        runtime.shutdown_timeout(LAST);
        self.console.clear();
        ended
    }

    /// The exit code of what was stopped.
    pub fn stopped(&self) -> u8 {
        self.shutdown.reason().map_or(FAILED, ShutdownReason::exit_code)
    }

    /// A line about one object, with -v.
    pub fn note(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            self.console.line(&text());
        }
    }

    /// Whether progress is shown at all.
    pub fn progress(&self) -> bool {
        self.progress
    }

    /// Shows how far it is, for as long as this is polled.
    pub async fn ticker(&self, text: impl FnMut() -> String) {
        match self.progress {
            true => progress_line::run(self.console.clone(), text).await,
            false => std::future::pending().await,
        }
    }
}

/// Runs a verb, whatever it ends with.
pub fn run<C: Command>(command: &C, flags: &Flags) -> ExitCode {
    let ended = Cli::open(flags, C::WARNINGS).and_then(|cli| command.run(&cli));
    ExitCode::from(ended.unwrap_or_else(|error| {
        if nobody_reads(&error) {
            return DONE;
        }
        eprintln!("skyferry: {error:#}");
        let wiring = error.downcast_ref::<WiringError>();
        if error.is::<UsageError>() || wiring.is_some_and(WiringError::is_wrong_settings) { WRONG } else { FAILED }
    }))
}

/// `| head` has seen enough.
fn nobody_reads(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = match cause.downcast_ref::<csv::Error>().map(csv::Error::kind) {
            Some(csv::ErrorKind::Io(error)) => Some(error),
            _ => cause.downcast_ref::<io::Error>(),
        };
        io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Whether somebody can answer a question.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks; everything but yes is no. Dropped by a signal, as other work is, it leaves the thread that still reads.
pub async fn ask(question: &str) -> io::Result<bool> {
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = answer.await.map_err(io::Error::other)??;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
