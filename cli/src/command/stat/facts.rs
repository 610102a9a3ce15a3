//! What there is to know of an inode, and as a JSON object.

use forger_fs::ext4::{FileType, Inode, Map, Mapped, ReadError};
use forger_fs::tree::Xattrs;
use serde_json::{Value, json};

use crate::image::Opened;
use crate::listing::{self, flags, xattr};

/// What stands beside the inode itself.
pub(super) struct Facts {
    /// The extended attributes.
    pub(super) xattrs: Xattrs,
    /// A symlink's target.
    pub(super) target: Option<Vec<u8>>,
    /// Where the content stands, if that was asked for.
    pub(super) map: Option<Map>,
}

/// Reads everything about an inode.
///
/// # Errors
/// What is damaged. Of an encrypted symlink the target is left out, as nobody can know it.
pub(super) fn collect(opened: &Opened, inode: &Inode, map: bool) -> Result<Facts, ReadError> {
    let image = &opened.image;
    let readable = inode.file_type() == FileType::Symlink && !inode.is_encrypted();
    Ok(Facts {
        xattrs: image.xattrs(inode)?,
        target: readable.then(|| image.symlink(inode)).transpose()?,
        map: map.then(|| image.map(inode)).transpose()?,
    })
}

/// Returns one object with every fact.
pub(super) fn json(opened: &Opened, inode: &Inode, facts: &Facts) -> Value {
    let superblock = opened.image.superblock();
    let mut object = listing::json_inode(inode);
    let space = inode.space(superblock);
    let more = json!({
        "path": listing::shown(opened.address.path_or_root()),
        "permissions": listing::permissions(inode),
        "blocks": space / 512,
        "space": space,
        "block_size": superblock.block_size(),
        "atime": listing::utc(inode.atime()),
        "ctime": listing::utc(inode.ctime()),
        "crtime": inode.crtime().map(listing::utc),
        "flags": flags::json(inode),
        "generation": inode.generation(),
        "project": inode.project(),
        "inline": inode.is_inline(),
        "target": facts.target.as_deref().map(listing::shown),
        "xattr_block": inode.xattr_block(superblock).map(|block| block.0),
        "xattrs": facts.xattrs.iter().map(|(n, v)| xattr::json(n, v)).collect::<Vec<_>>(),
        "extents": facts.map.as_ref().map(|map| map.runs.iter().map(extent).collect::<Vec<_>>()),
        "map_blocks": facts.map.as_ref().map(|map| map.nodes.iter().map(|block| block.0).collect::<Vec<_>>()),
    });
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

fn extent(run: &Mapped) -> Value {
    json!({
        "logical": run.logical,
        "physical": run.physical.0,
        "blocks": run.len,
        "unwritten": run.unwritten,
    })
}
