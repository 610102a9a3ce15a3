//! From segments to frames in the file: jobs for the workers, and their results in order.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;

use forger_block::{Error, Result};

use super::cuts::Segment;
use super::file::BundleFile;
use super::framed::Framing;
use super::slots::Slots;
use super::subtrees::{Subtree, Subtrees};
use super::workers::{Done, Job, Outcome, Workers};

/// What waits for its turn to be appended to the bundle.
#[derive(Debug)]
enum Pending {
    /// A segment at the workers, by its number.
    Job(u64, Segment),
    /// Zeros.
    Hole(Range<u64>),
    /// Room for a late segment.
    Late(Segment),
}

/// Segments on their way through the workers into the slots.
///
/// They are appended in the order in which they come in here, which is that of the image, however
/// long each takes.
#[derive(Debug)]
pub(super) struct Pipeline<'f> {
    pub(super) workers: Workers,
    pub(super) slots: Slots<'f>,
    pub(super) subtrees: Subtrees,
    /// How many jobs may be under way.
    limit: usize,
    late_room: u64,
    pending: VecDeque<Pending>,
    /// Zeros whose turn has come, and which the next ones may join.
    hole: Option<Range<u64>>,
    ready: BTreeMap<u64, Outcome>,
    next_id: u64,
    /// Jobs handed out whose frames are not in the file.
    in_flight: usize,
}

impl<'f> Pipeline<'f> {
    /// Starts the workers.
    pub(super) fn new(file: &'f dyn BundleFile, framing: &Framing) -> Result<Self> {
        let threads = framing.threads.max(1);
        let workers = Workers::start(threads, framing.level, framing.window)
            .map_err(|source| Error::io("start", "the compressing threads", source))?;
        Ok(Self {
            workers,
            slots: Slots::new(file, framing.prefix_room),
            subtrees: Subtrees::default(),
            // One is at hand when a worker has done with its own.
            limit: threads + 1,
            late_room: framing.late_room,
            pending: VecDeque::new(),
            hole: None,
            ready: BTreeMap::new(),
            next_id: 0,
            in_flight: 0,
        })
    }

    /// Returns how many jobs may be under way.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Hands out a segment, when fewer than the limit are under way.
    pub(super) fn submit(&mut self, segment: Segment, job: Job) -> Result<()> {
        while self.in_flight >= self.limit {
            self.wait()?;
        }
        while let Some(done) = self.workers.poll() {
            self.take(done)?;
        }
        self.place()?;
        self.workers
            .submit(self.next_id, job)
            .map_err(compressing)?;
        self.pending.push_back(Pending::Job(self.next_id, segment));
        self.next_id += 1;
        self.in_flight += 1;
        Ok(())
    }

    /// Takes zeros.
    pub(super) fn pass_hole(&mut self, range: Range<u64>) -> Result<()> {
        self.pending.push_back(Pending::Hole(range));
        self.place()
    }

    /// Keeps room for a late segment.
    pub(super) fn pass_late(&mut self, segment: Segment) -> Result<()> {
        self.pending.push_back(Pending::Late(segment));
        self.place()
    }

    /// Waits until everything handed out is in the bundle.
    pub(super) fn drain(&mut self) -> Result<()> {
        while self.in_flight > 0 {
            self.wait()?;
        }
        self.place()?;
        // Holes wait for a neighbour that may join them.
        self.place_hole(None)
    }

    fn wait(&mut self) -> Result<()> {
        let done = self.workers.wait().map_err(compressing)?;
        self.take(done)?;
        self.place()
    }

    fn take(&mut self, done: Done) -> Result<()> {
        let outcome = done.outcome.map_err(compressing)?;
        self.ready.insert(done.id, outcome);
        Ok(())
    }

    /// Appends what is ready and whose turn it is.
    fn place(&mut self) -> Result<()> {
        while let Some(next) = self.pending.pop_front() {
            match next {
                Pending::Hole(range) => self.place_hole(Some(range))?,
                Pending::Late(segment) => {
                    self.place_hole(None)?;
                    self.slots.push_late(segment.range(), self.late_room);
                }
                Pending::Job(id, segment) => {
                    let Some(outcome) = self.ready.remove(&id) else {
                        self.pending.push_front(Pending::Job(id, segment));
                        break;
                    };
                    self.in_flight -= 1;
                    self.place_outcome(segment, outcome)?;
                }
            }
        }
        Ok(())
    }

    /// Joins zeros to those before them, or appends these when `next` is none.
    fn place_hole(&mut self, next: Option<Range<u64>>) -> Result<()> {
        self.hole = match (self.hole.take(), next) {
            (Some(hole), Some(next)) => Some(hole.start..next.end),
            (None, next) => next,
            (Some(hole), None) => {
                self.slots.push_hole(hole)?;
                None
            }
        };
        Ok(())
    }

    fn place_outcome(&mut self, segment: Segment, outcome: Outcome) -> Result<()> {
        let Some(frame) = outcome.frame else {
            return self.place_hole(Some(segment.range()));
        };
        self.place_hole(None)?;
        self.slots.push_frame(segment.range(), &frame)?;
        self.workers.recycle(frame);
        self.keep(outcome.subtrees);
        Ok(())
    }

    /// Keeps chaining values.
    pub(super) fn keep(&mut self, subtrees: Vec<Subtree>) {
        for subtree in subtrees {
            self.subtrees.insert(subtree);
        }
    }
}

/// Wraps what a worker reports.
pub(super) fn compressing(source: io::Error) -> Error {
    Error::io("compress", "the image", source)
}
