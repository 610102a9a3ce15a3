//! A thread that writes, so that whoever makes the bytes need not wait for the disk.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;

use crate::positioned::Positioned;
use crate::read::check_range;
use crate::{Error, MAX_LEN, Result};

/// So many bytes wait to be written at most, in bytes (one piece may be larger).
const QUEUED: usize = 8 << 20;

/// What a job costs beside its bytes.
const JOB: usize = 256;

/// After so many bytes the disk is asked to begin, in bytes, so that the flush at the end finds
/// most of its work done.
const STEP: u64 = 16 << 20;

/// What is written to: it owns an open file.
pub(super) trait Medium: fmt::Debug + Send + 'static {
    fn file(&self) -> &Positioned;
}

/// Writes and punches, in order, on a thread of its own.
#[derive(Debug)]
pub(super) struct Writer<M> {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<M>>,
    name: String,
    /// Where the last byte written ends.
    end: u64,
}

#[derive(Debug)]
enum Job {
    Write(u64, Bytes),
    Punch(u64, u64),
}

impl Job {
    fn cost(&self) -> usize {
        match self {
            Self::Write(_, data) => data.len().saturating_add(JOB),
            Self::Punch(..) => JOB,
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    /// Signalled when jobs came or no more will.
    work: Condvar,
    /// Signalled when jobs went.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Cost of the jobs that are waiting or being done.
    cost: usize,
    /// No more jobs will come.
    closed: bool,
    /// No more jobs will be done.
    failed: bool,
    /// Why, until somebody has been told.
    error: Option<Error>,
}

impl<M: Medium> Writer<M> {
    /// Starts the thread; `flushed` says that the file will be flushed at the end.
    pub(super) fn start(medium: M, flushed: bool) -> Result<Self> {
        let queue = Arc::new(Queue::default());
        let name = medium.file().name.clone();
        let worker = Worker {
            queue: Arc::clone(&queue),
            written: flushed.then_some(0..0),
        };
        let thread = std::thread::Builder::new()
            .name("forger-write".into())
            .spawn(move || {
                let mut worker = worker;
                worker.run(medium.file());
                medium
            })
            .map_err(|error| Error::io("start a thread to write", &name, error))?;
        Ok(Self {
            queue,
            thread: Some(thread),
            name,
            end: 0,
        })
    }

    /// Returns where the last byte written ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn write_at(&mut self, offset: u64, data: Bytes) -> Result<()> {
        let len = data.len() as u64;
        check_range(offset, len, MAX_LEN)?;
        if len == 0 {
            return Ok(());
        }
        self.end = self.end.max(offset + len);
        self.submit(Job::Write(offset, data))
    }

    pub(super) fn punch(&self, offset: u64, len: u64) -> Result<()> {
        check_range(offset, len, MAX_LEN)?;
        if len == 0 {
            return Ok(());
        }
        self.submit(Job::Punch(offset, len))
    }

    fn submit(&self, job: Job) -> Result<()> {
        let cost = job.cost();
        let mut state = self.queue.lock();
        while !state.failed && state.cost > 0 && state.cost.saturating_add(cost) > QUEUED {
            state = wait(&self.queue.room, state);
        }
        if state.failed {
            return Err(self.why(&mut state));
        }
        state.cost = state.cost.saturating_add(cost);
        state.jobs.push_back(job);
        drop(state);
        self.queue.work.notify_one();
        Ok(())
    }

    /// Waits until all is done, and gives the medium back.
    pub(super) fn finish(mut self) -> Result<M> {
        self.queue.lock().closed = true;
        self.queue.work.notify_one();
        let medium = self.thread.take().and_then(|thread| thread.join().ok());
        let mut state = self.queue.lock();
        match medium {
            Some(medium) if !state.failed => Ok(medium),
            _ => Err(self.why(&mut state)),
        }
    }

    fn why(&self, state: &mut State) -> Error {
        state.error.take().unwrap_or_else(|| {
            let earlier = io::Error::other("an earlier write failed");
            Error::io("write", &self.name, earlier)
        })
    }
}

/// An unfinished writer forgets what is waiting.
impl<M> Drop for Writer<M> {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.queue.fail(None);
        // A panic of the thread has been reported where it happened.
        let _ = thread.join();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: Option<Error>) {
        let mut state = self.lock();
        state.failed = true;
        state.error = state.error.take().or(error);
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs);
        self.work.notify_one();
        self.room.notify_one();
    }
}

/// The thread's end of the queue.
struct Worker {
    queue: Arc<Queue>,
    /// What has been written since the disk was asked to begin, where it shall be asked.
    written: Option<Range<u64>>,
}

impl Worker {
    fn run(&mut self, file: &Positioned) {
        while let Some(job) = self.next() {
            let cost = job.cost();
            let result = match job {
                Job::Write(offset, data) => {
                    let end = offset + data.len() as u64;
                    file.write_at(offset, &data)
                        .inspect(|()| self.hurry(file, offset..end))
                }
                Job::Punch(offset, len) => file.punch(offset, len),
            };
            if let Err(error) = result {
                return self.queue.fail(Some(error));
            }
            self.queue.lock().cost -= cost;
            self.queue.room.notify_one();
        }
    }

    /// Asks the disk to begin, now and then. Late writes far back are left to the flush.
    fn hurry(&mut self, file: &Positioned, range: Range<u64>) {
        if let Some(written) = &mut self.written
            && range.start >= written.end
        {
            written.end = range.end;
            if written.end - written.start >= STEP {
                file.start_writing_back(written.clone());
                written.start = written.end;
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.queue.lock();
        loop {
            if state.failed {
                return None;
            }
            match state.jobs.pop_front() {
                Some(job) => return Some(job),
                None if state.closed => return None,
                None => state = wait(&self.queue.work, state),
            }
        }
    }
}

/// A thread that panics must not leave anybody waiting for it.
impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.fail(None);
        }
    }
}

fn wait<'a>(condition: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    condition
        .wait(state)
        .unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Test(Positioned);

    impl Medium for Test {
        fn file(&self) -> &Positioned {
            &self.0
        }
    }

    fn full() -> Writer<Test> {
        let file = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        Writer::start(Test(Positioned::new(file, "full")), true).unwrap()
    }

    #[test]
    fn an_error_of_the_thread_reaches_a_later_call_and_stays() {
        let mut writer = full();
        let mut errors = 0;
        for at in 0..100_000 {
            if let Err(error) = writer.write_at(at, vec![1; 1000].into()) {
                errors += 1;
                assert!(error.to_string().starts_with("cannot write full"));
                if errors == 3 {
                    break;
                }
            }
        }
        assert_eq!(errors, 3);
        assert!(writer.finish().is_err());
    }

    #[test]
    fn an_error_that_nobody_saw_comes_at_the_end() {
        let mut writer = full();
        writer.write_at(0, vec![1].into()).unwrap();
        let error = writer.finish().unwrap_err();
        let Error::Io { source, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_piece_larger_than_the_queue_passes() {
        let file = tempfile::tempfile().unwrap();
        let mut writer = Writer::start(Test(Positioned::new(file, "file")), true).unwrap();
        for at in 0..3 {
            let len = QUEUED + 5;
            writer
                .write_at(at * len as u64, vec![1; len].into())
                .unwrap();
        }
        let medium = writer.finish().unwrap();
        assert_eq!(medium.0.len().unwrap(), 3 * (QUEUED as u64 + 5));
    }
}
