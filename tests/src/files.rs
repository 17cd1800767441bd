//! s3s-fs in process: somebody else's S3 over a directory, which checks signatures and checksums and would not share a
//! misunderstanding with Skyferry.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

/// A running server over a directory that is its caller's. Ends when dropped.
#[derive(Debug)]
pub struct S3Files {
    address: SocketAddr,
    root: PathBuf,
    _accepting: AbortOnDropHandle<()>,
}

impl S3Files {
    /// As what it answers are to be distinguished from others'.
    pub const NAME: &'static str = "s3s-fs 0.14.1";
    /// The access key id.
    pub const ACCESS_ID: &'static str = "AKIASANDBOXFILES0001";
    /// Its secret.
    pub const SECRET: &'static str = "sandbox+secret/of+the+files";

    /// Serves `root`, whose directories are the buckets, on a free port of 127.0.0.1. Must be called within a tokio runtime.
    pub fn start(root: &Path) -> io::Result<Self> {
        let wrong = |error: &dyn std::fmt::Debug| io::Error::other(format!("{}: {error:?}", Self::NAME));
        let files = s3s_fs::FileSystem::new(root).map_err(|error| wrong(&error))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(Self::ACCESS_ID, Self::SECRET));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(TcpListener::from_std(listener)?, service.build()));
        Ok(S3Files { address, root: root.to_owned(), _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// `http://127.0.0.1:PORT`. Path style; any region.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a bucket; one that is there stays.
    pub fn create_bucket(&self, bucket: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.root.join(bucket))
    }

    /// Its files are its objects.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

async fn accept(listener: TcpListener, service: S3Service) {
    // Owned by this task: when it is aborted, so are the connections.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: wait for some to close.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        connections.spawn(async move {
            // A connection that ends with an error is its client's affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
