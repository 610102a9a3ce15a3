//! The threads that compress segments and hash them.
//!
//! A worker owns one compression context for its whole life and takes one segment at a time, whole
//! and contiguous: what it makes of it depends on the segment's bytes alone, so neither the number
//! of threads nor the way the image was written in pieces shows in the bundle.

use std::io;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, compress_bound};

use super::cuts::{Segment, index};
use super::edit::{Edit, apply};
use super::subtrees::{self, Subtree};

/// What a worker is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Compress and hash a segment.
    Segment {
        /// Which.
        segment: Segment,
        /// Its bytes from the start on; what is missing is zero. The buffer is given back.
        buffer: Vec<u8>,
        /// An earlier frame of it, whose content is what `buffer` is filled with first.
        earlier: Option<Vec<u8>>,
        /// What is changed then, in this order.
        edits: Vec<Edit>,
    },
    /// Hash zeros.
    Zeros(Range<u64>),
}

/// What a worker made.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The segment's frame; `None` when it holds nothing but zeros.
    pub(super) frame: Option<Vec<u8>>,
    /// The chaining values; none for a segment of zeros.
    pub(super) subtrees: Vec<Subtree>,
}

/// A job that is over.
#[derive(Debug)]
pub(super) struct Done {
    /// The number that the job was given.
    pub(super) id: u64,
    /// What came of it.
    pub(super) outcome: io::Result<Outcome>,
}

struct Task {
    id: u64,
    job: Job,
    frame: Vec<u8>,
}

struct Reply {
    done: Done,
    buffer: Vec<u8>,
}

/// A number of workers, and the buffers that go back and forth.
#[derive(Debug)]
pub(super) struct Workers {
    tasks: Option<Sender<Task>>,
    replies: Receiver<Reply>,
    threads: Vec<JoinHandle<()>>,
    buffers: Vec<Vec<u8>>,
    frames: Vec<Vec<u8>>,
    /// Nobody wants what is still queued.
    dropped: Arc<AtomicBool>,
}

impl Workers {
    /// Starts `count` threads (at least one) that compress at `level` segments of up to `window`
    /// bytes.
    pub(super) fn start(count: usize, level: i32, window: u64) -> io::Result<Self> {
        let (tasks, queue) = mpsc::channel();
        let (answers, replies) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut workers = Self {
            tasks: Some(tasks),
            replies,
            threads: Vec::with_capacity(count),
            buffers: Vec::new(),
            frames: Vec::new(),
            dropped: Arc::default(),
        };
        for _ in 0..count.max(1) {
            let mut worker = Worker::new(level, window)?;
            let (queue, answers) = (Arc::clone(&queue), answers.clone());
            let dropped = Arc::clone(&workers.dropped);
            let thread = thread::Builder::new()
                .name("compress".to_owned())
                .spawn(move || worker.serve(&queue, &answers, &dropped))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Returns an empty buffer, one that came back if there is one.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Takes back a frame that has been written.
    pub(super) fn recycle(&mut self, mut frame: Vec<u8>) {
        frame.clear();
        self.frames.push(frame);
    }

    /// Hands out a job; its end comes from [`wait`](Self::wait) or [`poll`](Self::poll).
    pub(super) fn submit(&mut self, id: u64, job: Job) -> io::Result<()> {
        let frame = self.frames.pop().unwrap_or_default();
        match &self.tasks {
            Some(tasks) => tasks.send(Task { id, job, frame }).map_err(|_| gone()),
            None => Err(gone()),
        }
    }

    /// Waits for the next job that is over.
    pub(super) fn wait(&mut self) -> io::Result<Done> {
        let reply = self.replies.recv().map_err(|_| gone())?;
        Ok(self.unpack(reply))
    }

    /// Returns a job that is over, if there is one.
    pub(super) fn poll(&mut self) -> Option<Done> {
        let reply = self.replies.try_recv().ok()?;
        Some(self.unpack(reply))
    }

    fn unpack(&mut self, reply: Reply) -> Done {
        let mut buffer = reply.buffer;
        if buffer.capacity() > 0 {
            buffer.clear();
            self.buffers.push(buffer);
        }
        reply.done
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // The workers come to an end after what they have in hand; a queue outlives its sender.
        self.dropped.store(true, Ordering::Relaxed);
        self.tasks = None;
        for thread in self.threads.drain(..) {
            // A panic was reported as the job's outcome; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the compressing threads are gone")
}

struct Worker {
    compressor: Compressor<'static>,
    window: u64,
}

impl Worker {
    fn new(level: i32, window: u64) -> io::Result<Self> {
        let mut compressor = Compressor::new(level)?;
        // Small levels look back less far than a segment is long; seeing all of it makes up for
        // starting anew with each segment.
        compressor.set_parameter(CParameter::WindowLog(window.ilog2()))?;
        Ok(Self { compressor, window })
    }

    fn serve(
        &mut self,
        queue: &Mutex<Receiver<Task>>,
        answers: &Sender<Reply>,
        dropped: &AtomicBool,
    ) {
        loop {
            // A poisoned lock cannot be: nothing panics while it is held.
            let task = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Task { id, job, frame }) = task else {
                return;
            };
            if dropped.load(Ordering::Relaxed) {
                return;
            }
            let mut buffer = Vec::new();
            let outcome =
                panic::catch_unwind(AssertUnwindSafe(|| self.work(job, frame, &mut buffer)))
                    .unwrap_or_else(|_| Err(io::Error::other("a compressing thread panicked")));
            let done = Done { id, outcome };
            if answers.send(Reply { done, buffer }).is_err() {
                return;
            }
        }
    }

    /// Does a job, and leaves the job's buffer in `back`.
    fn work(&mut self, job: Job, frame: Vec<u8>, back: &mut Vec<u8>) -> io::Result<Outcome> {
        match job {
            Job::Zeros(range) => Ok(Outcome {
                frame: None,
                subtrees: subtrees::hash_zeros(range),
            }),
            Job::Segment {
                segment,
                buffer,
                earlier,
                edits,
            } => {
                *back = buffer;
                self.fill(segment, back, earlier.as_deref())?;
                for edit in &edits {
                    apply(edit, segment.start, back);
                }
                self.finish(segment, back, frame)
            }
        }
    }

    /// Brings the buffer to the segment's length, with its earlier content if it has one.
    fn fill(
        &self,
        segment: Segment,
        buffer: &mut Vec<u8>,
        earlier: Option<&[u8]>,
    ) -> io::Result<()> {
        let len = index(segment.len());
        if let Some(frame) = earlier {
            buffer.clear();
            buffer.reserve_exact(index(self.window));
            Decompressor::new()?.decompress_to_buffer(frame, buffer)?;
            if buffer.len() != len {
                return Err(io::Error::other("a frame reads back with another length"));
            }
        }
        buffer.resize(len, 0);
        Ok(())
    }

    fn finish(&mut self, segment: Segment, data: &[u8], mut frame: Vec<u8>) -> io::Result<Outcome> {
        if forger_block::is_zero(data) {
            return Ok(Outcome {
                frame: None,
                subtrees: Vec::new(),
            });
        }
        frame.clear();
        frame.reserve(compress_bound(data.len()));
        self.compressor.compress_to_buffer(data, &mut frame)?;
        Ok(Outcome {
            frame: Some(frame),
            subtrees: subtrees::hash(segment.start, data),
        })
    }
}
