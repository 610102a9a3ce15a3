//! What deserves attention in a partition table that can be read.

use std::fmt;

use super::gpt::CopyDamage;

/// Something odd about a partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The primary copy cannot be used; the backup was.
    PrimaryDamaged(CopyDamage),
    /// The backup copy cannot be used.
    BackupDamaged(CopyDamage),
    /// Both copies are good, and differ.
    CopiesDiffer,
    /// The backup does not stand in the last sector: the disk has grown since.
    BackupNotAtEnd {
        /// Where it stands.
        lba: u64,
        /// The disk's last sector.
        last: u64,
    },
    /// The MBR does not protect the table.
    NoProtectiveMbr,
    /// The MBR names partitions of its own beside the protective one.
    Hybrid {
        /// How many.
        partitions: usize,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrimaryDamaged(damage) => {
                write!(
                    f,
                    "the primary GPT is damaged, its backup was read: {damage}"
                )
            }
            Self::BackupDamaged(damage) => write!(f, "the backup GPT is damaged: {damage}"),
            Self::CopiesDiffer => {
                write!(f, "primary and backup GPT differ; the primary was read")
            }
            Self::BackupNotAtEnd { lba, last } => write!(
                f,
                "the backup GPT stands in sector {lba}, not in the last one, {last}"
            ),
            Self::NoProtectiveMbr => write!(f, "there is no protective MBR before the GPT"),
            Self::Hybrid { partitions } => write!(
                f,
                "a hybrid MBR names {partitions} partitions beside the GPT; the GPT was read"
            ),
        }
    }
}
