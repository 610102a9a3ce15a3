//! A virtio block device for a machine monitor at the other end of a Unix socket (vhost-user).
//!
//! QEMU (`vhost-user-blk-pci`), User-Mode Linux (`virtio_uml.device=SOCKET:2`) and other monitors
//! share the guest's memory with the server, which takes the requests out of it by itself: data pass
//! no socket. The [protocol](https://qemu-project.gitlab.io/qemu/interop/vhost-user.html) is read here,
//! and not by the crate `vhost` (0.18), which refuses what User-Mode Linux sends: a table with room for
//! two regions of memory and one in it. Guest memory and queues are those of the rust-vmm crates
//! `vm-memory` and `virtio-queue`.
//!
//! ```text
//!  message   what goes over the socket
//!  channel   messages and the descriptors that come with them
//!  memory    the regions that the monitor shares, and addresses in them
//!  device    one queue of block requests: what every message changes
//! ```
//!
//! The monitor is trusted as far as a process of one's own is: one that cuts the shared memory off
//! while it is used ends this process with SIGBUS. The guest in it is not.

mod channel;
mod device;
mod error;
mod memory;
mod message;
#[cfg(test)]
mod tests;

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};

use self::channel::Channel;
use self::device::Device;
pub use self::error::Error;
use crate::Disk;
use crate::virtio_blk::SECTOR;

/// A machine that is connected to its disk, which a thread serves.
///
/// Dropping it ends the connection.
#[derive(Debug)]
pub struct Connection {
    stop: Stop,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

/// Ends a [`Connection`] from another thread.
#[derive(Clone, Debug)]
pub struct Stop(Arc<UnixStream>);

impl Stop {
    /// Ends the connection; its [`wait`](Connection::wait) returns.
    pub fn stop(&self) {
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

/// Waits for a monitor to connect and serves it a disk, in a thread of its own.
///
/// A listener that nobody comes to blocks, unless it is set not to: callers that want to wait no longer
/// than some time poll it first.
///
/// # Errors
/// A disk that has no whole number of sectors; a socket that fails.
pub fn accept(disk: Disk, listener: UnixListener) -> Result<Connection, Error> {
    check(&disk)?;
    let (socket, _) = listener.accept().map_err(Error::Socket)?;
    connected(disk, socket)
}

/// Serves a disk to a monitor that is connected already, in a thread of its own.
///
/// # Errors
/// As [`accept`].
pub fn connected(disk: Disk, socket: UnixStream) -> Result<Connection, Error> {
    check(&disk)?;
    socket.set_nonblocking(false).map_err(Error::Socket)?;
    let (stop, stopped) = UnixStream::pair().map_err(Error::Socket)?;
    let thread = std::thread::Builder::new()
        .name("vhost-user-blk".to_owned())
        .spawn(move || serve(disk, socket, &stopped))
        .map_err(Error::Socket)?;
    Ok(Connection {
        stop: Stop(Arc::new(stop)),
        thread: Some(thread),
    })
}

fn check(disk: &Disk) -> Result<(), Error> {
    let len = disk.reader().len();
    match len.is_multiple_of(SECTOR) {
        true => Ok(()),
        false => Err(Error::Odd { len }),
    }
}

/// Serves a monitor until it goes away or `stopped` can be read.
fn serve(disk: Disk, socket: UnixStream, stopped: &UnixStream) -> Result<(), Error> {
    let mut device = Device::new(disk);
    let mut channel = Channel::new(socket);
    let ended = turn(&mut device, &mut channel, stopped);
    // What went wrong with the disk explains what the machine did then.
    match device.fault() {
        Some(fault) => Err(Error::Disk(fault)),
        None => ended,
    }
}

fn turn(device: &mut Device, channel: &mut Channel, stopped: &UnixStream) -> Result<(), Error> {
    let mut busy = false;
    loop {
        let mut fds = vec![
            PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::IN),
        ];
        fds.extend(
            device
                .kick()
                .map(|kick| PollFd::from_borrowed_fd(kick, PollFlags::IN)),
        );
        // While there is more in the queue, the others are only looked at.
        let now = rustix::event::Timespec::default();
        match poll(&mut fds, busy.then_some(&now)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::Socket(error.into())),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready.first() == Some(&true) {
            return Ok(());
        }
        let kicked = ready.get(2) == Some(&true);
        if kicked {
            device.take_kick()?;
        }
        if ready.get(1) == Some(&true) {
            let Some((message, files)) = channel.receive()? else {
                return Ok(());
            };
            let reply = device.handle(&message, files)?;
            channel.reply(&message, reply, device.acknowledges())?;
        }
        busy = device.serve_queue()?;
    }
}

impl Connection {
    /// Returns what ends the connection from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    /// Waits until the monitor goes away, or the connection is stopped.
    ///
    /// # Errors
    /// What went wrong meanwhile: with the disk, the guest's queue, or the protocol.
    pub fn wait(mut self) -> Result<(), Error> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
