//! The bytes of an inode, before anything is believed of them.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::FromBytes;

use crate::ext4::InodeNo;
use crate::ext4::checksum::Seed;
use crate::ext4::damage::Damage;
use crate::ext4::halves::{join_shorts, shorts};
use crate::ext4::inode::{CHECKSUM_HI, CHECKSUM_LO, FIELDS, RawInode};

/// Length of the fields that every inode has.
pub(crate) const BASE: usize = 128;

/// The bytes of an inode as they stand in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a> {
    pub(crate) raw: RawInode,
    pub(crate) all: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// Takes the bytes of an inode: 128 or more.
    pub(crate) fn new(all: &'a [u8]) -> Option<Self> {
        let mut fields = [0; FIELDS];
        let len = all.len().min(FIELDS);
        fields.get_mut(..len)?.copy_from_slice(all.get(..len)?);
        (len >= BASE).then(|| Self {
            raw: RawInode::read_from_bytes(&fields).expect("the size is that of the structure"),
            all,
        })
    }

    /// Returns `i_extra_isize`; 0 where inodes have 128 bytes.
    pub(crate) fn extra(&self) -> u16 {
        if self.all.len() > BASE {
            self.raw.i_extra_isize.get()
        } else {
            0
        }
    }

    /// Checks that the fields end inside the inode.
    pub(crate) fn check_extra(&self) -> Result<(), Damage> {
        let extra = self.extra();
        let room = self.all.len().saturating_sub(BASE);
        if usize::from(extra) > room || !extra.is_multiple_of(4) {
            return Err(Damage::field(
                "i_extra_isize",
                extra,
                "it is a multiple of 4 that fits the inode",
            ));
        }
        Ok(())
    }

    /// Checks the checksum.
    pub(crate) fn check_sum(&self, number: InodeNo, seed: Seed) -> Result<(), Damage> {
        // The high half is there when the extra fields reach it.
        let wide = self.all.len() > BASE && self.extra() >= 4;
        let computed = self.sum(number, seed, wide);
        let lo = self.raw.i_checksum_lo.get();
        let (found, computed) = if wide {
            (join_shorts(lo, self.raw.i_checksum_hi.get()), computed)
        } else {
            (lo.into(), shorts(computed).0.into())
        };
        if found != computed {
            return Err(Damage::Checksum {
                what: "inode",
                found,
                computed,
            });
        }
        Ok(())
    }

    /// Returns the sum over all but the checksum itself, which `wide` gives 32 bits.
    pub(crate) fn sum(&self, number: InodeNo, seed: Seed, wide: bool) -> u32 {
        let part = |range: std::ops::Range<usize>| self.all.get(range).unwrap_or_default();
        let end = self.all.len();
        let sum = seed
            .inode(number, self.raw.i_generation.get())
            .update(part(0..CHECKSUM_LO))
            .update(&[0; 2]);
        let after = CHECKSUM_LO.saturating_add(2);
        if wide {
            sum.update(part(after..CHECKSUM_HI))
                .update(&[0; 2])
                .checksum(part(CHECKSUM_HI.saturating_add(2)..end))
        } else {
            sum.checksum(part(after..end))
        }
    }
}
