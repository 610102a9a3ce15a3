//! One machine at a time, by vhost-user.

use std::os::fd::AsFd;
use std::time::Instant;

use forger_disk::{Disk, vhost_user};

use super::Until;
use super::door::Door;
use crate::exit::Failure;
use crate::progress::Console;
use crate::signals::Stopped;

/// Serves one machine after the other until it is time to end.
///
/// # Errors
/// A socket that fails.
pub(super) fn serve(
    door: &Door,
    disk: &Disk,
    until: Until,
    console: &mut Console,
) -> Result<(), Failure> {
    let failed = |error| Failure::failed("cannot wait for a machine").because(error);
    let stopped =
        |error: &std::io::Error| error.get_ref().is_some_and(|inner| inner.is::<Stopped>());
    let mut idle_since = Instant::now();
    loop {
        let left = until
            .idle
            .map(|limit| limit.saturating_sub(idle_since.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(());
        }
        match console.signals().wait_any(&[door.as_fd()], left) {
            Ok(()) => {}
            Err(error) if stopped(&error) => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        if until
            .idle
            .is_some_and(|limit| idle_since.elapsed() >= limit)
        {
            continue;
        }
        let listener = door.unix().map_err(failed)?;
        let connection = vhost_user::accept(disk.clone(), listener)
            .map_err(|error| Failure::failed("cannot serve a machine").because(error))?;
        let stopper = connection.stopper();
        let (ended, end) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        let waiting = std::thread::spawn(move || {
            let done = connection.wait();
            drop(end);
            done
        });
        let signal = console.signals().wait_any(&[ended.as_fd()], None);
        if signal.is_err() {
            stopper.stop();
        }
        match waiting.join() {
            Ok(Ok(())) => console.detail("the machine has gone"),
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error);
                let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
                console.say(&format!("{error}{cause}"));
            }
            Err(_) => console.say("the machine was left: an error of forger"),
        }
        match signal {
            Err(error) if stopped(&error) => return Ok(()),
            Err(error) => return Err(failed(error)),
            Ok(()) if until.once => return Ok(()),
            Ok(()) => idle_since = Instant::now(),
        }
    }
}
