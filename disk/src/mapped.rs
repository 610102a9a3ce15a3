//! Disks whose pieces stand somewhere in a file: read piece by piece.

use forger_block::{Result, Run, check_range};

/// A disk that knows where its pieces are.
pub(crate) trait Mapped {
    /// Where a piece is.
    type Place;

    /// The longest stretch that one run is looked for in, in bytes: a hole may be as long as the disk.
    const STRETCH: u64 = u64::MAX;

    /// Returns the size of the disk, in bytes.
    fn size(&self) -> u64;

    /// Returns the place of the piece at `offset`, and its length, at most `most`.
    fn piece(&self, offset: u64, most: u64) -> Result<(Self::Place, u64)>;

    /// Fills a buffer with the start of the piece at `offset`.
    fn fill(&self, offset: u64, place: &Self::Place, part: &mut [u8]) -> Result<()>;

    /// Returns the run that a piece of `len` bytes at `offset` begins with.
    fn run(&self, offset: u64, place: &Self::Place, len: u64) -> Result<Run>;
}

/// Fills `buf` with the bytes at `offset` of a disk.
pub(crate) fn read_at<M: Mapped>(disk: &M, offset: u64, buf: &mut [u8]) -> Result<()> {
    check_range(offset, len_of(buf), disk.size())?;
    let mut at = offset;
    let mut rest = buf;
    while !rest.is_empty() {
        let (place, len) = disk.piece(at, len_of(rest))?;
        let room = usize::try_from(len).unwrap_or(usize::MAX);
        let (part, behind) = rest.split_at_mut(room.clamp(1, rest.len()));
        disk.fill(at, &place, part)?;
        at = at.saturating_add(len);
        rest = behind;
    }
    Ok(())
}

/// Returns the run that starts at `offset` of a disk.
pub(crate) fn run_at<M: Mapped>(disk: &M, offset: u64) -> Result<Run> {
    let size = disk.size();
    check_range(offset, 0, size)?;
    let left = size.saturating_sub(offset);
    if left == 0 {
        return Ok(Run::Hole(0));
    }
    let (place, len) = disk.piece(offset, left.min(M::STRETCH))?;
    disk.run(offset, &place, len)
}

fn len_of(buf: &[u8]) -> u64 {
    u64::try_from(buf.len()).unwrap_or(u64::MAX)
}
