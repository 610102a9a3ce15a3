//! From a reader into a sink, with its holes.

use crate::read::{check_range, clip, run_within};
use crate::{BlockRead, BlockSink, BufferPool, Error, MAX_LEN, PlacedSink, Result, Run};

/// The largest piece that is read and written at once, in bytes: 1 MiB.
///
/// Pieces end at multiples of it in the source, so that a file is written in whole pages.
pub const PIECE: usize = 1 << 20;

/// Appends all of `source` to `sink`: data in pieces of up to [`PIECE`] bytes, holes as holes, two
/// holes in a row as one.
///
/// The sink is not finished. `cancelled` is asked before each piece.
///
/// # Errors
/// Those of the source and of the sink; [`Error::Interrupted`] when `cancelled` returned true.
pub fn stream(
    source: &dyn BlockRead,
    sink: &mut dyn BlockSink,
    cancelled: &mut dyn FnMut() -> bool,
) -> Result<()> {
    let mut buffer = vec![0; clip(source.len(), PIECE)];
    each_piece(source, cancelled, &mut |at, piece| match piece {
        Run::Hole(len) => sink.skip(len),
        Run::Data(len) => {
            let piece = &mut buffer[..clip(len, PIECE)];
            source.read_at(at, piece)?;
            sink.write(piece)
        }
    })
}

/// Writes the data of `source` into `sink`, `at` bytes from its start; holes are left out, which
/// a placed sink takes as zeros.
///
/// The sink is not finished. `cancelled` is asked before each piece of up to [`PIECE`] bytes.
///
/// # Errors
/// As [`stream`]; [`Error::OutOfRange`] where the source would end beyond [`MAX_LEN`].
pub fn place(
    source: &dyn BlockRead,
    at: u64,
    sink: &mut dyn PlacedSink,
    cancelled: &mut dyn FnMut() -> bool,
) -> Result<()> {
    check_range(at, source.len(), MAX_LEN)?;
    let mut pool = BufferPool::new(clip(source.len(), PIECE));
    each_piece(source, cancelled, &mut |offset, piece| match piece {
        Run::Hole(_) => Ok(()),
        Run::Data(len) => {
            let len = clip(len, PIECE);
            let mut piece = pool.take();
            source.read_at(offset, &mut piece[..len])?;
            sink.write_at(at + offset, pool.lend(piece, len))
        }
    })
}

/// Calls `take` with offset and nature of each piece, in order and without gaps.
fn each_piece(
    source: &dyn BlockRead,
    cancelled: &mut dyn FnMut() -> bool,
    take: &mut dyn FnMut(u64, Run) -> Result<()>,
) -> Result<()> {
    let end = source.len();
    let mut at = 0;
    while at < end {
        if cancelled() {
            return Err(Error::Interrupted);
        }
        let piece = match run_within(source, at, end - at)? {
            Run::Hole(first) => {
                let mut len = first;
                while at + len < end
                    && let Run::Hole(more) = run_within(source, at + len, end - at - len)?
                {
                    len += more;
                }
                Run::Hole(len)
            }
            Run::Data(first) => {
                let room = (PIECE as u64 - at % PIECE as u64).min(end - at);
                let mut len = first.min(room);
                while len < room
                    && let Run::Data(more) = run_within(source, at + len, room - len)?
                {
                    len += more;
                }
                Run::Data(len)
            }
        };
        take(at, piece)?;
        at += piece.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Forward, MemorySink, SparseImage};

    /// A sink that notes what it is told.
    #[derive(Default)]
    struct Log(Vec<Run>);

    impl BlockSink for Log {
        fn position(&self) -> u64 {
            self.0.iter().map(|run| run.len()).sum()
        }
        fn write(&mut self, data: &[u8]) -> Result<()> {
            self.0.push(Run::Data(data.len() as u64));
            Ok(())
        }
        fn skip(&mut self, len: u64) -> Result<()> {
            self.0.push(Run::Hole(len));
            Ok(())
        }
        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    fn spotted() -> SparseImage {
        let mut parts = SparseImage::builder();
        parts.bytes(10, vec![1; 20].into()).unwrap();
        parts.bytes(30, vec![2; 20].into()).unwrap();
        parts.bytes(3 << 20, vec![3; (1 << 20) + 5].into()).unwrap();
        parts.finish(9 << 20).unwrap()
    }

    #[test]
    fn adjacent_parts_are_one_piece_and_pieces_are_aligned() {
        let mut log = Log::default();
        stream(&spotted(), &mut log, &mut || false).unwrap();
        assert_eq!(
            log.0,
            [
                Run::Hole(10),
                Run::Data(40),
                Run::Hole((3 << 20) - 50),
                Run::Data(1 << 20),
                Run::Data(5),
                Run::Hole((5 << 20) - 5),
            ]
        );
    }

    #[test]
    fn holes_in_a_row_become_one() {
        let mut parts = SparseImage::builder();
        for at in [0, 100] {
            let hole = std::sync::Arc::new(SparseImage::builder().finish(50).unwrap());
            parts.span(at, 50, &(hole as _), 0).unwrap();
        }
        let mut log = Log::default();
        stream(&parts.finish(200).unwrap(), &mut log, &mut || false).unwrap();
        assert_eq!(log.0, [Run::Hole(200)]);
    }

    #[test]
    fn streamed_and_placed_bytes_are_equal() {
        let image = spotted();
        let mut expected = vec![0; 9 << 20];
        image.read_at(0, &mut expected).unwrap();

        let sink = MemorySink::new();
        let output = sink.output();
        let mut sink = Box::new(Forward::new(sink));
        stream(&image, &mut *sink, &mut || false).unwrap();
        sink.finish().unwrap();
        assert!(output.bytes().unwrap() == expected);

        let mut sink = Box::new(MemorySink::new());
        let output = sink.output();
        place(&image, 7, &mut *sink, &mut || false).unwrap();
        sink.finish(7 + (9 << 20)).unwrap();
        assert!(output.bytes().unwrap()[7..] == expected);
    }

    #[test]
    fn cancelling_stops_before_the_next_piece() {
        let mut asked = 0;
        let mut log = Log::default();
        let error = stream(&spotted(), &mut log, &mut || {
            asked += 1;
            asked > 2
        });
        assert!(matches!(error, Err(Error::Interrupted)));
        assert_eq!(log.0.len(), 2);
    }

    #[test]
    fn placing_beyond_the_largest_length_is_out_of_range() {
        let mut sink = MemorySink::new();
        for at in [MAX_LEN, u64::MAX] {
            let error = place(&vec![1_u8], at, &mut sink, &mut || false);
            assert!(matches!(error, Err(Error::OutOfRange { .. })));
        }
    }
}
