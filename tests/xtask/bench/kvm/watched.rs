//! A monitor while it runs: when its guest says what, and how much memory it has itself.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a guest may take to say something.
const PATIENCE: Duration = Duration::from_secs(300);

/// A monitor that runs, and the lines of its guest with their moments; it is killed when this is dropped.
pub(super) struct Watched {
    begin: Instant,
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Watched {
    /// Starts a monitor, which says on standard output what its guest says.
    pub(super) fn start(mut command: Command) -> Result<Self, String> {
        let begin = Instant::now();
        let spawned = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|error| format!("{command:?}: {error}"))?;
        let (said, lines) = channel();
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|out| Box::new(out) as _),
            child.stderr.take().map(|errors| Box::new(errors) as _),
        ];
        for stream in streams.into_iter().flatten() {
            let said = said.clone();
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = Vec::new();
                while let Ok(1..) = stream.read_until(b'\n', &mut line) {
                    let text = String::from_utf8_lossy(&line).trim().to_owned();
                    if said.send((Instant::now(), text)).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
        Ok(Self {
            begin,
            child,
            lines,
        })
    }

    /// Waits for a line; returns how long after the monitor's start it came.
    ///
    /// # Errors
    /// What was said at last, where it does not come.
    pub(super) fn until(&self, wanted: &str) -> Result<Duration, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((moment, line)) if line.contains(wanted) => {
                    return Ok(moment.saturating_duration_since(self.begin));
                }
                Ok((_, line)) if line.is_empty() => {}
                Ok((_, line)) => last = line,
                Err(RecvTimeoutError::Timeout) => return Err(format!("too late, after {last:?}")),
                Err(RecvTimeoutError::Disconnected) => return Err(format!("ended after {last:?}")),
            }
        }
    }

    /// Returns what of its memory is there that is not the guest's, of which there are so many KiB; in KiB.
    pub(super) fn memory(&self, guest: u64) -> Result<u64, String> {
        let path = format!("/proc/{}/smaps", self.child.id());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        Ok(beside(&text, guest))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sums up what is resident, without the guest's memory: the mapping that is as large. What else may be in the same
/// mapping counts as resident.
fn beside(smaps: &str, guest: u64) -> u64 {
    let (mut sum, mut size) = (0, 0);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let (key, value) = (words.next(), words.next());
        let value: u64 = value.and_then(|value| value.parse().ok()).unwrap_or(0);
        match key {
            Some("Size:") => size = value,
            Some("Rss:") if size >= guest => sum += value.min(size - guest),
            Some("Rss:") => sum += value,
            _ => {}
        }
    }
    sum
}
