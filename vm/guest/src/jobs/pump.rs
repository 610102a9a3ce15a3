//! What a job writes, carried to the host.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use forger_wire::{MAX_DATA, Side};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::setpriority_process;

use crate::stream::Stream;

/// The priority of who carries output: a little behind who writes it.
const MODEST: i32 = 5;

/// Carries output until its end, or until the job has ended and nothing more is there: a daemon that
/// it left behind keeps its output open.
pub(super) fn pump(output: &File, side: Side, stream: &Stream, ended: &OwnedFd) {
    // Of what a job writes in small pieces many are carried at once, if the first does not take the processor
    // from it. A thread whose priority stays carries it as well.
    let _ = setpriority_process(None, MODEST);
    // What cannot be sent has no reader: the channel or the stream is gone.
    let _ = carry(output, side, stream, ended);
}

fn carry(mut output: &File, side: Side, stream: &Stream, ended: &OwnedFd) -> io::Result<()> {
    let mut piece = vec![0; MAX_DATA];
    let mut over = false;
    loop {
        let was_over = over;
        let (ready, now) = wait(output, ended, was_over)?;
        over |= now;
        if ready {
            // It does not block: a terminal's other direction shares its flags, so they stay.
            match output.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(len) => stream.put(side, &piece[..len])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A terminal whose other end is closed.
                Err(error) => return Err(error),
            }
        } else if was_over {
            // Looked at once more after the job's end.
            return Ok(());
        }
    }
}

/// Waits for output or for the job's end, or only looks; tells which of them there is.
fn wait(output: &File, ended: &OwnedFd, look: bool) -> io::Result<(bool, bool)> {
    let mut fds = [
        PollFd::new(output, PollFlags::IN),
        PollFd::new(ended, PollFlags::IN),
    ];
    let none = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match poll(&mut fds, look.then_some(&none)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {
            let ready = fds.each_ref().map(|fd| !fd.revents().is_empty());
            Ok((ready[0], ready[1]))
        }
        Err(error) => Err(error.into()),
    }
}
