//! The sink that turns an image, as it is written, into independent zstd frames.
//!
//! # One pass
//!
//! The ext4 writer places contents at ascending offsets; the *late ranges* (superblock, group
//! descriptors, their copies amid the data) are known last; contents that turn out to be replaced
//! are *punched*. A zstd stream goes forward only, but it may consist of any number of frames, and
//! each can be replaced as long as the new one has the same length, for which a skippable frame
//! serves as filler. So the image is [cut](super::cuts) into segments, at every multiple of a
//! window and around the late ranges, and each segment becomes a frame of its own:
//!
//! - a segment whose time has come is handed to the [workers](super::workers), which compress and
//!   hash it, and its frame is appended in its turn;
//! - a segment that was never written becomes [hole frames](super::hole), joined with its
//!   neighbours;
//! - a late segment gets room in the bundle, and is compressed at the [end](super::settle);
//! - what is punched is zeroed in memory if it can be, else at the end: the frame is read back,
//!   decompressed, compressed again without it and put over the old one.
//!
//! A segment's time has come when something beyond it is written, and nothing else decides what
//! becomes of it: the bundle is the same for any number of threads, and however the writes are cut
//! into pieces.
//!
//! # Memory
//!
//! With *t* threads and a window of *w* bytes: *t* + 2 segments of *w* that are filled, wait or are
//! compressed, *t* + 1 frames of at most *w* and a little, and *t* contexts of zstd (about 1 MiB
//! at level 3, some 100 MiB at the highest). The pieces of the late ranges stay in memory until the
//! end; so do 16 bytes for every punched range and some 100 for every segment.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use forger_block::{Error, MAX_LEN, PlacedSink, Result, check_range};

use super::cuts::{Cuts, Segment, index};
use super::edit::{Edit, apply};
use super::file::BundleFile;
use super::pipeline::Pipeline;
use super::workers::Job;

/// How the image is framed.
#[derive(Clone, Debug)]
pub(super) struct Framing {
    /// Level of compression, 1..=22.
    pub(super) level: i32,
    /// Number of threads that compress, at least 1.
    pub(super) threads: usize,
    /// Length of a window in bytes, a power of two of at least 4 KiB.
    pub(super) window: u64,
    /// The ranges that are written last.
    pub(super) late: Vec<Range<u64>>,
    /// Room for the frame of a late segment, in bytes.
    pub(super) late_room: u64,
    /// Room at the start of the bundle for what is not part of the image, in bytes.
    pub(super) prefix_room: u64,
}

/// An image on its way into frames.
///
/// Writes to each segment may come in any order; a write to a segment whose time has passed is an
/// error, unless it is late.
#[derive(Debug)]
pub(super) struct FramedSink<'f> {
    pub(super) framing: Framing,
    pub(super) cuts: Cuts,
    pub(super) pipeline: Pipeline<'f>,
    /// The segment that is being filled, and its bytes from the start on.
    pub(super) open: Option<(Segment, Vec<u8>)>,
    /// Where the first segment begins whose time has not come; nothing lies between it and the
    /// open segment but holes and late segments.
    pub(super) cursor: u64,
    /// The end of the last byte written.
    pub(super) written: u64,
    /// What was written to the late segments, by their start.
    pub(super) late: BTreeMap<u64, Vec<Edit>>,
    /// What was punched after its time.
    pub(super) punched: Vec<Range<u64>>,
}

impl<'f> FramedSink<'f> {
    /// Starts the workers.
    pub(super) fn new(file: &'f dyn BundleFile, framing: Framing) -> Result<Self> {
        Ok(Self {
            cuts: Cuts::new(framing.window, framing.late.iter().cloned()),
            pipeline: Pipeline::new(file, &framing)?,
            framing,
            open: None,
            cursor: 0,
            written: 0,
            late: BTreeMap::new(),
            punched: Vec::new(),
        })
    }

    /// Writes a piece that lies inside one segment.
    fn write_piece(&mut self, segment: Segment, start: u64, data: Bytes) -> Result<()> {
        if segment.late {
            let edit = Edit::Write { start, data };
            self.late.entry(segment.start).or_default().push(edit);
            return Ok(());
        }
        let behind = match &self.open {
            Some((open, _)) => segment.start < open.start,
            None => segment.start < self.cursor,
        };
        if behind {
            let reason = io::Error::other(format!(
                "bytes {start}..+{} come after what lies beyond them",
                data.len()
            ));
            return Err(Error::io("write", "the bundle", reason));
        }
        let mut buffer = match self.open.take() {
            Some((open, buffer)) if open == segment => buffer,
            before => {
                if let Some((open, buffer)) = before {
                    self.pass(open.start)?;
                    self.hand_out(open, buffer)?;
                }
                self.segment_buffer()
            }
        };
        let at = index(start - segment.start);
        let end = at + data.len();
        if buffer.len() < end {
            buffer.resize(at.max(buffer.len()), 0);
            let known = buffer.len() - at;
            buffer[at..].copy_from_slice(&data[..known]);
            buffer.extend_from_slice(&data[known..]);
        } else {
            buffer[at..end].copy_from_slice(&data);
        }
        self.open = Some((segment, buffer));
        Ok(())
    }

    fn segment_buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.pipeline.workers.buffer();
        buffer.reserve_exact(index(self.cuts.window()));
        buffer
    }

    /// Gives a segment to the workers.
    pub(super) fn hand_out(&mut self, segment: Segment, buffer: Vec<u8>) -> Result<()> {
        let job = Job::Segment {
            segment,
            buffer,
            earlier: None,
            edits: Vec::new(),
        };
        self.submit(segment, job)
    }

    /// Gives a late segment, all of which is known, to the workers.
    pub(super) fn hand_out_late(&mut self, segment: Segment) -> Result<()> {
        let edits = self.late.get(&segment.start).cloned().unwrap_or_default();
        let buffer = self.segment_buffer();
        let job = Job::Segment {
            segment,
            buffer,
            earlier: None,
            edits,
        };
        self.submit(segment, job)
    }

    fn submit(&mut self, segment: Segment, job: Job) -> Result<()> {
        self.pipeline.submit(segment, job)?;
        self.cursor = segment.end;
        Ok(())
    }

    /// Lets the time come of all that lies before `end` and was not written.
    fn pass(&mut self, end: u64) -> Result<()> {
        while self.cursor < end {
            let segment = self.cuts.segment(self.cursor);
            if segment.late {
                self.pipeline.pass_late(segment)?;
                self.cursor = segment.end;
            } else {
                self.pass_hole(end)?;
            }
        }
        Ok(())
    }

    /// Lets the time come of zeros, up to `end` or the next late segment.
    pub(super) fn pass_hole(&mut self, end: u64) -> Result<()> {
        let late = self.cuts.next_late(self.cursor);
        let end = late.map_or(end, |late| late.min(end));
        self.pipeline.pass_hole(self.cursor..end)?;
        self.cursor = end;
        Ok(())
    }
}

impl PlacedSink for FramedSink<'_> {
    fn write_at(&mut self, offset: u64, mut data: Bytes) -> Result<()> {
        let mut start = offset;
        let end = end_of(offset, data.len() as u64)?;
        self.written = self.written.max(if data.is_empty() { 0 } else { end });
        while start < end {
            let segment = self.cuts.segment(start);
            let piece = data.split_to(index(segment.end.min(end) - start));
            self.write_piece(segment, start, piece)?;
            start = segment.end;
        }
        Ok(())
    }

    fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        let end = end_of(offset, len)?;
        let range = offset..end;
        self.punch_late(&range);
        if let Some((open, buffer)) = &mut self.open {
            apply(&Edit::Zero(range), open.start, buffer);
        }
        let passed = offset..end.min(self.cursor);
        if !passed.is_empty() {
            match self.punched.last_mut() {
                Some(last) if last.end == passed.start => last.end = passed.end,
                _ => self.punched.push(passed),
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, len: u64) -> Result<()> {
        self.settle(len)?;
        let room = self.framing.prefix_room;
        self.pipeline.slots.fill_prefix(Vec::new(), room)
    }
}

impl FramedSink<'_> {
    /// Remembers a punch for the late segments, whose bytes are all in memory.
    fn punch_late(&mut self, range: &Range<u64>) {
        let mut at = range.start;
        while at < range.end {
            let segment = self.cuts.segment(at);
            if segment.late {
                if let Some(edits) = self.late.get_mut(&segment.start) {
                    edits.push(Edit::Zero(range.clone()));
                }
                at = segment.end;
            } else {
                at = self.cuts.next_late(at).unwrap_or(range.end);
            }
        }
    }
}

/// Returns the end of a range.
fn end_of(offset: u64, len: u64) -> Result<u64> {
    check_range(offset, len, MAX_LEN)?;
    Ok(offset + len)
}
