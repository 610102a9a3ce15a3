//! What is exported, and what clients may ask for.

use crate::Disk;

/// A disk and the name under which clients find it.
#[derive(Clone, Debug)]
pub struct Export {
    /// The name, at most 4096 bytes; the empty one is the default export.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// The disk.
    pub disk: Disk,
    /// Length of the blocks that clients had best use, in bytes: a power of two.
    pub preferred_block: u32,
}

impl Export {
    /// Exports a disk as the default export.
    #[must_use]
    pub fn new(disk: Disk) -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            disk,
            preferred_block: 4096,
        }
    }
}

/// What a client may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest read or write, in bytes.
    pub payload: u32,
    /// The longest option, in bytes.
    pub option: u32,
    /// How many options a client may send.
    pub options: u32,
}

impl Default for Limits {
    /// 32 MiB at once, as clients take for granted; 64 options of up to 16 KiB.
    fn default() -> Self {
        Self {
            payload: 32 << 20,
            option: 16 << 10,
            options: 64,
        }
    }
}
