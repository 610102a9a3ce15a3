//! Where the image of an opened bundle goes: into the hasher, into a sink, with its holes.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::{BlockSink, Result};

use super::image_hasher::ImageHasher;

/// How much is collected before it goes on, in bytes.
const PIECE: usize = 1 << 20;
/// The unit of zeros in bytes; the pieces begin and end at multiples of it.
const UNIT: usize = 4096;
/// The shortest run of zeros that becomes a hole, in bytes.
const HOLE: u64 = 64 << 10;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// An image on its way out of a bundle.
pub(super) struct Restore<'a> {
    hasher: Option<ImageHasher>,
    sink: Option<&'a mut dyn BlockSink>,
    piece: Box<[u8]>,
    /// How much of the piece is filled.
    fill: usize,
    /// Zeros before the piece that the sink has not seen.
    zeros: u64,
}

impl<'a> Restore<'a> {
    /// Takes an image that is neither kept nor hashed.
    pub(super) fn nowhere() -> Self {
        Self {
            hasher: None,
            ..Self::hashed(None)
        }
    }

    /// Tells whether nobody looks at the bytes.
    pub(super) fn is_nowhere(&self) -> bool {
        self.hasher.is_none() && self.sink.is_none()
    }

    /// Takes an image that is hashed, and written to `sink` if there is one.
    pub(super) fn hashed(sink: Option<&'a mut dyn BlockSink>) -> Self {
        Self {
            hasher: Some(ImageHasher::default()),
            sink,
            piece: vec![0; PIECE].into_boxed_slice(),
            fill: 0,
            zeros: 0,
        }
    }

    /// Returns where the next bytes go, at least one.
    pub(super) fn room(&mut self) -> Result<&mut [u8]> {
        if self.fill == self.piece.len() {
            self.flush()?;
        }
        Ok(self.piece.get_mut(self.fill..).unwrap_or_default())
    }

    /// Says that so many bytes of the room are the image's next.
    pub(super) fn filled(&mut self, len: usize) {
        self.fill = self.fill.saturating_add(len).min(self.piece.len());
    }

    /// Takes zeros.
    pub(super) fn zeros(&mut self, mut len: u64) -> Result<()> {
        let over = self.fill.checked_rem(UNIT).filter(|&over| over > 0);
        let missing = over.and_then(|over| UNIT.checked_sub(over)).unwrap_or(0);
        len = len.saturating_sub(self.push_zeros(missing, len)?);
        let part = len
            .checked_rem(u64::try_from(UNIT).unwrap_or(1))
            .unwrap_or(0);
        let whole = len.saturating_sub(part);
        if whole > 0 {
            self.flush()?;
            if let Some(hasher) = &mut self.hasher {
                hasher.zeros(whole);
            }
            self.zeros = self.zeros.saturating_add(whole);
        }
        self.push_zeros(UNIT, part)?;
        Ok(())
    }

    /// Puts the smaller number of zeros into the piece, and returns it.
    fn push_zeros(&mut self, most: usize, len: u64) -> Result<u64> {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(most);
        if len > 0 {
            // There is room for a unit, since only whole ones fill the piece.
            let room = self.room()?;
            room.get_mut(..len).unwrap_or_default().fill(0);
            self.filled(len);
        }
        Ok(u64::try_from(len).unwrap_or(u64::MAX))
    }

    /// Passes the piece on: whole units, or the image's end.
    fn flush(&mut self) -> Result<()> {
        let data = self.piece.get(..self.fill).unwrap_or_default();
        self.fill = 0;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(data);
        }
        if let Some(sink) = &mut self.sink {
            self.zeros = write(*sink, self.zeros, data)?;
        }
        Ok(())
    }

    /// Ends the image and returns its BLAKE3 if it was computed.
    pub(super) fn finish(&mut self) -> Result<Option<[u8; 32]>> {
        self.flush()?;
        if let Some(sink) = &mut self.sink {
            skip(*sink, self.zeros)?;
        }
        Ok(self.hasher.take().map(ImageHasher::finish))
    }
}

/// Writes `before` zeros and `data`; returns how many zeros at the end it did not write.
fn write(sink: &mut dyn BlockSink, before: u64, data: &[u8]) -> Result<u64> {
    let mut zeros = before;
    // What has been looked at and is to be written, short runs of zeros included.
    let mut pending = 0..0;
    for (index, unit) in data.chunks(UNIT).enumerate() {
        let start = index.saturating_mul(UNIT);
        let end = start.saturating_add(unit.len());
        if forger_block::is_zero(unit) {
            zeros = zeros.saturating_add(u64::try_from(unit.len()).unwrap_or(0));
            continue;
        }
        if zeros >= HOLE || pending.is_empty() {
            sink_part(sink, data, pending)?;
            skip(sink, zeros)?;
            pending = start..end;
        } else {
            pending.end = end;
        }
        zeros = 0;
    }
    sink_part(sink, data, pending)?;
    Ok(zeros)
}

fn sink_part(sink: &mut dyn BlockSink, data: &[u8], range: std::ops::Range<usize>) -> Result<()> {
    match data.get(range) {
        Some(part) if !part.is_empty() => sink.write(part),
        _ => Ok(()),
    }
}

/// Writes zeros: a hole if they are many.
fn skip(sink: &mut dyn BlockSink, len: u64) -> Result<()> {
    if len >= HOLE {
        return sink.skip(len);
    }
    match ZEROS.get(..usize::try_from(len).unwrap_or(0)) {
        Some(zeros) if !zeros.is_empty() => sink.write(zeros),
        _ => Ok(()),
    }
}
