//! Takes the names of a tree: what FAT can hold, and under which names.

use super::Error;
use super::folder;
use super::name::{self, Short, Shorts};
use super::options::Options;
use super::stamp;
use super::table::Chain;
use crate::observe::{Note, Observer};
use crate::tree::{Content, Kind, Meta, NodeId, Tree, shown};

/// What FAT does not keep, counted.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    attributes: u64,
    times: u64,
    links: u64,
    owners: u64,
}

impl Lost {
    fn count(&mut self, meta: &Meta) {
        self.attributes += u64::from(!meta.xattrs.is_empty() || meta.flags.0 != 0);
        self.owners += u64::from(meta.uid != 0 || meta.gid != 0 || meta.mode & 0o7000 != 0);
        self.times += u64::from(meta.mtime.is_some_and(|time| !stamp::is_held(time)));
    }

    fn report(self, observer: &mut dyn Observer) {
        let lost = [
            (
                self.owners,
                "entries have owners other than root or setuid bits, which FAT does not keep",
            ),
            (
                self.attributes,
                "entries have attributes, ACLs or flags, which FAT does not keep",
            ),
            (
                self.times,
                "times lie outside 1980 to 2107 and became the nearest",
            ),
            (self.links, "hard links became files of their own"),
        ];
        for (count, what) in lost.into_iter().filter(|(count, _)| *count > 0) {
            observer.note(Note::Other(format!("{count} {what}")));
        }
    }
}

/// A folder, and where it stands.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) node: NodeId,
    pub(super) parent: usize,
    pub(super) children: Vec<Child>,
    /// Entries of its children.
    pub(super) entries: u32,
    pub(super) chain: Option<Chain>,
}

/// A name in a folder.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) short: Short,
    pub(super) long: Option<Vec<u16>>,
    pub(super) is: Is,
}

/// What a name refers to, by its place in the planner's lists.
#[derive(Clone, Copy, Debug)]
pub(super) enum Is {
    Folder(usize),
    File(usize),
}

#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) node: NodeId,
    pub(super) content: &'a Content,
    pub(super) chain: Option<Chain>,
}

/// A volume as it is planned.
pub(super) struct Planner<'a> {
    pub(super) tree: &'a Tree<Content>,
    pub(super) options: &'a Options,
    /// The root first, a folder before what is in it.
    pub(super) folders: Vec<Folder>,
    pub(super) files: Vec<File<'a>>,
    lost: Lost,
}

/// A folder that waits until those before it are taken.
struct Waiting {
    node: NodeId,
    path: Vec<u8>,
    /// The folder it stands in, and its place among the names there.
    place: Option<(usize, usize)>,
}

impl<'a> Planner<'a> {
    /// Takes every name of the tree, folder by folder.
    pub(super) fn gather(
        tree: &'a Tree<Content>,
        options: &'a Options,
        observer: &mut dyn Observer,
    ) -> Result<Self, Error> {
        let mut planner = Self {
            tree,
            options,
            folders: Vec::new(),
            files: Vec::new(),
            lost: Lost::default(),
        };
        let mut pending = vec![Waiting {
            node: NodeId::ROOT,
            path: Vec::new(),
            place: None,
        }];
        while let Some(Waiting { node, path, place }) = pending.pop() {
            if observer.cancelled() {
                return Err(Error::Interrupted);
            }
            let index = planner.folders.len();
            if let Some((folder, child)) = place {
                planner.folders[folder].children[child].is = Is::Folder(index);
            }
            planner.folders.push(Folder {
                node,
                parent: place.map_or(0, |(folder, _)| folder),
                children: Vec::new(),
                entries: 0,
                chain: None,
            });
            let inside = planner.children(index, &path, observer)?;
            // The last is taken first, so that folders stand in the order of their names.
            pending.extend(inside.into_iter().rev());
        }
        planner.lost.report(observer);
        Ok(planner)
    }

    /// Takes the names of one folder; returns the folders in it.
    fn children(
        &mut self,
        index: usize,
        path: &[u8],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Waiting>, Error> {
        let tree = self.tree;
        let Some(directory) = tree.node(self.folders[index].node).directory() else {
            return Ok(Vec::new());
        };
        let mut shorts = Shorts::default();
        let at = |name: &[u8]| match path.is_empty() {
            true => name.to_vec(),
            false => [path, b"/", name].concat(),
        };
        let mut taken = Vec::new();
        for (name, node) in directory.iter() {
            if !self.holds(node, &at(name), observer)? {
                continue;
            }
            let bad = |source| Error::Name {
                entry: shown(&at(name)),
                source,
            };
            let units = name::units(name).map_err(bad)?;
            shorts.enter(name).map_err(bad)?;
            taken.push((name, node, units));
        }
        let (mut inside, mut entries) = (Vec::new(), 0);
        for (name, node, units) in taken {
            let bad = |source| Error::Name {
                entry: shown(&at(name)),
                source,
            };
            let (short, long) = match name::exact(name) {
                Some(short) => (short, None),
                None => (shorts.make(name).map_err(bad)?, Some(units)),
            };
            entries += folder::entries(long.as_deref());
            let meta = &tree.node(node).meta;
            self.lost.count(meta);
            let is = match &tree.node(node).kind {
                Kind::File(content) => {
                    self.lost.links += u64::from(tree.node(node).names() > 1);
                    self.files.push(File {
                        node,
                        content,
                        chain: None,
                    });
                    Is::File(self.files.len() - 1)
                }
                _ => {
                    let place = Some((index, self.folders[index].children.len()));
                    inside.push(Waiting {
                        node,
                        path: at(name),
                        place,
                    });
                    Is::Folder(0)
                }
            };
            self.folders[index].children.push(Child { short, long, is });
        }
        // Its label, or itself and its parent.
        let count = folder::check_count(entries + 2).map_err(|source| Error::Name {
            entry: shown(if path.is_empty() { b"/" } else { path }),
            source,
        })?;
        self.folders[index].entries = count - 2;
        Ok(inside)
    }

    /// Tells whether a node becomes an entry; what cannot be one is refused, or left out with a note.
    fn holds(&self, node: NodeId, path: &[u8], observer: &mut dyn Observer) -> Result<bool, Error> {
        let kind = &self.tree.node(node).kind;
        let ignore = self.options.ignore;
        let (ignored, option) = match kind {
            Kind::Directory(_) => return Ok(true),
            Kind::File(content) if u32::try_from(content.size()).is_ok() => return Ok(true),
            Kind::File(content) => {
                return Err(Error::Unrepresentable {
                    entry: shown(path),
                    what: format!(
                        "{} bytes, a file in a FAT has 4 GiB - 1 at most",
                        content.size()
                    ),
                    ignore: None,
                });
            }
            Kind::Symlink(_) => (ignore.symlinks, "symlinks"),
            _ => (ignore.devices, "devices"),
        };
        let what = format!("{}, which a FAT cannot hold", kind.name());
        if !ignored {
            return Err(Error::Unrepresentable {
                entry: shown(path),
                what,
                ignore: Some(option),
            });
        }
        observer.note(Note::Ignored {
            entry: shown(path),
            what: format!("{what}: left out"),
        });
        Ok(false)
    }
}
