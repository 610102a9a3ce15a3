//! A source that goes on with zeros behind its end.

use forger_block::{BlockRead, Result, Run, run_within};

/// Reads what a source has, and zeros behind its end.
pub(crate) fn read_padded(source: &dyn BlockRead, offset: u64, buf: &mut [u8]) -> Result<()> {
    let have = source.len().saturating_sub(offset);
    let have = usize::try_from(have).unwrap_or(usize::MAX).min(buf.len());
    let (inside, behind) = buf.split_at_mut(have);
    behind.fill(0);
    if inside.is_empty() {
        return Ok(());
    }
    source.read_at(offset, inside)
}

/// Returns the run of a source, at most `most` bytes of it, and a hole behind its end.
pub(crate) fn padded_run(source: &dyn BlockRead, offset: u64, most: u64) -> Result<Run> {
    if offset >= source.len() {
        return Ok(Run::Hole(most));
    }
    run_within(source, offset, most)
}
