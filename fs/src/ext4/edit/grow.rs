//! How a directory becomes larger: by a block, or built anew with a hash tree.

use super::allocate::Run;
use super::error::{EditError, Result, damaged};
use super::groups::inode_group;
use super::map::Map;
use super::node::Node;
use super::volume::Volume;
use crate::ext4::BlockNo;
use crate::ext4::dir::DirEntry;
use crate::ext4::hash::HashVersion;
use crate::ext4::htree;
use crate::ext4::inode::{flag, mode};

impl Volume {
    /// Gives a directory one more block, whose content is for the caller to write.
    pub(super) fn grow(&mut self, node: &mut Node) -> Result<BlockNo> {
        let (group, _) = inode_group(&self.superblock, node.number.0);
        let block = self.take_block(group)?;
        let folder = self.folder(node.number)?;
        let logical = u64::try_from(folder.blocks.len()).unwrap_or(u64::MAX);
        folder.blocks.push(block);
        let mut map = std::mem::take(&mut folder.map);
        map.push(
            logical,
            Run {
                start: block,
                len: 1,
            },
        );
        self.lay_down(node, map, logical + 1, 1)?;
        Ok(block)
    }

    fn lay_down(&mut self, node: &mut Node, mut map: Map, blocks: u64, change: i64) -> Result<()> {
        let before = i64::try_from(map.nodes.len()).unwrap_or(i64::MAX);
        self.write_map(node, &mut map)?;
        let nodes = i64::try_from(map.nodes.len()).unwrap_or(i64::MAX) - before;
        self.count_blocks(node, change + nodes)?;
        let size = blocks * self.block_size();
        if size > u64::from(u32::MAX) {
            return Err(damaged(format!(
                "directory {} would have 4 GiB",
                node.number.0
            )));
        }
        node.raw.set_size(size);
        self.folder(node.number)?.map = map;
        Ok(())
    }

    /// Builds a directory anew, with a hash tree and one name more.
    pub(super) fn rebuild(
        &mut self,
        node: &mut Node,
        version: (u8, HashVersion),
        entry: DirEntry<'_>,
    ) -> Result<()> {
        let names = self.all_names(node.number)?;
        let mut folder = self
            .folders
            .remove(&node.number.0.into())
            .ok_or_else(|| damaged("a directory is gone"))?;
        let mut entries: Vec<DirEntry<'_>> = names
            .iter()
            .map(|(name, slot)| DirEntry {
                name,
                inode: slot.inode,
                file_type: slot.file_type,
            })
            .chain([entry])
            .collect();
        entries.sort_by_key(|entry| entry.name);
        let own_type = self.entry_type(mode::DIRECTORY);
        let dots = [
            DirEntry {
                file_type: own_type,
                ..DirEntry::dot(node.number)
            },
            DirEntry {
                file_type: own_type,
                ..DirEntry::dot_dot(folder.parent)
            },
        ];
        let form = self.form(node, version);
        let data = htree::build(&entries, dots, &form).map_err(|error| EditError::Value {
            field: "directory",
            value: error.names.to_string(),
            rule: "more names than its hash tree can hold",
        })?;
        let block_len = self.block_len();
        let needed = data.len() / block_len;
        let before = folder.blocks.len();
        while folder.blocks.len() > needed
            && let Some(block) = folder.blocks.pop()
        {
            self.free_blocks(block, 1)?;
        }
        let (group, _) = inode_group(&self.superblock, node.number.0);
        while folder.blocks.len() < needed {
            folder.blocks.push(self.take_block(group)?);
        }
        for (block, bytes) in folder.blocks.iter().zip(data.chunks_exact(block_len)) {
            self.overlay.put(*block, bytes);
        }
        let mut map = Map {
            runs: Vec::new(),
            nodes: std::mem::take(&mut folder.map.nodes),
        };
        for (logical, block) in (0..).zip(&folder.blocks) {
            map.push(
                logical,
                Run {
                    start: *block,
                    len: 1,
                },
            );
        }
        node.raw.i_flags = (node.raw.i_flags.get() | flag::INDEX).into();
        self.folders.insert(node.number.0.into(), folder);
        let change = i64::try_from(needed).unwrap_or(0) - i64::try_from(before).unwrap_or(0);
        self.lay_down(node, map, u64::try_from(needed).unwrap_or(0), change)?;
        // Every name stands somewhere else now.
        self.save(node)?;
        self.folders.remove(&node.number.0.into());
        self.folder(node.number)?;
        Ok(())
    }
}
