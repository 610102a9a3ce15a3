//! What an ordinary user cannot set, kept in extended attributes that he can.
//!
//! | what | where |
//! |---|---|
//! | owner of a file or folder | `user.rootlesscontainers`, the protobuf message that umoci and others write too: field 1 is the user, field 2 the group |
//! | owner of a symlink, fifo or socket, which have no such attributes | `user.forger.owners` of its folder, a line `uid:gid name` each |
//! | mode, where it would not let the user read, or has setuid or setgid bits | `user.forger.mode`, octal |
//! | device node | an empty file with `user.forger.device`: `c major:minor` or `b major:minor` |
//! | attributes outside `user.` | `user.forger.xattr.` and their name |
//! | inode flags | `user.forger.flags`, a number |
//!
//! A node that belongs to the user and has no such attribute belongs to root in the image.

use std::collections::BTreeMap;

use forger_fs::tree::{Content, Device, Error, InodeFlags, Kind, Meta, NodeId, Policy, Tree};

const OWNER: &[u8] = b"user.rootlesscontainers";
const OWNERS: &[u8] = b"user.forger.owners";
const MODE: &[u8] = b"user.forger.mode";
const DEVICE: &[u8] = b"user.forger.device";
const XATTR: &[u8] = b"user.forger.xattr.";
const FLAGS: &[u8] = b"user.forger.flags";

/// Changes a tree into one that a user with these ids can write into a folder; [`restore`] undoes it.
///
/// # Errors
/// [`Error`] when the tree cannot be changed.
pub fn keep(tree: &mut Tree<Content>, uid: u32, gid: u32) -> Result<(), Error> {
    let mut owners: BTreeMap<NodeId, Vec<u8>> = BTreeMap::new();
    let mut devices: BTreeMap<NodeId, Vec<Vec<u8>>> = BTreeMap::new();
    let (mut others, mut implied) = (Vec::new(), Vec::new());
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let node = tree.node(visit.node);
        match &node.kind {
            Kind::CharDevice(_) | Kind::BlockDevice(_) => {
                devices
                    .entry(visit.node)
                    .or_default()
                    .push(walk.path().to_vec());
            }
            Kind::Symlink(_) | Kind::Fifo | Kind::Socket => {
                if (node.meta.uid, node.meta.gid) != (0, 0) {
                    let lines = owners.entry(visit.parent).or_default();
                    let name = escaped(visit.name);
                    lines.extend_from_slice(
                        format!("{}:{} {name}\n", node.meta.uid, node.meta.gid).as_bytes(),
                    );
                }
                others.push(visit.node);
            }
            Kind::Directory(_) if node.implied() => implied.push(walk.path().to_vec()),
            Kind::File(_) | Kind::Directory(_) => {}
        }
    }
    for path in implied {
        let meta = Meta {
            mode: 0o755,
            ..Meta::default()
        };
        let path = if path.is_empty() { &b"."[..] } else { &path };
        tree.put(path, meta, Kind::directory(), Policy::default())?;
    }
    let nodes: Vec<NodeId> = tree.ids().collect();
    for id in nodes {
        let node = tree.node(id);
        if matches!(node.kind, Kind::File(_) | Kind::Directory(_)) {
            let least = if node.kind.is_directory() {
                0o700
            } else {
                0o600
            };
            let meta = kept(&node.meta, least, uid, gid);
            *tree.meta_mut(id) = meta;
        }
    }
    for id in others {
        let meta = tree.meta_mut(id);
        (meta.uid, meta.gid) = (uid, gid);
    }
    for (folder, lines) in owners {
        tree.meta_mut(folder)
            .xattrs
            .insert(OWNERS.into(), lines.into());
    }
    for (id, paths) in devices {
        let node = tree.node(id);
        let (letter, Device { major, minor }) = match &node.kind {
            Kind::CharDevice(device) => ('c', *device),
            Kind::BlockDevice(device) => ('b', *device),
            _ => continue,
        };
        let mut meta = kept(&node.meta, 0o600, uid, gid);
        let text = format!("{letter} {major}:{minor}");
        meta.xattrs.insert(DEVICE.into(), text.into_bytes().into());
        replace(tree, &paths, meta, Kind::File(Content::new()))?;
    }
    Ok(())
}

/// Changes a tree that a user with these ids has of a folder into the one that [`keep`] was given.
///
/// # Errors
/// [`Error`] when the tree cannot be changed.
pub fn restore(tree: &mut Tree<Content>, uid: u32, gid: u32) -> Result<(), Error> {
    let mut devices: BTreeMap<NodeId, (Kind<Content>, Vec<Vec<u8>>)> = BTreeMap::new();
    let mut owners: BTreeMap<NodeId, (u32, u32)> = BTreeMap::new();
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let node = tree.node(visit.node);
        if let Some(kind) = node.meta.xattrs.get(DEVICE).and_then(|text| device(text)) {
            let entry = devices
                .entry(visit.node)
                .or_insert_with(|| (kind, Vec::new()));
            entry.1.push(walk.path().to_vec());
        }
        if let (Some(folder), Some(lines)) = (node.directory(), node.meta.xattrs.get(OWNERS)) {
            for (name, id) in folder.iter() {
                let own = || {
                    matches!(
                        tree.node(id).kind,
                        Kind::Symlink(_) | Kind::Fifo | Kind::Socket
                    )
                };
                if let Some(owner) = owner_of(lines, name).filter(|_| own()) {
                    owners.insert(id, owner);
                }
            }
        }
    }
    let nodes: Vec<NodeId> = tree.ids().collect();
    for id in nodes {
        let meta = tree.meta_mut(id);
        restored(meta, uid, gid);
        if let Some(owner) = owners.get(&id) {
            (meta.uid, meta.gid) = *owner;
        }
    }
    for (id, (kind, paths)) in devices {
        let meta = tree.node(id).meta.clone();
        replace(tree, &paths, meta, kind)?;
    }
    Ok(())
}

/// Puts something else in the place of a node with all its names.
fn replace(
    tree: &mut Tree<Content>,
    paths: &[Vec<u8>],
    meta: Meta,
    kind: Kind<Content>,
) -> Result<(), Error> {
    let Some((first, rest)) = paths.split_first() else {
        return Ok(());
    };
    tree.put(first, meta, kind, Policy::default())?;
    for path in rest {
        tree.link(path, first, None)?;
    }
    Ok(())
}

/// Returns metadata that the user can set, with the rest in attributes.
fn kept(meta: &Meta, least: u16, uid: u32, gid: u32) -> Meta {
    let mut new = Meta {
        uid,
        gid,
        mode: meta.mode & 0o1777 | least,
        flags: InodeFlags::default(),
        xattrs: Default::default(),
        ..meta.clone()
    };
    let mut set = |name: &[u8], value: &[u8]| {
        new.xattrs.insert(name.into(), value.into());
    };
    for (name, value) in &meta.xattrs {
        match name.starts_with(b"user.") {
            true => set(name, value),
            false => set(&[XATTR, name].concat(), value),
        }
    }
    if (meta.uid, meta.gid) != (0, 0) {
        set(OWNER, &message(meta.uid, meta.gid));
    }
    if meta.mode & 0o1777 | least != meta.mode {
        set(MODE, format!("{:o}", meta.mode).as_bytes());
    }
    if meta.flags != InodeFlags::default() {
        set(FLAGS, meta.flags.0.to_string().as_bytes());
    }
    new
}

fn restored(meta: &mut Meta, uid: u32, gid: u32) {
    let text =
        |value: Option<Box<[u8]>>| value.and_then(|value| String::from_utf8(value.into()).ok());
    if meta.uid == uid {
        meta.uid = 0;
    }
    if meta.gid == gid {
        meta.gid = 0;
    }
    if let Some((uid, gid)) = meta.xattrs.remove(OWNER).and_then(|value| ids(&value)) {
        (meta.uid, meta.gid) = (uid, gid);
    }
    if let Some(mode) =
        text(meta.xattrs.remove(MODE)).and_then(|text| u16::from_str_radix(&text, 8).ok())
    {
        meta.mode = mode & 0o7777;
    }
    if let Some(flags) = text(meta.xattrs.remove(FLAGS)).and_then(|text| text.parse().ok()) {
        meta.flags = InodeFlags(flags);
    }
    meta.xattrs.remove(OWNERS);
    meta.xattrs.remove(DEVICE);
    let hidden: Vec<_> = meta
        .xattrs
        .keys()
        .filter(|name| name.starts_with(XATTR))
        .cloned()
        .collect();
    for name in hidden {
        if let (Some(value), Some(own)) = (meta.xattrs.remove(&name), name.strip_prefix(XATTR)) {
            meta.xattrs.insert(own.into(), value);
        }
    }
}

/// Writes the message of `rootlesscontainers`; a field that is 0 is left out.
fn message(uid: u32, gid: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, value) in [(0x08u8, uid), (0x10, gid)] {
        if value == 0 {
            continue;
        }
        out.push(tag);
        let mut rest = value;
        while rest >= 0x80 {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push((rest & 0x7f) as u8);
    }
    out
}

/// Reads the message; `None` for anything else. Ids of `u32::MAX` say nothing.
fn ids(bytes: &[u8]) -> Option<(u32, u32)> {
    let (mut uid, mut gid) = (0, 0);
    let mut rest = bytes.iter();
    while let Some(tag) = rest.next() {
        let (mut value, mut shift) = (0u64, 0u32);
        loop {
            let byte = rest.next()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 28 {
                return None;
            }
        }
        let value = u32::try_from(value).ok()?;
        let id = if value == u32::MAX { 0 } else { value };
        match tag {
            0x08 => uid = id,
            0x10 => gid = id,
            _ => return None,
        }
    }
    Some((uid, gid))
}

fn device(text: &[u8]) -> Option<Kind<Content>> {
    let text = std::str::from_utf8(text).ok()?;
    let (letter, numbers) = text.split_once(' ')?;
    let (major, minor) = numbers.split_once(':')?;
    let device = Device {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    };
    match letter {
        "c" => Some(Kind::CharDevice(device)),
        "b" => Some(Kind::BlockDevice(device)),
        _ => None,
    }
}

fn escaped(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}

fn owner_of(lines: &[u8], name: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(lines).ok()?;
    let name = escaped(name);
    let line = text.lines().find_map(|line| {
        let (ids, own) = line.split_once(' ')?;
        (own == name).then_some(ids)
    })?;
    let (uid, gid) = line.split_once(':')?;
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(uid: u32, gid: u32, mode: u16) -> Meta {
        Meta {
            uid,
            gid,
            mode,
            ..Meta::default()
        }
    }

    #[test]
    fn what_is_kept_is_restored() {
        let mut tree: Tree<Content> = Tree::new(meta(0, 0, 0o755));
        let mut put = |path: &[u8], meta: Meta, kind| {
            tree.put(path, meta, kind, Policy::default())
                .map(drop)
                .unwrap();
        };
        let mut file = meta(1000, 300_000, 0o4711);
        file.xattrs
            .insert((*b"security.capability").into(), (*b"\x01\0").into());
        file.xattrs.insert((*b"user.own").into(), (*b"mine").into());
        file.flags = InodeFlags(0x10);
        put(b"d", meta(7, 0, 0o000), Kind::directory());
        put(b"d/file", file, Kind::File(Content::inline(&b"x"[..])));
        put(
            b"d/link",
            meta(5, 6, 0o777),
            Kind::Symlink((*b"file").into()),
        );
        put(b"d/odd \n", meta(1, 2, 0o600), Kind::Fifo);
        put(
            b"null",
            meta(0, 9, 0o666),
            Kind::CharDevice(Device { major: 1, minor: 3 }),
        );
        tree.link(b"null2", b"null", None).unwrap();
        // The root was named, as restoring names it.
        tree.put(
            b".",
            meta(0, 0, 0o755),
            Kind::directory(),
            Policy::default(),
        )
        .map(drop)
        .unwrap();
        let before = tree.dump(forger_fs::tree::Holes::Shown).unwrap();
        keep(&mut tree, 65534, 65534).unwrap();
        for (_, node) in tree.iter() {
            assert!(matches!(
                node.kind,
                Kind::File(_) | Kind::Directory(_) | Kind::Symlink(_) | Kind::Fifo
            ));
            assert_eq!(node.meta.mode & 0o6000, 0);
            assert!(
                node.meta
                    .xattrs
                    .keys()
                    .all(|name| name.starts_with(b"user."))
            );
        }
        restore(&mut tree, 65534, 65534).unwrap();
        assert_eq!(tree.dump(forger_fs::tree::Holes::Shown).unwrap(), before);
    }

    #[test]
    fn owners_are_the_message_that_others_write() {
        assert_eq!(message(1000, 0), [0x08, 0xe8, 0x07]);
        assert_eq!(ids(&[0x08, 0xe8, 0x07, 0x10, 0x05]), Some((1000, 5)));
        for bad in [
            &[0x08][..],
            &[0x1a, 1],
            &[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
        ] {
            assert_eq!(ids(bad), None);
        }
    }
}
