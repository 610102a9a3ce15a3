//! What a guest's kernel says: the end of it, for when something goes wrong; and what it means for the machine.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::cause::Cause;
use crate::channel::locked;
use crate::error::{Error, Tail};

/// How much is kept in bytes.
const KEPT: usize = 16 << 10;

/// How much of it goes into a message, in lines.
const SHOWN: usize = 20;

/// What a kernel says that stops.
const PANIC: &str = "Kernel panic";

/// The end of what a console said, and why its machine ended.
#[derive(Clone, Debug, Default)]
pub struct Console(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    said: Mutex<Said>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    kept: VecDeque<u8>,
    /// How many bytes were said before those that are kept.
    before: u64,
    /// What the machine's monitor says of its end.
    cause: Option<Cause>,
}

impl Console {
    /// Listens to a console in the background until it ends.
    pub(crate) fn listen(mut from: impl Read + Send + 'static) -> Result<Self, Error> {
        let console = Self::default();
        let of_thread = console.clone();
        thread::Builder::new()
            .name("guest console".to_owned())
            .spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(len @ 1..) = from.read(&mut piece) {
                    of_thread.push(&piece[..len]);
                }
            })
            .map_err(|error| Error::host("start a thread", error))?;
        Ok(console)
    }

    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut said = locked(&self.0.said);
        said.kept.extend(bytes);
        let excess = said.kept.len().saturating_sub(KEPT);
        said.kept.drain(..excess);
        said.before += excess as u64;
        self.0.more.notify_all();
    }

    /// Returns what was said from a position on, as it came, and the position behind it; waits at most so long
    /// for the first byte. The first position is 0; of what nobody asked for in time only the end is kept.
    #[must_use]
    pub fn after(&self, position: u64, limit: Duration) -> (Vec<u8>, u64) {
        let end = |said: &Said| said.before + said.kept.len() as u64;
        let said = locked(&self.0.said);
        let waited = self
            .0
            .more
            .wait_timeout_while(said, limit, |said| end(said) <= position);
        let (said, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let known = usize::try_from(position.saturating_sub(said.before)).unwrap_or(usize::MAX);
        let bytes = said.kept.iter().skip(known).copied().collect();
        (bytes, end(&said).max(position))
    }

    /// Says why the machine ends; what is said first counts.
    pub(crate) fn ended(&self, cause: Cause) {
        locked(&self.0.said).cause.get_or_insert(cause);
    }

    /// Returns why the machine ended, as far as its monitor knows, or its kernel said.
    #[must_use]
    pub fn cause(&self) -> Cause {
        let cause = locked(&self.0.said).cause.clone().unwrap_or_default();
        match cause {
            // All that comes of a panic.
            Cause::Unknown | Cause::Reset | Cause::TripleFault | Cause::Silence(_)
                if self.text().contains(PANIC) =>
            {
                Cause::Panic
            }
            cause => cause,
        }
    }

    fn text(&self) -> String {
        let (bytes, _) = self.after(0, Duration::ZERO);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the last lines, with nothing in them that a terminal would obey.
    #[must_use]
    pub fn tail(&self) -> Tail {
        let text = self.text();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        // Why a kernel stopped stands above what it was doing then.
        let panic = lines.iter().position(|line| line.contains(PANIC));
        let end = panic.map_or(lines.len(), |at| lines.len().min(at + SHOWN));
        let lines = &lines[end.saturating_sub(SHOWN)..end];
        let shown = |c: char| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        };
        let lines = lines.iter().map(|line| line.chars().map(shown).collect());
        Tail(lines.collect::<Vec<String>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_output_is_kept_to_its_end() {
        let console = Console::default();
        for line in 0..10_000 {
            console.push(format!("line {line}\r\n").as_bytes());
        }
        let tail = console.tail();
        assert!(tail.text().ends_with("line 9999"));
        assert_eq!(tail.text().lines().count(), SHOWN);
    }

    #[test]
    fn what_is_said_is_passed_on_once() {
        let console = Console::default();
        assert_eq!(console.after(0, Duration::ZERO), (Vec::new(), 0));
        console.push(b"one");
        let other = console.clone();
        let (said, position) = console.after(0, Duration::ZERO);
        assert_eq!((&said[..], position), (&b"one"[..], 3));
        let later = thread::spawn(move || other.push(b"two"));
        let (said, position) = console.after(position, Duration::from_secs(60));
        assert_eq!((&said[..], position), (&b"two"[..], 6));
        later.join().unwrap();
        console.push(&[b'x'; 2 * KEPT]);
        let (said, position) = console.after(position, Duration::ZERO);
        assert_eq!((said.len(), position), (KEPT, 6 + 2 * KEPT as u64));
    }

    #[test]
    fn why_a_kernel_stopped_is_not_cut_off() {
        let console = Console::default();
        console.push(b"before\nKernel panic - not syncing: why\n");
        console.push(&b"a line of its stack\n".repeat(100));
        let tail = console.tail();
        assert!(tail.text().contains("not syncing: why"));
        assert_eq!(tail.text().lines().count(), SHOWN);
    }

    #[test]
    fn a_panic_is_why_a_machine_starts_anew_but_not_why_it_is_switched_off() {
        let console = Console::default();
        assert_eq!(console.cause(), Cause::Unknown);
        console.push(b"Kernel panic - not syncing: why\n");
        assert_eq!(console.cause(), Cause::Panic);
        console.ended(Cause::Reset);
        console.ended(Cause::Killed);
        assert_eq!(console.cause(), Cause::Panic);
        let console = Console::default();
        console.ended(Cause::Reset);
        assert_eq!(console.cause(), Cause::Reset);
        let console = Console::default();
        console.push(b"Kernel panic - not syncing: why\n");
        console.ended(Cause::PowerOff);
        assert_eq!(console.cause(), Cause::PowerOff);
    }

    #[test]
    fn nothing_in_it_moves_the_terminal() {
        let console = Console::default();
        console.push(b"\x1b[2Jgone\x07\xff");
        assert!(!console.tail().text().contains('\x1b'));
        assert!(console.tail().text().contains("gone"));
    }
}
