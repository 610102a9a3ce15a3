//! The end of an image: late segments, punched segments, the digest.
//!
//! When the length is known, everything is. The late segments are compressed into the room that was
//! kept for them, the punched ones anew. A frame that does not fit its room makes all that follows
//! move up; how large each frame is follows from the image alone, so that happens for any run or
//! for none. Frames that did not fit are then made a second time rather than kept in memory.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use forger_block::{Error, MAX_LEN, Result, check_range};

use super::cuts::{Segment, index};
use super::edit::{Edit, apply};
use super::framed::FramedSink;
use super::hole;
use super::pipeline::compressing;
use super::slots::{Kind, Slot};
use super::workers::{Job, Outcome};

impl FramedSink<'_> {
    /// Completes the frames of an image of `len` bytes and returns its BLAKE3.
    pub(super) fn settle(&mut self, len: u64) -> Result<[u8; 32]> {
        check_range(0, len, MAX_LEN)?;
        check_range(self.written, 0, len)?;
        // What fits one window and was not handed out may be a single subtree, see `subtrees`.
        let plain = self.cursor == 0 && len <= self.cuts.window();
        let whole = plain.then(|| *blake3::hash(&self.in_memory(len)).as_bytes());
        self.pass_rest(len)?;
        self.pipeline.drain()?;
        self.redo_changed()?;
        match whole {
            Some(digest) => Ok(digest),
            None => self.digest(len),
        }
    }

    /// Fills the room that was kept at the start of the bundle.
    pub(super) fn fill_prefix(&mut self, data: &[u8]) -> Result<()> {
        let frame = zstd::bulk::compress(data, self.framing.level).map_err(compressing)?;
        self.pipeline
            .slots
            .fill_prefix(frame, self.framing.prefix_room)
    }

    /// Appends what follows the image, and returns the bundle's length in bytes.
    pub(super) fn append(&mut self, data: &[u8]) -> Result<u64> {
        let frame = zstd::bulk::compress(data, self.framing.level).map_err(compressing)?;
        self.pipeline.slots.append(&frame)?;
        Ok(self.pipeline.slots.end())
    }

    /// Returns an image of which nothing was handed out.
    fn in_memory(&self, len: u64) -> Vec<u8> {
        let mut image = vec![0; index(len)];
        if let Some((segment, buffer)) = &self.open {
            let at = index(segment.start);
            image[at..at + buffer.len()].copy_from_slice(buffer);
        }
        for edit in self.late.values().flatten() {
            apply(edit, 0, &mut image);
        }
        image
    }

    /// Lets the time come of everything up to the image's end; late segments need no room now.
    fn pass_rest(&mut self, len: u64) -> Result<()> {
        let mut open = self.open.take();
        while self.cursor < len {
            let mut segment = self.cuts.segment(self.cursor);
            segment.end = segment.end.min(len);
            match open.take() {
                Some((next, buffer)) if next.start == segment.start => {
                    self.hand_out(segment, buffer)?;
                }
                before if segment.late => {
                    open = before;
                    self.hand_out_late(segment)?;
                }
                before => {
                    let stop = before.as_ref().map_or(len, |(next, _)| next.start);
                    self.pass_hole(stop)?;
                    open = before;
                }
            }
        }
        Ok(())
    }

    /// Makes the frames of late and punched segments.
    fn redo_changed(&mut self) -> Result<()> {
        self.punched = merged(std::mem::take(&mut self.punched));
        let changed: Vec<usize> = (self.pipeline.slots.list().iter().enumerate())
            .filter(|(_, slot)| self.is_changed(slot))
            .map(|(index, _)| index)
            .collect();
        let mut grown = BTreeMap::new();
        let mut under_way = 0;
        for slot in changed {
            if under_way == self.pipeline.limit() {
                self.refill_next(&mut grown)?;
                under_way -= 1;
            }
            self.submit_again(slot)?;
            under_way += 1;
        }
        for _ in 0..under_way {
            self.refill_next(&mut grown)?;
        }
        if !grown.is_empty() {
            self.relocate(&grown)?;
        }
        self.pipeline.slots.close_up()
    }

    fn is_changed(&self, slot: &Slot) -> bool {
        match slot.kind {
            Kind::Late => true,
            Kind::Hole => false,
            Kind::Frame => !self.punched_in(&slot.image).is_empty(),
        }
    }

    /// Returns the punches that touch a range.
    fn punched_in(&self, range: &Range<u64>) -> &[Range<u64>] {
        let first = self
            .punched
            .partition_point(|punch| punch.end <= range.start);
        let rest = &self.punched[first..];
        &rest[..rest.partition_point(|punch| punch.start < range.end)]
    }

    fn submit_again(&mut self, slot: usize) -> Result<()> {
        let Slot { image, kind, .. } = self.pipeline.slots.list()[slot].clone();
        let late = kind == Kind::Late;
        let (edits, earlier) = if late {
            (
                self.late.get(&image.start).cloned().unwrap_or_default(),
                None,
            )
        } else {
            let punches = self.punched_in(&image);
            let all = matches!(punches, [one] if one.start <= image.start && one.end >= image.end);
            let edits = punches.iter().cloned().map(Edit::Zero).collect();
            (
                edits,
                if all {
                    None
                } else {
                    Some(self.pipeline.slots.read(slot)?)
                },
            )
        };
        let segment = Segment {
            start: image.start,
            end: image.end,
            late,
        };
        let buffer = self.pipeline.workers.buffer();
        let job = Job::Segment {
            segment,
            buffer,
            earlier,
            edits,
        };
        self.pipeline
            .workers
            .submit(slot as u64, job)
            .map_err(compressing)
    }

    /// Waits for a slot's new frames.
    fn next_frames(&mut self) -> Result<(usize, Vec<u8>, Outcome)> {
        let done = self.pipeline.workers.wait().map_err(compressing)?;
        let mut outcome = done.outcome.map_err(compressing)?;
        let slot = index(done.id);
        let frames = outcome.frame.take().unwrap_or_else(|| {
            let Range { start, end } = self.pipeline.slots.list()[slot].image;
            let mut frames = Vec::new();
            hole::push_hole(&mut frames, end - start);
            frames
        });
        Ok((slot, frames, outcome))
    }

    fn refill_next(&mut self, grown: &mut BTreeMap<usize, u64>) -> Result<()> {
        let (slot, mut frames, outcome) = self.next_frames()?;
        let image = self.pipeline.slots.list()[slot].image.clone();
        self.pipeline.subtrees.remove(image);
        let zero = outcome.subtrees.is_empty();
        self.pipeline.keep(outcome.subtrees);
        if let Some(size) = self.pipeline.slots.refill(slot, &mut frames, zero)? {
            grown.insert(slot, size);
        }
        self.pipeline.workers.recycle(frames);
        Ok(())
    }

    /// Gives the slots in `grown` the sizes they need, and moves the others.
    fn relocate(&mut self, grown: &BTreeMap<usize, u64>) -> Result<()> {
        let (places, end) = self.pipeline.slots.places(|slot| grown.get(&slot).copied());
        let first = grown.keys().next().copied().unwrap_or(places.len());
        for (slot, &place) in places.iter().enumerate().skip(first).rev() {
            if let Some(&size) = grown.get(&slot) {
                self.submit_again(slot)?;
                let (_, mut frames, _) = self.next_frames()?;
                self.pipeline.slots.put(slot, place, size, &mut frames)?;
                self.pipeline.workers.recycle(frames);
            } else {
                self.pipeline.slots.move_up(slot, place)?;
            }
        }
        self.pipeline.slots.set_end(end);
        Ok(())
    }

    /// Hashes the zeros and joins all chaining values.
    fn digest(&mut self, len: u64) -> Result<[u8; 32]> {
        let zeros = self.pipeline.slots.list().iter().filter(|slot| slot.zero);
        let zeros = merged(zeros.map(|slot| slot.image.clone()).collect());
        let mut under_way = 0;
        for range in zeros {
            for piece in self.pipeline.subtrees.insert_zeros(range, len) {
                if under_way == self.pipeline.limit() {
                    self.keep_next()?;
                    under_way -= 1;
                }
                self.pipeline
                    .workers
                    .submit(0, Job::Zeros(piece))
                    .map_err(compressing)?;
                under_way += 1;
            }
        }
        for _ in 0..under_way {
            self.keep_next()?;
        }
        self.pipeline.subtrees.root(len).ok_or_else(|| {
            let reason = io::Error::other("its segments do not cover it");
            Error::io("hash", "the image", reason)
        })
    }

    fn keep_next(&mut self) -> Result<()> {
        let done = self.pipeline.workers.wait().map_err(compressing)?;
        let outcome = done.outcome.map_err(compressing)?;
        self.pipeline.keep(outcome.subtrees);
        Ok(())
    }
}

/// Sorts ranges and joins those that touch or overlap.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let touches = next.start <= last.end;
        if touches {
            last.end = last.end.max(next.end);
        }
        touches
    });
    ranges
}
