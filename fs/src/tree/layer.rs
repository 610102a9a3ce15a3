//! Layers of container images: entries that take away what the layers below brought
//! ([image-spec, layer.md](https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts)).
//!
//! | name in a layer | what it takes away |
//! |---|---|
//! | `d/.wh.x` | `d/x`, with all below it |
//! | `d/.wh..wh..opq` | all in `d`, which stays |
//!
//! Both act on what lower layers brought only, wherever in the layer they stand: what the same layer brought
//! stays, with the folders it stands in. A folder that is opaque is found by its own name, never
//! through a symlink. `.wh.` alone is an ordinary name.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::{BTreeMap, BTreeSet};

use super::resolve::Place;
use super::{Error, Meta, NodeId, Tree, name, shown};

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What an entry of a layer takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whiteout {
    /// The name at this path.
    Name(Vec<u8>),
    /// All names in the folder at this path.
    Opaque(Vec<u8>),
}

impl Whiteout {
    /// Tells whether an entry of this name takes something away.
    ///
    /// # Errors
    /// [`Error::Whiteout`] when it would take away a folder's `.` or `..`.
    pub fn parse(path: &[u8]) -> Result<Option<Self>, Error> {
        let start = path.iter().rposition(|byte| *byte == b'/');
        let start = start.map_or(0, |slash| slash.saturating_add(1));
        let (folder, last) = path.split_at_checked(start).unwrap_or_default();
        if last == OPAQUE {
            let folder = if folder.is_empty() { b"." } else { folder };
            return Ok(Some(Self::Opaque(folder.to_vec())));
        }
        match last.strip_prefix(PREFIX) {
            None | Some(b"") => Ok(None),
            Some(b"." | b"..") => Err(Error::Whiteout { name: shown(path) }),
            Some(last) => Ok(Some(Self::Name([folder, last].concat()))),
        }
    }
}

/// What a layer has brought so far, so that its whiteouts leave that alone.
#[derive(Clone, Debug)]
pub struct Upper {
    /// Nodes from this one on are the layer's own.
    first: NodeId,
    /// Older folders that the layer has an entry for (`true`), or has put something into.
    folders: BTreeMap<NodeId, bool>,
    /// Names that the layer gave to older nodes.
    links: BTreeSet<(NodeId, Box<[u8]>)>,
}

impl Upper {
    fn is_own(&self, id: NodeId) -> bool {
        id >= self.first
    }
}

impl<C> Tree<C> {
    /// Begins a layer over what is there.
    #[must_use]
    pub fn begin_layer(&self) -> Upper {
        Upper {
            first: NodeId(u32::try_from(self.id_bound()).unwrap_or(u32::MAX)),
            folders: BTreeMap::new(),
            links: BTreeSet::new(),
        }
    }

    /// Notes that the layer has put an entry at `path`.
    pub fn touch(&self, upper: &mut Upper, path: &[u8]) {
        let mut folder = match self.place(path) {
            Ok(Place::Folder(reached)) => {
                upper.folders.insert(reached.node, true);
                self.folder(reached.node).parent()
            }
            Ok(Place::Name(reached, last)) => {
                match self.folder(reached.node).get(last) {
                    Some(id) if upper.is_own(id) => {}
                    Some(id) if self.node(id).kind.is_directory() => {
                        upper.folders.insert(id, true);
                    }
                    _ => {
                        upper.links.insert((reached.node, last.into()));
                    }
                }
                reached.node
            }
            Err(_) => return,
        };
        loop {
            if !upper.is_own(folder) {
                if upper.folders.contains_key(&folder) {
                    return;
                }
                upper.folders.insert(folder, false);
            }
            if folder == NodeId::ROOT {
                return;
            }
            folder = self.folder(folder).parent();
        }
    }

    /// Takes away what a whiteout names, as far as lower layers brought it; returns the released contents.
    ///
    /// What is not there, or no folder, is no error.
    ///
    /// # Errors
    /// Names that are not legal.
    pub fn whiteout(&mut self, upper: &Upper, whiteout: &Whiteout) -> Result<Vec<C>, Error> {
        let mut released = Vec::new();
        match whiteout {
            Whiteout::Opaque(path) => {
                if let Some(folder) = self.real_folder(path)? {
                    self.clear(upper, folder, &mut released);
                }
            }
            Whiteout::Name(path) => {
                let (reached, last) = match self.place(path) {
                    Ok(Place::Name(reached, last)) if reached.missing.is_empty() => (reached, last),
                    Ok(_)
                    | Err(
                        Error::NotADirectory { .. }
                        | Error::TooManySymlinks { .. }
                        | Error::PendingParent { .. },
                    ) => return Ok(released),
                    Err(error) => return Err(error),
                };
                self.take_away(upper, reached.node, last, &mut released);
            }
        }
        Ok(released)
    }

    /// Finds a folder by its name, not through symlinks.
    fn real_folder(&self, path: &[u8]) -> Result<Option<NodeId>, Error> {
        name::check(path)?;
        let mut folder = NodeId::ROOT;
        for step in path.split(|byte| *byte == b'/') {
            match step {
                b"" | b"." => {}
                b".." if folder == NodeId::ROOT => return Err(Error::LeavesRoot),
                b".." => folder = self.folder(folder).parent(),
                step => match self.folder(folder).get(step) {
                    Some(next) if self.node(next).kind.is_directory() => folder = next,
                    _ => return Ok(None),
                },
            }
        }
        Ok(Some(folder))
    }

    /// Takes a name away, or what lower layers brought below it where this layer has put something there.
    fn take_away(&mut self, upper: &Upper, parent: NodeId, last: &[u8], released: &mut Vec<C>) {
        let Some(id) = self.folder(parent).get(last) else {
            return;
        };
        if upper.is_own(id) || upper.links.contains(&(parent, last.into())) {
            return;
        }
        match upper.folders.get(&id) {
            None => self.drop_name(parent, last, released),
            Some(entry) => {
                if !entry {
                    self.forget(id);
                }
                self.clear(upper, id, released);
            }
        }
    }

    /// Takes away what lower layers brought into a folder.
    fn clear(&mut self, upper: &Upper, folder: NodeId, released: &mut Vec<C>) {
        let mut rest = vec![folder];
        while let Some(folder) = rest.pop() {
            let names: Vec<_> = self
                .folder(folder)
                .entries
                .iter()
                .map(|(name, id)| (name.clone(), *id))
                .collect();
            for (last, id) in names {
                let kept = upper.is_own(id) || upper.links.contains(&(folder, last.clone()));
                match upper.folders.get(&id) {
                    _ if kept => {}
                    Some(entry) => {
                        if !entry {
                            self.forget(id);
                        }
                        rest.push(id);
                    }
                    None => self.drop_name(folder, &last, released),
                }
            }
        }
    }

    /// Makes a folder one that only what is in it implies.
    fn forget(&mut self, id: NodeId) {
        let meta = Meta {
            mode: 0o755,
            ..Meta::default()
        };
        self.set_meta(id, meta);
        self.node_mut(id).implied = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Kind, Policy};

    /// Applies layers of names: `d/` is a folder, `a -> b` a symlink, `a = b` a hard link, else a file.
    fn apply(layers: &[&[&str]]) -> Vec<String> {
        let mut tree: Tree<()> = Tree::new(Meta::default());
        for layer in layers {
            let mut upper = tree.begin_layer();
            for entry in *layer {
                let meta = || Meta {
                    mode: 0o700,
                    ..Meta::default()
                };
                let mut put = |path: &str, kind| {
                    tree.put(path.as_bytes(), meta(), kind, Policy::default())
                        .map(drop)
                };
                let path = if let Some((path, target)) = entry.split_once(" -> ") {
                    put(path, Kind::Symlink(target.as_bytes().into())).unwrap();
                    path
                } else if let Some((path, target)) = entry.split_once(" = ") {
                    tree.link(path.as_bytes(), target.as_bytes(), None).unwrap();
                    path
                } else if let Some(whiteout) = Whiteout::parse(entry.as_bytes()).unwrap() {
                    tree.whiteout(&upper, &whiteout).unwrap();
                    continue;
                } else {
                    let kind = if entry.ends_with('/') {
                        Kind::directory()
                    } else {
                        Kind::File(())
                    };
                    put(entry, kind).unwrap();
                    entry
                };
                tree.touch(&mut upper, path.as_bytes());
            }
            tree.settle().unwrap();
        }
        let mut names = Vec::new();
        let mut walk = tree.walk();
        while let Some(visit) = walk.next() {
            let node = tree.node(visit.node);
            let end = if node.kind.is_directory() { "/" } else { "" };
            names.push(String::from_utf8_lossy(walk.path()).into_owned() + end);
        }
        names.retain(|name| name != "/");
        names
    }

    #[test]
    fn a_whiteout_takes_away_what_is_below_and_nothing_of_its_own_layer() {
        let lower = &["a/", "a/x", "a/y", "b"][..];
        assert_eq!(apply(&[lower, &["a/.wh.x"]]), ["a/", "a/y", "b"]);
        assert_eq!(apply(&[lower, &[".wh.a"]]), ["b"]);
        assert_eq!(
            apply(&[lower, &["a/x", "a/.wh.x"]]),
            ["a/", "a/x", "a/y", "b"]
        );
        assert_eq!(
            apply(&[lower, &["a/.wh.x", "a/x"]]),
            ["a/", "a/x", "a/y", "b"]
        );
        assert_eq!(apply(&[lower, &["a/z", ".wh.a"]]), ["a/", "a/z", "b"]);
        assert_eq!(apply(&[lower, &[".wh.a", "a/z"]]), ["a/", "a/z", "b"]);
        assert_eq!(
            apply(&[lower, &["c = a/x", "a/.wh.x"]]),
            ["a/", "a/y", "b", "c"]
        );
        assert_eq!(apply(&[lower, &["a/w = b", ".wh.a"]]), ["a/", "a/w", "b"]);
        assert_eq!(apply(&[&[".wh.none", "none/.wh.x", "f"]]), ["f"]);
    }

    #[test]
    fn an_opaque_folder_hides_what_is_below_wherever_it_stands() {
        let lower = &["a/", "a/x", "a/d/", "a/d/e"][..];
        for layer in [
            &["a/", "a/.wh..wh..opq", "a/n"][..],
            &["a/", "a/n", "a/.wh..wh..opq"],
            &["a/.wh..wh..opq", "a/n"],
        ] {
            assert_eq!(apply(&[lower, layer]), ["a/", "a/n"], "{layer:?}");
        }
        let deep = &["a/d/new", "a/.wh..wh..opq"][..];
        assert_eq!(apply(&[lower, deep]), ["a/", "a/d/", "a/d/new"]);
        assert_eq!(apply(&[lower, &[".wh..wh..opq", "f"]]), ["f"]);
    }

    #[test]
    fn an_opaque_folder_is_not_looked_for_through_symlinks() {
        let lower = &["t/", "t/keep", "l -> t"][..];
        for layer in [
            &["l/", "l/.wh..wh..opq", "l/new"][..],
            &["l/.wh..wh..opq", "l/", "l/new"],
        ] {
            assert_eq!(
                apply(&[lower, layer]),
                ["l/", "l/new", "t/", "t/keep"],
                "{layer:?}"
            );
        }
    }

    #[test]
    fn odd_names_take_nothing_away() {
        let lower = &["etc/", "etc/passwd"][..];
        assert_eq!(
            apply(&[lower, &["etc/.wh..wh..opqX"]]),
            ["etc/", "etc/passwd"]
        );
        assert_eq!(
            apply(&[lower, &["etc/.wh."]]),
            ["etc/", "etc/.wh.", "etc/passwd"]
        );
        for name in [&b"a/.wh.."[..], b".wh..."] {
            assert!(Whiteout::parse(name).is_err());
        }
    }

    #[test]
    fn a_link_keeps_the_content_it_was_made_to() {
        let layers = [&["a", "later = z", "z"][..], &["b = a"], &["a"], &[".wh.z"]];
        assert_eq!(apply(&layers), ["a", "b", "later"]);
    }
}
