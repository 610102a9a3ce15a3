//! Takes entries in arrival order: metadata into the tree, contents to their final place.

use super::cursor::{Cursor, Gap};
use super::file_map::FileMap;
use super::geometry::Frame;
use super::options::Options;
use super::place::Placer;
use super::represent::Represent;
use super::store::Store;
use super::{Error, Layer};
use crate::observe::Observer;
use crate::source::{Entry, EntryKind, Source};
use crate::tree::{self, Kind, Meta, NodeId, Policy, Put, Tree, Upper, Whiteout};

/// The most names a file can have.
const MAX_NAMES: u32 = 65_000;
/// How many content bytes pass between two looks at the observer.
const BREATH: u64 = 1 << 20;

/// Everything that is known once all sources have been read.
pub(crate) struct Ingested {
    /// All names and metadata; contents have their blocks.
    pub(crate) tree: Tree<FileMap>,
    /// The cursor after the last content.
    pub(crate) cursor: Cursor,
    /// Blocks of contents that were replaced or removed.
    pub(crate) released: Vec<Gap>,
    /// Entries taken.
    pub(crate) entries: u64,
    /// Content bytes taken, holes included.
    pub(crate) content_bytes: u64,
}

/// Reads every layer in order.
pub(crate) fn ingest(
    layers: &mut [Layer<'_>],
    options: &Options,
    frame: Frame,
    store: &mut dyn Store,
    observer: &mut dyn Observer,
) -> Result<Ingested, Error> {
    let root = Meta {
        mode: 0o755,
        uid: options.root_owner.0,
        gid: options.root_owner.1,
        ..Meta::default()
    };
    let mut ingest = Ingest {
        tree: Tree::new(root),
        placer: Placer::new(Cursor::new(frame), frame.max_blocks(), options),
        unread: options.unread,
        represent: Represent::new(options.ignore),
        memory_limit: options.memory_limit,
        released: Vec::new(),
        entries: 0,
        content_bytes: 0,
        unreported: 0,
        upper: None,
        store,
        observer,
    };
    for layer in layers {
        let policy = Policy {
            keep_directory_symlink: layer.overlay,
        };
        let whiteouts = layer.source.has_whiteouts();
        ingest.upper = whiteouts.then(|| ingest.tree.begin_layer());
        while let Some(entry) = layer.source.next_entry()? {
            ingest.entry(layer.source, entry, policy)?;
            ingest.notes(layer.source);
        }
        ingest.notes(layer.source);
        if whiteouts {
            // What a later layer replaces is not what this one's links mean.
            ingest.settle()?;
        }
    }
    ingest.finish()
}

struct Ingest<'a> {
    tree: Tree<FileMap>,
    placer: Placer,
    represent: Represent,
    /// Contents are not looked at, where that can be.
    unread: bool,
    memory_limit: u64,
    released: Vec<Gap>,
    entries: u64,
    content_bytes: u64,
    unreported: u64,
    /// What the layer has brought so far, where it is one of a container image.
    upper: Option<Upper>,
    store: &'a mut dyn Store,
    observer: &'a mut dyn Observer,
}

impl Ingest<'_> {
    fn entry(
        &mut self,
        source: &mut dyn Source,
        mut entry: Entry,
        policy: Policy,
    ) -> Result<(), Error> {
        self.breathe(0)?;
        let fail = Failure::of(&entry);
        if let Some(upper) = &self.upper
            && let Some(whiteout) =
                Whiteout::parse(&entry.path).map_err(|error| fail.entry(error))?
        {
            let released = self.tree.whiteout(upper, &whiteout);
            self.release(released.map_err(|error| fail.entry(error))?)?;
            return self.taken();
        }
        if entry.kind != EntryKind::Directory {
            self.tree
                .check(&entry.path)
                .map_err(|error| fail.entry(error))?;
            if source.keeps_folders() && self.tree.is_folder(&entry.path) {
                return Err(fail.entry(tree::Error::Folder));
            }
        }
        if !self.represent.entry(&mut entry, self.observer)? {
            return Ok(());
        }
        let Entry {
            path, kind, meta, ..
        } = entry;
        let kind = match kind {
            EntryKind::HardLink { target, size } => {
                return self.link(source, &path, &target, size, &fail);
            }
            EntryKind::File { size } => Kind::File(self.content(source, size)?),
            EntryKind::Symlink(target) => Kind::Symlink(target.into()),
            EntryKind::Directory => Kind::directory(),
            EntryKind::CharDevice(device) => Kind::CharDevice(device),
            EntryKind::BlockDevice(device) => Kind::BlockDevice(device),
            EntryKind::Fifo => Kind::Fifo,
            EntryKind::Socket => Kind::Socket,
        };
        let put = self.tree.put(&path, meta, kind, policy);
        let Put { released, .. } = put.map_err(|error| fail.entry(error))?;
        self.release(released)?;
        self.touch(&path);
        self.taken()
    }

    /// Notes what the layer has brought, so that its own whiteouts leave it alone.
    fn touch(&mut self, path: &[u8]) {
        if let Some(upper) = &mut self.upper {
            self.tree.touch(upper, path);
        }
    }

    fn link(
        &mut self,
        source: &mut dyn Source,
        path: &[u8],
        target: &[u8],
        size: u64,
        fail: &Failure,
    ) -> Result<(), Error> {
        let checked = self.tree.check_link(path, target, size > 0);
        checked.map_err(|error| fail.entry(error))?;
        let map = if size > 0 {
            Some(self.content(source, size)?)
        } else {
            None
        };
        let linked = self
            .tree
            .link(path, target, map)
            .map_err(|error| fail.entry(error))?;
        self.release(linked.released)?;
        if let Some(node) = linked.node {
            self.check_names(node, fail)?;
        }
        self.touch(path);
        self.taken()
    }

    fn notes(&mut self, source: &mut dyn Source) {
        for note in source.take_notes() {
            self.observer.note(note);
        }
    }

    /// Counts an entry.
    fn taken(&mut self) -> Result<(), Error> {
        self.entries += 1;
        self.observer.entry();
        if self.tree.memory() > self.memory_limit {
            return Err(Error::Memory {
                entries: self.entries,
                limit: self.memory_limit,
            });
        }
        Ok(())
    }

    /// Places the current entry's content of `size` bytes.
    fn content(&mut self, source: &mut dyn Source, size: u64) -> Result<FileMap, Error> {
        let origin = source.origin();
        let unread = self.unread && origin.is_some();
        self.store.origin(origin);
        loop {
            let len;
            if unread && let Some(place) = source.next_place()? {
                len = place.len();
                self.placer.place(place, self.store)?;
            } else if let Some(run) = source.next_run()? {
                len = run.len();
                self.placer.run(run, self.store)?;
            } else {
                break;
            }
            self.content_bytes += len;
            self.breathe(len)?;
        }
        self.placer.end(size, self.store)
    }

    fn check_names(&self, node: NodeId, fail: &Failure) -> Result<(), Error> {
        if self.tree.node(node).names() <= MAX_NAMES {
            return Ok(());
        }
        Err(fail.unrepresentable(format!("more than {MAX_NAMES} names on one file"), None))
    }

    fn release(&mut self, contents: Vec<FileMap>) -> Result<(), Error> {
        for content in contents {
            for extent in content.extents() {
                let gap = Gap {
                    start: extent.physical,
                    len: u64::from(extent.len),
                };
                self.store.release(gap)?;
                self.released.push(gap);
            }
        }
        Ok(())
    }

    /// Reports progress and asks whether to stop.
    fn breathe(&mut self, bytes: u64) -> Result<(), Error> {
        self.unreported += bytes;
        if self.unreported >= BREATH || (bytes == 0 && self.entries.is_multiple_of(256)) {
            self.observer.advance(std::mem::take(&mut self.unreported));
            if self.observer.cancelled() {
                return Err(forger_block::Error::Interrupted.into());
            }
        }
        Ok(())
    }

    /// Binds the hard links that wait for their targets.
    fn settle(&mut self) -> Result<(), Error> {
        let released = self.tree.settle().map_err(|error| Error::Entry {
            entry: "hard links".into(),
            offset: None,
            source: error,
        })?;
        self.release(released)
    }

    fn finish(mut self) -> Result<Ingested, Error> {
        self.settle()?;
        for (id, _) in self.tree.iter() {
            let fail = Failure {
                name: "hard links".into(),
                offset: None,
            };
            self.check_names(id, &fail)?;
        }
        self.store.flush()?;
        self.observer.advance(self.unreported);
        Ok(Ingested {
            tree: self.tree,
            cursor: self.placer.cursor(),
            released: self.released,
            entries: self.entries,
            content_bytes: self.content_bytes,
        })
    }
}

/// Which entry an error is about.
pub(crate) struct Failure {
    name: String,
    offset: Option<u64>,
}

impl Failure {
    /// Remembers an entry's name and place.
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            name: String::from_utf8_lossy(&entry.path).into_owned(),
            offset: entry.offset,
        }
    }

    fn entry(&self, source: crate::tree::Error) -> Error {
        Error::Entry {
            entry: self.name.clone(),
            offset: self.offset,
            source,
        }
    }

    /// Says what cannot be represented, and what `--ignore` would take to leave it out.
    pub(crate) fn unrepresentable(&self, what: String, ignore: Option<&'static str>) -> Error {
        Error::Unrepresentable {
            entry: self.name.clone(),
            offset: self.offset,
            what,
            ignore,
        }
    }
}
