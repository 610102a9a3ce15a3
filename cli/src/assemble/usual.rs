//! The partitions that a disk has where nothing else is said.

use forger_disk::partition::{
    ATTRIBUTE_GROW_FILESYSTEM, ATTRIBUTE_READ_ONLY, Kind, Part, Size as PartSize,
};

use super::{Error, Fill, Native, Slot, Type, esp};

/// The usual partitions of a disk.
#[derive(Clone, Debug)]
pub struct Usual {
    /// Has a boot partition.
    pub boot: bool,
    /// Size of the boot partition in bytes.
    pub esp_size: Option<u64>,
    /// Size of the root partition in bytes: what the others leave, or what it holds, when `None`.
    pub root_size: Option<u64>,
    /// Grows root partition and filesystem to the disk at boot.
    pub grow_root: bool,
    /// Gives the root filesystem a hash tree.
    pub verity: bool,
    /// Partitions beside these.
    pub others: Vec<Slot>,
}

impl Usual {
    /// Returns the partitions, for a disk of sectors of so many bytes, and the index of the first of the
    /// others.
    ///
    /// # Errors
    /// [`Error::SmallEsp`].
    pub fn slots(self, sector_size: u64) -> Result<(Vec<Slot>, usize), Error> {
        let part = |name: &str| Part {
            name: name.into(),
            ..Part::default()
        };
        let mut slots = Vec::new();
        if self.boot {
            let size = PartSize::Bytes(esp::size(self.esp_size, sector_size)?);
            let kind = Kind::guid_named("esp").unwrap_or(Part::default().kind);
            slots.push(Slot {
                kind: Type::Guid(kind),
                part: Part {
                    size,
                    ..part("esp")
                },
                fill: Fill::Boot,
            });
        }
        let root = |attributes| Slot {
            kind: Type::Native(Native::Root),
            part: Part {
                attributes,
                size: self.root_size.map_or(PartSize::Rest, PartSize::Bytes),
                ..part("root")
            },
            fill: Fill::Root,
        };
        if self.verity {
            slots.push(root(ATTRIBUTE_READ_ONLY));
            slots.push(Slot {
                kind: Type::Native(Native::RootVerity),
                part: Part {
                    attributes: ATTRIBUTE_READ_ONLY,
                    ..part("root-verity")
                },
                fill: Fill::Hashes(slots.len() - 1),
            });
        } else if !self.grow_root {
            slots.push(root(0));
        }
        let first = slots.len();
        slots.extend(self.others);
        if self.grow_root && !self.verity {
            slots.push(root(ATTRIBUTE_GROW_FILESYSTEM));
        }
        Ok((slots, first))
    }
}
