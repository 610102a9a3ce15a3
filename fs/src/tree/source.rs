//! A tree played back as a source.

use std::collections::BTreeMap;
use std::sync::Arc;

use forger_block::{BlockRead, Run};

use super::{Content, Kind, Node, NodeId, Tree, Visit, Walk};
use crate::source::{BodyPlace, BodyRun, Entry, EntryKind, Error, Source};

/// How many bytes of a content are read at a time.
const PIECE: u64 = 1 << 20;

/// Plays a [`Tree<Content>`](Tree) as a [`Source`]: depth first, in order of raw names.
///
/// The root is the entry `./`. Of a node with several names the first in this order carries the
/// content, the others are hard links to it. Folders that are only implied are left out where
/// others imply them again. Links that are still pending are left out: [settle](Tree::settle) first.
#[derive(Debug)]
pub struct TreeSource<'a> {
    tree: &'a Tree<Content>,
    walk: Walk<'a, Content>,
    /// The first names of nodes that have several.
    firsts: BTreeMap<NodeId, Box<[u8]>>,
    /// The current entry's content and how far it has been read.
    body: Option<(&'a Content, u64)>,
    buffer: Vec<u8>,
}

impl<'a> TreeSource<'a> {
    /// Starts at the root.
    #[must_use]
    pub fn new(tree: &'a Tree<Content>) -> Self {
        Self::below(tree, NodeId::ROOT)
    }

    /// Starts at a folder, which becomes the root.
    #[must_use]
    pub fn below(tree: &'a Tree<Content>, folder: NodeId) -> Self {
        Self {
            tree,
            walk: tree.walk_from(folder),
            firsts: BTreeMap::new(),
            body: None,
            buffer: Vec::new(),
        }
    }

    /// Returns the content of the current entry, if it is a file's.
    #[must_use]
    pub fn content(&self) -> Option<&'a Content> {
        self.body.map(|(content, _)| content)
    }

    fn entry(&mut self, visit: Visit<'a>, node: &'a Node<Content>) -> Entry {
        let path = match visit.depth {
            0 => b"./".to_vec(),
            _ => self.walk.path().to_vec(),
        };
        let kind = match self.earlier_name(visit.node, node) {
            Some(target) => EntryKind::HardLink { target, size: 0 },
            None => self.kind(node),
        };
        Entry {
            path,
            kind,
            meta: node.meta.clone(),
            offset: None,
        }
    }

    fn kind(&mut self, node: &'a Node<Content>) -> EntryKind {
        match &node.kind {
            Kind::File(content) => {
                self.body = Some((content, 0));
                let size = content.size();
                EntryKind::File { size }
            }
            Kind::Directory(_) => EntryKind::Directory,
            Kind::Symlink(target) => EntryKind::Symlink(target.to_vec()),
            Kind::CharDevice(device) => EntryKind::CharDevice(*device),
            Kind::BlockDevice(device) => EntryKind::BlockDevice(*device),
            Kind::Fifo => EntryKind::Fifo,
            Kind::Socket => EntryKind::Socket,
        }
    }

    /// Returns the node's name that came before, and remembers this one otherwise.
    fn earlier_name(&mut self, id: NodeId, node: &Node<Content>) -> Option<Vec<u8>> {
        if node.names() < 2 {
            return None;
        }
        if let Some(first) = self.firsts.get(&id) {
            return Some(first.to_vec());
        }
        self.firsts.insert(id, self.walk.path().into());
        None
    }

    /// Tells whether the folder comes to be without an entry of its own.
    fn is_implied(node: &Node<Content>, visit: Visit<'_>) -> bool {
        let empty = node.directory().is_some_and(super::Directory::is_empty);
        node.implied() && (visit.depth == 0 || !empty)
    }
}

impl Source for TreeSource<'_> {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        self.body = None;
        while let Some(visit) = self.walk.next() {
            let node = self.tree.node(visit.node);
            if !Self::is_implied(node, visit) {
                return Ok(Some(self.entry(visit, node)));
            }
        }
        Ok(None)
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        let Some((content, at)) = &mut self.body else {
            return Ok(None);
        };
        let from = *at;
        let run = content.run_at(from).map_err(other)?;
        if run.is_empty() {
            return Ok(None);
        }
        let Run::Data(len) = run else {
            *at += run.len();
            return Ok(Some(BodyRun::Hole(run.len())));
        };
        // A piece ends where its span does, so that it stands in one place of the origin.
        let len = content.span_rest(from).unwrap_or(len).min(PIECE);
        *at += len;
        let size = usize::try_from(len).expect("a piece has 1 MiB");
        if self.buffer.len() < size {
            self.buffer.resize(size, 0);
        }
        let bytes = &mut self.buffer[..size];
        content.read_at(from, bytes).map_err(other)?;
        let origin = content.origin();
        let at = origin.and_then(|_| content.origin_offset(from));
        Ok(Some(BodyRun::Data { bytes, at }))
    }

    fn next_place(&mut self) -> Result<Option<BodyPlace>, Error> {
        let Some((content, at)) = &mut self.body else {
            return Ok(None);
        };
        let from = *at;
        if content.origin().is_none() {
            return Ok(None);
        }
        let place = match content.run_at(from).map_err(other)? {
            Run::Hole(len) => BodyPlace::Hole(len),
            Run::Data(len) => match content.origin_offset(from) {
                Some(at) => BodyPlace::Data {
                    at,
                    len: content.span_rest(from).unwrap_or(len),
                },
                None => return Ok(None),
            },
        };
        *at += place.len();
        Ok((!place.is_empty()).then_some(place))
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        self.body.as_ref()?.0.origin().cloned()
    }
}

fn other(error: forger_block::Error) -> Error {
    Error::Other(Box::new(error))
}
