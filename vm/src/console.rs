//! What a guest's kernel says: the end of it, for when something goes wrong.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::error::{Error, Tail};

/// How much is kept in bytes.
const KEPT: usize = 16 << 10;

/// How much of it goes into a message, in lines.
const SHOWN: usize = 20;

/// What a kernel says that stops.
const PANIC: &str = "Kernel panic";

/// The end of what a console said.
#[derive(Clone, Debug, Default)]
pub struct Console(Arc<Mutex<VecDeque<u8>>>);

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
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        let excess = kept.len().saturating_sub(KEPT);
        kept.drain(..excess);
    }

    /// Returns the last lines, with nothing in them that a terminal would obey.
    #[must_use]
    pub fn tail(&self) -> Tail {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
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
    fn why_a_kernel_stopped_is_not_cut_off() {
        let console = Console::default();
        console.push(b"before\nKernel panic - not syncing: why\n");
        console.push(&b"a line of its stack\n".repeat(100));
        let tail = console.tail();
        assert!(tail.text().contains("not syncing: why"));
        assert_eq!(tail.text().lines().count(), SHOWN);
    }

    #[test]
    fn nothing_in_it_moves_the_terminal() {
        let console = Console::default();
        console.push(b"\x1b[2Jgone\x07\xff");
        assert!(!console.tail().text().contains('\x1b'));
        assert!(console.tail().text().contains("gone"));
    }
}
