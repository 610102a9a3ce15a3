//! Extent trees: which runs of blocks hold a file.
//!
//! See [Extent Tree](https://docs.kernel.org/filesystems/ext4/dynamic.html#extent-tree). The root
//! stands in `i_block` and holds 4 entries; every other node is a block of 340 entries and a
//! checksum.
//!
//! ```text
//! header  magic f30a | entries | max | depth | generation                        12 bytes
//! leaf    first block in the file | length | physical block, high 16 and low 32  12 bytes each
//! index   first block in the file | block of the node below, low 32 and high 16  12 bytes each
//! tail    checksum over all before it, at 12 + 12 * max (blocks only)            4 bytes
//! ```

use forger_block::Bytes;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::Seed;
use super::halves::{join_words, shorts, words};
use super::{BlockNo, Extent, InodeNo};

/// `eh_magic`.
pub(crate) const MAGIC: u16 = 0xf30a;
/// Entries of the root, in `i_block`.
pub(crate) const ROOT_ENTRIES: usize = 4;
/// Entries of a 4 KiB block.
pub(crate) const BLOCK_ENTRIES: usize = 340;
/// Length in blocks of the longest extent; a larger `ee_len` is an unwritten extent.
pub(crate) const MAX_LEN: u32 = 1 << 15;
/// The deepest tree that the format allows.
pub(crate) const MAX_DEPTH: u16 = 5;

const BLOCK: usize = 4096;
/// Length of a header and of an entry of either kind.
pub(crate) const ENTRY: usize = 12;

/// The head of every node.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawHeader {
    /// 0x0: [`MAGIC`].
    pub(crate) eh_magic: U16,
    /// 0x2: entries in use.
    pub(crate) eh_entries: U16,
    /// 0x4: entries there is room for.
    pub(crate) eh_max: U16,
    /// 0x6: levels below; 0 in a leaf.
    pub(crate) eh_depth: U16,
    /// 0x8: generation (unused).
    pub(crate) eh_generation: U32,
}

/// An entry of a leaf.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawExtent {
    /// 0x0: first block in the file.
    pub(crate) ee_block: U32,
    /// 0x4: number of blocks; above [`MAX_LEN`], that many more of unwritten blocks.
    pub(crate) ee_len: U16,
    /// 0x6: first physical block, high half.
    pub(crate) ee_start_hi: U16,
    /// 0x8: first physical block, low word.
    pub(crate) ee_start_lo: U32,
}

/// An entry of an index node.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawIndex {
    /// 0x0: first block in the file that the node below covers.
    pub(crate) ei_block: U32,
    /// 0x4: block of the node below, low word.
    pub(crate) ei_leaf_lo: U32,
    /// 0x8: block of the node below, high half.
    pub(crate) ei_leaf_hi: U16,
    /// 0xa: unused.
    pub(crate) ei_unused: U16,
}

const _: () = {
    use std::mem::size_of;
    assert!(size_of::<RawHeader>() == ENTRY);
    assert!(size_of::<RawExtent>() == ENTRY);
    assert!(size_of::<RawIndex>() == ENTRY);
    assert!(ENTRY + ROOT_ENTRIES * ENTRY == 60);
    assert!(ENTRY + BLOCK_ENTRIES * ENTRY + 4 == BLOCK);
};

impl RawExtent {
    /// Returns the first physical block.
    pub(crate) fn start(&self) -> BlockNo {
        BlockNo(join_words(
            self.ee_start_lo.get(),
            self.ee_start_hi.get().into(),
        ))
    }
}

impl RawIndex {
    /// Returns the block of the node below.
    pub(crate) fn leaf(&self) -> BlockNo {
        BlockNo(join_words(
            self.ei_leaf_lo.get(),
            self.ei_leaf_hi.get().into(),
        ))
    }
}

/// A finished tree.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    /// The root, for `i_block`.
    pub(crate) root: [u8; 60],
    /// All other nodes with their places: leaves in file order, then level by level upwards.
    pub(crate) blocks: Vec<(BlockNo, Bytes)>,
}

/// Returns how many blocks the tree over so many extents takes beside its root.
pub(crate) fn tree_blocks(extents: usize) -> u64 {
    tree_blocks_of(extents, BLOCK)
}

/// As [`tree_blocks`], with blocks of another length.
pub(crate) fn tree_blocks_of(extents: usize, block_len: usize) -> u64 {
    let (mut nodes, mut blocks) = (extents, 0);
    while nodes > ROOT_ENTRIES {
        nodes = nodes.div_ceil(block_entries(block_len));
        blocks += nodes as u64;
    }
    blocks
}

/// Returns how many entries a block of a length holds.
pub(crate) const fn block_entries(block_len: usize) -> usize {
    (block_len - ENTRY) / ENTRY
}

/// Builds the tree over `extents`, which are ascending, disjoint and at most [`MAX_LEN`] long.
///
/// `blocks` are the places of its nodes, exactly [`tree_blocks`] of them; a file's generation is 0.
pub(crate) fn build(extents: &[Extent], blocks: &[BlockNo], inode: InodeNo, seed: Seed) -> Built {
    build_of(extents, blocks, BLOCK, Some(seed.inode(inode, 0)))
}

/// As [`build`], with blocks of another length; `seed` is that of the inode, where there are
/// checksums.
pub(crate) fn build_of(
    extents: &[Extent],
    blocks: &[BlockNo],
    block_len: usize,
    seed: Option<Seed>,
) -> Built {
    debug_assert_eq!(
        tree_blocks_of(extents.len(), block_len),
        blocks.len() as u64
    );
    let mut entries: Vec<[u8; ENTRY]> = extents.iter().map(leaf_entry).collect();
    let mut places = blocks.iter().copied();
    let mut built = Vec::with_capacity(blocks.len());
    let mut depth = 0;
    while entries.len() > ROOT_ENTRIES {
        entries = entries
            .chunks(block_entries(block_len))
            .zip(&mut places)
            .map(|(chunk, place)| {
                built.push((place, node_block(chunk, depth, block_len, seed)));
                index_entry(chunk, place)
            })
            .collect();
        depth += 1;
    }
    let mut root = [0; 60];
    write_node(&mut root, &entries, ROOT_ENTRIES, depth);
    Built {
        root,
        blocks: built,
    }
}

fn leaf_entry(extent: &Extent) -> [u8; ENTRY] {
    debug_assert!((1..=MAX_LEN).contains(&extent.len));
    let (lo, hi) = words(extent.physical.0);
    zerocopy::transmute!(RawExtent {
        ee_block: extent.logical.into(),
        ee_len: shorts(extent.len).0.into(),
        ee_start_hi: shorts(hi).0.into(),
        ee_start_lo: lo.into(),
    })
}

/// Returns the entry for a node at `place`; it begins where the node's first entry begins.
fn index_entry(node: &[[u8; ENTRY]], place: BlockNo) -> [u8; ENTRY] {
    let [a, b, c, d, ..] = node[0];
    let (lo, hi) = words(place.0);
    zerocopy::transmute!(RawIndex {
        ei_block: u32::from_le_bytes([a, b, c, d]).into(),
        ei_leaf_lo: lo.into(),
        ei_leaf_hi: shorts(hi).0.into(),
        ei_unused: 0.into(),
    })
}

fn node_block(entries: &[[u8; ENTRY]], depth: u16, block_len: usize, seed: Option<Seed>) -> Bytes {
    let mut block = vec![0; block_len];
    let max = block_entries(block_len);
    write_node(&mut block, entries, max, depth);
    if let Some(seed) = seed {
        let tail = ENTRY + max * ENTRY;
        let sum = seed.checksum(&block[..tail]);
        block[tail..tail + 4].copy_from_slice(&sum.to_le_bytes());
    }
    block.into()
}

fn write_node(node: &mut [u8], entries: &[[u8; ENTRY]], max: usize, depth: u16) {
    let short = |n: usize| U16::new(u16::try_from(n).expect("a node has at most 5460 entries"));
    let header = RawHeader {
        eh_magic: MAGIC.into(),
        eh_entries: short(entries.len()),
        eh_max: short(max),
        eh_depth: depth.into(),
        eh_generation: 0.into(),
    };
    let (head, rest) = node.split_at_mut(ENTRY);
    head.copy_from_slice(header.as_bytes());
    rest[..entries.len() * ENTRY].copy_from_slice(entries.as_flattened());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(count: u32) -> Vec<Extent> {
        (0..count)
            .map(|i| Extent {
                logical: i * 3,
                len: 2,
                physical: BlockNo(0x1_0000_0000 + u64::from(i) * 5),
            })
            .collect()
    }

    fn places(count: u64) -> Vec<BlockNo> {
        (0..count).map(|i| BlockNo(7000 + i)).collect()
    }

    #[test]
    fn tree_blocks_grow_level_by_level() {
        for (extents, blocks) in [
            (0, 0),
            (1, 0),
            (4, 0),
            (5, 1),
            (340, 1),
            (341, 2),
            (1360, 4),
            (1361, 6),
            (340 * 340 * 4, 4 + 340 * 4),
            (340 * 340 * 4 + 1, 1 + 5 + 340 * 4 + 1),
        ] {
            assert_eq!(tree_blocks(extents), blocks, "{extents} extents");
        }
    }

    /// The journal's inode of an image of mke2fs.
    #[test]
    fn root_with_three_extents_equals_that_of_mke2fs() {
        let extents =
            [(0, 10, 15), (10, 15, 26), (25, 999, 1066)].map(|(logical, len, block)| Extent {
                logical,
                len,
                physical: BlockNo(block),
            });
        let built = build(&extents, &[], InodeNo::JOURNAL, Seed(0));
        let expected = b"\x0a\xf3\x03\0\x04\0\0\0\0\0\0\0\0\0\0\0\x0a\0\0\0\x0f\0\0\0\x0a\0\0\0\x0f\0\0\0\x1a\0\0\0\x19\0\0\0\xe7\x03\0\0\x2a\x04\0\0";
        assert_eq!(&built.root[..48], expected);
        assert!(built.blocks.is_empty());
    }

    /// Collects the leaves below a node, checking magic, depth and checksum on the way.
    fn walk(node: &[u8], depth: u16, built: &Built, seed: Seed, out: &mut Vec<Extent>) {
        let (header, rest) = RawHeader::ref_from_prefix(node).unwrap();
        assert_eq!(header.eh_magic.get(), MAGIC);
        assert_eq!(header.eh_depth.get(), depth);
        if node.len() == BLOCK {
            assert_eq!(
                node[BLOCK - 4..],
                seed.checksum(&node[..BLOCK - 4]).to_le_bytes()
            );
        }
        for entry in rest
            .chunks_exact(ENTRY)
            .take(header.eh_entries.get().into())
        {
            if depth == 0 {
                let raw = RawExtent::ref_from_bytes(entry).unwrap();
                out.push(Extent {
                    logical: raw.ee_block.get(),
                    len: raw.ee_len.get().into(),
                    physical: raw.start(),
                });
            } else {
                let raw = RawIndex::ref_from_bytes(entry).unwrap();
                let at = built.blocks.iter().find(|(place, _)| *place == raw.leaf());
                let (_, below) = at.unwrap();
                let before = out.len();
                walk(below, depth - 1, built, seed, out);
                assert_eq!(out[before].logical, raw.ei_block.get());
            }
        }
    }

    #[test]
    fn trees_of_any_depth_hold_their_extents() {
        for (count, depth) in [
            (0, 0),
            (4, 0),
            (5, 1),
            (341, 1),
            (1360, 1),
            (1361, 2),
            (200_000, 2),
            (470_000, 3),
        ] {
            let extents = extents(count);
            let places = places(tree_blocks(extents.len()));
            let built = build(&extents, &places, InodeNo(12), Seed(5));
            assert_eq!(built.blocks.len(), places.len());
            let mut found = Vec::new();
            let seed = Seed(5).inode(InodeNo(12), 0);
            walk(&built.root, depth, &built, seed, &mut found);
            assert_eq!(found, extents);
        }
    }
}
