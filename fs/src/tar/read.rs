//! The reader.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use forger_block::BlockRead;

use super::header::{BLOCK, Header, SparseBlock};
use super::keyword::Globals;
use super::member::{Body, Member, Pending, assemble, lossy};
use super::pax::Records;
use super::sparse::{self, BodyMap, OldMap};
use super::window::Window;
use super::{Error, Options, content, number};
use crate::observe::Note;
use crate::source::{self, BodyRun, Entry, EntryKind, Source};
use content::{Content, Piece};
use zerocopy::FromBytes;

/// The archive's block size as an offset.
const UNIT: u64 = 512;

/// At so many unknown keywords the notes stop.
const MAX_NOTED: usize = 256;

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
    window: Window<R>,
    options: Options,
    origin: Option<Arc<dyn BlockRead>>,
    globals: Globals,
    content: Content,
    /// The current member's name, for messages.
    name: Vec<u8>,
    notes: Vec<Note>,
    unknown: BTreeSet<Vec<u8>>,
    ended: bool,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.name.escape_ascii().to_string();
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
            window: Window::new(input),
            options,
            origin: None,
            globals: Globals::default(),
            content: Content::default(),
            name: Vec::new(),
            notes: Vec::new(),
            unknown: BTreeSet::new(),
            ended: false,
        }
    }

    /// Says where the uncompressed archive, which the input reads from its first byte, can be read
    /// again at any offset.
    #[must_use]
    pub fn with_origin(mut self, origin: Arc<dyn BlockRead>) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Takes the notes that came up since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Returns how far the archive is read, in bytes.
    pub fn offset(&self) -> u64 {
        self.window.offset()
    }

    fn advance(&mut self) -> Result<Option<Entry>, Error> {
        self.skip(self.content.stored, "its content")?;
        self.skip(self.content.padding, "its padding")?;
        self.content = Content::default();
        let mut pending = Pending::default();
        while let Some((offset, header)) = self.header()? {
            if let Some(size) = self.extension(&header, offset)? {
                pending.since.get_or_insert(offset);
                self.extend(&header, offset, size, &mut pending)?;
                continue;
            }
            let member = assemble(&header, offset, pending, &self.globals, &self.options)?;
            return self.begin(member, &header, offset).map(Some);
        }
        match pending.since {
            Some(offset) if !pending.is_empty() => Err(Error::Dangling { offset }),
            _ => Ok(None),
        }
    }

    /// Reads the next header, or finds the end of the archive.
    fn header(&mut self) -> Result<Option<(u64, Header)>, Error> {
        while !self.ended {
            let offset = self.window.offset();
            let window = self.peek(BLOCK)?;
            let block = window.get(..BLOCK).unwrap_or(window);
            match block.len() {
                0 if offset == 0 => return Err(Error::Empty),
                0 => return self.unmarked(offset),
                BLOCK if block.iter().all(|byte| *byte == 0) => {
                    self.window.take(BLOCK);
                    self.end()?;
                }
                BLOCK => {
                    let Some(header) = Header::of(block) else {
                        break;
                    };
                    self.verify(&header, offset)?;
                    self.window.take(BLOCK);
                    return Ok(Some((offset, header)));
                }
                len if offset == 0 => {
                    let reason = format!("its {len} bytes are less than one header");
                    return Err(Error::NotTar { reason });
                }
                len => return Err(self.truncated("a header", offset, len, BLOCK)),
            }
        }
        Ok(None)
    }

    /// Takes the input's end where no end marker was.
    fn unmarked<T>(&mut self, offset: u64) -> Result<Option<T>, Error> {
        if !self.options.allow_missing_eof {
            return Err(Error::MissingEnd { offset });
        }
        self.ended = true;
        Ok(None)
    }

    /// Reads on after the first zero block of the end marker.
    fn end(&mut self) -> Result<(), Error> {
        let offset = self.window.offset();
        let window = self.peek(BLOCK)?;
        let block = window.get(..BLOCK).unwrap_or(window);
        if block.len() < BLOCK && block.iter().all(|byte| *byte == 0) {
            let end = offset.saturating_add(u64::try_from(block.len()).unwrap_or(0));
            return self.unmarked::<()>(end).map(|_| ());
        }
        loop {
            let window = self.peek(BLOCK)?;
            let zeros = window.iter().position(|byte| *byte != 0);
            let (count, more) = (zeros.unwrap_or(window.len()), zeros.is_some());
            if window.is_empty() {
                self.ended = true;
                return Ok(());
            }
            if more {
                let found = self
                    .window
                    .offset()
                    .saturating_add(u64::try_from(count).unwrap_or(0));
                if !self.options.concatenated && offset == UNIT {
                    let reason = format!(
                        "it begins with zeros, as an empty archive does, but goes on at byte {found}"
                    );
                    return Err(Error::NotTar { reason });
                }
                if !self.options.concatenated {
                    return Err(Error::DataAfterEnd { offset: found });
                }
                // The next archive starts at the block that holds the byte.
                let start = found.saturating_sub(found.checked_rem(UNIT).unwrap_or(0));
                let zeros = start.saturating_sub(self.window.offset());
                self.window.take(usize::try_from(zeros).unwrap_or(0));
                self.globals.clear();
                return Ok(());
            }
            self.window.take(count);
        }
    }

    fn verify(&self, header: &Header, offset: u64) -> Result<(), Error> {
        match header.verify() {
            Ok(()) => Ok(()),
            Err(_) if offset == 0 && !header.magic.starts_with(b"ustar") => {
                let reason = "its first 512 bytes are no header".to_owned();
                Err(Error::NotTar { reason })
            }
            Err((stored, computed)) => {
                let after = match self.name.is_empty() {
                    true => "the start".to_owned(),
                    false => lossy(&self.name),
                };
                Err(Error::Checksum {
                    offset,
                    after,
                    stored,
                    computed,
                })
            }
        }
    }

    /// Returns the body's length of a header that describes the next one.
    fn extension(&self, header: &Header, offset: u64) -> Result<Option<u64>, Error> {
        if !matches!(header.typeflag, b'x' | b'X' | b'g' | b'L' | b'K' | b'V') {
            return Ok(None);
        }
        let fault = |reason| Error::Field {
            offset,
            entry: lossy(&header.path()),
            field: "size",
            reason,
        };
        let size = number::field(&header.size).map_err(fault)?;
        match i64::try_from(size) {
            Ok(size @ 0..) => Ok(Some(size.unsigned_abs())),
            Ok(_) => Err(fault(format!("{size} is negative"))),
            Err(_) => Err(fault(format!("{size} is absurd"))),
        }
    }

    /// Takes in a header that describes the next one.
    fn extend(
        &mut self,
        header: &Header,
        offset: u64,
        size: u64,
        pending: &mut Pending,
    ) -> Result<(), Error> {
        let (name, limits) = (header.path(), (self.options.max_name, self.options.max_pax));
        let start = self.window.offset();
        match header.typeflag {
            b'L' => {
                let body = self.whole(offset, &name, "a long name", size, limits.0)?;
                pending.path = Some(long(body));
            }
            b'K' => {
                let body = self.whole(offset, &name, "a long link target", size, limits.0)?;
                pending.link = Some(long(body));
            }
            b'g' => {
                let body = self.whole(offset, &name, "global PAX records", size, limits.1)?;
                self.global(offset, &name, start, &body)?;
            }
            b'V' => {
                let label = number::printable(&name);
                self.notes
                    .push(Note::Other(format!("the archive's label is `{label}`")));
                self.skip(padded(size), "a volume label")?;
            }
            _ => {
                let held = pending
                    .records
                    .iter()
                    .map(|(_, body)| body.len())
                    .fold(0, usize::saturating_add);
                let limit = limits
                    .1
                    .saturating_sub(u64::try_from(held).unwrap_or(u64::MAX));
                let body = self.whole(offset, &name, "PAX records", size, limit)?;
                pending.records.push((start, body));
            }
        }
        Ok(())
    }

    fn global(&mut self, offset: u64, name: &[u8], start: u64, body: &[u8]) -> Result<(), Error> {
        for record in Records::new(body) {
            let (position, result) = match record {
                Ok(record) => {
                    let known = self.globals.apply(record.keyword, record.value);
                    let keyword = number::printable(record.keyword);
                    let known = known.map_err(|reason| format!("{keyword}: {reason}"));
                    (record.position, known.map(|known| (known, record.keyword)))
                }
                Err((position, reason)) => (position, Err(reason)),
            };
            let (known, keyword) = result.map_err(|reason| Error::Pax {
                offset: start.saturating_add(u64::try_from(position).unwrap_or(0)),
                entry: lossy(name),
                reason,
            })?;
            if !known {
                self.note_unknown(keyword.to_vec(), name);
            }
        }
        let (size, limit) = (self.globals.bytes(), self.options.max_pax);
        if size > limit {
            let (entry, what) = (lossy(name), "global PAX records");
            return Err(Error::TooLong {
                offset,
                entry,
                what,
                size,
                limit,
            });
        }
        Ok(())
    }

    /// Reads a body that is kept in memory, with its padding.
    fn whole(
        &mut self,
        offset: u64,
        name: &[u8],
        what: &'static str,
        size: u64,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        if size > limit {
            let entry = lossy(name);
            return Err(Error::TooLong {
                offset,
                entry,
                what,
                size,
                limit,
            });
        }
        let mut body = Vec::new();
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        while left > 0 {
            let buffered = self.peek(1)?.len();
            if buffered == 0 {
                let offset = self.window.offset();
                return Err(self.truncated(what, offset, 0, left));
            }
            let part = self.window.take(buffered.min(left));
            body.extend_from_slice(part);
            left = left.saturating_sub(part.len());
        }
        self.skip(padded(size).saturating_sub(size), what)?;
        Ok(body)
    }

    /// Gets ready for a member's body.
    fn begin(&mut self, member: Member, header: &Header, offset: u64) -> Result<Entry, Error> {
        let Member {
            mut entry,
            body,
            unknown,
            ignored,
        } = member;
        self.name.clear();
        self.name.extend_from_slice(&entry.path);
        for keyword in unknown {
            self.note_unknown(keyword, &entry.path);
        }
        for what in ignored {
            self.notes.push(Note::Ignored {
                entry: lossy(&entry.path),
                what,
            });
        }
        self.content = match (body, &mut entry.kind) {
            (Body::None, _) => Content::default(),
            (Body::Plain(size), _) => Content::plain(size),
            (Body::Ignored(size), _) => Content::ignored(size),
            (Body::Perhaps(body), EntryKind::HardLink { size, .. }) => {
                if self.header_follows()? {
                    *size = 0;
                    Content::default()
                } else {
                    Content::plain(body)
                }
            }
            (Body::Perhaps(_), _) => Content::default(),
            (Body::Mapped(stored, runs), EntryKind::File { size }) => {
                Content::sparse(*size, stored, stored, runs)
            }
            (Body::OldSparse(stored), EntryKind::File { size }) => {
                let runs = self.old_map(header, offset)?;
                let runs = sparse::check(runs, *size, stored)
                    .map_err(|reason| self.sparse_fault(offset, reason))?;
                Content::sparse(*size, stored, stored, runs)
            }
            (Body::MapFirst(stored), EntryKind::File { size }) => {
                let (runs, left) = self.body_map(offset, stored)?;
                let runs = sparse::check(runs, *size, left)
                    .map_err(|reason| self.sparse_fault(offset, reason))?;
                Content::sparse(*size, left, stored, runs)
            }
            (Body::Mapped(..) | Body::OldSparse(_) | Body::MapFirst(_), _) => Content::default(),
        };
        Ok(entry)
    }

    /// Tells whether a header, the end marker or nothing comes next: then a hard link has no body.
    fn header_follows(&mut self) -> Result<bool, Error> {
        let window = self.peek(BLOCK)?;
        let block = window.get(..BLOCK).unwrap_or(window);
        let header = Header::of(block).is_some_and(|header| header.verify().is_ok());
        Ok(header || block.iter().all(|byte| *byte == 0))
    }

    /// Reads the map of an old GNU sparse file.
    fn old_map(&mut self, header: &Header, offset: u64) -> Result<Vec<sparse::Run>, Error> {
        let mut map = OldMap::new(self.options.max_sparse_runs);
        let tail = header
            .gnu()
            .ok_or_else(|| self.sparse_fault(offset, "no map".to_owned()))?;
        map.add(&tail.sparse)
            .map_err(|reason| self.sparse_fault(offset, reason))?;
        let mut more = tail.is_extended != 0;
        while more {
            let block = self.block("a sparse map")?;
            let block = SparseBlock::read_from_bytes(&block)
                .map_err(|_| self.sparse_fault(offset, "no block".to_owned()))?;
            map.add(&block.sparse)
                .map_err(|reason| self.sparse_fault(offset, reason))?;
            more = block.is_extended != 0;
        }
        Ok(map.runs)
    }

    /// Reads the map in front of a body; returns it and how much of the body is left.
    fn body_map(&mut self, offset: u64, stored: u64) -> Result<(Vec<sparse::Run>, u64), Error> {
        let mut map = BodyMap::new(self.options.max_sparse_runs);
        let mut left = stored;
        loop {
            left = left.checked_sub(UNIT).ok_or_else(|| {
                self.sparse_fault(
                    offset,
                    format!("it does not end in the body of {stored} bytes"),
                )
            })?;
            let block = self.block("a sparse map")?;
            let runs = map
                .add(&block)
                .map_err(|reason| self.sparse_fault(offset, reason))?;
            if let Some(runs) = runs {
                return Ok((runs, left));
            }
        }
    }

    /// Takes one block, whatever is in it.
    fn block(&mut self, what: &'static str) -> Result<[u8; BLOCK], Error> {
        let offset = self.window.offset();
        let window = self.peek(BLOCK)?;
        let len = window.len();
        let block = window
            .get(..BLOCK)
            .and_then(|block| <[u8; BLOCK]>::try_from(block).ok());
        let block = block.ok_or_else(|| self.truncated(what, offset, len, BLOCK))?;
        self.window.take(BLOCK);
        Ok(block)
    }

    /// Notes an unknown keyword once.
    fn note_unknown(&mut self, mut keyword: Vec<u8>, entry: &[u8]) {
        keyword.truncate(256);
        if self.unknown.len() > MAX_NOTED || self.unknown.contains(&keyword) {
            return;
        }
        self.notes.push(match self.unknown.len() {
            MAX_NOTED => Note::Other("further unknown PAX keywords are passed over".to_owned()),
            _ => Note::UnknownKeyword {
                keyword: number::printable(&keyword),
                entry: lossy(entry),
            },
        });
        self.unknown.insert(keyword);
    }

    fn skip(&mut self, count: u64, what: &'static str) -> Result<(), Error> {
        let missing = self.window.skip(count);
        let missing = missing.map_err(|source| Error::Io {
            offset: self.window.offset(),
            source,
        })?;
        match missing {
            0 => Ok(()),
            _ => {
                let (offset, entry) = (self.window.offset(), lossy(&self.name));
                Err(Error::Truncated {
                    offset,
                    entry,
                    what,
                    missing,
                })
            }
        }
    }

    fn peek(&mut self, least: usize) -> Result<&[u8], Error> {
        let offset = self.window.offset();
        self.window
            .peek(least)
            .map_err(|source| Error::Io { offset, source })
    }

    /// The error for an input that has `found` bytes from `offset` on where `wanted` should be.
    fn truncated(&self, what: &'static str, offset: u64, found: usize, wanted: usize) -> Error {
        let length = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let missing = length(wanted.saturating_sub(found));
        let offset = offset.saturating_add(length(found));
        Error::Truncated {
            offset,
            entry: lossy(&self.name),
            what,
            missing,
        }
    }

    fn sparse_fault(&self, offset: u64, reason: String) -> Error {
        Error::Sparse {
            offset,
            entry: lossy(&self.name),
            reason,
        }
    }

    /// Hands out the next part of a data run of `left` bytes at `position` of the file.
    fn data(&mut self, position: u64, left: u64) -> Result<BodyRun<'_>, Error> {
        let boundary = content::to_boundary(position);
        let wanted = usize::try_from(left.min(boundary)).unwrap_or(usize::MAX);
        let at = self.window.offset();
        let buffered = self.peek(wanted)?.len();
        if buffered < wanted {
            let missing = self
                .content
                .stored
                .saturating_sub(u64::try_from(buffered).unwrap_or(0));
            let offset = at.saturating_add(u64::try_from(buffered).unwrap_or(0));
            let (entry, what) = (lossy(&self.name), "its content");
            return Err(Error::Truncated {
                offset,
                entry,
                what,
                missing,
            });
        }
        let count = content::cut(position, left, buffered);
        self.content.consume(count);
        let bytes = self.window.take(usize::try_from(count).unwrap_or(0));
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

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        self.origin.clone()
    }

    fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}

/// Rounds a body's length up to whole blocks.
fn padded(size: u64) -> u64 {
    size.checked_next_multiple_of(UNIT).unwrap_or(u64::MAX)
}

/// Drops the NULs that end a GNU long name.
fn long(mut body: Vec<u8>) -> Vec<u8> {
    while body.last() == Some(&0) {
        body.pop();
    }
    body
}
