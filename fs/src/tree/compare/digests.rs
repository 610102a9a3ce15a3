//! A content by the digests of its pieces: for what passes by once and cannot be read again.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::{BlockRead, Result, Run, is_zero};

use super::Mismatch;
use crate::tree::Content;

/// How many bytes have a digest of their own: 64 KiB.
pub const PIECE: usize = 64 << 10;

/// The digest of a piece: 128 bits of BLAKE3.
type Digest = [u8; 16];

/// The digests of a content, one for each piece of 64 KiB that is not all zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    size: u64,
    /// Number and digest, in order.
    pieces: Vec<(u64, Digest)>,
    /// What follows the last whole piece.
    rest: Vec<u8>,
}

impl Digests {
    /// Returns the length of the content in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = PIECE.saturating_sub(self.rest.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.rest.extend_from_slice(now);
            self.size = self.size.saturating_add(len(now));
            if self.rest.len() == PIECE {
                self.cut();
            }
            bytes = later;
        }
    }

    /// Appends zeros.
    pub fn push_hole(&mut self, hole: u64) {
        let mut left = hole;
        if !self.rest.is_empty() {
            let room = PIECE.saturating_sub(self.rest.len());
            let filled = usize::try_from(left).unwrap_or(PIECE).min(room);
            let filled_len = self.rest.len().saturating_add(filled);
            self.rest.resize(filled_len, 0);
            let filled = u64::try_from(filled).unwrap_or(left);
            self.size = self.size.saturating_add(filled);
            left = left.saturating_sub(filled);
            if self.rest.len() < PIECE {
                return;
            }
            self.cut();
        }
        self.size = self.size.saturating_add(left);
        let rest = left.checked_rem(PIECE_LEN).unwrap_or(0);
        self.rest.resize(usize::try_from(rest).unwrap_or(0), 0);
    }

    /// Ends the content; holds no more memory than the digests need.
    pub fn finish(&mut self) {
        self.cut();
        self.rest = Vec::new();
        self.pieces.shrink_to_fit();
    }

    /// Ends a piece.
    fn cut(&mut self) {
        if let Some((last, digest)) = self.size.checked_sub(1).zip(digest(&self.rest)) {
            let number = last.checked_div(PIECE_LEN).unwrap_or(0);
            self.pieces.push((number, digest));
        }
        self.rest.clear();
    }

    /// Finds the first piece in which two contents differ.
    #[must_use]
    pub fn mismatch(&self, other: &Self) -> Option<Mismatch> {
        let others = other.pieces.iter().copied().map(Ok);
        let found = first(self.pieces.iter().copied().map(Ok), others);
        let found = found.unwrap_or_default();
        settled(found, self.size, other.size)
    }

    /// Finds the first piece in which a content differs that can be read.
    ///
    /// # Errors
    /// Whatever goes wrong when it is read.
    pub fn mismatch_with(&self, content: &Content) -> Result<Option<Mismatch>> {
        let others = Pieces {
            content,
            at: 0,
            buffer: Vec::new(),
        };
        let found = first(self.pieces.iter().copied().map(Ok), others)?;
        Ok(settled(found, self.size, content.size()))
    }
}

const PIECE_LEN: u64 = 64 << 10;

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Returns the digest of a piece; none of zeros.
fn digest(piece: &[u8]) -> Option<Digest> {
    if is_zero(piece) {
        return None;
    }
    let hash = blake3::hash(piece);
    hash.as_bytes().first_chunk().copied()
}

/// Returns the number of the first piece that two lists of pieces do not share.
fn first(
    mut own: impl Iterator<Item = Result<(u64, Digest)>>,
    mut others: impl Iterator<Item = Result<(u64, Digest)>>,
) -> Result<Option<u64>> {
    loop {
        match (own.next().transpose()?, others.next().transpose()?) {
            (None, None) => return Ok(None),
            (Some(a), Some(b)) if a == b => {}
            (Some((a, _)), Some((b, _))) => return Ok(Some(a.min(b))),
            (Some((piece, _)), None) | (None, Some((piece, _))) => return Ok(Some(piece)),
        }
    }
}

/// Turns the first piece that differs into a place; contents that differ only in length do so at the
/// end of the shorter one.
fn settled(piece: Option<u64>, size: u64, other: u64) -> Option<Mismatch> {
    let shorter = size.min(other);
    match piece.map(|piece| piece.saturating_mul(PIECE_LEN)) {
        Some(offset) => Some(Mismatch {
            offset: offset.min(shorter),
            exact: offset >= shorter,
        }),
        None => (size != other).then_some(Mismatch {
            offset: shorter,
            exact: true,
        }),
    }
}

/// The pieces of a content that are not all zeros.
struct Pieces<'a> {
    content: &'a Content,
    /// The start of the next piece.
    at: u64,
    buffer: Vec<u8>,
}

impl Pieces<'_> {
    fn piece(&mut self) -> Result<Option<(u64, Digest)>> {
        let size = self.content.size();
        while self.at < size {
            if let Run::Hole(hole) = self.content.run_at(self.at)? {
                // Only whole pieces of a hole are passed over.
                let end = self.at.saturating_add(hole);
                let whole = end.checked_div(PIECE_LEN).unwrap_or(0);
                let next = whole.saturating_mul(PIECE_LEN);
                if next > self.at || end >= size {
                    self.at = if end >= size { size } else { next };
                    continue;
                }
            }
            let at = self.at;
            let rest = size.saturating_sub(at).min(PIECE_LEN);
            self.buffer.resize(usize::try_from(rest).unwrap_or(0), 0);
            self.content.read_at(at, &mut self.buffer)?;
            self.at = at.saturating_add(PIECE_LEN);
            if let Some(digest) = digest(&self.buffer) {
                return Ok(Some((at.checked_div(PIECE_LEN).unwrap_or(0), digest)));
            }
        }
        Ok(None)
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<(u64, Digest)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.piece().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of bytes and holes, as digests and as a content.
    fn both(parts: &[(u8, usize)], step: usize) -> (Digests, Content) {
        let (mut digests, mut content) = (Digests::default(), Content::new());
        for (byte, count) in parts {
            if *byte == 0 {
                digests.push_hole(u64::try_from(*count).unwrap());
                content.push_hole(u64::try_from(*count).unwrap());
            } else {
                let bytes = vec![*byte; *count];
                bytes.chunks(step).for_each(|piece| digests.push(piece));
                content.push_inline(bytes);
            }
        }
        digests.finish();
        (digests, content)
    }

    #[test]
    fn equal_contents_have_equal_digests_however_they_arrive() {
        for parts in [
            &[][..],
            &[(1, 1)],
            &[(1, PIECE)],
            &[(1, PIECE), (2, 1)],
            &[(0, 5), (1, PIECE), (0, 3 * PIECE), (2, 7)],
            &[(1, 10), (0, 200_000), (0, 7), (3, 100_000), (0, 1 << 30)],
            &[(0, 1 << 40)],
            &[(0, PIECE), (1, 3), (0, PIECE - 3), (0, 1)],
        ] {
            let (a, content) = both(parts, 1000);
            let (b, _) = both(parts, 1 << 20);
            assert_eq!(a, b, "{parts:?}");
            assert_eq!(a.size(), content.size(), "{parts:?}");
            assert_eq!(a.mismatch(&b), None, "{parts:?}");
            assert_eq!(a.mismatch_with(&content).unwrap(), None, "{parts:?}");
        }
        // Zeros are as good as a hole.
        let (hole, _) = both(&[(0, 100_000), (1, 1)], 10);
        let mut zeros = Digests::default();
        zeros.push(&vec![0; 100_000]);
        zeros.push(&[1]);
        zeros.finish();
        assert_eq!(hole, zeros);
    }

    #[test]
    fn the_first_piece_that_differs_is_found() {
        let at = |a: &[(u8, usize)], b: &[(u8, usize)]| {
            let (digests, _) = both(a, 100);
            let (others, content) = both(b, 77);
            let found = digests.mismatch(&others);
            assert_eq!(found, digests.mismatch_with(&content).unwrap());
            found.map(|found| (found.offset, found.exact))
        };
        let piece = PIECE_LEN;
        assert_eq!(at(&[(1, 10)], &[(2, 10)]), Some((0, false)));
        assert_eq!(
            at(&[(1, PIECE + 1)], &[(1, PIECE), (2, 1)]),
            Some((piece, false))
        );
        // One is the other's beginning.
        assert_eq!(
            at(&[(1, PIECE)], &[(1, PIECE), (2, 9)]),
            Some((piece, true))
        );
        assert_eq!(at(&[(0, 5)], &[(0, 7)]), Some((5, true)));
        assert_eq!(
            at(&[(0, 1 << 30), (1, 1)], &[(0, 1 << 30), (0, 1)]),
            Some((1 << 30, false))
        );
        assert_eq!(at(&[], &[(1, 1)]), Some((0, true)));
    }
}
