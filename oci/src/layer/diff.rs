//! What has to be laid over one tree to make it another: a deterministic archive.
//!
//! In each folder what goes comes first, as whiteouts, then what is new or different, in order of raw names. A file of
//! several names of which anything is different comes whole: the first name with the content, the others as links to it,
//! so that nothing depends on how others treat links into lower layers. Times of last access and of creation are left out:
//! layers do not have them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use forger_fs::source::{Entry, EntryKind};
use forger_fs::tar::{WriteError, WriteOptions, Writer};
use forger_fs::tree::compare::{Comparison, same};
use forger_fs::tree::{Content, Kind, Meta, Node, NodeId, Tree};

/// What a name in a layer must not begin with.
const PREFIX: &[u8] = b".wh.";

/// Why a layer cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// A content cannot be compared.
    #[error("{entry}: cannot compare its content")]
    Content {
        /// The entry's name, lossily decoded.
        entry: String,
        /// The reason.
        source: forger_block::Error,
    },
    /// A name means something else in a layer.
    #[error("{entry}: a layer cannot have names that begin with .wh., which take others away")]
    Name {
        /// The entry's name, lossily decoded.
        entry: String,
    },
    /// The archive cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// How much a layer changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Entries that are new or different.
    pub entries: u64,
    /// Names that go.
    pub removed: u64,
}

/// Writes the layer that makes `upper` of `lower`.
///
/// # Errors
/// All of [`DiffError`].
pub fn diff<W: Write>(
    lower: &Tree<Content>,
    upper: &Tree<Content>,
    output: W,
    options: &WriteOptions,
) -> Result<(W, Changes), DiffError> {
    let options = WriteOptions {
        acls_as_xattrs: true,
        ..options.clone()
    };
    let mut diff = Diff {
        lower,
        upper,
        kept: BTreeSet::new(),
        firsts: BTreeMap::new(),
        writer: Writer::with_options(output, options),
        changes: Changes::default(),
    };
    diff.keep()?;
    diff.folder(Some(lower.root()), upper.root(), &mut Vec::new())?;
    Ok((diff.writer.finish()?, diff.changes))
}

struct Diff<'a, W: Write> {
    lower: &'a Tree<Content>,
    upper: &'a Tree<Content>,
    /// Nodes of `upper` with several names, or whose node below has several, that are as they were.
    kept: BTreeSet<NodeId>,
    /// The first names of nodes with several that are written.
    firsts: BTreeMap<NodeId, Vec<u8>>,
    writer: Writer<W>,
    changes: Changes,
}

/// What counts: all that an archive can say.
const HOW: Comparison = Comparison {
    exact: false,
    holes: true,
    ignore_times: false,
    ignore_owner: false,
    ignore_mode: false,
    ignore_xattrs: false,
    ignore_flags: false,
    ignore_links: true,
    ignore_content: false,
};

impl<'a, W: Write> Diff<'a, W> {
    /// Finds the nodes of several names that are as they were: each of their names is one of the same
    /// node below, which no other node is the heir of.
    fn keep(&mut self) -> Result<(), DiffError> {
        let mut origins: BTreeMap<NodeId, Option<NodeId>> = BTreeMap::new();
        let mut order = Vec::new();
        let mut walk = self.upper.walk();
        while let Some(visit) = walk.next() {
            let node = self.upper.node(visit.node);
            if node.kind.is_directory() {
                continue;
            }
            let below = self.lower_at(walk.path());
            let several =
                node.names() > 1 || below.is_some_and(|id| self.lower.node(id).names() > 1);
            if !several {
                continue;
            }
            match origins.get_mut(&visit.node) {
                Some(origin) if *origin != below => *origin = None,
                Some(_) => {}
                None => {
                    origins.insert(visit.node, below);
                    order.push((visit.node, walk.path().to_vec()));
                }
            }
        }
        let mut heirs = BTreeSet::new();
        for (id, path) in order {
            let Some(Some(below)) = origins.get(&id) else {
                continue;
            };
            let (old, new) = (self.lower.node(*below), self.upper.node(id));
            if !heirs.contains(below) && self.same(old, new, &path)? {
                heirs.insert(*below);
                self.kept.insert(id);
            }
        }
        Ok(())
    }

    /// Returns what has a path in the lower tree, by names alone.
    fn lower_at(&self, path: &[u8]) -> Option<NodeId> {
        let mut id = self.lower.root();
        for step in path.split(|byte| *byte == b'/') {
            id = self.lower.node(id).directory()?.get(step)?;
        }
        Some(id)
    }

    fn same(
        &self,
        old: &Node<Content>,
        new: &Node<Content>,
        path: &[u8],
    ) -> Result<bool, DiffError> {
        same(old, new, HOW).map_err(|source| DiffError::Content {
            entry: shown(path),
            source,
        })
    }

    /// Writes a folder's own entry where it is another, and all that is different in it.
    fn folder(
        &mut self,
        below: Option<NodeId>,
        id: NodeId,
        path: &mut Vec<u8>,
    ) -> Result<(), DiffError> {
        let new = self.upper.node(id);
        let old = below.map(|below| self.lower.node(below));
        let Some(names) = new.directory() else {
            return Ok(());
        };
        let differs = match old {
            // What nothing described before is described now.
            Some(old) if old.implied() && !new.implied() => true,
            Some(old) => !self.same(old, new, path)?,
            None => !new.implied() || names.is_empty(),
        };
        if differs {
            self.write(path, &new.meta, EntryKind::Directory, &Content::new())?;
        }
        let old_names = old.and_then(Node::directory);
        let depth = path.len();
        for (name, _) in old_names.into_iter().flat_map(|names| names.iter()) {
            if names.get(name).is_none() {
                extend(path, &[PREFIX, name].concat());
                let nothing = EntryKind::File { size: 0 };
                let whiteout = entry(path, &Meta::default(), nothing);
                path.truncate(depth);
                self.changes.removed += 1;
                self.writer.append(&whiteout, &Content::new())?;
            }
        }
        for (name, child) in names.iter() {
            let was = old_names.and_then(|names| names.get(name));
            extend(path, name);
            if name.starts_with(PREFIX) && name != PREFIX {
                return Err(DiffError::Name { entry: shown(path) });
            }
            self.name(was, child, path)?;
            path.truncate(depth);
        }
        Ok(())
    }

    /// Writes what a name refers to where it is another, with all that is in it.
    fn name(
        &mut self,
        was: Option<NodeId>,
        id: NodeId,
        path: &mut Vec<u8>,
    ) -> Result<(), DiffError> {
        let new = self.upper.node(id);
        if new.kind.is_directory() {
            let below = was.filter(|was| self.lower.node(*was).kind.is_directory());
            if below.is_none() && was.is_some() && new.implied() {
                // What stands there has to go although nothing describes the folder.
                self.write(path, &new.meta, EntryKind::Directory, &Content::new())?;
            }
            return self.folder(below, id, path);
        }
        let old = was.map(|was| self.lower.node(was));
        let several = new.names() > 1 || old.is_some_and(|old| old.names() > 1);
        if several {
            if self.kept.contains(&id) {
                return Ok(());
            }
            if let Some(target) = self.firsts.get(&id).cloned() {
                let link = EntryKind::HardLink { target, size: 0 };
                return self.write(path, &new.meta, link, &Content::new());
            }
            self.firsts.insert(id, path.clone());
        } else if let Some(old) = old
            && self.same(old, new, path)?
        {
            return Ok(());
        }
        let empty = Content::new();
        let (kind, content) = match &new.kind {
            Kind::File(content) => (
                EntryKind::File {
                    size: content.size(),
                },
                content,
            ),
            Kind::Symlink(target) => (EntryKind::Symlink(target.to_vec()), &empty),
            Kind::CharDevice(device) => (EntryKind::CharDevice(*device), &empty),
            Kind::BlockDevice(device) => (EntryKind::BlockDevice(*device), &empty),
            Kind::Fifo => (EntryKind::Fifo, &empty),
            Kind::Socket => (EntryKind::Socket, &empty),
            Kind::Directory(_) => (EntryKind::Directory, &empty),
        };
        self.write(path, &new.meta, kind, content)
    }

    fn write(
        &mut self,
        path: &[u8],
        meta: &Meta,
        kind: EntryKind,
        content: &Content,
    ) -> Result<(), DiffError> {
        self.changes.entries += 1;
        Ok(self.writer.append(&entry(path, meta, kind), content)?)
    }
}

fn extend(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

fn entry(path: &[u8], meta: &Meta, kind: EntryKind) -> Entry {
    let meta = Meta {
        atime: None,
        ctime: None,
        crtime: None,
        ..meta.clone()
    };
    Entry {
        path: if path.is_empty() {
            b"./".to_vec()
        } else {
            path.to_vec()
        },
        kind,
        meta,
        offset: None,
    }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
