//! dm-verity: the hash tree by which the kernel verifies every block of a read-only device as it is
//! read.
//!
//! The tree is the one that `veritysetup format` writes: version 1, hash type 1, SHA-256, blocks of
//! 4096 bytes. It is computed in one pass over the data by several threads; what is held of it are the
//! blocks that are being filled, one a level. Holes of the data are not read.
//!
//! ```
//! use forger_fs::observe::Silent;
//! use forger_fs::verity::{self, Parameters};
//!
//! let data = vec![7; 3 * 4096];
//! let parameters = Parameters::new(3 * 4096, 0)?.with_salt(vec![1, 2])?.with_uuid([3; 16]);
//! let mut hashes = vec![0; usize::try_from(parameters.end()?).unwrap()];
//! let root = verity::build(&data, &parameters, 2, &mut Silent, &mut |offset, bytes| {
//!     let at = usize::try_from(offset).unwrap();
//!     hashes[at..at + bytes.len()].copy_from_slice(bytes);
//!     Ok(())
//! })?;
//! hashes[..512].copy_from_slice(&parameters.superblock());
//! assert_eq!(verity::read(&hashes, 0)?, parameters);
//! verity::check(&data, &hashes, &parameters, root, 2, &mut Silent)?;
//! # Ok::<(), verity::Error>(())
//! ```

mod error;
mod hash;
mod layout;
mod plan;
mod superblock;
mod tree;

use std::fmt;

use forger_block::BlockRead;

pub use self::error::Error;
pub use self::plan::plan;

use self::error::Result;
use self::tree::Block;
use crate::observe::Observer;

/// Bytes in a block, of data and of hashes.
pub const BLOCK: u64 = 4096;
/// The same as a length of memory.
const BLOCK_LEN: usize = 4096;
/// Bytes in a hash.
const HASH: usize = 32;
/// Hashes in a block.
const HASHES: u64 = 128;
/// Bytes of the data that salt and uuid are derived from.
const HEAD: u64 = 64 << 10;

/// What a superblock says of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    data_blocks: u64,
    hash_offset: u64,
    salt: Vec<u8>,
    uuid: [u8; 16],
}

/// The hash that all others hang on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Root(pub [u8; 32]);

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({self})")
    }
}

impl Parameters {
    /// Describes a tree of so many bytes of data, whose superblock stands at `hash_offset` of the data
    /// themselves or of a file of its own; without salt, and with a uuid of zeros.
    ///
    /// # Errors
    /// [`Error::Length`] for data that are no whole blocks, [`Error::Offset`] for a place that is no
    /// multiple of 512.
    pub fn new(data_len: u64, hash_offset: u64) -> Result<Self> {
        if data_len == 0 || !data_len.is_multiple_of(BLOCK) {
            return Err(Error::Length {
                len: data_len,
                rule: "it takes whole blocks of 4096, and at least one",
            });
        }
        let parameters = Self {
            data_blocks: data_len / BLOCK,
            hash_offset,
            salt: Vec::new(),
            uuid: [0; 16],
        };
        parameters.end()?;
        Ok(parameters)
    }

    /// Sets the salt, which may be empty.
    ///
    /// # Errors
    /// [`Error::Salt`] for more than 256 bytes.
    pub fn with_salt(mut self, salt: Vec<u8>) -> Result<Self> {
        if salt.len() > superblock::MAX_SALT {
            return Err(Error::Salt { len: salt.len() });
        }
        self.salt = salt;
        Ok(self)
    }

    /// Sets the uuid.
    #[must_use]
    pub fn with_uuid(mut self, uuid: [u8; 16]) -> Self {
        self.uuid = uuid;
        self
    }

    /// Returns how many blocks of data there are.
    #[must_use]
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// Returns where the superblock stands, in bytes.
    #[must_use]
    pub fn hash_offset(&self) -> u64 {
        self.hash_offset
    }

    /// Returns the salt.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Returns the uuid.
    #[must_use]
    pub fn uuid(&self) -> [u8; 16] {
        self.uuid
    }

    /// Returns where the tree begins, in blocks: what the kernel's table calls `hash_start`.
    ///
    /// # Errors
    /// [`Error::Offset`].
    pub fn hash_start(&self) -> Result<u64> {
        Ok(layout::tree_start(self.hash_offset)? / BLOCK)
    }

    /// Returns where the tree ends, in bytes.
    ///
    /// # Errors
    /// [`Error::Offset`].
    pub fn end(&self) -> Result<u64> {
        Ok(layout::levels(self)?.1)
    }

    /// Returns the superblock, to be written when the tree is there.
    #[must_use]
    pub fn superblock(&self) -> [u8; 512] {
        superblock::bytes(self)
    }
}

/// Derives a salt and a uuid from data: from their length and their first 64 KiB, which of an ext4
/// filesystem hold its uuid and its times.
///
/// # Errors
/// [`Error::Block`].
pub fn derive(data: &dyn BlockRead) -> Result<([u8; 32], [u8; 16])> {
    let mut head = vec![0; usize::try_from(data.len().min(HEAD)).unwrap_or(0)];
    data.read_at(0, &mut head)?;
    let mut hasher = blake3::Hasher::new_derive_key("forger 2026 dm-verity salt and uuid");
    hasher.update(&data.len().to_le_bytes());
    hasher.update(&head);
    let mut derived = hasher.finalize_xof();
    let (mut salt, mut uuid) = ([0; 32], [0; 16]);
    derived.fill(&mut salt);
    derived.fill(&mut uuid);
    // A UUID of version 8 (RFC 9562: made by the application's own rule).
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    Ok((salt, uuid))
}

/// Computes the tree of `data` with so many threads, gives its blocks to `write` with their offsets,
/// and returns the root hash. The superblock is not among them: it is for the caller to write when all
/// else is there.
///
/// # Errors
/// [`Error::Length`] for data of another length than the parameters', [`Error::Block`], also when the
/// observer ends it.
pub fn build(
    data: &dyn BlockRead,
    parameters: &Parameters,
    threads: usize,
    observer: &mut dyn Observer,
    write: &mut dyn FnMut(u64, &[u8]) -> forger_block::Result<()>,
) -> Result<Root> {
    parameters.check_len(data)?;
    tree::compute(data, parameters, threads, observer, &mut |block| {
        Ok(write(block.offset, block.bytes)?)
    })
}

/// Reads the superblock at a byte of the data themselves or of a file of hashes.
///
/// # Errors
/// [`Error::NoSuperblock`], [`Error::Unsupported`], [`Error::Block`].
pub fn read(hashes: &dyn BlockRead, hash_offset: u64) -> Result<Parameters> {
    let mut bytes = [0; superblock::SIZE];
    let end = hash_offset.checked_add(512);
    if end.is_none_or(|end| end > hashes.len()) {
        return Err(Error::NoSuperblock {
            offset: hash_offset,
        });
    }
    hashes.read_at(hash_offset, &mut bytes)?;
    superblock::parse(&bytes, hash_offset)
}

/// Checks data against their tree, every block of both, and against the root hash.
///
/// # Errors
/// [`Error::Data`], [`Error::Tree`] and [`Error::Root`] for what does not fit, with the first place;
/// as [`build`] for all else.
pub fn check(
    data: &dyn BlockRead,
    hashes: &dyn BlockRead,
    parameters: &Parameters,
    root: Root,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<()> {
    parameters.check_len(data)?;
    let mut stored = Vec::new();
    let found = tree::compute(data, parameters, threads, observer, &mut |block| {
        stored.resize(block.bytes.len(), 0);
        hashes.read_at(block.offset, &mut stored)?;
        if stored == block.bytes {
            return Ok(());
        }
        Err(parameters.difference(&block, &stored))
    })?;
    if found == root {
        return Ok(());
    }
    Err(Error::Root {
        found: found.to_string(),
        expected: root.to_string(),
    })
}

impl Parameters {
    fn check_len(&self, data: &dyn BlockRead) -> Result<()> {
        if Some(data.len()) == self.data_blocks.checked_mul(BLOCK) {
            return Ok(());
        }
        Err(Error::Length {
            len: data.len(),
            rule: "it is another length than the tree's",
        })
    }

    /// Returns what is wrong where computed and stored blocks differ.
    fn difference(&self, block: &Block<'_>, stored: &[u8]) -> Error {
        let hashes = block.bytes.chunks(HASH).zip(stored.chunks(HASH));
        let at = hashes
            .take_while(|(computed, found)| computed == found)
            .count();
        let at = u64::try_from(at).unwrap_or(u64::MAX);
        let data = block.index * HASHES + at;
        if block.level == 0 && data < self.data_blocks {
            return Error::Data {
                block: data,
                offset: data * BLOCK,
            };
        }
        Error::Tree {
            offset: block.offset + at / HASHES * BLOCK,
        }
    }
}

#[cfg(test)]
mod tests;
