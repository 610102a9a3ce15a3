//! The writer.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::{self, BufWriter, Write};

use forger_block::{BlockRead, Run};

use super::member::lossy;
use super::outline::{Stored, outline, refused};
use crate::observe::Note;
use crate::source::{self, Entry, EntryKind, Source};
use crate::tree::{Content, NodeId, Tree, TreeSource};

/// How many bytes of a content are read at a time.
const PIECE: u64 = 1 << 20;

/// How an archive is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Leaves out sockets, each with a note; otherwise they are refused.
    pub ignore_sockets: bool,
    /// Writes ACLs as the attributes that they are: what unpacks layers of container images knows no others.
    pub acls_as_xattrs: bool,
}

/// Why an archive cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The output does not take the bytes.
    #[error("cannot write the archive at byte {offset}")]
    Io {
        /// How much of it is written.
        offset: u64,
        /// The reason.
        source: io::Error,
    },
    /// What is to be written cannot be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// A content cannot be read.
    #[error("{entry}: cannot read its content")]
    Content {
        /// The entry's name, lossily decoded.
        entry: String,
        /// The reason.
        source: forger_block::Error,
    },
    /// The entry has no place in a tar archive.
    #[error("{entry}: {what}")]
    Unrepresentable {
        /// The entry's name, lossily decoded.
        entry: String,
        /// What it is.
        what: String,
        /// The kind that `--ignore` takes to leave it out, where there is one.
        ignore: Option<&'static str>,
    },
}

/// Writes a deterministic PAX archive.
///
/// Equal entries give equal bytes: what fits is in a ustar header, what does not is in PAX records
/// in order of keyword, and there is nothing of the place or time of writing in it. User and group
/// names are left out. ACLs are written as text with numeric ids (`SCHILY.acl.*`, which GNU tar,
/// star and libarchive restore), or, where an access ACL contradicts the mode, as the attribute
/// itself; capabilities and all other attributes as `SCHILY.xattr.*`. Contents with holes are sparse
/// files in format 1.0. What PAX has no keyword for is `SCHILY.fflags` (inode flags),
/// `LIBARCHIVE.creationtime` and, known to nobody else, `FORGER.project`; an entry without an mtime
/// has a blank field, which others take for 1970.
///
/// ```
/// use forger_fs::source::{Entry, EntryKind};
/// use forger_fs::tar::Writer;
/// use forger_fs::tree::{Content, Meta, Time};
///
/// let meta = Meta { mode: 0o644, mtime: Some(Time::from_sec(0)), ..Meta::default() };
/// let entry = Entry { path: b"hello".to_vec(), kind: EntryKind::File { size: 5 }, meta, offset: None };
/// let mut writer = Writer::new(Vec::new());
/// writer.append(&entry, &Content::inline("world"))?;
/// let archive = writer.finish()?;
/// assert_eq!(archive.len(), 4 * 512); // header, content, end marker
/// # Ok::<(), forger_fs::tar::WriteError>(())
/// ```
#[derive(Debug)]
pub struct Writer<W: Write> {
    output: BufWriter<W>,
    options: WriteOptions,
    offset: u64,
    notes: Vec<Note>,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes an archive with the default options.
    pub fn new(output: W) -> Self {
        Self::with_options(output, WriteOptions::default())
    }

    /// Writes an archive.
    pub fn with_options(output: W, options: WriteOptions) -> Self {
        let output = BufWriter::with_capacity(128 << 10, output);
        Self {
            output,
            options,
            offset: 0,
            notes: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Takes the notes that came up since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Returns how many bytes are written.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Writes an entry; files, and hard links whose size is not 0, have the content of this length.
    ///
    /// A folder's name gets a `/` at its end; no other name has one.
    ///
    /// # Errors
    /// All of [`WriteError`]; the archive is unusable then, except after
    /// [`Unrepresentable`](WriteError::Unrepresentable), where nothing was written.
    pub fn append(&mut self, entry: &Entry, content: &dyn BlockRead) -> Result<(), WriteError> {
        if entry.kind == EntryKind::Socket && self.options.ignore_sockets {
            let what = "a socket, which tar does not have, was left out".to_owned();
            self.notes.push(Note::Ignored {
                entry: lossy(&entry.path),
                what,
            });
            return Ok(());
        }
        let unreadable = |source| WriteError::Content {
            entry: lossy(&entry.path),
            source,
        };
        let (size, sparse) = match &entry.kind {
            EntryKind::File { size } => (*size, true),
            EntryKind::HardLink { size, .. } => (*size, false),
            _ => (0, false),
        };
        if size != 0 && size != content.len() {
            let what = format!("a content of {} bytes for a size of {size}", content.len());
            return Err(refused(entry, &what, None));
        }
        let runs = if sparse {
            data_runs(content).map_err(unreadable)?
        } else {
            None
        };
        let Some(runs) = runs else {
            let stored = if size == 0 {
                Stored::Not
            } else {
                Stored::Plain(size)
            };
            self.put(&outline(entry, stored, &self.options)?.blocks())?;
            self.copy(entry, content, 0, size)?;
            return self.pad(size);
        };
        let map = map_text(&runs, size);
        let data = runs
            .iter()
            .fold(0, |sum: u64, (_, len)| sum.saturating_add(*len));
        let body = data.saturating_add(u64::try_from(map.len()).unwrap_or(u64::MAX));
        self.put(&outline(entry, Stored::Sparse { size, body }, &self.options)?.blocks())?;
        self.put(&map)?;
        for (at, len) in runs {
            self.copy(entry, content, at, len)?;
        }
        self.pad(data)
    }

    /// Writes a file whose content comes in order and ends where its size says.
    ///
    /// # Errors
    /// As [`append`](Self::append); [`WriteError::Unrepresentable`] when there is more or less content than the
    /// size says, which leaves the archive unusable.
    pub fn append_stream(
        &mut self,
        entry: &Entry,
        content: &mut dyn io::Read,
    ) -> Result<(), WriteError> {
        let EntryKind::File { size } = entry.kind else {
            return Err(refused(entry, "no file, and so without content", None));
        };
        self.put(&outline(entry, Stored::Plain(size), &self.options)?.blocks())?;
        let unreadable = |source| WriteError::Content {
            entry: lossy(&entry.path),
            source: forger_block::Error::io("read", lossy(&entry.path), source),
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(usize::try_from(PIECE).unwrap_or(0), 0);
        let mut seen = 0u64;
        loop {
            let count = content.read(&mut buffer).map_err(unreadable)?;
            seen = seen.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            if seen > size || (count == 0 && seen < size) {
                return Err(refused(
                    entry,
                    "a content of another length than its size",
                    None,
                ));
            }
            if count == 0 {
                break;
            }
            self.put(buffer.get(..count).unwrap_or_default())?;
        }
        self.buffer = buffer;
        self.pad(size)
    }

    /// Writes a tree: depth first in order of raw names, the root as `./`; of a node with several
    /// names the later ones in this order are hard links to the first.
    ///
    /// Folders that are only implied by what is in them have no entry, and pending links none
    /// either: [settle](Tree::settle) the tree first.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_tree(&mut self, tree: &Tree<Content>) -> Result<(), WriteError> {
        self.append_below(tree, NodeId::ROOT)
    }

    /// Writes a folder of a tree as [`append_tree`](Self::append_tree) would if it were the root.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_below(&mut self, tree: &Tree<Content>, folder: NodeId) -> Result<(), WriteError> {
        let mut source = TreeSource::below(tree, folder);
        let nothing = Content::new();
        while let Some(entry) = source.next_entry()? {
            self.append(&entry, source.content().unwrap_or(&nothing))?;
        }
        Ok(())
    }

    /// Writes the end marker and returns the output.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.put(&[0; 1024])?;
        let offset = self.offset;
        self.output.into_inner().map_err(|error| WriteError::Io {
            offset,
            source: error.into_error(),
        })
    }

    /// Copies a part of a content.
    fn copy(
        &mut self,
        entry: &Entry,
        content: &dyn BlockRead,
        at: u64,
        len: u64,
    ) -> Result<(), WriteError> {
        let (mut at, end) = (at, at.saturating_add(len));
        while at < end {
            let piece = end.saturating_sub(at).min(PIECE);
            self.buffer.resize(usize::try_from(piece).unwrap_or(0), 0);
            let read = content.read_at(at, &mut self.buffer);
            read.map_err(|source| WriteError::Content {
                entry: lossy(&entry.path),
                source,
            })?;
            let written = self.output.write_all(&self.buffer);
            written.map_err(|source| WriteError::Io {
                offset: self.offset,
                source,
            })?;
            at = at.saturating_add(piece);
            self.offset = self.offset.saturating_add(piece);
        }
        Ok(())
    }

    fn pad(&mut self, size: u64) -> Result<(), WriteError> {
        let end = size.checked_next_multiple_of(512).unwrap_or(size);
        let padding = usize::try_from(end.saturating_sub(size)).unwrap_or(0);
        self.put([0; 512].get(..padding).unwrap_or_default())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let written = self.output.write_all(bytes);
        written.map_err(|source| WriteError::Io {
            offset: self.offset,
            source,
        })?;
        self.offset = self
            .offset
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        Ok(())
    }
}

/// Returns the runs of data of a content, `None` if there is no hole in it.
fn data_runs(content: &dyn BlockRead) -> forger_block::Result<Option<Vec<(u64, u64)>>> {
    let (mut runs, mut holes, mut at) = (Vec::<(u64, u64)>::new(), false, 0u64);
    while at < content.len() {
        let run = content.run_at(at)?;
        match run {
            Run::Hole(_) => holes = true,
            Run::Data(len) => match runs.last_mut() {
                Some((start, before)) if start.saturating_add(*before) == at => {
                    *before = before.saturating_add(len);
                }
                _ => runs.push((at, len)),
            },
        }
        at = at.saturating_add(run.len().max(1));
    }
    Ok(holes.then_some(runs))
}

/// Writes the map that stands in front of a sparse file's data, padded.
fn map_text(runs: &[(u64, u64)], size: u64) -> Vec<u8> {
    let end = runs.last().map_or(0, |(at, len)| at.saturating_add(*len));
    // As GNU tar does it, an empty run marks the hole at the end.
    let last = (end < size).then_some((size, 0));
    let count = runs.len().saturating_add(usize::from(last.is_some()));
    let mut text = format!("{count}\n");
    for (at, len) in runs.iter().copied().chain(last) {
        text.push_str(&format!("{at}\n{len}\n"));
    }
    let mut map = text.into_bytes();
    map.resize(map.len().next_multiple_of(512), 0);
    map
}
