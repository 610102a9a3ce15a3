//! Jobs: commands that the host runs.

mod pump;
mod reap;
mod spawn;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;

use forger_wire::{Ended, Job, Message, Side, Terminal};
use rustix::termios::{Winsize, tcsetwinsize};

use self::reap::Reaper;
use self::spawn::Ends;
use crate::stream::{Input, Stream, Streams, locked};

/// Runs jobs.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    reaper: Reaper,
    privileged: bool,
}

impl Jobs {
    /// Gets ready to run jobs.
    pub(crate) fn start(privileged: bool) -> io::Result<Self> {
        let reaper = Reaper::start()?;
        Ok(Self { reaper, privileged })
    }

    /// Runs a job in the background and says how it ended.
    pub(crate) fn run(
        &self,
        job: Job,
        stream: Arc<Stream>,
        input: Receiver<Vec<u8>>,
        streams: &Streams,
    ) {
        let (jobs, registry, of_thread) = (self.clone(), streams.clone(), Arc::clone(&stream));
        let started = thread::Builder::new().spawn(move || {
            let ended = jobs.watch(&job, &of_thread, input);
            end(&of_thread, &registry, ended);
        });
        if let Err(error) = started {
            end(&stream, streams, failed("cannot start a thread", &error));
        }
    }

    fn watch(&self, job: &Job, stream: &Arc<Stream>, input: Receiver<Vec<u8>>) -> Ended {
        let spawned = spawn::prepare(job, self.privileged)
            .and_then(|(command, ends)| Ok((self.reaper.spawn(command)?, ends)));
        let (child, ends) = match spawned {
            Ok(spawned) => spawned,
            Err(error) => {
                let program = job.argv.first().map(Vec::as_slice).unwrap_or_default();
                let program = String::from_utf8_lossy(program);
                return failed(&format!("cannot start {program}"), &error);
            }
        };
        *locked(&stream.process) = Some(child.pid());
        let pid = child.pid().as_raw_nonzero().get().unsigned_abs();
        // Without a channel the whole guest ends; so for all that follows.
        let _ = stream.send(&Message::Started { pid });
        let pumps = connect(ends, stream, input, child.ended());
        let ended = child.wait();
        for pump in pumps {
            let _ = pump.join();
        }
        locked(&stream.process).take();
        locked(&stream.terminal).take();
        ended
    }
}

/// Starts what carries the job's input and output; returns the threads that carry output.
fn connect(
    ends: Ends,
    stream: &Arc<Stream>,
    input: Receiver<Vec<u8>>,
    ended: &Arc<OwnedFd>,
) -> Vec<thread::JoinHandle<()>> {
    if let Some(stdin) = ends.stdin {
        let input = Input::new(Arc::clone(stream), input);
        // It ends with the stream; the job may end before it has read everything.
        let _ = thread::Builder::new().spawn(move || input.pour(File::from(stdin)));
    }
    if let Some(terminal) = ends.terminal {
        *locked(&stream.terminal) = Some(terminal);
    }
    let sides = [(Side::Stdout, ends.stdout), (Side::Stderr, ends.stderr)];
    sides
        .into_iter()
        .filter_map(|(side, output)| {
            let (stream, ended) = (Arc::clone(stream), Arc::clone(ended));
            let output = output?;
            thread::Builder::new()
                .spawn(move || pump::pump(&File::from(output), side, &stream, &ended))
                .ok()
        })
        .collect()
}

/// Says that a job ended, and ends its stream.
fn end(stream: &Stream, streams: &Streams, ended: Ended) {
    let _ = stream.send(&Message::Exit(ended));
    streams.close(stream.id());
}

fn failed(what: &str, error: &io::Error) -> Ended {
    Ended::Failed {
        errno: error.raw_os_error().unwrap_or(0),
        what: format!("{what}: {error}"),
    }
}

/// Gives a terminal its size.
pub(crate) fn resize(terminal: &OwnedFd, size: Terminal) -> io::Result<()> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}
