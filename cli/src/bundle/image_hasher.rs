//! The BLAKE3 of an image that is read forward, holes at no cost.

use blake3::Hasher;
use blake3::hazmat::HasherExt;

use super::subtrees::{Subtree, Subtrees, update_zeros};
use super::zero_subtrees;

/// The length of the subtrees that are hashed on their own, in bytes.
const LEAF: u64 = zero_subtrees::SMALLEST;

/// A hasher for bytes and zeros in turn.
#[derive(Debug, Default)]
pub(super) struct ImageHasher {
    done: Subtrees,
    /// Where the subtree begins that is being hashed.
    start: u64,
    /// How much of it has been.
    len: u64,
    hasher: Hasher,
}

impl ImageHasher {
    /// Takes bytes.
    pub(super) fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            self.close_full();
            let room = usize::try_from(LEAF - self.len).unwrap_or(usize::MAX);
            let (now, later) = data.split_at(data.len().min(room));
            self.hasher.update(now);
            self.len += now.len() as u64;
            data = later;
        }
    }

    /// Takes zeros.
    pub(super) fn zeros(&mut self, mut len: u64) {
        while len > 0 {
            self.close_full();
            // The whole image must not become one subtree: at its start, one more byte is needed.
            let max = if self.start == 0 { len - 1 } else { len };
            let known = zero_subtrees::lookup(self.start, max).filter(|_| self.len == 0);
            let now = if let Some((now, value)) = known {
                let start = self.start;
                self.done.insert(Subtree {
                    start,
                    len: now,
                    value,
                });
                self.begin(start + now);
                now
            } else {
                let now = len.min(LEAF - self.len);
                update_zeros(&mut self.hasher, now);
                self.len += now;
                now
            };
            len -= now;
        }
    }

    /// Puts a subtree away that is complete, now that there is more.
    fn close_full(&mut self) {
        if self.len == LEAF {
            self.close();
            self.begin(self.start + LEAF);
        }
    }

    fn close(&mut self) {
        self.done.insert(Subtree {
            start: self.start,
            len: self.len,
            value: self.hasher.finalize_non_root(),
        });
    }

    fn begin(&mut self, start: u64) {
        self.hasher = Hasher::new();
        self.hasher.set_input_offset(start);
        (self.start, self.len) = (start, 0);
    }

    /// Returns the digest.
    pub(super) fn finish(mut self) -> [u8; 32] {
        if self.start == 0 {
            return *self.hasher.finalize().as_bytes();
        }
        if self.len > 0 {
            self.close();
        }
        let total = self.start + self.len;
        self.done
            .root(total)
            .expect("what was read forward has no gap")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn check(parts: &[(u64, u8)]) {
        let mut hasher = ImageHasher::default();
        let mut plain = Hasher::new();
        for &(len, byte) in parts {
            let data = vec![byte; usize::try_from(len).expect("small")];
            plain.update(&data);
            if byte == 0 {
                hasher.zeros(len);
            } else {
                hasher.update(&data);
            }
        }
        assert_eq!(hasher.finish(), *plain.finalize().as_bytes(), "{parts:?}");
    }

    #[test]
    fn bytes_and_zeros_give_the_plain_digest() {
        check(&[]);
        check(&[(1, 1)]);
        check(&[(1024, 0), (1, 1)]);
        check(&[(64 * MIB, 0)]);
        check(&[(64 * MIB, 1)]);
        check(&[(64 * MIB, 0), (1, 1)]);
        check(&[(64 * MIB + 1, 0)]);
        check(&[(32 * MIB, 0), (32 * MIB, 0)]);
        check(&[(128 * MIB, 0)]);
        check(&[(1, 1), (200 * MIB, 0), (5, 2)]);
        check(&[(63 * MIB, 1), (130 * MIB, 0)]);
    }
}
