//! What is allocated: the metadata context `base:allocation`.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::{BlockRead, Result, Run, run_within};

/// A hole, which reads as zeros.
const HOLE_ZERO: u32 = 1 << 0 | 1 << 1;
/// Most descriptors of one reply.
const MOST: usize = 4096;
/// Most runs that are looked at for one reply.
const LOOKS: usize = 16_384;

/// Returns the descriptors (length and state) of a range that lies inside the disk: as far as they
/// go, but one at least.
pub(super) fn descriptors(
    disk: &dyn BlockRead,
    offset: u64,
    len: u32,
    one: bool,
) -> Result<Vec<(u32, u32)>> {
    let mut found: Vec<(u32, u32)> = Vec::new();
    let (mut at, mut left) = (offset, len);
    for _ in 0..LOOKS {
        if left == 0 {
            break;
        }
        let run = run_within(disk, at, u64::from(left))?;
        let state = match run {
            Run::Data(_) => 0,
            Run::Hole(_) => HOLE_ZERO,
        };
        let len = u32::try_from(run.len()).unwrap_or(left);
        let full = one || found.len() == MOST;
        match found.last_mut() {
            Some((before, same)) if *same == state => *before = before.saturating_add(len),
            Some(_) if full => break,
            _ => found.push((len, state)),
        }
        at = at.saturating_add(u64::from(len));
        left = left.saturating_sub(len);
    }
    Ok(found)
}
