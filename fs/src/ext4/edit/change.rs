//! Facts of files changed: mode, owner, times, extended attributes.

use super::Editor;
use super::error::{EditError, Result};
use super::node::Node;
use super::path::wrong;
use crate::ext4::inode::mode;
use crate::tree::acl::{ACCESS, Acl, DEFAULT};
use crate::tree::{Time, shown};

impl Editor {
    /// Sets the permission bits of what stands at a path, setuid, setgid and sticky included; an ACL
    /// follows, as it does under `chmod`.
    ///
    /// # Errors
    /// [`EditError::Path`] when nothing stands there, or a symlink, which has no mode of its own.
    pub fn chmod(&mut self, path: &[u8], bits: u16) -> Result<()> {
        if bits > 0o7777 {
            return Err(EditError::Value {
                field: "mode",
                value: format!("{bits:o}"),
                rule: "it is at most 7777",
            });
        }
        let number = self.volume.locate(path)?;
        let mut node = self.volume.node(number)?;
        let kind = node.raw.i_mode.get() & mode::TYPE;
        if kind == mode::SYMLINK {
            return Err(wrong(path, "is a symlink, which has no mode of its own"));
        }
        let mut xattrs = None;
        if self.volume.has_acl(&node)? {
            let mut all = self.volume.xattrs(&node, &shown(path))?;
            if let Some(acl) = all.get_mut(ACCESS) {
                follow_mode(acl, bits);
                xattrs = Some(all);
            }
        }
        self.change(|volume| {
            node.raw.i_mode = (kind | bits).into();
            if let Some(xattrs) = xattrs {
                volume.set_xattrs(&mut node, &xattrs, &shown(path))?;
            }
            node.set_ctime(volume.time)?;
            volume.save(&mut node)
        })
    }

    /// Sets owner and group of what stands at a path, those that are given; nothing else changes, not
    /// even setuid and setgid. A symlink is not followed.
    ///
    /// # Errors
    /// [`EditError::Path`] when nothing stands there.
    pub fn chown(&mut self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let number = self.volume.locate(path)?;
        let mut node = self.volume.node(number)?;
        self.change(|volume| {
            let uid = uid.unwrap_or(node.raw.uid());
            let gid = gid.unwrap_or(node.raw.gid());
            node.raw.set_owner(uid, gid);
            node.set_ctime(volume.time)?;
            volume.save(&mut node)
        })
    }

    /// Sets the times of last access and of last change of the content, those that are given.
    ///
    /// # Errors
    /// [`EditError::Path`] when nothing stands there; [`EditError::Value`] for a time that the inode
    /// cannot hold.
    pub fn touch(&mut self, path: &[u8], atime: Option<Time>, mtime: Option<Time>) -> Result<()> {
        let number = self.volume.locate(path)?;
        let mut node = self.volume.node(number)?;
        if let Some(time) = atime {
            node.set_atime(time)?;
        }
        if let Some(time) = mtime {
            node.set_mtime(time)?;
        }
        node.set_ctime(self.volume.time)?;
        self.change(|volume| volume.save(&mut node))
    }

    /// Sets the times of last access and of last change of the content to the transaction's.
    ///
    /// # Errors
    /// As [`touch`](Self::touch).
    pub fn touch_now(&mut self, path: &[u8]) -> Result<()> {
        let time = self.volume.time;
        self.touch(path, Some(time), Some(time))
    }

    /// Sets an extended attribute; ACLs are in the kernel's attribute form. The mode follows an ACL
    /// as it does under `setfacl`: owner, mask (or group) and others become its permission bits, and
    /// an ACL that says no more than they do is not kept.
    ///
    /// # Errors
    /// [`EditError::Path`] when nothing stands there, for an ACL of a symlink, and for a default ACL of
    /// anything but a folder; [`EditError::Xattr`] for what has no place, and a malformed ACL.
    pub fn set_xattr(&mut self, path: &[u8], name: &[u8], value: &[u8]) -> Result<()> {
        if name != ACCESS && name != DEFAULT {
            return self.change_xattrs(path, |_, xattrs| {
                xattrs.insert(name.into(), value.into());
                Ok(())
            });
        }
        let acl = Acl::from_attribute(value).map_err(|source| EditError::Xattr {
            path: shown(path),
            source: source.into(),
        })?;
        self.change_xattrs(path, |node, xattrs| {
            let i_mode = node.raw.i_mode.get();
            match i_mode & mode::TYPE {
                mode::SYMLINK => return Err(wrong(path, "is a symlink, which has no ACL")),
                mode::DIRECTORY => {}
                _ if name == DEFAULT => {
                    return Err(wrong(
                        path,
                        "is no folder, and only folders have default ACLs",
                    ));
                }
                _ => {}
            }
            if name == ACCESS {
                node.raw.i_mode = (i_mode & !0o777 | acl.mode()).into();
            }
            if name == ACCESS && acl.is_minimal() {
                xattrs.remove(name);
            } else {
                xattrs.insert(name.into(), acl.to_attribute().into());
            }
            Ok(())
        })
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// [`EditError::Path`] when nothing stands there, or it has no such attribute.
    pub fn remove_xattr(&mut self, path: &[u8], name: &[u8]) -> Result<()> {
        self.change_xattrs(path, |_, xattrs| {
            xattrs
                .remove(name)
                .map(|_| ())
                .ok_or_else(|| wrong(path, "has no such attribute"))
        })
    }

    fn change_xattrs(
        &mut self,
        path: &[u8],
        edit: impl FnOnce(&mut Node, &mut crate::tree::Xattrs) -> Result<()>,
    ) -> Result<()> {
        let number = self.volume.locate(path)?;
        let mut node = self.volume.node(number)?;
        let mut xattrs = self.volume.xattrs(&node, &shown(path))?;
        edit(&mut node, &mut xattrs)?;
        self.change(|volume| {
            volume.set_xattrs(&mut node, &xattrs, &shown(path))?;
            node.set_ctime(volume.time)?;
            volume.save(&mut node)
        })
    }
}

/// Makes the entries of an ACL for owner, mask (or group) and others follow a mode.
fn follow_mode(acl: &mut [u8], bits: u16) {
    const OWNER: u8 = 0x01;
    const GROUP: u8 = 0x04;
    const MASK: u8 = 0x10;
    const OTHER: u8 = 0x20;
    let entries = acl.get_mut(4..).unwrap_or_default();
    let masked = entries.chunks(8).any(|entry| entry.first() == Some(&MASK));
    for entry in entries.chunks_exact_mut(8) {
        let [tag, _, permissions, ..] = entry else {
            continue;
        };
        let shift = match *tag {
            OWNER => 6,
            MASK => 3,
            GROUP if !masked => 3,
            OTHER => 0,
            _ => continue,
        };
        *permissions = u8::try_from(bits >> shift & 7).unwrap_or(0);
    }
}
