//! AWS Lambda as a function meets it: the Runtime API with deadlines that are right, one instance of the program at a time,
//! killed when its time is over. The program starts with the variables that Lambda sets and no others.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

const RUNTIME: &str = "/2018-06-01/runtime/";
/// How long an instance may take until it asks for its first event.
const INIT: Duration = Duration::from_secs(60);

/// A function as it is deployed.
#[derive(Clone, Debug)]
pub struct LambdaOptions {
    pub program: PathBuf,
    pub handler: String,
    pub timeout: Duration,
    /// MB.
    pub memory: u32,
    pub region: String,
    /// The package: what `LAMBDA_TASK_ROOT` names.
    pub root: PathBuf,
    pub environment: Vec<(String, String)>,
}

/// Why an invocation has no answer.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    /// What the function reported.
    #[error("the function failed: {0}")]
    Function(String),
    #[error("the task timed out after {0:?}")]
    TimedOut(Duration),
    #[error("the instance was killed")]
    Killed,
    #[error("the runtime exited: {0}")]
    Exited(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

type Answer = Result<Value, String>;

struct Invocation {
    id: String,
    event: Value,
    begun: oneshot::Sender<()>,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Shared {
    waiting: Option<Invocation>,
    running: Option<(String, oneshot::Sender<Answer>)>,
    /// Of the instance; a request of one that is dead gets nothing.
    instance: u64,
    requests: u64,
    init_error: Option<String>,
}

struct Runtime {
    shared: Mutex<Shared>,
    changed: Notify,
    timeout: Duration,
}

impl Runtime {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A function, invoked one event at a time. Dropped, its instance is killed.
pub struct LambdaPeer {
    options: LambdaOptions,
    address: SocketAddr,
    runtime: Arc<Runtime>,
    instance: tokio::sync::Mutex<Option<Child>>,
    kill: Notify,
    folder: TempDir,
    _serving: AbortOnDropHandle<()>,
}

impl LambdaPeer {
    /// Listens; the first invocation starts an instance. Must be called within a tokio runtime.
    pub fn start(options: LambdaOptions) -> io::Result<LambdaPeer> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let (shared, changed) = (Mutex::default(), Notify::new());
        let runtime = Arc::new(Runtime { shared, changed, timeout: options.timeout });
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, runtime.clone())));
        let (instance, kill, folder) = (tokio::sync::Mutex::default(), Notify::new(), tempfile::tempdir()?);
        Ok(LambdaPeer { options, address, runtime, instance, kill, folder, _serving: serving })
    }

    /// One invocation, as the service does it: what is still running when the time is over is killed.
    pub async fn invoke(&self, event: &Value) -> Result<Value, LambdaError> {
        let mut instance = self.instance.lock().await;
        let lives = instance.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
        let mut child = match instance.take().filter(|_| lives) {
            Some(child) => child,
            None => self.spawn()?,
        };
        let (begun, begins) = oneshot::channel();
        let (answer, mut answered) = oneshot::channel();
        {
            let mut shared = self.runtime.shared();
            shared.requests += 1;
            let id = format!("{:08}-sandbox", shared.requests);
            shared.waiting = Some(Invocation { id, event: event.clone(), begun, answer });
        }
        self.runtime.changed.notify_waiters();
        let timed = async {
            if tokio::time::timeout(INIT, begins).await.is_ok() {
                tokio::time::sleep(self.options.timeout).await;
            }
        };
        let ended = tokio::select! {
            biased;
            answer = &mut answered => answer.map_err(|_| LambdaError::Killed)?.map_err(LambdaError::Function),
            status = child.wait() => {
                let reported = self.runtime.shared().init_error.take().unwrap_or_else(|| self.log());
                return Err(LambdaError::Exited(format!("{}: {reported}", status?)));
            }
            () = timed => Err(LambdaError::TimedOut(self.options.timeout)),
            () = self.kill.notified() => Err(LambdaError::Killed),
        };
        if matches!(ended, Err(LambdaError::TimedOut(_) | LambdaError::Killed)) {
            child.kill().await?;
        } else {
            *instance = Some(child);
        }
        ended
    }

    /// Kills the instance in the middle of the invocation that runs.
    pub fn kill(&self) {
        self.kill.notify_one();
    }

    /// The instance that waits for the next event.
    pub async fn process(&self) -> Option<u32> {
        self.instance.lock().await.as_ref().and_then(Child::id)
    }

    /// What its instances have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn spawn(&self) -> io::Result<Child> {
        let LambdaOptions { program, handler, memory, region, root, environment, .. } = &self.options;
        {
            let mut shared = self.runtime.shared();
            shared.instance += 1;
            (shared.waiting, shared.running) = (None, None);
        }
        self.runtime.changed.notify_waiters();
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        Command::new(program)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", self.address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "sandbox")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory.to_string())
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/sandbox")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/30/[$LATEST]sandbox")
            .env("AWS_REGION", region)
            .env("AWS_DEFAULT_REGION", region)
            .env("AWS_ACCESS_KEY_ID", "SANDBOX")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .env("_HANDLER", handler)
            .env("LAMBDA_TASK_ROOT", root)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(root)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
    }
}

async fn serve(listener: TcpListener, runtime: Arc<Runtime>) {
    // Owned by this task: when it is aborted, so are the connections.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let runtime = runtime.clone();
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, &runtime));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, runtime: &Runtime) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().strip_prefix(RUNTIME).unwrap_or_default().to_owned();
    if (request.method(), &*path) == (&Method::GET, "invocation/next") {
        return Ok(next(runtime).await);
    }
    let posted = request.method() == Method::POST;
    let Ok(body) = request.into_body().collect().await.map(|body| body.to_bytes()) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let text = || String::from_utf8_lossy(&body).into_owned();
    let steps: Vec<&str> = path.split('/').collect();
    let answered = match steps[..] {
        ["init", "error"] if posted => {
            runtime.shared().init_error = Some(text());
            return Ok(status(StatusCode::ACCEPTED));
        }
        ["invocation", id, "response"] if posted => match serde_json::from_slice(&body) {
            Ok(value) => (id, Ok(value)),
            Err(_) => return Ok(status(StatusCode::BAD_REQUEST)),
        },
        ["invocation", id, "error"] if posted => (id, Err(text())),
        _ => return Ok(status(StatusCode::NOT_FOUND)),
    };
    let running = runtime.shared().running.take_if(|(running, _)| running == answered.0);
    Ok(match running {
        Some((_, answer)) => {
            let _ = answer.send(answered.1);
            status(StatusCode::ACCEPTED)
        }
        None => status(StatusCode::BAD_REQUEST),
    })
}

/// Waits for an invocation for as long as this instance is the one that runs.
async fn next(runtime: &Runtime) -> Response<Full<Bytes>> {
    let instance = runtime.shared().instance;
    let invocation = loop {
        let changed = runtime.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        {
            let mut shared = runtime.shared();
            if shared.instance != instance {
                return status(StatusCode::GONE);
            }
            if let Some(invocation) = shared.waiting.take() {
                break invocation;
            }
        }
        changed.await;
    };
    let Invocation { id, event, begun, answer } = invocation;
    runtime.shared().running = Some((id.clone(), answer));
    let deadline = (SystemTime::now() + runtime.timeout).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let response = Response::builder()
        .header("lambda-runtime-aws-request-id", id)
        .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
        .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:sandbox")
        .header("lambda-runtime-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0")
        .header("content-type", "application/json")
        .body(Full::new(event.to_string().into()));
    let _ = begun.send(());
    response.unwrap_or_default()
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(json!({ "status": status.as_str() }).to_string().into()));
    *response.status_mut() = status;
    response
}
