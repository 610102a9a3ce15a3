//! Extended attributes of the volume's inodes: in the inode, and in a block that others may share.

use super::error::{EditError, Result, damaged};
use super::groups::inode_group;
use super::node::Node;
use super::volume::Volume;
use crate::ext4::BlockNo;
use crate::ext4::features::compat;
use crate::ext4::read::{Inode, in_block, in_inode};
use crate::ext4::xattr::{index, place_of, seal_block_of};
use crate::tree::Xattrs;

/// Bytes of fields that every inode has.
const BASE: usize = 128;

impl Volume {
    /// Returns the attributes of an inode, all of which can be written again.
    pub(super) fn xattrs(&mut self, node: &Node, path: &str) -> Result<Xattrs> {
        let inode = self.inode(node.number)?;
        if !self.plain_xattrs(&inode, false)? {
            return Err(EditError::Unsupported {
                path: path.to_owned(),
                what: "a set of extended attributes of a special kind",
            });
        }
        Ok(self.access().xattrs(&inode)?)
    }

    /// Tells whether an inode has an access control list.
    pub(super) fn has_acl(&mut self, node: &Node) -> Result<bool> {
        let inode = self.inode(node.number)?;
        if inode.tail().is_empty() && inode.xattr_block(&self.superblock).is_none() {
            return Ok(false);
        }
        let xattrs = self.access().xattrs(&inode)?;
        Ok(xattrs.contains_key(crate::tree::acl::ACCESS))
    }

    /// Tells whether attributes are of the usual kinds; with `values_only`, whether no value has an
    /// inode of its own.
    fn plain_xattrs(&self, inode: &Inode, values_only: bool) -> Result<bool> {
        let plain = |index: u8| {
            matches!(
                index,
                index::USER
                    | index::ACL_ACCESS
                    | index::ACL_DEFAULT
                    | index::TRUSTED
                    | index::SECURITY
            )
        };
        let mut all = true;
        let bad = |damage: crate::ext4::Damage| damaged(damage.to_string());
        for entry in in_inode(inode.tail()).map_err(bad)? {
            all &= entry.value_inode().is_none() && (values_only || plain(entry.raw.e_name_index));
        }
        if let Some(number) = inode.xattr_block(&self.superblock) {
            self.superblock
                .check_blocks("i_file_acl", number, 1)
                .map_err(bad)?;
            let block = self.blocks.read(number)?;
            let (_, entries) = in_block(self.access(), number, &block).map_err(bad)?;
            for entry in entries {
                all &=
                    entry.value_inode().is_none() && (values_only || plain(entry.raw.e_name_index));
            }
        }
        Ok(all)
    }

    /// Refuses an inode whose attributes have values in inodes of their own.
    pub(super) fn refuse_ea_inodes(&self, inode: &Inode) -> Result<()> {
        if self.plain_xattrs(inode, true)? {
            return Ok(());
        }
        Err(EditError::Unsupported {
            path: format!("inode {}", inode.number().0),
            what: "a file with large extended attributes (ea_inode)",
        })
    }

    /// Gives an inode other attributes. It is changed, but not saved.
    pub(super) fn set_xattrs(
        &mut self,
        node: &mut Node,
        xattrs: &Xattrs,
        path: &str,
    ) -> Result<()> {
        let start = node.fields();
        let tail = node.bytes.len().saturating_sub(start);
        let tail = if node.bytes.len() > BASE { tail } else { 0 };
        let (inner, block) =
            place_of(xattrs, tail, self.block_len()).map_err(|source| EditError::Xattr {
                path: path.to_owned(),
                source: source.into(),
            })?;
        if tail > 0 {
            node.bytes[start..].fill(0);
            node.bytes[start..start + inner.len()].copy_from_slice(&inner);
        }
        let old = self.xattr_block(node);
        match (old, block) {
            (None, None) => {}
            (Some(_), None) => self.drop_xattr_block(node)?,
            (old, Some(mut bytes)) => {
                let own = match old {
                    Some(number) if self.refcount(number)? == 1 => number,
                    _ => {
                        self.drop_xattr_block(node)?;
                        let (group, _) = inode_group(&self.superblock, node.number.0);
                        let number = self.take_block(group)?;
                        self.count_blocks(node, 1)?;
                        node.raw.set_file_acl(number);
                        number
                    }
                };
                seal_block_of(&mut bytes, own, 1, self.superblock.seed());
                self.overlay.put(own, &bytes);
            }
        }
        if !xattrs.is_empty() {
            let features = self.raw.s_feature_compat.get() | compat::EXT_ATTR;
            self.raw.s_feature_compat = features.into();
        }
        Ok(())
    }

    /// Takes the attribute block from an inode; the last user gives it back.
    pub(super) fn drop_xattr_block(&mut self, node: &mut Node) -> Result<()> {
        let Some(number) = self.xattr_block(node) else {
            return Ok(());
        };
        self.superblock
            .check_blocks("i_file_acl", number, 1)
            .map_err(|damage| damaged(damage.to_string()))?;
        let users = self.refcount(number)?;
        if users <= 1 {
            self.free_blocks(number, 1)?;
        } else {
            let seed = self.superblock.seed();
            self.overlay.edit(number, |block| {
                seal_block_of(block, number, users - 1, seed);
            })?;
        }
        self.count_blocks(node, -1)?;
        node.raw.set_file_acl(BlockNo(0));
        Ok(())
    }

    fn xattr_block(&self, node: &Node) -> Option<BlockNo> {
        let wide = self
            .superblock
            .has_incompat(crate::ext4::features::incompat::BITS64);
        let number = if wide {
            node.raw.file_acl()
        } else {
            BlockNo(node.raw.i_file_acl_lo.get().into())
        };
        (number.0 != 0).then_some(number)
    }

    fn refcount(&self, number: BlockNo) -> Result<u32> {
        Ok(self.overlay.view(number, |block| {
            block
                .get(4..8)
                .and_then(|field| field.first_chunk::<4>())
                .map_or(0, |field| u32::from_le_bytes(*field))
        })?)
    }
}
