//! The metadata as something that can be read: every block is made when it is asked for.

use std::sync::{Arc, Mutex};

use forger_block::{BlockRead, Bytes, check_range};

use super::bodies::{Body, Item, directory_bytes, split};
use super::table;
use super::{Sealed, index_of};
use crate::ext4::checksum::Seed;
use crate::ext4::units::{BLOCK_SIZE, BlockNo, GroupNo};
use crate::ext4::{extent, xattr};
use crate::tree::Kind;

const BLOCK: usize = 4096;

/// Reads as the image's metadata; offsets are those of the image.
pub(crate) struct Metadata {
    sealed: Arc<Sealed>,
    /// The body made last: reads come in pieces.
    last: Mutex<Option<(Body, Bytes)>>,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata").finish_non_exhaustive()
    }
}

impl BlockRead for Metadata {
    fn len(&self) -> u64 {
        self.sealed.sized.bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> forger_block::Result<()> {
        check_range(offset, buf.len() as u64, self.len())?;
        let (mut offset, mut buf) = (offset, buf);
        while !buf.is_empty() {
            let inside = usize::try_from(offset % BLOCK_SIZE).unwrap_or(0);
            let (now, later) = buf.split_at_mut((BLOCK - inside).min(buf.len()));
            let mut block = [0; BLOCK];
            self.block(BlockNo(offset / BLOCK_SIZE), &mut block);
            now.copy_from_slice(&block[inside..inside + now.len()]);
            offset += now.len() as u64;
            buf = later;
        }
        Ok(())
    }
}

impl Metadata {
    pub(crate) fn new(sealed: Arc<Sealed>) -> Self {
        Self {
            sealed,
            last: Mutex::default(),
        }
    }

    /// Makes one block; what is not metadata stays zero.
    fn block(&self, block: BlockNo, out: &mut [u8; BLOCK]) {
        let sealed = &*self.sealed;
        if let Some(item) = sealed.bodies.item_at(block) {
            let bytes = self.body(item);
            let index = u64::from(item.skip) + block.0 - item.first.0;
            let start = usize::try_from(index).unwrap_or(0) * BLOCK;
            out.copy_from_slice(&bytes[start..start + BLOCK]);
        } else if let Some(group) = position(&sealed.sized.block_bitmaps, block, 1) {
            *out = *sealed.usage.bitmap(group).as_bytes();
        } else if let Some(group) = position(&sealed.sized.inode_bitmaps, block, 1) {
            *out = *sealed.inode_bitmap(group).as_bytes();
        } else if let Some(group) = position(
            &sealed.sized.inode_tables,
            block,
            sealed.sized.table_blocks(),
        ) {
            let first = sealed.sized.inode_tables[index_of(group)];
            table::block(sealed, group, block.0 - first.0, out);
        }
    }

    /// Makes the whole body that an item is a part of, or finds it where it was made last.
    fn body(&self, item: &Item) -> Bytes {
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((body, bytes)) = &*last
            && *body == item.body
        {
            return bytes.clone();
        }
        let bytes = Bytes::from(make(&self.sealed, item));
        *last = Some((item.body, bytes.clone()));
        bytes
    }
}

/// Makes a body's bytes: whole blocks.
fn make(sealed: &Sealed, item: &Item) -> Vec<u8> {
    let seed = Seed::from_uuid(&sealed.identity.uuid);
    match item.body {
        Body::Directory(node) => {
            let Kind::Directory(directory) = &sealed.tree.node(node).kind else {
                return Vec::new();
            };
            let inode = sealed.numbers.inode(node);
            // It was made once when its blocks were counted, so it can be made again.
            directory_bytes(
                &sealed.tree,
                directory,
                inode,
                &sealed.numbers,
                &sealed.identity,
            )
            .map(|built| built.data)
            .unwrap_or_default()
        }
        Body::Symlink(node) => {
            let Kind::Symlink(target) = &sealed.tree.node(node).kind else {
                return Vec::new();
            };
            let mut bytes = target.to_vec();
            bytes.resize(BLOCK, 0);
            bytes
        }
        Body::Xattrs(node, users) => {
            let placed = xattr::place(&sealed.tree.node(node).meta.xattrs);
            let mut block = [0; BLOCK];
            if let Some(bytes) = placed.ok().and_then(|placed| placed.block) {
                block = *bytes;
            }
            xattr::seal_block(&mut block, item.first, users, seed);
            block.to_vec()
        }
        Body::ExtentTree(node) => {
            let built = build_extents(sealed, node);
            built
                .blocks
                .iter()
                .flat_map(|(_, bytes)| bytes.iter().copied())
                .collect()
        }
    }
}

/// Finds the group whose run of `len` blocks holds `block`; `starts` ascend.
fn position(starts: &[BlockNo], block: BlockNo, len: u64) -> Option<GroupNo> {
    let index = starts
        .partition_point(|start| *start <= block)
        .checked_sub(1)?;
    let inside = block.0 - starts[index].0 < len;
    inside.then(|| GroupNo(u32::try_from(index).unwrap_or(u32::MAX)))
}

/// Builds a node's extent tree, root and blocks.
pub(crate) fn build_extents(sealed: &Sealed, node: crate::tree::NodeId) -> extent::Built {
    let place = sealed.bodies.place(node);
    let runs = match &sealed.tree.node(node).kind {
        Kind::File(map) => map.extents(),
        _ => place.map_or(&[][..], |place| &place.extents),
    };
    let extents: Vec<_> = split(runs).collect();
    let blocks = place.map_or(&[][..], |place| &place.tree);
    let seed = Seed::from_uuid(&sealed.identity.uuid);
    extent::build(&extents, blocks, sealed.numbers.inode(node), seed)
}
