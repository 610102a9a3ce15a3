//! SIGINT, SIGTERM and SIGHUP: the first one asks the work to stop and clean up, a second one ends
//! at once.
//!
//! The handlers only set a number and write a byte into a socket pair. The work sees the number
//! when it asks [`Observer::cancelled`](forger_fs::observe::Observer::cancelled); whoever blocks on
//! a pipe polls the other end of the pair beside it, so that it wakes up and the work unwinds like
//! after any other error.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::exit::Failure;

/// The signals that have arrived.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// The number of the last one, or 0.
    caught: Arc<AtomicUsize>,
    /// Readable from the first one on.
    wake: Arc<UnixStream>,
}

impl Signals {
    /// Takes over the three signals for the rest of the process.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub(crate) fn install() -> Result<Self, Failure> {
        Self::register().map_err(|error| Failure::failed("cannot watch for signals").because(error))
    }

    fn register() -> io::Result<Self> {
        let (wake, waker) = UnixStream::pair()?;
        let caught = Arc::new(AtomicUsize::new(0));
        let stopping = Arc::new(AtomicBool::new(false));
        for (signal, number) in [(SIGINT, 2), (SIGTERM, 15), (SIGHUP, 1)] {
            // nohup starts programs that shall outlive their terminal.
            if signal == SIGHUP && hangup_is_ignored() {
                continue;
            }
            // In this order: only a signal that finds the flag set takes its default action.
            flag::register_conditional_default(signal, Arc::clone(&stopping))?;
            flag::register(signal, Arc::clone(&stopping))?;
            flag::register_usize(signal, Arc::clone(&caught), number)?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(Self {
            caught,
            wake: Arc::new(wake),
        })
    }

    /// Returns the number of the signal that asked to stop.
    pub(crate) fn caught(&self) -> Option<u8> {
        match self.caught.load(Ordering::Relaxed) {
            0 => None,
            number => u8::try_from(number).ok(),
        }
    }

    /// Waits until `fd` can be read or written without blocking.
    ///
    /// # Errors
    /// [`Stopped`] inside an [`io::Error`] when a signal arrives first; the operating
    /// system's refusal.
    pub(crate) fn wait(&self, fd: BorrowedFd<'_>, ready: Ready) -> io::Result<()> {
        let flags = match ready {
            Ready::Read => PollFlags::IN,
            Ready::Write => PollFlags::OUT,
        };
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(fd, flags),
            ];
            match poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => return Err(io::Error::other(Stopped)),
                Ok(_) if !fds[1].revents().is_empty() => return Ok(()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Does something on a thread of its own when the first signal arrives.
    pub(crate) fn when_caught(&self, act: impl FnOnce() + Send + 'static) {
        let wake = Arc::clone(&self.wake);
        std::thread::spawn(move || {
            loop {
                let mut fds = [PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN)];
                match poll(&mut fds, None) {
                    Ok(0) | Err(rustix::io::Errno::INTR) => {}
                    Ok(_) => return act(),
                    // What waits for the signal elsewhere says what is wrong.
                    Err(_) => return,
                }
            }
        });
    }

    /// Waits until one of several can be read, or the time is over.
    ///
    /// # Errors
    /// [`Stopped`] inside an [`io::Error`] when a signal arrives first; the operating system's refusal.
    pub(crate) fn wait_any(
        &self,
        fds: &[BorrowedFd<'_>],
        limit: Option<Duration>,
    ) -> io::Result<()> {
        if self.caught().is_some() {
            return Err(io::Error::other(Stopped));
        }
        let limit = limit.map(timespec);
        let mut polled = vec![PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
        polled.extend(
            fds.iter()
                .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)),
        );
        match poll(&mut polled, limit.as_ref()) {
            Ok(_) if !polled[0].revents().is_empty() && self.caught().is_some() => {
                Err(io::Error::other(Stopped))
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a signal as answered: it has ended what it was meant to end, and work goes on.
    pub(crate) fn forget(&self) {
        self.caught.store(0, Ordering::Relaxed);
        let mut byte = [0; 64];
        // Only what is there: more would wait for the next signal.
        while self.wake_is_readable() && matches!((&*self.wake).read(&mut byte), Ok(1..)) {}
    }

    fn wake_is_readable(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
        poll(&mut fds, Some(&timespec(Duration::ZERO))).is_ok_and(|count| count > 0)
    }

    /// Waits a while.
    ///
    /// # Errors
    /// [`Stopped`] inside an [`io::Error`] when a signal arrives meanwhile; the operating
    /// system's refusal.
    pub(crate) fn pause(&self, time: Duration) -> io::Result<()> {
        let timeout = timespec(time);
        let mut fds = [PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(()),
            Ok(_) => Err(io::Error::other(Stopped)),
            Err(error) => Err(error.into()),
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// Bytes, or the end.
    Read,
    /// Room for bytes, or nobody left who reads.
    Write,
}

/// A signal arrived while waiting.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("stopped by a signal")]
pub(crate) struct Stopped;

/// Tells whether whoever started this process wants SIGHUP ignored.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
