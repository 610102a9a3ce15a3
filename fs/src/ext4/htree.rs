//! Hash trees: how a directory of more than one block finds a name.
//!
//! See [Hash Tree Directories](https://docs.kernel.org/filesystems/ext4/dynamic.html#hash-tree-directories).
//!
//! ```text
//! root   . and .. (which reaches to the block's end) | root info (8 bytes) | entries | tail
//! node   an unused entry that spans the block (8 bytes) | entries | tail
//! entry  hash u32 | block u32; instead of the first hash, which is 0 or that of the entry above:
//!        limit u16 | count u16
//! tail   reserved u32 | checksum u32 over the block up to the last entry in use and this tail
//! leaf   a block of directory entries in any order
//! ```
//!
//! An entry leads to the names whose hashes start at its own. Where names of one hash do not fit one
//! leaf, the entry of the next has the lowest bit set: "continues".
//!
//! Leaves are filled to 85%. A full leaf would be split by the first name that a mounted filesystem
//! adds to it, into two that are half empty; with 600 bytes to spare, a directory takes some 15% of
//! new names before splits set in, and is still denser than one the kernel has grown (about 75%).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::InodeNo;
use super::checksum::Seed;
use super::dir::{BLOCK, DirEntry, HEAD, RawDirEntry, TooManyNames, encode_len, fill_block, room};
use super::hash::HashVersion;

/// `hash_version` of half MD4 in the root.
const HALF_MD4: u8 = 1;
/// Bytes before the entries of the root: `.`, the head of `..` and its name, the root info.
pub(crate) const ROOT_ENTRIES_AT: usize = 32;
/// Bytes before the entries of a node.
pub(crate) const NODE_ENTRIES_AT: usize = HEAD;
/// Entries of the root of a writer's tree.
#[cfg(test)]
const ROOT_LIMIT: usize = 507;
/// Entries of a node of a writer's tree.
#[cfg(test)]
const NODE_LIMIT: usize = 510;
/// Length of an entry, and of the tail.
pub(crate) const ENTRY: usize = 8;

/// What the blocks of a tree are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Length of a block in bytes.
    pub(crate) block_len: usize,
    /// The seed of the directory's inode, where there are checksums.
    pub(crate) seed: Option<Seed>,
    /// The hash function as the root names it, and as it is.
    pub(crate) version: (u8, HashVersion),
    /// The seed of the hashes.
    pub(crate) hash_seed: [u8; 16],
}

impl Form {
    /// Returns the form of the writer's trees.
    pub(crate) fn new(hash_seed: &[u8; 16], seed: Seed) -> Self {
        Self {
            block_len: BLOCK,
            seed: Some(seed),
            version: (HALF_MD4, HashVersion::HALF_MD4),
            hash_seed: *hash_seed,
        }
    }

    /// Returns how many entries the root has room for.
    pub(crate) fn root_limit(&self) -> usize {
        self.limit(ROOT_ENTRIES_AT)
    }

    /// Returns how many entries a node has room for.
    pub(crate) fn node_limit(&self) -> usize {
        self.limit(NODE_ENTRIES_AT)
    }

    fn limit(&self, start: usize) -> usize {
        let tail = if self.seed.is_some() { ENTRY } else { 0 };
        (self.block_len - start - tail) / ENTRY
    }

    /// Bytes of entries after which a leaf is full enough.
    fn leaf_fill(&self) -> usize {
        room(self.block_len, self.seed.is_some()) * 85 / 100
    }

    /// Entries after which a node is full enough, as long as the root has room for more nodes.
    fn node_fill(&self) -> usize {
        self.node_limit() * 85 / 100
    }
}

/// What the root says of the tree.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawRootInfo {
    /// 0x0: 0.
    pub(crate) reserved_zero: U32,
    /// 0x4: the hash function.
    pub(crate) hash_version: u8,
    /// 0x5: length of this structure: 8.
    pub(crate) info_length: u8,
    /// 0x6: levels of nodes between root and leaves.
    pub(crate) indirect_levels: u8,
    /// 0x7: 0.
    pub(crate) unused_flags: u8,
}

/// What stands in the place of the first entry's hash.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawCountLimit {
    /// 0x0: entries there is room for.
    pub(crate) limit: U16,
    /// 0x2: entries in use, the first included.
    pub(crate) count: U16,
}

/// An entry of the root or of a node.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub(crate) struct RawIndexEntry {
    /// 0x0: the first hash below; its lowest bit says that the hash began in the entry before.
    pub(crate) hash: U32,
    /// 0x4: the block, counted in the directory.
    pub(crate) block: U32,
}

const _: () = {
    use std::mem::size_of;
    assert!(size_of::<RawRootInfo>() == ENTRY);
    assert!(size_of::<RawCountLimit>() == ENTRY / 2);
    assert!(size_of::<RawIndexEntry>() == ENTRY);
};

/// A name and where it belongs.
struct Hashed<'a> {
    hash: u32,
    minor: u32,
    entry: &'a DirEntry<'a>,
}

/// Builds the blocks of a directory with a hash tree: root, nodes if any, leaves.
pub(crate) fn build(
    entries: &[DirEntry<'_>],
    dots: [DirEntry<'_>; 2],
    form: &Form,
) -> Result<Vec<u8>, TooManyNames> {
    let mut hashed: Vec<Hashed<'_>> = entries
        .iter()
        .map(|entry| {
            let hash = form.version.1.hash(entry.name, &form.hash_seed);
            Hashed {
                hash: hash.major,
                minor: hash.minor,
                entry,
            }
        })
        .collect();
    // Stable: names of equal hashes stay in the order of names.
    hashed.sort_by_key(|name| (name.hash, name.minor));
    let leaves = cut_leaves(&hashed, form.leaf_fill());
    let layout = Layout::new(leaves.len(), form).ok_or(TooManyNames {
        names: entries.len(),
    })?;
    Ok(layout.write(&leaves, dots, form))
}

/// A leaf: the hash its entry gets, and its names.
struct Leaf<'a> {
    hash: u32,
    names: &'a [Hashed<'a>],
}

/// Cuts the names, sorted by hash, into leaves.
fn cut_leaves<'a>(hashed: &'a [Hashed<'a>], fill: usize) -> Vec<Leaf<'a>> {
    let mut leaves = Vec::new();
    let (mut rest, mut last_hash) = (hashed, None);
    while let Some(first) = rest.first() {
        let mut used = 0;
        let count = rest
            .iter()
            .take_while(|name| {
                used += name.entry.len();
                used <= fill
            })
            .count();
        let (names, further) = rest.split_at(count);
        let continues = u32::from(last_hash == Some(first.hash));
        leaves.push(Leaf {
            hash: first.hash | continues,
            names,
        });
        last_hash = names.last().map(|name| name.hash);
        rest = further;
    }
    leaves
}

/// How many nodes there are, and how many leaves each leads to.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    nodes: usize,
    leaves_per_node: usize,
}

impl Layout {
    fn new(leaves: usize, form: &Form) -> Option<Self> {
        if leaves <= form.root_limit() {
            return Some(Self {
                nodes: 0,
                leaves_per_node: 0,
            });
        }
        let nodes = leaves.div_ceil(form.node_fill()).min(form.root_limit());
        let leaves_per_node = leaves.div_ceil(nodes);
        // Rounding up may leave the last nodes without a leaf.
        let nodes = leaves.div_ceil(leaves_per_node);
        (leaves_per_node <= form.node_limit()).then_some(Self {
            nodes,
            leaves_per_node,
        })
    }

    fn write(&self, leaves: &[Leaf<'_>], dots: [DirEntry<'_>; 2], form: &Form) -> Vec<u8> {
        let block_len = form.block_len;
        let mut data = vec![0; (1 + self.nodes + leaves.len()) * block_len];
        let first_leaf = u32::try_from(1 + self.nodes).expect("a root has few nodes");
        let index: Vec<RawIndexEntry> = (first_leaf..)
            .zip(leaves)
            .map(|(block, leaf)| RawIndexEntry {
                hash: leaf.hash.into(),
                block: block.into(),
            })
            .collect();
        let (root, rest) = data.split_at_mut(block_len);
        let (node_blocks, leaf_blocks) = rest.split_at_mut(self.nodes * block_len);
        if self.nodes == 0 {
            write_root(root, dots, 0, &index, form);
        } else {
            let mut above = Vec::with_capacity(self.nodes);
            let nodes = index.chunks(self.leaves_per_node);
            for (i, (block, node)) in (1..).zip(node_blocks.chunks_exact_mut(block_len).zip(nodes))
            {
                write_node(block, node, form);
                above.push(RawIndexEntry {
                    hash: node[0].hash,
                    block: U32::new(i),
                });
            }
            write_root(root, dots, 1, &above, form);
        }
        for (block, leaf) in leaf_blocks.chunks_exact_mut(block_len).zip(leaves) {
            let names = leaf.names.iter().map(|name| *name.entry);
            fill_block(block, names, form.seed);
        }
        data
    }
}

fn write_root(
    block: &mut [u8],
    [dot, dot_dot]: [DirEntry<'_>; 2],
    indirect_levels: u8,
    entries: &[RawIndexEntry],
    form: &Form,
) {
    dot.write(block, dot.len());
    dot_dot.write(&mut block[dot.len()..], form.block_len - dot.len());
    let info = RawRootInfo {
        reserved_zero: 0.into(),
        hash_version: form.version.0,
        info_length: 8,
        indirect_levels,
        unused_flags: 0,
    };
    block[ROOT_ENTRIES_AT - ENTRY..ROOT_ENTRIES_AT].copy_from_slice(info.as_bytes());
    write_index(
        block,
        ROOT_ENTRIES_AT,
        form.root_limit(),
        entries,
        form.seed,
    );
}

fn write_node(block: &mut [u8], entries: &[RawIndexEntry], form: &Form) {
    let span = RawDirEntry {
        inode: InodeNo(0).0.into(),
        rec_len: U16::new(encode_len(form.block_len)),
        name_len: 0,
        file_type: 0,
    };
    block[..HEAD].copy_from_slice(span.as_bytes());
    write_index(
        block,
        NODE_ENTRIES_AT,
        form.node_limit(),
        entries,
        form.seed,
    );
}

/// Writes the counts, entries and checksum of an index block whose entries start at `start`.
pub(crate) fn write_index(
    block: &mut [u8],
    start: usize,
    limit: usize,
    entries: &[RawIndexEntry],
    seed: Option<Seed>,
) {
    let short = |n: usize| U16::new(u16::try_from(n).expect("at most 8191 entries"));
    let head = RawCountLimit {
        limit: short(limit),
        count: short(entries.len()),
    };
    let end = start + entries.len() * ENTRY;
    block[start..end].copy_from_slice(entries.as_bytes());
    block[start..start + 4].copy_from_slice(head.as_bytes());
    if let Some(seed) = seed {
        let tail = start + limit * ENTRY;
        block[tail..tail + 4].fill(0);
        let sum = index_checksum(&block[..end], [0; 4], seed);
        block[tail + 4..tail + ENTRY].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Returns the checksum of a root or node from its bytes up to the last entry in use and the first four
/// bytes of its tail, which the kernel leaves as they were; the sum itself counts as zero.
pub(crate) fn index_checksum(used: &[u8], reserved: [u8; 4], seed: Seed) -> u32 {
    seed.update(used).update(&reserved).checksum(&[0; 4])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ext4::dir::ROOM;
    use crate::ext4::dir::file_type;
    use crate::ext4::hash::Hash;

    const HASH_SEED: [u8; 16] =
        *b"\x11\x11\x11\x11\x22\x22\x33\x33\x44\x44\x55\x55\x55\x55\x55\x55";
    const OWN: InodeNo = InodeNo(15);

    fn entries(names: &[String]) -> Vec<DirEntry<'_>> {
        (100..)
            .zip(names)
            .map(|(inode, name)| DirEntry {
                name: name.as_bytes(),
                inode: InodeNo(inode),
                file_type: file_type::FILE,
            })
            .collect()
    }

    fn names(count: usize, len: usize) -> Vec<String> {
        (0..count).map(|i| format!("{i:0len$}")).collect()
    }

    fn dots() -> [DirEntry<'static>; 2] {
        [DirEntry::dot(OWN), DirEntry::dot_dot(InodeNo::ROOT)]
    }

    fn block(data: &[u8], number: u32) -> &[u8] {
        data.chunks_exact(BLOCK).nth(number as usize).unwrap()
    }

    /// Reads the entries of an index block, checking its limit and checksum.
    fn index(block: &[u8], start: usize, limit: usize, seed: Seed) -> Vec<RawIndexEntry> {
        let (head, _) = RawCountLimit::ref_from_prefix(&block[start..]).unwrap();
        assert_eq!(usize::from(head.limit.get()), limit);
        let end = start + usize::from(head.count.get()) * ENTRY;
        let sum = index_checksum(&block[..end], [0; 4], seed);
        assert_eq!(block[BLOCK - 8..BLOCK - 4], [0; 4]);
        assert_eq!(block[BLOCK - 4..], sum.to_le_bytes());
        let mut entries = <[RawIndexEntry]>::ref_from_bytes(&block[start..end])
            .unwrap()
            .to_vec();
        entries[0].hash = 0.into();
        entries
    }

    type Names = Vec<(Hash, Vec<u8>)>;

    /// Collects (hash of the entry, names in the leaf) from left to right.
    fn leaves(data: &[u8], seed: Seed) -> Vec<(u32, Names)> {
        let root = block(data, 0);
        let levels = root[ROOT_ENTRIES_AT - 2];
        let mut below = index(root, ROOT_ENTRIES_AT, ROOT_LIMIT, seed);
        if levels == 1 {
            below = below
                .iter()
                .flat_map(|node| {
                    let node_block = block(data, node.block.get());
                    assert_eq!(node_block[..HEAD], *b"\0\0\0\0\x00\x10\0\0");
                    let mut entries = index(node_block, NODE_ENTRIES_AT, NODE_LIMIT, seed);
                    entries[0].hash = node.hash;
                    entries
                })
                .collect();
        }
        below
            .iter()
            .map(|leaf| {
                (
                    leaf.hash.get(),
                    leaf_names(block(data, leaf.block.get()), seed),
                )
            })
            .collect()
    }

    fn leaf_names(block: &[u8], seed: Seed) -> Names {
        assert_eq!(
            block[BLOCK - 4..],
            seed.checksum(&block[..ROOM]).to_le_bytes()
        );
        let (mut at, mut names) = (0, Vec::new());
        while at < ROOM {
            let (raw, rest) = RawDirEntry::ref_from_prefix(&block[at..]).unwrap();
            let name = rest[..raw.name_len.into()].to_vec();
            names.push((HashVersion::HALF_MD4.hash(&name, &HASH_SEED), name));
            at += usize::from(raw.rec_len.get());
        }
        assert_eq!(at, ROOM);
        names
    }

    fn check(names: &[String]) -> usize {
        let seed = Seed(9).inode(OWN, 0);
        let data = build(&entries(names), dots(), &Form::new(&HASH_SEED, seed)).unwrap();
        let leaves = leaves(&data, seed);
        let mut found: Vec<Vec<u8>> = Vec::new();
        for (i, (start, names)) in leaves.iter().enumerate() {
            let end = leaves.get(i + 1).map_or(u32::MAX, |(next, _)| *next);
            for (hash, name) in names {
                assert!(hash.major >= start & !1, "below its leaf");
                assert!(hash.major < end, "beyond its leaf");
                found.push(name.clone());
            }
        }
        found.sort();
        assert!(found.iter().eq(names.iter().map(|name| name.as_bytes())));
        leaves.len()
    }

    #[test]
    fn every_name_is_where_its_hash_leads() {
        assert_eq!(check(&names(339, 4)), 2);
        assert_eq!(check(&names(1000, 200)), 63);
    }

    #[test]
    fn tree_gets_nodes_beyond_507_leaves() {
        // 264 bytes a name: 13 to a leaf.
        assert_eq!(check(&names(507 * 13, 255)), 507);
        assert_eq!(check(&names(507 * 13 + 1, 255)), 508);
        assert_eq!(check(&names(20_000, 255)), 1539);
    }

    #[test]
    fn leaves_keep_some_room() {
        let names = names(5000, 20);
        let seed = Seed(9).inode(OWN, 0);
        let data = build(&entries(&names), dots(), &Form::new(&HASH_SEED, seed)).unwrap();
        let leaves = leaves(&data, seed);
        for (_, names) in &leaves[..leaves.len() - 1] {
            let used = names.len() * 28;
            let fill = ROOM * 85 / 100;
            assert!(used <= fill && used + 28 > fill);
        }
    }

    /// Names of equal hashes, cut as if by accident.
    #[test]
    fn equal_hashes_across_leaves_set_the_continuation_bit() {
        let names = names(40, 255);
        let entries = entries(&names);
        let hashed: Vec<Hashed<'_>> = entries
            .iter()
            .enumerate()
            .map(|(i, entry)| Hashed {
                hash: if i < 5 { 10 } else { 20 },
                minor: 0,
                entry,
            })
            .collect();
        let leaves = cut_leaves(&hashed, ROOM * 85 / 100);
        let hashes: Vec<u32> = leaves.iter().map(|leaf| leaf.hash).collect();
        assert_eq!(hashes, [10, 21, 21, 21]);
    }

    #[test]
    fn layout_uses_both_levels_up_to_the_limit() {
        let form = Form::new(&HASH_SEED, Seed(1));
        let layout = |leaves| Layout::new(leaves, &form).map(|l| (l.nodes, l.leaves_per_node));
        assert_eq!(layout(507), Some((0, 0)));
        assert_eq!(layout(508), Some((2, 254)));
        assert_eq!(layout(form.node_fill() * ROOT_LIMIT), Some((507, 433)));
        assert_eq!(layout(NODE_LIMIT * ROOT_LIMIT), Some((507, 510)));
        assert_eq!(layout(NODE_LIMIT * ROOT_LIMIT + 1), None);
    }

    #[test]
    fn same_names_give_the_same_bytes() {
        let names = names(400, 30);
        let build = || build(&entries(&names), dots(), &Form::new(&HASH_SEED, Seed(3))).unwrap();
        assert_eq!(build(), build());
    }
}
