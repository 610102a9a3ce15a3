//! Inode tables: 16 inodes a block, each made from its node.

use super::bodies::{FAST_SYMLINK, split};
use super::identity::Times;
use super::metadata::build_extents;
use super::{Sealed, resize};
use crate::ext4::checksum::Seed;
use crate::ext4::inode::{self, RawInode, flag, mode};
use crate::ext4::units::{BLOCK_SIZE, GroupNo, InodeNo};
use crate::ext4::{extent, xattr};
use crate::tree::{Kind, NodeId};

const INODE: usize = 256;
/// A folder with more links than this says 1 (`dir_nlink`).
const MAX_LINKS: u64 = 65_000;

/// Makes block `index` of a group's inode table; inodes that are not in use stay zero.
pub(crate) fn block(sealed: &Sealed, group: GroupNo, index: u64, out: &mut [u8; 4096]) {
    let first = u64::from(group.0) * sealed.sized.inodes_per_group + index * 16 + 1;
    for (slot, number) in out.chunks_exact_mut(INODE).zip(first..) {
        let Ok(number) = u32::try_from(number) else {
            return;
        };
        if let Some(bytes) = inode_bytes(sealed, InodeNo(number)) {
            slot.copy_from_slice(&bytes);
        }
    }
}

fn inode_bytes(sealed: &Sealed, number: InodeNo) -> Option<[u8; INODE]> {
    let seed = Seed::from_uuid(&sealed.identity.uuid);
    let (raw, tail) = match number {
        InodeNo::RESIZE => (resize::inode(sealed)?, Vec::new()),
        InodeNo::JOURNAL => (journal_inode(sealed)?, Vec::new()),
        _ => node_inode(sealed, sealed.numbers.node(number)?),
    };
    Some(inode::encode(raw, &tail, number, seed))
}

/// Returns an inode that belongs to the filesystem itself: a file only root may read.
pub(crate) fn internal_inode(sealed: &Sealed, size: u64) -> RawInode {
    let mut raw = RawInode::new();
    raw.i_mode = (mode::FILE | 0o600).into();
    raw.i_links_count = 1.into();
    raw.set_size(size);
    let time = sealed.identity.time;
    set_times(
        &mut raw,
        Times {
            atime: time,
            ctime: time,
            mtime: time,
            crtime: time,
        },
    );
    raw
}

/// Returns the journal's inode, if there is a journal.
pub(crate) fn journal_inode(sealed: &Sealed) -> Option<RawInode> {
    let blocks = sealed.sized.journal_blocks();
    if blocks == 0 {
        return None;
    }
    let mut raw = internal_inode(sealed, blocks * BLOCK_SIZE);
    raw.i_flags = flag::EXTENTS.into();
    raw.i_block = journal_extents(sealed).root;
    raw.set_blocks(blocks + sealed.sized.journal_tree.len() as u64);
    Some(raw)
}

/// Makes the inode of a node, and the attributes that stand in it.
fn node_inode(sealed: &Sealed, id: NodeId) -> (RawInode, Vec<u8>) {
    let node = sealed.tree.node(id);
    let meta = &node.meta;
    let mut raw = RawInode::new();
    // No system lets a symlink's permissions differ, whatever an archive says of them.
    let permissions = match &node.kind {
        Kind::Symlink(_) => 0o777,
        _ => meta.mode & 0o7777,
    };
    raw.i_mode = (file_type(&node.kind) | permissions).into();
    raw.set_owner(meta.uid, meta.gid);
    raw.i_projid = meta.project.into();
    raw.i_flags = meta.flags.0.into();
    set_times(&mut raw, sealed.identity.times(meta));
    let links = match &node.kind {
        Kind::Directory(_) => match 2 + u64::from(sealed.subfolders(id)) {
            links if links > MAX_LINKS => 1,
            links => links,
        },
        _ => u64::from(node.names()),
    };
    raw.i_links_count = u16::try_from(links).unwrap_or(1).into();
    let mut blocks = content(sealed, id, &mut raw);
    if let Some(block) = sealed.bodies.xattr_block(id) {
        raw.set_file_acl(block);
        blocks += 1;
    }
    raw.set_blocks(blocks);
    let tail = xattr::place(&meta.xattrs)
        .map(|placed| placed.in_inode)
        .unwrap_or_default();
    (raw, tail)
}

/// Fills `i_size`, `i_block` and the flags that go with them; returns the blocks in use.
fn content(sealed: &Sealed, id: NodeId, raw: &mut RawInode) -> u64 {
    let place = sealed.bodies.place(id);
    let tree = place.map_or(0, |place| place.tree.len() as u64);
    let in_extents = |raw: &mut RawInode| {
        raw.i_flags = (raw.i_flags.get() | flag::EXTENTS).into();
        raw.i_block = build_extents(sealed, id).root;
    };
    match &sealed.tree.node(id).kind {
        Kind::File(map) => {
            raw.set_size(map.size);
            in_extents(raw);
            map.blocks() + tree
        }
        Kind::Directory(_) => {
            let blocks: u64 = place
                .iter()
                .flat_map(|place| &place.extents)
                .map(|extent| u64::from(extent.len))
                .sum();
            raw.set_size(blocks * BLOCK_SIZE);
            in_extents(raw);
            if place.is_some_and(|place| place.indexed) {
                raw.i_flags = (raw.i_flags.get() | flag::INDEX).into();
            }
            blocks + tree
        }
        Kind::Symlink(target) => {
            raw.set_size(target.len() as u64);
            if target.len() <= FAST_SYMLINK {
                raw.i_block[..target.len()].copy_from_slice(target);
                0
            } else {
                in_extents(raw);
                1
            }
        }
        Kind::CharDevice(device) | Kind::BlockDevice(device) => {
            raw.i_block = inode::encode_device(*device).unwrap_or([0; 60]);
            0
        }
        Kind::Fifo | Kind::Socket => 0,
    }
}

fn file_type(kind: &Kind<crate::ext4::file_map::FileMap>) -> u16 {
    match kind {
        Kind::File(_) => mode::FILE,
        Kind::Directory(_) => mode::DIRECTORY,
        Kind::Symlink(_) => mode::SYMLINK,
        Kind::CharDevice(_) => mode::CHAR,
        Kind::BlockDevice(_) => mode::BLOCK,
        Kind::Fifo => mode::FIFO,
        Kind::Socket => mode::SOCKET,
    }
}

fn set_times(raw: &mut RawInode, times: Times) {
    // Times were checked on arrival, and the image's own with the options.
    let encode = |time| inode::encode_time(time).unwrap_or_default();
    raw.set_atime(encode(times.atime));
    raw.set_ctime(encode(times.ctime));
    raw.set_mtime(encode(times.mtime));
    raw.set_crtime(encode(times.crtime));
}

/// Builds the journal's extent tree.
pub(crate) fn journal_extents(sealed: &Sealed) -> extent::Built {
    let extents: Vec<_> = split(&sealed.sized.journal).collect();
    let seed = Seed::from_uuid(&sealed.identity.uuid);
    extent::build(&extents, &sealed.sized.journal_tree, InodeNo::JOURNAL, seed)
}
