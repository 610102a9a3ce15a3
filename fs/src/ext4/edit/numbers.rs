//! Maps from numbers: of blocks, of inodes.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A map from numbers that an image may have chosen.
pub(super) type NumberMap<V> = HashMap<u64, V, Numbers>;

/// Hashes one number, many times faster than the hasher for everything; with a secret of its own, so
/// that an image cannot choose numbers that fall together.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    secret: u64,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            secret: RandomState::new().hash_one(0_u64),
        }
    }
}

impl BuildHasher for Numbers {
    type Hasher = Number;

    fn build_hasher(&self) -> Number {
        Number(self.secret)
    }
}

/// The hash of a number: its product with a constant, folded.
#[derive(Debug)]
pub(super) struct Number(u64);

impl Hasher for Number {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.0 ^ number) * u128::from(ODD);
        let folded = (product ^ (product >> 64)) & u128::from(u64::MAX);
        self.0 = u64::try_from(folded).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_far_apart_and_maps_have_secrets_of_their_own() {
        let hasher = Numbers::default();
        let mut low: Vec<u64> = (0..256_u64).map(|n| hasher.hash_one(n) & 0xff).collect();
        low.sort_unstable();
        low.dedup();
        assert!(low.len() > 100, "{} of 256 places", low.len());
        let other = Numbers::default();
        assert_ne!(hasher.hash_one(7_u64), other.hash_one(7_u64));
    }
}
