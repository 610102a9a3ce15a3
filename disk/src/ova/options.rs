//! What the virtual machine is like.

use forger_block::BlockRead;

use crate::partition::{self, Scheme};

/// How a machine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// By the disk's first sector.
    Bios,
    /// By the EFI system partition.
    Efi,
}

impl Firmware {
    /// Returns what a disk needs: EFI if it has an EFI system partition in a GPT.
    #[must_use]
    pub fn of(disk: &dyn BlockRead) -> Self {
        match partition::read(disk, None) {
            Ok(Some(table)) if matches!(table.scheme, Scheme::Gpt(_)) => {
                let mut partitions = table.partitions.iter();
                match partitions.any(|partition| partition.kind.is_esp()) {
                    true => Self::Efi,
                    false => Self::Bios,
                }
            }
            _ => Self::Bios,
        }
    }
}

/// How a virtual machine is made of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What it is called.
    pub name: String,
    /// How it starts; [of the disk](Firmware::of) if that is not said.
    pub firmware: Option<Firmware>,
    /// How many processors it has.
    pub cpus: u32,
    /// How much memory it has, in MiB.
    pub memory: u64,
    /// The level of its disk's compression, 1 to 9.
    pub level: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "disk".to_owned(),
            firmware: None,
            cpus: 2,
            memory: 2048,
            level: 6,
        }
    }
}
