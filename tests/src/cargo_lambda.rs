//! `cargo lambda watch` and `cargo lambda invoke`: the Runtime API that developers of functions in Rust have on their own
//! machines. The function is the program that is built already; cargo-lambda serves its requests and brings it events. The
//! deadlines that it names are a span and not a time: `LambdaPeer` is the one with right deadlines.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::event_source::Function;
use crate::foreign::{S3Server, WATCHDOG, program};
use crate::lambda::LambdaError;

/// It reads a package, even where it does not build one.
const PACKAGE: &str = "[package]\nname = \"function\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
/// How long the Runtime API may take to listen.
const READY: Duration = Duration::from_secs(30);

/// A function behind cargo-lambda's Runtime API; both end when it is dropped.
#[derive(Debug)]
pub struct CargoLambda {
    port: u16,
    folder: TempDir,
    /// The Runtime API, then the function.
    running: Vec<Child>,
}

impl CargoLambda {
    /// Starts the Runtime API and, when it listens, the function, with `root` as its package.
    ///
    /// # Panics
    /// If cargo-lambda is missing: a test never passes by not running.
    pub async fn start(function: &Path, handler: &str, root: &Path) -> io::Result<CargoLambda> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("src"))?;
        std::fs::write(folder.path().join("Cargo.toml"), PACKAGE)?;
        std::fs::write(folder.path().join("src/main.rs"), "fn main() {}\n")?;
        let port = S3Server::free_port()?;
        let mut peer = CargoLambda { port, folder, running: Vec::new() };
        let watch = ["lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1", "--invoke-port"];
        let mut command = peer.command(program("cargo-lambda"));
        command.args(watch).arg(port.to_string()).env("CARGO_NET_OFFLINE", "true");
        peer.running.push(peer.spawn(command, "watch.log")?);
        peer.until_it_listens().await?;
        let mut command = peer.command(function);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_LAMBDA_RUNTIME_API", format!("http://127.0.0.1:{port}/.rt"))
            .env("AWS_LAMBDA_FUNCTION_NAME", "_")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_REGION", crate::Ministack::REGION)
            .env("AWS_ACCESS_KEY_ID", "SANDBOX")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .env("_HANDLER", handler)
            .env("LAMBDA_TASK_ROOT", root);
        peer.running.push(peer.spawn(command, "function.log")?);
        Ok(peer)
    }

    /// What the function and the Runtime API have logged.
    pub fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("watch.log") + &read("function.log")
    }

    /// Under a shell that ends the program when this process is gone.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", WATCHDOG, "watchdog"]).arg(program).current_dir(self.folder.path());
        command
    }

    fn spawn(&self, mut command: Command, log: &str) -> io::Result<Child> {
        let log = File::create(self.folder.path().join(log))?;
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).spawn()
    }

    async fn until_it_listens(&self) -> io::Result<()> {
        let started = Instant::now();
        while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
            if started.elapsed() > READY {
                return Err(io::Error::other(format!("cargo lambda watch does not listen: {}", self.log())));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Function for CargoLambda {
    async fn invoke(&self, event: &Value) -> Result<Value, LambdaError> {
        let file = self.folder.path().join("event.json");
        std::fs::write(&file, event.to_string())?;
        let invoked = tokio::process::Command::new(program("cargo-lambda"))
            .args(["lambda", "invoke", "--invoke-address", "127.0.0.1", "--invoke-port", &self.port.to_string()])
            .arg("--data-file")
            .arg(&file)
            .current_dir(self.folder.path())
            .kill_on_drop(true)
            .output()
            .await?;
        let answer = serde_json::from_slice(&invoked.stdout).ok().filter(|_| invoked.status.success());
        answer.ok_or_else(|| {
            let text = [invoked.stdout, invoked.stderr].concat();
            LambdaError::Function(String::from_utf8_lossy(&text).into_owned())
        })
    }
}

impl Drop for CargoLambda {
    fn drop(&mut self) {
        for process in self.running.iter_mut().rev() {
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }
}
