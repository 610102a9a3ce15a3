//! Where clients come in: a socket that goes when nobody is served any more.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Mode;

use crate::exit::Failure;

/// Where to listen.
#[derive(Clone, Debug)]
pub(super) enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// A listening socket.
#[derive(Debug)]
pub(super) enum Door {
    Unix(UnixListener, Named),
    Tcp(TcpListener, SocketAddr),
}

/// The name of a socket; it goes with this, if it is still ours.
#[derive(Debug)]
pub(super) struct Named {
    path: PathBuf,
    file: (u64, u64),
}

/// A client's end.
#[derive(Debug)]
pub(super) enum Peer {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// Reads `--tcp`.
pub(super) fn tcp(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse()
        .map_err(|_| "expected a port, or an address and a port, as in 127.0.0.1:10809".to_owned())
}

impl Door {
    /// Listens. A socket that its server left behind is replaced.
    ///
    /// # Errors
    /// A name that is taken, a port that is in use, no leave.
    pub(super) fn open(address: &Address) -> Result<Self, Failure> {
        match address {
            Address::Tcp(address) => {
                let listen = || {
                    let listener = TcpListener::bind(address)?;
                    listener.set_nonblocking(true)?;
                    let bound = listener.local_addr()?;
                    Ok(Self::Tcp(listener, bound))
                };
                listen().map_err(|error: io::Error| {
                    Failure::failed(format!("cannot listen on {address}")).because(error)
                })
            }
            Address::Unix(path) => {
                let failed = || format!("cannot listen on {}", path.display());
                if is_left_behind(path) {
                    let _ = std::fs::remove_file(path);
                }
                match bind(path) {
                    Ok(door) => Ok(door),
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                        Err(Failure::failed(failed())
                            .because("something of that name is there already"))
                    }
                    Err(error) => Err(Failure::failed(failed()).because(error)),
                }
            }
        }
    }

    /// Takes the next client, if one is there.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub(super) fn accept(&self) -> io::Result<Option<Peer>> {
        let peer = match self {
            Self::Unix(listener, _) => listener.accept().map(|(stream, _)| Peer::Unix(stream)),
            Self::Tcp(listener, _) => listener.accept().map(|(stream, _)| Peer::Tcp(stream)),
        };
        match peer {
            Ok(peer) => {
                peer.prepare()?;
                Ok(Some(peer))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns another handle on a Unix socket.
    ///
    /// # Errors
    /// The operating system's refusal, or a door of another kind.
    pub(super) fn unix(&self) -> io::Result<UnixListener> {
        match self {
            Self::Unix(listener, _) => listener.try_clone(),
            Self::Tcp(..) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Returns the address that NBD's clients take.
    pub(super) fn uri(&self, export: &str) -> String {
        let export = escaped(export.as_bytes());
        match self {
            Self::Unix(_, named) => {
                let path = escaped(named.path.as_os_str().as_encoded_bytes());
                format!("nbd+unix:///{export}?socket={path}")
            }
            Self::Tcp(_, address) => format!("nbd://{address}/{export}"),
        }
    }

    /// Returns the socket's name.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Unix(_, named) => named.path.display().to_string(),
            Self::Tcp(_, address) => address.to_string(),
        }
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener, _) => listener.as_fd(),
            Self::Tcp(listener, _) => listener.as_fd(),
        }
    }
}

/// Makes a socket that only this user can use.
fn bind(path: &Path) -> io::Result<Door> {
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    let metadata = std::fs::symlink_metadata(path)?;
    let named = Named {
        path: path.to_owned(),
        file: (metadata.dev(), metadata.ino()),
    };
    Ok(Door::Unix(listener, named))
}

/// Tells whether a socket is there that nobody listens on.
fn is_left_behind(path: &Path) -> bool {
    let socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    socket && UnixStream::connect(path).is_err_and(|error| refused(&error))
}

impl Drop for Named {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.file);
        if ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Peer {
    fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_nonblocking(false),
            Self::Tcp(stream) => {
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)
            }
        }
    }

    /// Bounds how long a client may take nothing of what it asked for.
    pub(super) fn set_write_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_write_timeout(Some(limit)),
            Self::Tcp(stream) => stream.set_write_timeout(Some(limit)),
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
        }
    }

    /// Ends the connection, also for whoever waits for the client.
    pub(super) fn shut(&self) {
        let both = std::net::Shutdown::Both;
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(both),
            Self::Tcp(stream) => stream.shutdown(both),
        };
    }
}

impl io::Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl io::Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what a URI cannot hold as percent signs and numbers.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(byte.into());
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        assert_eq!(tcp("10809"), Ok("127.0.0.1:10809".parse().unwrap()));
        assert_eq!(tcp("[::1]:1"), Ok("[::1]:1".parse().unwrap()));
        assert!(tcp("localhost:1").is_err());
        assert!(tcp("70000").is_err());
    }

    #[test]
    fn sockets_of_servers_that_are_gone_are_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a socket");
        let address = Address::Unix(path.clone());
        let door = Door::open(&address).unwrap();
        assert!(door.uri("x").ends_with("a%20socket"), "{}", door.uri("x"));
        // Somebody listens.
        assert!(Door::open(&address).is_err());
        drop(door);
        assert!(!path.exists());
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Door::open(&address).unwrap());
        std::fs::write(&path, "a file").unwrap();
        assert!(Door::open(&address).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    }
}
