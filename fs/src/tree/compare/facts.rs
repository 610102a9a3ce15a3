//! What differs between two nodes.

use forger_block::Result;

use super::{Comparable, Comparison, Mismatch, word};
use crate::tree::{Device, InodeFlags, Kind, Meta, Node, Time};

/// A fact that is another in the second tree, with both values; `None` where there is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "`from` is the first tree's value, `to` the second's"
)]
#[non_exhaustive]
pub enum Fact {
    /// What it is; nothing else is compared then.
    Type {
        from: &'static str,
        to: &'static str,
    },
    /// Permission bits.
    Mode { from: u16, to: u16 },
    /// Owning user and group.
    Owner { from: (u32, u32), to: (u32, u32) },
    /// Length of the content in bytes.
    Size { from: u64, to: u64 },
    /// The content.
    Content(Mismatch),
    /// Target of a symlink.
    Target { from: Vec<u8>, to: Vec<u8> },
    /// Device number.
    Device { from: Device, to: Device },
    /// The earlier name that it shares a file with.
    Link {
        from: Option<Vec<u8>>,
        to: Option<Vec<u8>>,
    },
    /// A time: `mtime`, and `atime`, `ctime` or `crtime` in exact comparisons.
    Time {
        name: &'static str,
        from: Option<Time>,
        to: Option<Time>,
    },
    /// Inode flags.
    Flags { from: InodeFlags, to: InodeFlags },
    /// Project id.
    Project { from: u32, to: u32 },
    /// An extended attribute, ACLs among them.
    Xattr {
        name: Vec<u8>,
        from: Option<Vec<u8>>,
        to: Option<Vec<u8>>,
    },
    /// Whether only the names of others imply the folder; in exact comparisons.
    Implied { from: bool, to: bool },
}

/// Compares two nodes, but not what is in them where they are folders.
pub(super) fn compare<C: Comparable>(
    a: &Node<C>,
    b: &Node<C>,
    how: Comparison,
    found: &mut Vec<Fact>,
) -> Result<()> {
    let (from, to) = (word(&a.kind), word(&b.kind));
    if from != to {
        // All else is bound to differ.
        found.clear();
        found.push(Fact::Type { from, to });
        return Ok(());
    }
    match (&a.kind, &b.kind) {
        (Kind::File(a), Kind::File(b)) => contents(a, b, how, found)?,
        (Kind::Symlink(from), Kind::Symlink(to)) if from != to => {
            let (from, to) = (from.to_vec(), to.to_vec());
            found.push(Fact::Target { from, to });
        }
        (Kind::CharDevice(from), Kind::CharDevice(to))
        | (Kind::BlockDevice(from), Kind::BlockDevice(to))
            if from != to =>
        {
            let (from, to) = (*from, *to);
            found.push(Fact::Device { from, to });
        }
        _ => {}
    }
    let (from, to) = (a.implied(), b.implied());
    if how.exact && from != to {
        found.push(Fact::Implied { from, to });
    }
    // Nobody said anything of an implied folder.
    if how.exact || !(from || to) {
        let symlink = matches!(a.kind, Kind::Symlink(_));
        meta(&a.meta, &b.meta, symlink, how, found);
    }
    Ok(())
}

fn contents<C: Comparable>(a: &C, b: &C, how: Comparison, found: &mut Vec<Fact>) -> Result<()> {
    let (from, to) = (a.size(), b.size());
    if from != to {
        found.push(Fact::Size { from, to });
    }
    if !how.ignore_content
        && let Some(mismatch) = a.mismatch(b, how.holes)?
    {
        found.push(Fact::Content(mismatch));
    }
    Ok(())
}

fn meta(a: &Meta, b: &Meta, symlink: bool, how: Comparison, found: &mut Vec<Fact>) {
    // Linux shows 0777 for every symlink, whatever an archive says.
    let modes = !how.ignore_mode && (how.exact || !symlink);
    let (from, to) = (a.mode, b.mode);
    if modes && from != to {
        found.push(Fact::Mode { from, to });
    }
    let (from, to) = ((a.uid, a.gid), (b.uid, b.gid));
    if !how.ignore_owner && from != to {
        found.push(Fact::Owner { from, to });
    }
    if !how.ignore_times {
        times(a, b, how, found);
    }
    if !how.ignore_flags {
        let (from, to) = (a.flags, b.flags);
        if from != to {
            found.push(Fact::Flags { from, to });
        }
        let (from, to) = (a.project, b.project);
        if from != to {
            found.push(Fact::Project { from, to });
        }
    }
    if !how.ignore_xattrs {
        xattrs(a, b, found);
    }
}

fn times(a: &Meta, b: &Meta, how: Comparison, found: &mut Vec<Fact>) {
    let times = [
        ("mtime", a.mtime, b.mtime),
        ("atime", a.atime, b.atime),
        ("ctime", a.ctime, b.ctime),
        ("crtime", a.crtime, b.crtime),
    ];
    let count = if how.exact { times.len() } else { 1 };
    for (name, from, to) in times.into_iter().take(count) {
        let said = how.exact || (from.is_some() && to.is_some());
        if said && from != to {
            found.push(Fact::Time { name, from, to });
        }
    }
}

fn xattrs(a: &Meta, b: &Meta, found: &mut Vec<Fact>) {
    let added = b
        .xattrs
        .iter()
        .filter(|(name, _)| !a.xattrs.contains_key(*name))
        .map(|(name, to)| (name, None, Some(to)));
    let kept = a
        .xattrs
        .iter()
        .map(|(name, from)| (name, Some(from), b.xattrs.get(name)));
    for (name, from, to) in kept.chain(added) {
        if from != to {
            let value = |value: Option<&Box<[u8]>>| value.map(|value| value.to_vec());
            found.push(Fact::Xattr {
                name: name.to_vec(),
                from: value(from),
                to: value(to),
            });
        }
    }
}
