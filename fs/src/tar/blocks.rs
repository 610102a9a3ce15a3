//! The archive as headers and bytes: where headers stand, and where it all ends.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::Read;
use std::sync::Arc;

use forger_block::BlockRead;
use zerocopy::IntoBytes;

use super::foreign::resemblance;
use super::header::{BLOCK, Header};
use super::member::lossy;
use super::window::Window;
use super::{Error, Options};

/// The archive's block size as an offset.
pub(super) const UNIT: u64 = 512;

/// The blocks of an archive.
pub(super) struct Blocks<R> {
    window: Window<R>,
    concatenated: bool,
    allow_missing_eof: bool,
    /// The current member's name, for messages.
    pub(super) member: Vec<u8>,
    /// How many archives followed the first.
    pub(super) archives: u64,
    ended: bool,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(input: R, options: &Options) -> Self {
        Self {
            window: Window::new(input),
            concatenated: options.concatenated,
            allow_missing_eof: options.allow_missing_eof,
            member: Vec::new(),
            archives: 0,
            ended: false,
        }
    }

    /// Says where the archive can be read again at any offset.
    pub(super) fn set_origin(&mut self, origin: Arc<dyn BlockRead>) {
        self.window.set_origin(origin);
    }

    /// Returns how far the archive is read, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.window.offset()
    }

    /// Reads the next header, or finds the end of the archive.
    pub(super) fn header(&mut self) -> Result<Option<(u64, Header)>, Error> {
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
                    let reason = format!(
                        "its {len} bytes are less than one header{}",
                        resemblance(block)
                    );
                    return Err(Error::NotTar { reason });
                }
                len => return Err(self.truncated("a header", offset, len, BLOCK)),
            }
        }
        Ok(None)
    }

    /// Takes the input's end where no end marker was.
    fn unmarked<T>(&mut self, offset: u64) -> Result<Option<T>, Error> {
        if !self.allow_missing_eof {
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
                if !self.concatenated && offset == UNIT {
                    let reason = format!(
                        "it begins with zeros, as an empty archive does, but goes on at byte {found}"
                    );
                    return Err(Error::NotTar { reason });
                }
                if !self.concatenated {
                    return Err(Error::DataAfterEnd { offset: found });
                }
                // The next archive starts at the block that holds the byte.
                let start = found.saturating_sub(found.checked_rem(UNIT).unwrap_or(0));
                let zeros = start.saturating_sub(self.window.offset());
                self.window.take(usize::try_from(zeros).unwrap_or(0));
                self.archives = self.archives.saturating_add(1);
                return Ok(());
            }
            self.window.take(count);
        }
    }

    fn verify(&self, header: &Header, offset: u64) -> Result<(), Error> {
        match header.verify() {
            Ok(()) => Ok(()),
            Err(_) if offset == 0 && !header.magic.starts_with(b"ustar") => {
                let resemblance = resemblance(header.as_bytes());
                let reason = format!("its first 512 bytes are no header{resemblance}");
                Err(Error::NotTar { reason })
            }
            Err((stored, computed)) => {
                let after = match self.member.is_empty() {
                    true => "the start".to_owned(),
                    false => lossy(&self.member),
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

    /// Tells whether a header, the end marker or nothing comes next: then a hard link has no body.
    pub(super) fn header_follows(&mut self) -> Result<bool, Error> {
        let window = self.peek(BLOCK)?;
        let block = window.get(..BLOCK).unwrap_or(window);
        let header = Header::of(block).is_some_and(|header| header.verify().is_ok());
        Ok(header || block.iter().all(|byte| *byte == 0))
    }

    /// Takes one block, whatever is in it.
    pub(super) fn block(&mut self, what: &'static str) -> Result<[u8; BLOCK], Error> {
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

    /// Skips bytes of what is named in the error.
    pub(super) fn skip(&mut self, count: u64, what: &'static str) -> Result<(), Error> {
        let missing = self.window.skip(count);
        let missing = missing.map_err(|source| Error::Io {
            offset: self.window.offset(),
            source,
        })?;
        match missing {
            0 => Ok(()),
            _ => {
                let (offset, entry) = (self.window.offset(), lossy(&self.member));
                Err(Error::Truncated {
                    offset,
                    entry,
                    what,
                    missing,
                })
            }
        }
    }

    /// Returns what is buffered, at least `least` bytes unless the input ends before.
    pub(super) fn peek(&mut self, least: usize) -> Result<&[u8], Error> {
        let offset = self.window.offset();
        self.window
            .peek(least)
            .map_err(|source| Error::Io { offset, source })
    }

    /// The error for an input that has `found` bytes from `offset` on where `wanted` should be.
    pub(super) fn truncated(
        &self,
        what: &'static str,
        offset: u64,
        found: usize,
        wanted: usize,
    ) -> Error {
        let length = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let missing = length(wanted.saturating_sub(found));
        let offset = offset.saturating_add(length(found));
        Error::Truncated {
            offset,
            entry: lossy(&self.member),
            what,
            missing,
        }
    }

    /// Takes bytes that are buffered.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        self.window.take(count)
    }
}

/// Rounds a body's length up to whole blocks.
pub(super) fn padded(size: u64) -> u64 {
    size.checked_next_multiple_of(UNIT).unwrap_or(u64::MAX)
}
