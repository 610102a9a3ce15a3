//! BLAKE3 chaining values of zeros, computed beforehand.
//!
//! A chaining value depends on the offset of its subtree, so the holes of an image cannot share
//! one: 100 GiB of hole take half a minute to hash. This table holds the values of all aligned
//! subtrees of 64 MiB below 128 GiB and of 1 GiB from there to 1 TiB; smaller and later subtrees
//! are hashed as any other bytes.
//!
//! `zero_subtrees.bin` is written by the example of this name:
//! `cargo run --release -p forger --no-default-features --example zero_subtrees -- OUT`.

use blake3::hazmat::ChainingValue;

const TABLE: &[u8; 94_208] = include_bytes!("zero_subtrees.bin");
const SMALL: u64 = 64 << 20;
const LARGE: u64 = 1 << 30;
/// Where the subtrees of 64 MiB end and those of 1 GiB begin, in bytes.
const SMALL_END: u64 = 128 << 30;
const LARGE_END: u64 = 1 << 40;

/// Length of the smallest subtree in the table, in bytes.
pub(super) const SMALLEST: u64 = SMALL;

/// Returns the longest subtree of zeros in the table that starts at `start` and is at most `max`
/// bytes long: its length in bytes and its chaining value.
pub(super) fn lookup(start: u64, max: u64) -> Option<(u64, ChainingValue)> {
    let (len, index) = if start < SMALL_END {
        (SMALL, start / SMALL)
    } else {
        (LARGE, SMALL_END / SMALL + (start - SMALL_END) / LARGE)
    };
    if start >= LARGE_END || !start.is_multiple_of(len) || len > max {
        return None;
    }
    let (values, _) = TABLE.as_chunks::<32>();
    let value = values.get(usize::try_from(index).ok()?)?;
    Some((len, *value))
}

#[cfg(test)]
mod tests {
    use blake3::Hasher;
    use blake3::hazmat::HasherExt;

    use super::*;

    fn recompute(start: u64, len: u64) -> ChainingValue {
        let zeros = vec![0; 1 << 20];
        let mut hasher = Hasher::new();
        hasher.set_input_offset(start);
        for _ in 0..len >> 20 {
            hasher.update(&zeros);
        }
        hasher.finalize_non_root()
    }

    #[test]
    fn entries_of_both_sizes_equal_what_is_hashed_anew() {
        let last_small = SMALL_END - SMALL;
        for start in [0, SMALL, 77 * SMALL, last_small] {
            assert_eq!(
                lookup(start, u64::MAX),
                Some((SMALL, recompute(start, SMALL)))
            );
        }
        for start in [SMALL_END, LARGE_END - LARGE] {
            assert_eq!(
                lookup(start, u64::MAX),
                Some((LARGE, recompute(start, LARGE)))
            );
        }
    }

    #[test]
    fn unaligned_short_or_distant_ranges_have_no_entry() {
        assert_eq!(lookup(4096, u64::MAX), None);
        assert_eq!(lookup(SMALL_END + SMALL, u64::MAX), None);
        assert_eq!(lookup(SMALL, SMALL - 1), None);
        assert_eq!(lookup(LARGE_END, u64::MAX), None);
    }
}
