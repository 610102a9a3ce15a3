//! The superblock, 512 bytes, as `veritysetup` reads and writes it.
//!
//! See [the format](https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity#verity-superblock-format).
//!
//! ```text
//! 0x00 signature "verity\0\0"   0x08 version   0x0c hash type   0x10 uuid   0x20 algorithm
//! 0x40 data block size   0x44 hash block size   0x48 data blocks   0x50 salt size
//! 0x58 salt                                                       0x158 zeros to 0x200
//! ```
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::{Error, Result};
use super::{BLOCK, Parameters};

/// Its length in bytes.
pub(super) const SIZE: usize = 512;
/// The longest salt in bytes.
pub(super) const MAX_SALT: usize = 256;

const SIGNATURE: [u8; 8] = *b"verity\0\0";
const VERSION: u32 = 1;
/// The salt comes before the data, hashes stand at powers of two.
const NORMAL: u32 = 1;
const ALGORITHM: &[u8] = b"sha256";

/// The superblock as it stands on disk.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    /// 0x00: [`SIGNATURE`].
    signature: [u8; 8],
    /// 0x08: [`VERSION`].
    version: U32,
    /// 0x0c: [`NORMAL`].
    hash_type: U32,
    /// 0x10: the uuid of the hash device.
    uuid: [u8; 16],
    /// 0x20: the name of the hash, padded with zeros.
    algorithm: [u8; 32],
    /// 0x40: bytes in a block of data.
    data_block_size: U32,
    /// 0x44: bytes in a block of hashes.
    hash_block_size: U32,
    /// 0x48: blocks of data.
    data_blocks: U64,
    /// 0x50: bytes of salt.
    salt_size: U16,
    /// 0x52: padding.
    pad: [u8; 6],
    /// 0x58: the salt.
    salt: [u8; MAX_SALT],
    /// 0x158: padding.
    pad2: [u8; 168],
}

const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<Raw>() == SIZE);
    assert!(offset_of!(Raw, data_block_size) == 0x40);
    assert!(offset_of!(Raw, salt) == 0x58);
};

/// Returns the superblock of a tree.
pub(super) fn bytes(parameters: &Parameters) -> [u8; SIZE] {
    let mut raw: Raw = zerocopy::FromZeros::new_zeroed();
    raw.signature = SIGNATURE;
    raw.version = VERSION.into();
    raw.hash_type = NORMAL.into();
    raw.uuid = parameters.uuid;
    copy(ALGORITHM, &mut raw.algorithm);
    let size = u32::try_from(BLOCK).unwrap_or(0);
    raw.data_block_size = size.into();
    raw.hash_block_size = size.into();
    raw.data_blocks = parameters.data_blocks.into();
    raw.salt_size = u16::try_from(parameters.salt.len()).unwrap_or(0).into();
    copy(&parameters.salt, &mut raw.salt);
    zerocopy::transmute!(raw)
}

/// Reads a superblock that stands at a byte.
pub(super) fn parse(bytes: &[u8; SIZE], offset: u64) -> Result<Parameters> {
    let raw: Raw = zerocopy::transmute!(*bytes);
    if raw.signature != SIGNATURE {
        return Err(Error::NoSuperblock { offset });
    }
    let check = |right: bool, field, value: String, rule| {
        if right {
            return Ok(());
        }
        Err(Error::Unsupported {
            offset,
            field,
            value,
            rule,
        })
    };
    let (version, hash_type) = (raw.version.get(), raw.hash_type.get());
    check(
        version == VERSION,
        "version",
        version.to_string(),
        "1 is known",
    )?;
    check(
        hash_type == NORMAL,
        "hash_type",
        hash_type.to_string(),
        "1 is known",
    )?;
    let name = raw.algorithm.split(|byte| *byte == 0).next();
    let name = name.unwrap_or_default();
    let shown = String::from_utf8_lossy(name).into_owned();
    check(name == ALGORITHM, "algorithm", shown, "sha256 is known")?;
    for (field, size) in [
        ("data_block_size", raw.data_block_size.get()),
        ("hash_block_size", raw.hash_block_size.get()),
    ] {
        let right = u64::from(size) == BLOCK;
        check(right, field, size.to_string(), "4096 is known")?;
    }
    let blocks = raw.data_blocks.get();
    let most = forger_block::MAX_LEN.checked_div(BLOCK).unwrap_or(0);
    let legal = (1..=most).contains(&blocks);
    check(
        legal,
        "data_blocks",
        blocks.to_string(),
        "there are some, and not beyond 8 EiB",
    )?;
    let size = raw.salt_size.get();
    let salt = raw.salt.get(..usize::from(size));
    check(salt.is_some(), "salt_size", size.to_string(), "256 at most")?;
    Ok(Parameters {
        data_blocks: blocks,
        hash_offset: offset,
        salt: salt.unwrap_or_default().to_vec(),
        uuid: raw.uuid,
    })
}

fn copy(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Parameters {
        Parameters {
            data_blocks: 77,
            hash_offset: 512,
            salt: vec![1, 2, 3],
            uuid: [9; 16],
        }
    }

    #[test]
    fn a_superblock_is_read_as_it_was_written() {
        let bytes = bytes(&parameters());
        assert_eq!(parse(&bytes, 512).unwrap(), parameters());
    }

    #[test]
    fn what_is_not_known_is_refused_by_field() {
        let good = bytes(&parameters());
        assert!(matches!(
            parse(&[0; SIZE], 7),
            Err(Error::NoSuperblock { offset: 7 })
        ));
        for (at, name) in [
            (0x08, "version"),
            (0x0c, "hash_type"),
            (0x20, "algorithm"),
            (0x41, "data_block_size"),
            (0x45, "hash_block_size"),
            (0x4f, "data_blocks"),
            (0x51, "salt_size"),
        ] {
            let mut bad = good;
            if let Some(byte) = bad.get_mut(at) {
                *byte ^= 0xf0;
            }
            match parse(&bad, 0) {
                Err(Error::Unsupported { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
