//! Where each frame stands in the bundle.
//!
//! ```text
//!   prefix (room kept) | slot | slot | … | slot | suffix
//!   slot: one frame, or hole frames, or a frame and a filler that takes up the rest
//! ```
//!
//! Slots stand in the order of the image, without gaps. A slot that is filled a second time keeps
//! its place when the new frame fits: exactly, or with room for a filler. Otherwise all that follows
//! is moved up, from the last slot to the first, within the same file. When much was punched, and
//! fillers would be a good part of the bundle, all slots move down, from the first to the last.

use std::ops::Range;

use forger_block::Result;

use super::file::BundleFile;
use super::hole;

/// How much is moved at a time, in bytes.
const MOVE: u64 = 1 << 20;

/// What a slot was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A compressed segment.
    Frame,
    /// Zeros, of any length.
    Hole,
    /// A segment that is known last.
    Late,
}

/// A part of the bundle that holds a part of the image.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// The part of the image, in bytes.
    pub(super) image: Range<u64>,
    /// Its place in the bundle in bytes.
    pub(super) at: u64,
    /// Its length in the bundle in bytes.
    pub(super) size: u64,
    /// How much of that is not filler, in bytes.
    used: u64,
    /// What it was made for.
    pub(super) kind: Kind,
    /// Whether it holds nothing but zeros.
    pub(super) zero: bool,
}

/// The slots of a bundle that is being written.
pub(super) struct Slots<'f> {
    file: &'f dyn BundleFile,
    list: Vec<Slot>,
    end: u64,
}

impl<'f> Slots<'f> {
    /// Begins after `prefix` bytes that are filled last.
    pub(super) fn new(file: &'f dyn BundleFile, prefix: u64) -> Self {
        Self {
            file,
            list: Vec::new(),
            end: prefix,
        }
    }

    /// Returns the slots in order.
    pub(super) fn list(&self) -> &[Slot] {
        &self.list
    }

    /// Returns the length of the bundle so far, in bytes.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Appends a segment's frame.
    pub(super) fn push_frame(&mut self, image: Range<u64>, frame: &[u8]) -> Result<()> {
        self.file.write_at(self.end, frame)?;
        self.push(image, frame.len() as u64, Kind::Frame);
        Ok(())
    }

    /// Appends hole frames.
    pub(super) fn push_hole(&mut self, image: Range<u64>) -> Result<()> {
        let mut frames = Vec::new();
        let mut size = 0;
        let mut left = image.end - image.start;
        while left > 0 {
            // One write for every 64 GiB, about 2 MiB.
            let now = left.min(64 << 30);
            frames.clear();
            hole::push_hole(&mut frames, now);
            self.file.write_at(self.end + size, &frames)?;
            size += frames.len() as u64;
            left -= now;
        }
        self.push(image, size, Kind::Hole);
        Ok(())
    }

    /// Keeps `room` bytes for a segment that is known last.
    pub(super) fn push_late(&mut self, image: Range<u64>, room: u64) {
        self.push(image, room, Kind::Late);
    }

    fn push(&mut self, image: Range<u64>, size: u64, kind: Kind) {
        let zero = kind == Kind::Hole;
        self.list.push(Slot {
            image,
            at: self.end,
            size,
            used: size,
            kind,
            zero,
        });
        self.end += size;
    }

    /// Appends bytes that belong to no segment.
    pub(super) fn append(&mut self, data: &[u8]) -> Result<()> {
        self.file.write_at(self.end, data)?;
        self.end += data.len() as u64;
        Ok(())
    }

    /// Fills the start of the file, `room` bytes, with a frame that is at least a filler shorter.
    pub(super) fn fill_prefix(&mut self, mut frame: Vec<u8>, room: u64) -> Result<()> {
        let rest = room - frame.len() as u64;
        hole::push_filler(&mut frame, rest);
        self.file.write_at(0, &frame)
    }

    /// Reads a slot's bytes.
    pub(super) fn read(&self, index: usize) -> Result<Vec<u8>> {
        let slot = &self.list[index];
        let mut bytes = vec![0; super::cuts::index(slot.size)];
        self.file.read_at(slot.at, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills a slot a second time, over the whole of its room. When the frames do not fit, nothing
    /// is written, and the size that the slot needs is returned, which is larger than its own.
    pub(super) fn refill(
        &mut self,
        index: usize,
        frames: &mut Vec<u8>,
        zero: bool,
    ) -> Result<Option<u64>> {
        let slot = &mut self.list[index];
        slot.zero = zero;
        let size = frames.len() as u64;
        if size > slot.size {
            return Ok(Some(size));
        }
        let rest = slot.size - size;
        if rest > 0 && rest < hole::MIN_FILLER {
            return Ok(Some(size + hole::MIN_FILLER));
        }
        slot.used = size;
        let at = slot.at;
        hole::push_filler(frames, rest);
        self.file.write_at(at, frames)?;
        Ok(None)
    }

    /// Returns where each slot would stand, and where the last would end, if some had other sizes.
    pub(super) fn places(&self, size: impl Fn(usize) -> Option<u64>) -> (Vec<u64>, u64) {
        let mut at = self.list.first().map_or(self.end, |first| first.at);
        let mut places = Vec::with_capacity(self.list.len());
        for (index, slot) in self.list.iter().enumerate() {
            places.push(at);
            at += size(index).unwrap_or(slot.size);
        }
        (places, at)
    }

    /// Moves a slot up to `at`, past which nothing is needed any more.
    pub(super) fn move_up(&mut self, index: usize, at: u64) -> Result<()> {
        let slot = &mut self.list[index];
        let from = std::mem::replace(&mut slot.at, at);
        let mut left = if from == at { 0 } else { slot.size };
        let mut buffer = vec![0; super::cuts::index(left.min(MOVE))];
        while left > 0 {
            // From the end, since the two places overlap.
            let now = left.min(MOVE);
            left -= now;
            let piece = &mut buffer[..super::cuts::index(now)];
            self.file.read_at(from + left, piece)?;
            self.file.write_at(at + left, piece)?;
        }
        Ok(())
    }

    /// Fills a slot at a new place and with a new size, past which nothing is needed any more.
    pub(super) fn put(
        &mut self,
        index: usize,
        at: u64,
        size: u64,
        frames: &mut Vec<u8>,
    ) -> Result<()> {
        let used = frames.len() as u64;
        hole::push_filler(frames, size - used);
        self.file.write_at(at, frames)?;
        let slot = &mut self.list[index];
        (slot.at, slot.size, slot.used) = (at, size, used);
        Ok(())
    }

    /// Closes up the slots if the fillers left by what was punched are more than a hundredth of the
    /// bundle.
    pub(super) fn close_up(&mut self) -> Result<()> {
        let punched = self.list.iter().filter(|slot| slot.kind == Kind::Frame);
        let waste: u64 = punched.map(|slot| slot.size - slot.used).sum();
        if waste <= self.end / 100 {
            return Ok(());
        }
        let mut at = self.list.first().map_or(self.end, |first| first.at);
        for index in 0..self.list.len() {
            self.move_down(index, at)?;
            at += self.list[index].size;
        }
        self.end = at;
        self.file.set_len(at)
    }

    /// Moves a slot down to `at`, before which nothing may change, and gives its filler up.
    fn move_down(&mut self, index: usize, at: u64) -> Result<()> {
        let slot = &mut self.list[index];
        let from = std::mem::replace(&mut slot.at, at);
        slot.size = slot.used;
        let len = if from == at { 0 } else { slot.used };
        let mut buffer = vec![0; super::cuts::index(len.min(MOVE))];
        let mut done = 0;
        while done < len {
            let now = (len - done).min(MOVE);
            let piece = &mut buffer[..super::cuts::index(now)];
            self.file.read_at(from + done, piece)?;
            self.file.write_at(at + done, piece)?;
            done += now;
        }
        Ok(())
    }

    /// Says where the last slot ends after slots were moved.
    pub(super) fn set_end(&mut self, end: u64) {
        self.end = end;
    }
}

impl std::fmt::Debug for Slots<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slots")
            .field("list", &self.list)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
