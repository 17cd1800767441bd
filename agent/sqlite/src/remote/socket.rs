//! The socket beside a file: `NAME.sock`, for its owner and root alone. Its name is that of the file, so that whoever is
//! given the file's settings finds it.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// An address of a socket has 108 bytes, the end included; what is put before a name may need some of them.
const LONGEST: usize = 90;

pub fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sock");
    name.into()
}

pub async fn connect(at: &Path) -> io::Result<UnixStream> {
    let address = Address::of(at)?;
    UnixStream::connect(&address.path).await
}

/// Listens under a name of its own first: so the socket has its mode before anybody finds it, and takes the place of one
/// that a dead process left. Whoever listens holds the file's lock, so no living one is replaced.
pub fn listen(at: &Path) -> io::Result<UnixListener> {
    let mut own = at.as_os_str().to_owned();
    own.push(".new");
    let own = PathBuf::from(own);
    let _ = std::fs::remove_file(&own);
    let listener = UnixListener::bind(&Address::of(&own)?.path)?;
    std::fs::set_permissions(&own, Permissions::from_mode(0o600))?;
    std::fs::rename(&own, at)?;
    Ok(listener)
}

/// Its owner or root: a mode alone is not looked at everywhere.
pub fn may_ask(stream: &UnixStream, socket: &Path) -> bool {
    let owner = std::fs::metadata(socket).map(|socket| socket.uid());
    match (stream.peer_cred(), owner) {
        (Ok(peer), Ok(owner)) => peer.uid() == 0 || peer.uid() == owner,
        _ => false,
    }
}

/// A path that fits an address: one that is too long is named by its directory's descriptor.
struct Address {
    path: PathBuf,
    _directory: Option<File>,
}

impl Address {
    fn of(path: &Path) -> io::Result<Address> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file's name"));
        };
        if path.as_os_str().len() <= LONGEST {
            return Ok(Address { path: path.to_owned(), _directory: None });
        }
        let directory = File::open(if directory.as_os_str().is_empty() { Path::new(".") } else { directory })?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        if short.as_os_str().len() > 107 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file's name is too long for a socket's"));
        }
        Ok(Address { path: short, _directory: Some(directory) })
    }
}
