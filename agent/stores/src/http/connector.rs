//! Where a connection comes from: the network, or a pipe in memory with a server at its other end.
//!
//! The second is for tests in paused time. With real sockets tokio's clock runs ahead while it waits for the kernel;
//! with pipes it stands until nothing is left to do, so hours of retries pass in milliseconds and always in one order.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tower_service::Service;

/// Gives this end of a new pipe to the server of an address, or refuses the connection.
pub type Pipes = Arc<dyn Fn(&Uri) -> io::Result<DuplexStream> + Send + Sync>;

type Network = HttpsConnector<HttpConnector>;

#[derive(Clone)]
pub(super) enum Connector {
    Network(Network),
    Memory(Pipes),
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Connector::Network(network) => network.poll_ready(cx),
            Connector::Memory(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match self {
            Connector::Network(network) => {
                let connecting = network.call(uri);
                Box::pin(async move { Ok(Stream::Network(connecting.await?)) })
            }
            Connector::Memory(pipes) => {
                let pipe = pipes(&uri).map(|pipe| Stream::Memory(TokioIo::new(pipe)));
                Box::pin(async move { Ok(pipe?) })
            }
        }
    }
}

/// A connection. What the network gives costs one branch a call more than without this.
// One a connection: the larger arm is the one that is used.
#[allow(clippy::large_enum_variant)]
pub(super) enum Stream {
    Network(MaybeHttpsStream<TokioIo<TcpStream>>),
    Memory(TokioIo<DuplexStream>),
}

/// The same call on whichever it is.
macro_rules! on_either {
    ($stream:expr, $call:ident($($argument:expr),*)) => {
        match $stream.get_mut() {
            Stream::Network(stream) => Pin::new(stream).$call($($argument),*),
            Stream::Memory(pipe) => Pin::new(pipe).$call($($argument),*),
        }
    };
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        on_either!(self, poll_read(cx, into))
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_either!(self, poll_write(cx, bytes))
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, poll_flush(cx))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, poll_shutdown(cx))
    }
    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Network(stream) => stream.is_write_vectored(),
            Stream::Memory(pipe) => pipe.is_write_vectored(),
        }
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, poll_write_vectored(cx, slices))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Stream::Network(stream) => stream.connected(),
            Stream::Memory(_) => Connected::new(),
        }
    }
}
