//! A TCP proxy in front of any peer, foreign ones too: faults on the wire, by connection, direction and byte, below TLS and
//! HTTP.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    ops::{Bound, RangeBounds},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use crate::faults::BodyFaults;

/// What is read at once.
const PIECE: usize = 64 << 10;
/// Of one connection, on a long line.
const ON_THE_WAY: usize = 16 << 20;

/// Which way bytes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the peer.
    Up,
    /// From the peer to the client.
    Down,
}

/// What happens on one direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Both directions end after this many bytes of this one.
    Cut(u64),
    /// The lowest bit of the byte at this offset is flipped.
    Flip(u64),
    /// Nothing flows for so long from this byte on; then it continues.
    Stall(u64, Duration),
    /// At most so many bytes per second.
    Throttle(u64),
    /// At most so many bytes per second on all connections together: a narrow line.
    Share(u64),
    /// Every piece arrives so long after it was sent, with others on their way meanwhile: a long line.
    Delay(Duration),
    /// The connection is accepted and closed at once.
    Refuse,
}

#[derive(Clone, Debug)]
struct Script {
    connections: (Bound<u64>, Bound<u64>),
    direction: Direction,
    wire: Wire,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    scripts: Mutex<Vec<Script>>,
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    /// When all that was let through has passed, where connections share a line.
    passed: Mutex<Option<Instant>>,
}

/// What went through a proxy since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCounts {
    /// Connections accepted.
    pub connections: u64,
    /// Bytes passed on to the peer.
    pub up: u64,
    /// Bytes passed on to the client.
    pub down: u64,
}

/// Whether the proxy listens, and how often its connections were all cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Door {
    open: bool,
    cuts: u64,
}

/// A running proxy. Ends, with its connections, when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    door: watch::Sender<Door>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 for connections to `target`. Must be called within a tokio runtime.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            scripts: Mutex::default(),
            connections: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            passed: Mutex::default(),
        });
        let (door, watching) = watch::channel(Door { open: true, cuts: 0 });
        let accepting = tokio::spawn(accept(listener, address, Arc::clone(&shared), watching));
        Ok(Proxy { address, shared, door, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// The address that clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Scripts these connections, counted from 0 (`..`: all, `0..1`: the first). Several scripts on one connection add up;
    /// of two of a kind the later holds.
    pub fn script(&self, connections: impl RangeBounds<u64>, direction: Direction, wire: Wire) {
        let connections = (connections.start_bound().cloned(), connections.end_bound().cloned());
        self.scripts().push(Script { connections, direction, wire });
    }

    /// Forgets every script: connections opened from now on meet no faults.
    pub fn clear(&self) {
        self.scripts().clear();
    }

    /// Refuses connections (nobody listens) or takes them again. Open ones continue.
    pub fn set_open(&self, open: bool) {
        self.door.send_modify(|door| door.open = open);
    }

    /// Cuts every open connection.
    pub fn cut_all(&self) {
        self.door.send_modify(|door| door.cuts += 1);
    }

    /// What went through.
    pub fn counts(&self) -> WireCounts {
        WireCounts {
            connections: self.shared.connections.load(Relaxed),
            up: self.shared.up.load(Relaxed),
            down: self.shared.down.load(Relaxed),
        }
    }

    fn scripts(&self) -> std::sync::MutexGuard<'_, Vec<Script>> {
        self.shared.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Waits until so many bytes have passed a line that is shared by all connections.
    async fn pass(&self, bytes: usize, rate: u64) {
        let until = {
            let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let until = passed.map_or(now, |at| at.max(now)) + Duration::from_secs_f64(bytes as f64 / rate as f64);
            *passed = Some(until);
            until
        };
        tokio::time::sleep_until(until).await;
    }

    /// What is scripted for one connection and direction.
    fn wires(&self, connection: u64, direction: Direction) -> Vec<Wire> {
        let scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        let here = |script: &&Script| script.direction == direction && script.connections.contains(&connection);
        scripts.iter().filter(here).map(|script| script.wire).collect()
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn accept(listener: TcpListener, address: SocketAddr, shared: Arc<Shared>, mut door: watch::Receiver<Door>) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    let mut cuts = 0;
    loop {
        while connections.try_join_next().is_some() {}
        let now = *door.borrow_and_update();
        if now.cuts > cuts {
            cuts = now.cuts;
            connections.shutdown().await;
        }
        if !now.open {
            listener = None;
        } else if listener.is_none() {
            listener = listen(address).ok();
        }
        let taken = async {
            match &listener {
                Some(listener) => listener.accept().await.ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            taken = taken => if let Some((stream, _)) = taken {
                let index = shared.connections.fetch_add(1, Relaxed);
                connections.spawn(connection(stream, index, Arc::clone(&shared)));
            },
            changed = door.changed() => if changed.is_err() { return },
        }
    }
}

async fn connection(client: TcpStream, index: u64, shared: Arc<Shared>) {
    let (up, down) = (shared.wires(index, Direction::Up), shared.wires(index, Direction::Down));
    if up.contains(&Wire::Refuse) || down.contains(&Wire::Refuse) {
        return;
    }
    let Ok(peer) = TcpStream::connect(shared.target).await else { return };
    let _ = (client.set_nodelay(true), peer.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_peer, to_peer) = peer.into_split();
    // The first cut ends both.
    let _ = tokio::try_join!(
        pump(from_client, to_peer, up, &shared, &shared.up),
        pump(from_peer, to_client, down, &shared, &shared.down)
    );
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    wires: Vec<Wire>,
    shared: &Shared,
    counter: &AtomicU64,
) -> io::Result<()> {
    let mut faults = BodyFaults::default();
    let (mut delay, mut share) = (None, None);
    for wire in wires {
        match wire {
            Wire::Cut(at) => faults.cut = Some(at),
            Wire::Flip(at) => faults.flip = Some((at, vec![1])),
            Wire::Stall(at, wait) => faults.stall = Some((at, wait)),
            Wire::Throttle(rate) => faults.rate = Some(rate),
            Wire::Share(rate) => share = Some(rate),
            Wire::Delay(wait) => delay = Some(wait),
            Wire::Refuse => {}
        }
    }
    let piece = faults.piece(if share.is_some() { PIECE / 4 } else { PIECE });
    let (far, mut arriving) = mpsc::channel(delay.map_or(1, |_| ON_THE_WAY / piece));
    let reading = async move {
        loop {
            let mut buffer = BytesMut::with_capacity(piece);
            if from.read_buf(&mut buffer).await? == 0 || far.send((Instant::now(), buffer)).await.is_err() {
                return io::Result::Ok(());
            }
        }
    };
    let writing = async {
        let mut offset = 0;
        while let Some((sent, buffer)) = arriving.recv().await {
            if let Some(delay) = delay {
                tokio::time::sleep_until(sent + delay).await;
            }
            if let Some(rate) = share {
                shared.pass(buffer.len(), rate).await;
            }
            let length = buffer.len() as u64;
            let cut = || io::Error::other("the connection is cut by a script");
            let bytes = faults.apply(offset, buffer.freeze()).await.ok_or_else(cut)?;
            to.write_all(&bytes).await?;
            counter.fetch_add(bytes.len() as u64, Relaxed);
            if (bytes.len() as u64) < length {
                return Err(cut());
            }
            offset += length;
        }
        to.shutdown().await
    };
    tokio::try_join!(reading, writing).map(|_| ())
}
