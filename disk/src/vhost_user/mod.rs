//! A virtio block device for a machine monitor at the other end of a Unix socket (vhost-user).
//!
//! QEMU (`vhost-user-blk-pci`), User-Mode Linux (`virtio_uml.device=SOCKET:2`) and other monitors
//! share the guest's memory with the server, which takes the requests out of it by itself: data
//! pass no socket. The [protocol](https://qemu-project.gitlab.io/qemu/interop/vhost-user.html) and the
//! mapping of the memory are those of the rust-vmm crates `vhost` and `vhost-user-backend`.
//!
//! The monitor is trusted as far as a process of one's own is: one that cuts the shared memory off
//! while it is used ends this process with SIGBUS. The guest in it is not.

mod backend;

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use vhost::vhost_user::Listener;
use vhost_user_backend::{ShutdownHandle, VhostUserDaemon};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

use self::backend::Backend;
use crate::Disk;
use crate::virtio_blk::SECTOR;

/// Why a disk cannot be served to a monitor, or no longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk's length is none that a driver can see.
    #[error("the disk has {len} bytes, which is no multiple of {SECTOR}")]
    Odd {
        /// The length in bytes.
        len: u64,
    },
    /// The server could not be set up, or the monitor broke the protocol.
    #[error("cannot serve a machine: {0}")]
    Protocol(String),
    /// The guest was told of an error.
    #[error("the disk failed while the machine ran")]
    Disk(#[source] forger_block::Error),
    /// The guest broke its own queue.
    #[error("the guest's driver broke its queue of requests")]
    Queue,
    /// The threads that serve do not end.
    #[error("the machine keeps the server waiting")]
    Stuck,
}

/// How long a server may take to end when its machine is gone.
const END: Duration = Duration::from_secs(5);

/// A machine that is connected to its disk.
///
/// Dropping it ends the connection.
pub struct Connection {
    daemon: Option<VhostUserDaemon<Arc<Backend>>>,
    backend: Arc<Backend>,
}

/// Ends a [`Connection`] from another thread.
#[derive(Clone)]
pub struct Stop(ShutdownHandle);

impl Stop {
    /// Ends the connection; its [`wait`](Connection::wait) returns.
    pub fn stop(&self) {
        self.0.shutdown();
    }
}

/// Waits for a monitor to connect and serves it a disk, in threads of its own.
///
/// A listener that nobody comes to blocks: callers that want to wait no longer than some time poll it
/// first. It can be given the next disk afterwards.
///
/// # Errors
/// A disk that has no whole number of sectors; a socket that fails.
pub fn accept(disk: Disk, listener: UnixListener) -> Result<Connection, Error> {
    let len = disk.reader().len();
    if !len.is_multiple_of(SECTOR) {
        return Err(Error::Odd { len });
    }
    let protocol = |error: vhost_user_backend::Error| Error::Protocol(error.to_string());
    let backend = Arc::new(Backend::new(disk));
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let name = "vhost-user-blk".to_owned();
    let mut daemon = VhostUserDaemon::new(name, Arc::clone(&backend), memory).map_err(protocol)?;
    daemon
        .start(&mut Listener::from(listener))
        .map_err(protocol)?;
    Ok(Connection {
        daemon: Some(daemon),
        backend,
    })
}

impl Connection {
    /// Returns what ends the connection from another thread.
    #[must_use]
    pub fn stopper(&self) -> Option<Stop> {
        let daemon = self.daemon.as_ref()?;
        daemon.shutdown_handle().map(Stop)
    }

    /// Waits until the monitor goes away, or the connection is stopped.
    ///
    /// # Errors
    /// What went wrong meanwhile: with the disk, the guest's queue, or the protocol.
    pub fn wait(mut self) -> Result<(), Error> {
        let ended = self.daemon.as_mut().map_or(Ok(()), VhostUserDaemon::wait);
        let done = self.end();
        if let Some(error) = self.backend.faults().take() {
            return Err(Error::Disk(error));
        }
        if self.backend.is_broken() {
            return Err(Error::Queue);
        }
        done?;
        use vhost::vhost_user::Error as Message;
        match ended {
            // A machine that is killed leaves in the middle of whatever it did.
            Ok(())
            | Err(vhost_user_backend::Error::HandleRequest(
                Message::Disconnected | Message::PartialMessage,
            )) => Ok(()),
            Err(error) => Err(Error::Protocol(error.to_string())),
        }
    }

    /// Ends all threads. One of them may hang in a notification to a machine that takes none.
    fn end(&mut self) -> Result<(), Error> {
        let Some(mut daemon) = self.daemon.take() else {
            return Ok(());
        };
        daemon.request_shutdown();
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = daemon.wait();
            drop(daemon);
            let _ = done.send(());
        });
        ended.recv_timeout(END).map_err(|_| Error::Stuck)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stop").finish_non_exhaustive()
    }
}
