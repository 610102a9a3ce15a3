//! The checksum of every metadata structure: [`metadata_csum`][doc].
//!
//! ext4 uses CRC-32C without the final inversion, so that a sum can seed the next one: the sum over
//! the filesystem's uuid seeds all others, and the sum over an inode's number and generation seeds
//! what belongs to that inode.
//!
//! ```text
//! superblock                    crc(!0, block up to s_checksum)
//! everything else               crc(S, ...)                  S = crc(!0, uuid) or s_checksum_seed
//! inode, its directory blocks,  crc(I, ...)                  I = crc(crc(S, le32 number), le32 generation)
//! extent and index blocks
//! ```
//!
//! [doc]: https://docs.kernel.org/filesystems/ext4/overview.html#checksums
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::InodeNo;

/// A running checksum, which is also what seeds further ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u32);

impl Seed {
    /// The seed of the superblock's checksum.
    pub(crate) const START: Self = Self(!0);

    /// Returns the filesystem's seed.
    pub(crate) fn from_uuid(uuid: &[u8; 16]) -> Self {
        Self::START.update(uuid)
    }

    /// Returns the seed of what belongs to an inode.
    pub(crate) fn inode(self, inode: InodeNo, generation: u32) -> Self {
        self.update(&inode.0.to_le_bytes())
            .update(&generation.to_le_bytes())
    }

    /// Continues the sum over `bytes`.
    pub(crate) fn update(self, bytes: &[u8]) -> Self {
        Self(!crc32c::crc32c_append(!self.0, bytes))
    }

    /// Returns the sum over `bytes`.
    pub(crate) fn checksum(self, bytes: &[u8]) -> u32 {
        self.update(bytes).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// crc32c("123456789") is 0xe3069283 with the final inversion.
    #[test]
    fn checksum_has_no_final_inversion() {
        assert_eq!(Seed::START.checksum(b"123456789"), !0xe306_9283);
    }

    #[test]
    fn update_in_pieces_equals_checksum_of_whole() {
        let whole = Seed::START.checksum(b"one two three");
        assert_eq!(
            Seed::START
                .update(b"one ")
                .update(b"two ")
                .checksum(b"three"),
            whole
        );
        assert_eq!(Seed::START.checksum(b""), !0);
    }
}
