//! The reader.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::Read;
use std::sync::Arc;

use forger_block::BlockRead;

use super::blocks::Blocks;
use super::content::{self, Content, Piece};
use super::extension::{Extensions, is_extension};
use super::header::Header;
use super::keyword::Globals;
use super::kind::Body;
use super::member::{Member, Pending, assemble, lossy};
use super::notes::Notes;
use super::sparse::{self, Place};
use super::{Error, Options};
use crate::observe::Note;
use crate::source::{self, BodyPlace, BodyRun, Entry, EntryKind, Source};

/// What a content is called in errors.
const CONTENT: &str = "its content";

/// Reads a tar archive, any dialect, from a stream.
///
/// Contents are borrowed from one buffer of 1 MiB. A run of data ends at a multiple of 4096 bytes in
/// the file, or where the data end, so that a consumer can write whole blocks without copying. After
/// the end marker the rest of the input is read, so that whoever writes it is not cut off.
///
/// ```
/// use forger_fs::source::Source;
/// use forger_fs::tar::Reader;
///
/// let archive = [0u8; 1024]; // the end marker and nothing before it
/// let mut reader = Reader::new(&archive[..]);
/// while let Some(entry) = reader.next_entry()? {
///     println!("{} at {:?}", entry.path.escape_ascii(), entry.offset);
/// }
/// # Ok::<(), forger_fs::source::Error>(())
/// ```
pub struct Reader<R> {
    blocks: Blocks<R>,
    options: Options,
    origin: Option<Arc<dyn BlockRead>>,
    globals: Globals,
    content: Content,
    notes: Notes,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.blocks.member.escape_ascii().to_string();
        f.debug_struct("Reader")
            .field("options", &self.options)
            .field("name", &name)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// Reads an archive with the default options.
    pub fn new(input: R) -> Self {
        Self::with_options(input, Options::default())
    }

    /// Reads an archive.
    pub fn with_options(input: R, options: Options) -> Self {
        Self {
            blocks: Blocks::new(input, &options),
            options,
            origin: None,
            globals: Globals::default(),
            content: Content::default(),
            notes: Notes::default(),
        }
    }

    /// Says where the uncompressed archive, which the input reads from its first byte, can be read
    /// again at any offset. What nobody wants to read is jumped over then.
    #[must_use]
    pub fn with_origin(mut self, origin: Arc<dyn BlockRead>) -> Self {
        self.blocks.set_origin(Arc::clone(&origin));
        self.with_place(origin)
    }

    /// As [`with_origin`](Self::with_origin), but all of the input is read: whoever takes its digest on the way
    /// sees every byte.
    #[must_use]
    pub fn with_place(mut self, origin: Arc<dyn BlockRead>) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Returns how far the archive is read, in bytes.
    pub fn offset(&self) -> u64 {
        self.blocks.offset()
    }

    fn advance(&mut self) -> Result<Option<Entry>, Error> {
        self.blocks.skip(self.content.stored, CONTENT)?;
        self.blocks.skip(self.content.padding, "its padding")?;
        self.content = Content::default();
        let mut pending = Pending::default();
        let archive = self.blocks.archives;
        loop {
            let found = self.blocks.header()?;
            if found.is_none() || self.blocks.archives != archive {
                // What describes a member ends with its archive.
                pending.check_empty()?;
            }
            if self.blocks.archives != archive {
                self.globals.clear();
            }
            let Some((offset, header)) = found else {
                return Ok(None);
            };
            if !is_extension(&header) {
                let member = assemble(&header, offset, pending, &self.globals, &self.options)?;
                return self.begin(member, &header, offset).map(Some);
            }
            let mut extensions = Extensions {
                blocks: &mut self.blocks,
                globals: &mut self.globals,
                notes: &mut self.notes,
                options: &self.options,
            };
            extensions.take(&header, offset, &mut pending)?;
        }
    }

    /// Gets ready for a member's body.
    fn begin(&mut self, member: Member, header: &Header, offset: u64) -> Result<Entry, Error> {
        let Member {
            mut entry,
            body,
            unknown,
            ignored,
        } = member;
        self.blocks.member.clear();
        self.blocks.member.extend_from_slice(&entry.path);
        for keyword in unknown {
            self.notes.unknown(keyword, &entry.path);
        }
        for what in ignored {
            self.notes.ignored(&entry.path, what);
        }
        if let (Body::Perhaps(_), EntryKind::HardLink { size, .. }) = (&body, &mut entry.kind)
            && self.blocks.header_follows()?
        {
            *size = 0;
            return Ok(entry);
        }
        let size = match entry.kind {
            EntryKind::File { size } => size,
            _ => 0,
        };
        let place = Place {
            offset,
            entry: &entry.path,
        };
        let (blocks, limit) = (&mut self.blocks, self.options.max_sparse_runs);
        let check =
            |runs, stored| sparse::check(runs, size, stored).map_err(|reason| place.fault(reason));
        self.content = match body {
            Body::None => Content::default(),
            Body::Plain(size) | Body::Perhaps(size) => Content::plain(size),
            Body::Ignored(size) => Content::ignored(size),
            Body::Mapped(stored, runs) => Content::sparse(size, stored, stored, runs),
            Body::OldSparse(stored) => {
                let runs = sparse::read_old_map(header, place, blocks, limit)?;
                Content::sparse(size, stored, stored, check(runs, stored)?)
            }
            Body::MapFirst(stored) => {
                let (runs, left) = sparse::read_body_map(stored, place, blocks, limit)?;
                Content::sparse(size, left, stored, check(runs, left)?)
            }
        };
        Ok(entry)
    }

    /// Hands out the next part of a data run of `left` bytes at `position` of the file.
    fn data(&mut self, position: u64, left: u64) -> Result<BodyRun<'_>, Error> {
        let boundary = content::to_boundary(position);
        let wanted = usize::try_from(left.min(boundary)).unwrap_or(usize::MAX);
        let at = self.blocks.offset();
        let buffered = self.blocks.peek(wanted)?.len();
        if buffered < wanted {
            let missing = self
                .content
                .stored
                .saturating_sub(u64::try_from(buffered).unwrap_or(0));
            let offset = at.saturating_add(u64::try_from(buffered).unwrap_or(0));
            let (entry, what) = (lossy(&self.blocks.member), CONTENT);
            return Err(Error::Truncated {
                offset,
                entry,
                what,
                missing,
            });
        }
        let count = content::cut(position, left, buffered);
        self.content.consume(count);
        let bytes = self.blocks.take(usize::try_from(count).unwrap_or(0));
        Ok(BodyRun::Data {
            bytes,
            at: self.origin.is_some().then_some(at),
        })
    }
}

impl<R: Read> Source for Reader<R> {
    fn next_entry(&mut self) -> Result<Option<Entry>, source::Error> {
        Ok(self.advance()?)
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, source::Error> {
        match self.content.piece() {
            None => Ok(None),
            Some(Piece::Hole(len)) => Ok(Some(BodyRun::Hole(len))),
            Some(Piece::Data { position, left }) => Ok(self.data(position, left).map(Some)?),
        }
    }

    fn next_place(&mut self) -> Result<Option<BodyPlace>, source::Error> {
        if self.origin.is_none() {
            return Ok(None);
        }
        Ok(match self.content.piece() {
            None => None,
            Some(Piece::Hole(len)) => Some(BodyPlace::Hole(len)),
            Some(Piece::Data { left: len, .. }) => {
                let at = self.blocks.offset();
                self.blocks.skip(len, CONTENT)?;
                self.content.consume(len);
                Some(BodyPlace::Data { at, len })
            }
        })
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        self.origin.clone()
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.notes.take()
    }
}
