//! The agent and the scan as AWS Lambda functions: one program, and which of both it is the handler's name says. Reads the
//! settings, sets up the log, and serves the Runtime API.
//!
//! A crate of its own, for it needs the agent's engine and the scan of the tools, and neither of them needs Lambda's runtime.

mod deadline;
mod event;
mod jobsender;
mod log;
mod queue;
mod settings;
mod worker;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{anyhow, bail};
use clap::{Parser, ValueEnum};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use skyferry_config::Settings;

use deadline::Deadline;
use jobsender::Jobsender;
use settings::EnvironmentVariables;
use worker::Worker;

/// Thousands of small tasks and buffers: it stays smaller than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DONE: u8 = 0;
/// Settings or usage.
const WRONG: u8 = 2;

/// The agent, and the scan that sends it jobs, as AWS Lambda functions.
#[derive(Parser)]
#[command(
    name = "skyferry-lambda",
    version = skyferry_core::version::long(),
    after_help = "Example: skyferry-lambda --print-config

AWS Lambda starts it as `bootstrap`. The function's handler says what it does: worker or scan."
)]
struct Arguments {
    /// What it does [default: the function's handler].
    #[arg(value_enum)]
    handler: Option<Handler>,
    /// Print the settings with all defaults, and what became of the earlier program's variables.
    #[arg(long)]
    print_config: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Handler {
    /// Works on the messages of an SQS queue.
    Worker,
    /// Compares both sides, and sends a job for each object that differs.
    Scan,
}

fn main() -> ExitCode {
    skyferry_agent::hardening::harden("skyferry-lambda");
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { WRONG } else { DONE });
        }
    };
    let runtime = match skyferry_agent::hardening::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return report_error(&error.into()),
    };
    match runtime.block_on(run(&arguments)) {
        Ok(()) => ExitCode::from(DONE),
        Err(error) => report_error(&error),
    }
}

fn report_error(error: &anyhow::Error) -> ExitCode {
    eprintln!("[ERROR] skyferry-lambda: {error:#}");
    ExitCode::from(WRONG)
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let environment = settings::environment();
    let handler = match arguments.handler {
        Some(handler) => handler,
        None => handler(environment.get("_HANDLER").map(String::as_str).unwrap_or_default())?,
    };
    let settings = settings::load(&environment).await?;
    if arguments.print_config {
        let mut out = std::io::stdout().lock();
        out.write_all(settings.to_toml().as_bytes())?;
        return Ok(out.flush()?);
    }
    if !environment.contains_key("AWS_LAMBDA_RUNTIME_API") {
        bail!("AWS_LAMBDA_RUNTIME_API is not set: AWS Lambda starts this program; see docs/serverless.md");
    }
    log::start(&settings.log);
    serve(handler, settings, &environment).await
}

/// The function's handler. What a template for a provided runtime names where it does not matter is the worker.
fn handler(name: &str) -> anyhow::Result<Handler> {
    match name {
        "worker" | "bootstrap" | "skyferry-lambda" | "" => Ok(Handler::Worker),
        "scan" => Ok(Handler::Scan),
        other => Err(anyhow!("the function's handler is {other}: set it to worker or scan")),
    }
}

async fn serve(handler: Handler, settings: Settings, environment: &EnvironmentVariables) -> anyhow::Result<()> {
    let served = match handler {
        Handler::Worker => {
            let worker = Arc::new(Worker::new(settings));
            lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
                let worker = worker.clone();
                async move {
                    let deadline = begin(&event);
                    answer(worker.invoke(&event.payload, deadline).await)
                }
            }))
            .await
        }
        Handler::Scan => {
            let versions =
                environment.get("JobsenderCompareVersionId").is_some_and(|on| on.eq_ignore_ascii_case("true"));
            let jobsender = Arc::new(Jobsender::new(settings, versions));
            lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
                let jobsender = jobsender.clone();
                async move {
                    let deadline = begin(&event);
                    answer(jobsender.invoke(&event.payload, deadline).await)
                }
            }))
            .await
        }
    };
    served.map_err(|error| anyhow!("the Runtime API: {error}"))
}

fn begin(event: &LambdaEvent<Value>) -> Deadline {
    log::begin_request(&event.context.request_id);
    Deadline::new(event.context.deadline, SystemTime::now())
}

/// With all of its causes, in the log and in what Lambda reports.
fn answer(answer: anyhow::Result<Value>) -> Result<Value, lambda_runtime::Error> {
    answer.map_err(|error| {
        let text = format!("{error:#}");
        tracing::error!("{text}");
        text.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handlers_name_says_what_it_is() {
        assert_eq!(handler("scan").unwrap(), Handler::Scan);
        assert_eq!(handler("bootstrap").unwrap(), Handler::Worker);
        let error = handler("lambda_function.lambda_handler").unwrap_err().to_string();
        assert!(error.contains("worker or scan"), "{error}");
    }
}
