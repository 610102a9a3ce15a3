//! Walking an extent tree.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::ops::Range;

use zerocopy::FromBytes;

use super::map::{Access, Mapped, Visitor};
use super::{Inode, ReadError};
use crate::ext4::checksum::Seed;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::extent::{ENTRY, MAGIC, MAX_DEPTH, MAX_LEN, RawExtent, RawHeader, RawIndex};
use crate::ext4::{BlockNo, InodeNo};

/// The deepest tree that is walked for who passes over it.
const WALKED_DEPTH: u16 = 16;

/// Logical block numbers end here.
const END: u64 = 1 << 32;

/// Walks the tree whose root stands in `i_block`.
pub(crate) fn walk(
    access: Access<'_>,
    inode: &Inode,
    visitor: &mut dyn Visitor,
) -> Result<(), ReadError> {
    let mut walk = Walk {
        access,
        inode: inode.number(),
        seed: inode.seed(access.superblock),
        visitor,
    };
    let root = &inode.raw().i_block;
    let at = Location::Inode(inode.number());
    match header(root) {
        Ok(header) if header.eh_depth.get() > MAX_DEPTH => {
            let depth = header.eh_depth.get();
            let damage = Damage::field("eh_depth", depth, "trees have at most 5 levels of nodes");
            walk.visitor.oddity(at, damage)?;
            if depth <= WALKED_DEPTH {
                return walk.node(at, root, header, 0..END);
            }
            Ok(())
        }
        Ok(header) => walk.node(at, root, header, 0..END),
        Err(damage) => walk.visitor.damage(at, damage),
    }
}

struct Walk<'a> {
    access: Access<'a>,
    inode: InodeNo,
    seed: Option<Seed>,
    visitor: &'a mut dyn Visitor,
}

impl Walk<'_> {
    /// Takes the entries of a node, which cover logical blocks inside `range`. The depth, which is at
    /// most 16, shrinks with each call.
    fn node(
        &mut self,
        at: Location,
        bytes: &[u8],
        header: RawHeader,
        range: Range<u64>,
    ) -> Result<(), ReadError> {
        let entries = bytes.get(ENTRY..).unwrap_or_default();
        let entries = entries
            .chunks_exact(ENTRY)
            .take(header.eh_entries.get().into());
        if header.eh_depth.get() == 0 {
            self.leaf(at, entries, range)
        } else {
            self.index(at, entries, header.eh_depth.get(), range)
        }
    }

    fn leaf<'b>(
        &mut self,
        at: Location,
        entries: impl Iterator<Item = &'b [u8]>,
        range: Range<u64>,
    ) -> Result<(), ReadError> {
        let mut next = range.start;
        for entry in entries {
            let raw = RawExtent::read_from_bytes(entry).expect("the size is that of an entry");
            match self.extent(raw, next, range.end) {
                Ok(run) => {
                    next = run.logical.saturating_add(run.len);
                    self.visitor.run(run)?;
                }
                Err(damage) => self.visitor.damage(at, damage)?,
            }
        }
        Ok(())
    }

    fn extent(&self, raw: RawExtent, next: u64, end: u64) -> Result<Mapped, Damage> {
        let len = u32::from(raw.ee_len.get());
        let unwritten = len > MAX_LEN;
        let len = u64::from(if unwritten {
            len.saturating_sub(MAX_LEN)
        } else {
            len
        });
        let logical = u64::from(raw.ee_block.get());
        if len == 0 {
            return Err(Damage::field(
                "ee_len",
                0_u32,
                "extents have a block at least",
            ));
        }
        if logical < next {
            return Err(Damage::field(
                "ee_block",
                logical,
                "extents ascend, apart from each other and inside their node's range",
            ));
        }
        if logical.saturating_add(len) > end {
            return Err(Damage::field(
                "ee_block",
                logical,
                "extents end inside their node's range",
            ));
        }
        self.access
            .superblock
            .check_blocks("ee_start", raw.start(), len)?;
        Ok(Mapped {
            logical,
            physical: raw.start(),
            len,
            unwritten,
        })
    }

    fn index<'b>(
        &mut self,
        at: Location,
        entries: impl Iterator<Item = &'b [u8]>,
        depth: u16,
        range: Range<u64>,
    ) -> Result<(), ReadError> {
        let mut entries = entries
            .map(|entry| RawIndex::read_from_bytes(entry).expect("the size is that of an entry"))
            .peekable();
        if entries.peek().is_none() {
            let damage = Damage::field("eh_entries", 0_u32, "nodes above the leaves have entries");
            self.visitor.damage(at, damage)?;
        }
        let mut least = range.start;
        while let Some(entry) = entries.next() {
            let start = u64::from(entry.ei_block.get());
            let end = entries
                .peek()
                .map_or(range.end, |next| next.ei_block.get().into());
            if start < least || end > range.end || end <= start {
                let damage = Damage::field(
                    "ei_block",
                    start,
                    "entries ascend inside their node's range",
                );
                self.visitor.damage(at, damage)?;
                continue;
            }
            least = end;
            self.below(entry.leaf(), depth, start..end)?;
        }
        Ok(())
    }

    fn below(&mut self, block: BlockNo, depth: u16, range: Range<u64>) -> Result<(), ReadError> {
        let inode = self.inode;
        let at = Location::InodeBlock { inode, block };
        if let Err(damage) = self.access.superblock.check_blocks("ei_leaf", block, 1) {
            return self.visitor.damage(Location::Inode(inode), damage);
        }
        if !self.visitor.node(block)? {
            return Ok(());
        }
        let bytes = self.access.blocks.read(block)?;
        let header = match header(&bytes) {
            Ok(header) => header,
            Err(damage) => return self.visitor.damage(at, damage),
        };
        if let Err(damage) = self.check_sum(&bytes, header) {
            self.visitor.damage(at, damage)?;
        }
        if header.eh_depth.get().checked_add(1) != Some(depth) {
            let damage = Damage::field("eh_depth", header.eh_depth.get(), "it falls by 1 a level");
            return self.visitor.damage(at, damage);
        }
        if self.visitor.strict() {
            let first = bytes.get(ENTRY..).and_then(|rest| rest.first_chunk::<4>());
            let first = first.map_or(0, |word| u32::from_le_bytes(*word));
            if header.eh_entries.get() > 0 && u64::from(first) != range.start {
                let damage = Damage::field("ei_block", range.start, "it is that of the node below");
                self.visitor.damage(at, damage)?;
            }
        }
        self.node(at, &bytes, header, range)
    }

    fn check_sum(&self, bytes: &[u8], header: RawHeader) -> Result<(), Damage> {
        let Some(seed) = self.seed else {
            return Ok(());
        };
        let entries = usize::from(header.eh_max.get()).saturating_mul(ENTRY);
        let tail = entries.saturating_add(ENTRY);
        let (covered, rest) = bytes.split_at_checked(tail).unwrap_or((bytes, &[]));
        let found = rest
            .first_chunk::<4>()
            .map(|sum| u32::from_le_bytes(*sum))
            .ok_or_else(|| Damage::field("eh_max", header.eh_max.get(), "the checksum follows"))?;
        let computed = seed.checksum(covered);
        if found != computed {
            return Err(Damage::Checksum {
                what: "extent block",
                found,
                computed,
            });
        }
        Ok(())
    }
}

/// Returns the extents of a leaf.
pub(crate) fn leaf_entries<'a>(
    node: &'a [u8],
    header: &RawHeader,
) -> impl Iterator<Item = RawExtent> + use<'a> {
    node.get(ENTRY..)
        .unwrap_or_default()
        .chunks_exact(ENTRY)
        .take(header.eh_entries.get().into())
        .map(|entry| RawExtent::read_from_bytes(entry).expect("the size is that of an entry"))
}

/// Reads and checks the head of a node.
pub(crate) fn header(node: &[u8]) -> Result<RawHeader, Damage> {
    let (header, rest) = RawHeader::read_from_prefix(node)
        .map_err(|_| Damage::Structure("the extent node is cut off"))?;
    if header.eh_magic.get() != MAGIC {
        return Err(Damage::field(
            "eh_magic",
            header.eh_magic.get(),
            "it is 0xf30a",
        ));
    }
    // One or two entries fewer than there is room for leave space for a tail.
    let room = rest.len().checked_div(ENTRY).unwrap_or(0);
    let (max, entries) = (header.eh_max.get(), header.eh_entries.get());
    if !(room.saturating_sub(2)..=room).contains(&usize::from(max)) {
        return Err(Damage::field(
            "eh_max",
            max,
            "it is what the node has room for",
        ));
    }
    if entries > max {
        return Err(Damage::field("eh_entries", entries, "it is at most eh_max"));
    }
    Ok(header)
}
