//! The BLAKE3 of an image whose parts become known in any order.
//!
//! BLAKE3 is a binary tree over chunks of 1 KiB. A range whose length is a power of two and whose
//! start is a multiple of it is a whole subtree, with a *chaining value* of 32 bytes that depends
//! only on its bytes and its offset. [`Subtrees`] collects such values; [`Subtrees::root`] joins
//! them to what `b3sum` prints, once the length is known. Two aligned subtrees are nested or
//! disjoint, so any set of them that covers the image will do: the workers hash whole windows,
//! the table of zeros gives 64 MiB at once.
//!
//! The whole image must not be one subtree, since its value is computed in another way (as *root*):
//! an image that fits one window is hashed plainly instead.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::iter::{self, Peekable};
use std::ops::Range;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use blake3::{CHUNK_LEN, Hasher};

use super::zero_subtrees;

const CHUNK: u64 = CHUNK_LEN as u64;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// An aligned part of the image and its chaining value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subtree {
    /// Offset in the image in bytes, a multiple of `len` or of 1 KiB for the image's last chunk.
    pub(super) start: u64,
    /// Length in bytes.
    pub(super) len: u64,
    /// Its value.
    pub(super) value: ChainingValue,
}

/// Chaining values of disjoint subtrees.
#[derive(Debug, Default)]
pub(super) struct Subtrees(BTreeMap<u64, (u64, ChainingValue)>);

type Ordered<'a> = Peekable<btree_map::Iter<'a, u64, (u64, ChainingValue)>>;

impl Subtrees {
    /// Takes a value, in place of an earlier one of the same subtree.
    pub(super) fn insert(&mut self, subtree: Subtree) {
        self.0.insert(subtree.start, (subtree.len, subtree.value));
    }

    /// Forgets the values of the subtrees that start in a range.
    pub(super) fn remove(&mut self, range: Range<u64>) {
        while let Some((&start, _)) = self.0.range(range.clone()).next() {
            self.0.remove(&start);
        }
    }

    /// Takes from the table what it holds of a range of zeros in an image of `total` bytes, and
    /// returns what is left to be hashed: pieces of 64 MiB at most, none of them the whole image.
    pub(super) fn insert_zeros(&mut self, range: Range<u64>, total: u64) -> Vec<Range<u64>> {
        let below = total.saturating_sub(1).max(CHUNK);
        let step = zero_subtrees::SMALLEST.min(1 << below.ilog2());
        let mut left = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let max = (range.end - start).min(below);
            if let Some((len, value)) = zero_subtrees::lookup(start, max) {
                self.insert(Subtree { start, len, value });
                start += len;
            } else {
                let end = range.end.min((start / step + 1) * step);
                left.push(start..end);
                start = end;
            }
        }
        left
    }

    /// Joins the values to the digest of an image of `len` bytes, more than one subtree; `None`
    /// when they do not cover it.
    pub(super) fn root(&self, len: u64) -> Option<[u8; 32]> {
        if len <= CHUNK {
            return None;
        }
        let mut ordered = self.0.iter().peekable();
        let left = left_subtree_len(len);
        let left_value = node(&mut ordered, 0, left)?;
        let right_value = node(&mut ordered, left, len - left)?;
        let root = merge_subtrees_root(&left_value, &right_value, Mode::Hash);
        ordered.next().is_none().then_some(*root.as_bytes())
    }
}

/// Returns the value of the subtree of `len` bytes at `start`, taking its parts in order.
fn node(ordered: &mut Ordered<'_>, start: u64, len: u64) -> Option<ChainingValue> {
    let &(&part_start, &(part_len, value)) = ordered.peek()?;
    if part_start != start || part_len > len {
        return None;
    }
    if part_len == len {
        ordered.next();
        return Some(value);
    }
    let left = left_subtree_len(len);
    let left_value = node(ordered, start, left)?;
    let right_value = node(ordered, start + left, len - left)?;
    Some(merge_subtrees_non_root(
        &left_value,
        &right_value,
        Mode::Hash,
    ))
}

/// Cuts a range that starts at a multiple of 1 KiB into the largest aligned subtrees; only the last
/// may be shorter than 1 KiB.
fn split(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut start = range.start;
    iter::from_fn(move || {
        let left = range.end.checked_sub(start).filter(|&left| left > 0)?;
        let len = if left < CHUNK {
            left
        } else {
            let aligned = match start {
                0 => u64::MAX,
                _ => 1 << start.trailing_zeros(),
            };
            aligned.min(1 << left.ilog2())
        };
        let part = start..start + len;
        start = part.end;
        Some(part)
    })
}

/// Hashes the image's bytes from `start`, a multiple of 1 KiB, on.
pub(super) fn hash(start: u64, mut data: &[u8]) -> Vec<Subtree> {
    let end = start + data.len() as u64;
    let mut subtrees = Vec::new();
    for part in split(start..end) {
        let len = usize::try_from(part.end - part.start).expect("a part of a slice");
        let (here, rest) = data.split_at(len);
        data = rest;
        let mut hasher = Hasher::new();
        hasher.set_input_offset(part.start).update(here);
        subtrees.push(Subtree {
            start: part.start,
            len: part.end - part.start,
            value: hasher.finalize_non_root(),
        });
    }
    subtrees
}

/// Hashes zeros from `range.start`, a multiple of 1 KiB, on.
pub(super) fn hash_zeros(range: Range<u64>) -> Vec<Subtree> {
    split(range)
        .map(|part| {
            let mut hasher = Hasher::new();
            hasher.set_input_offset(part.start);
            update_zeros(&mut hasher, part.end - part.start);
            Subtree {
                start: part.start,
                len: part.end - part.start,
                value: hasher.finalize_non_root(),
            }
        })
        .collect()
}

/// Feeds `len` zeros to a hasher.
pub(super) fn update_zeros(hasher: &mut Hasher, mut len: u64) {
    while len > 0 {
        let now = len.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..usize::try_from(now).expect("at most 64 KiB")]);
        len -= now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn pattern(len: usize) -> Vec<u8> {
        (0..len)
            .map(|i| (i * 7 + i / 251).to_le_bytes()[0])
            .collect()
    }

    #[test]
    fn any_cut_at_chunk_boundaries_joins_to_the_plain_digest() {
        for len in [1025, 2048, 4096, 5000, 65_536, 100_001, 262_144] {
            let data = pattern(len);
            for step in [1024, 3 * 1024, 4096, 20 * 1024] {
                if step >= len {
                    continue;
                }
                let mut subtrees = Subtrees::default();
                let mut parts: Vec<_> = data
                    .chunks(step)
                    .enumerate()
                    .flat_map(|(i, part)| hash((i * step) as u64, part))
                    .collect();
                parts.reverse();
                parts.into_iter().for_each(|part| subtrees.insert(part));
                let root = subtrees.root(len as u64);
                assert_eq!(root, Some(*blake3::hash(&data).as_bytes()), "{len} {step}");
            }
        }
    }

    #[test]
    fn holes_from_the_table_join_to_the_plain_digest() {
        let total: u64 = 192 * MIB + 5000;
        let data = pattern(4096);
        let mut subtrees = Subtrees::default();
        hash(0, &data).into_iter().for_each(|s| subtrees.insert(s));
        let left = subtrees.insert_zeros(4096..total, total);
        assert_eq!(left, [4096..64 * MIB, 192 * MIB..total]);
        for range in left {
            hash_zeros(range)
                .into_iter()
                .for_each(|s| subtrees.insert(s));
        }
        let mut plain = Hasher::new();
        plain.update(&data);
        update_zeros(&mut plain, total - 4096);
        assert_eq!(subtrees.root(total), Some(*plain.finalize().as_bytes()));
    }

    #[test]
    fn an_image_that_is_one_hole_is_never_one_subtree() {
        for total in [
            2048,
            4096,
            5000,
            8 << 20,
            64 << 20,
            (64 << 20) + 1,
            128 << 20,
        ] {
            let mut subtrees = Subtrees::default();
            for range in subtrees.insert_zeros(0..total, total) {
                hash_zeros(range)
                    .into_iter()
                    .for_each(|s| subtrees.insert(s));
            }
            let mut plain = Hasher::new();
            update_zeros(&mut plain, total);
            assert_eq!(
                subtrees.root(total),
                Some(*plain.finalize().as_bytes()),
                "{total}"
            );
        }
    }

    #[test]
    fn a_gap_or_a_surplus_gives_no_digest() {
        let data = pattern(8192);
        let mut subtrees = Subtrees::default();
        for subtree in hash(0, &data[..4096]) {
            subtrees.insert(subtree);
        }
        assert_eq!(subtrees.root(8192), None);
        for subtree in hash(4096, &data[4096..])
            .into_iter()
            .chain(hash(8192, &data))
        {
            subtrees.insert(subtree);
        }
        assert_eq!(subtrees.root(8192), None);
    }
}
