//! Where the reader stands in a member's content.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::sparse::Run;

/// A run of data ends at a multiple of this in the file, unless the data end before.
const ALIGNMENT: u64 = 4096;

/// A member's content that is not read yet.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Bytes left in the archive, without the padding.
    pub(super) stored: u64,
    /// Bytes between the content's end and the next header.
    pub(super) padding: u64,
    /// The file's length in bytes.
    size: u64,
    /// How much of the file has been handed out.
    position: u64,
    /// What is left of the current data run.
    run: Run,
    /// The runs after it.
    rest: std::vec::IntoIter<Run>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A hole, already counted as handed out.
    Hole(u64),
    /// Data of which so many bytes are left, at a position of the file.
    Data { position: u64, left: u64 },
}

impl Content {
    /// A file all of whose bytes are stored.
    pub(super) fn plain(size: u64) -> Self {
        let run = Run {
            offset: 0,
            len: size,
        };
        Self {
            stored: size,
            padding: padding(size),
            size,
            run,
            ..Self::default()
        }
    }

    /// A body of which nothing is handed out.
    pub(super) fn ignored(size: u64) -> Self {
        Self {
            stored: size,
            padding: padding(size),
            ..Self::default()
        }
    }

    /// A file of `size` bytes of which `stored` are in the archive, at these (checked) places;
    /// the body has `body` bytes with its map.
    pub(super) fn sparse(size: u64, stored: u64, body: u64, runs: Vec<Run>) -> Self {
        Self {
            stored,
            padding: padding(body),
            size,
            rest: runs.into_iter(),
            ..Self::default()
        }
    }

    /// Tells what comes next.
    pub(super) fn piece(&mut self) -> Option<Piece> {
        if self.run.len == 0 {
            self.run = self.rest.next().unwrap_or(Run {
                offset: self.size,
                len: 0,
            });
        }
        let hole = self.run.offset.saturating_sub(self.position);
        if hole > 0 {
            self.position = self.run.offset;
            return Some(Piece::Hole(hole));
        }
        let data = Piece::Data {
            position: self.position,
            left: self.run.len,
        };
        (self.run.len > 0).then_some(data)
    }

    /// Counts bytes of the current data run as handed out.
    pub(super) fn consume(&mut self, count: u64) {
        self.position = self.position.saturating_add(count);
        self.run.offset = self.position;
        self.run.len = self.run.len.saturating_sub(count);
        self.stored = self.stored.saturating_sub(count);
    }
}

fn padding(size: u64) -> u64 {
    size.checked_next_multiple_of(512)
        .map_or(0, |end| end.saturating_sub(size))
}

/// Returns the distance from a position to the next boundary.
pub(super) fn to_boundary(position: u64) -> u64 {
    ALIGNMENT.saturating_sub(position % ALIGNMENT)
}

/// Decides how many of the buffered bytes to hand out: to the end of the data, or to a boundary.
pub(super) fn cut(position: u64, left: u64, buffered: usize) -> u64 {
    let buffered = u64::try_from(buffered).unwrap_or(u64::MAX);
    if buffered >= left {
        return left;
    }
    let end = position.saturating_add(buffered);
    buffered.saturating_sub(end % ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_content_alternates_holes_and_data() {
        let runs = vec![
            Run { offset: 10, len: 5 },
            Run { offset: 15, len: 2 },
            Run { offset: 30, len: 1 },
        ];
        let mut content = Content::sparse(40, 8, 8, runs);
        let mut pieces = Vec::new();
        while let Some(piece) = content.piece() {
            pieces.push(piece);
            if let Piece::Data { left, .. } = piece {
                content.consume(left);
            }
        }
        let data = |position, left| Piece::Data { position, left };
        let expected = [
            Piece::Hole(10),
            data(10, 5),
            data(15, 2),
            Piece::Hole(13),
            data(30, 1),
            Piece::Hole(9),
        ];
        assert_eq!(pieces, expected);
        assert_eq!(content.stored, 0);
    }

    #[test]
    fn data_runs_are_cut_at_boundaries_of_the_file() {
        assert_eq!(cut(0, 10_000, 9000), 8192);
        assert_eq!(cut(0, 9000, 9000), 9000);
        assert_eq!(cut(100, 10_000, 4096), 3996);
        assert_eq!(
            (to_boundary(0), to_boundary(100), to_boundary(8191)),
            (4096, 3996, 1)
        );
    }
}
