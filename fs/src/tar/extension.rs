//! Extended headers: what stands in front of a member and describes it.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::Read;

use super::blocks::{Blocks, padded};
use super::header::Header;
use super::keyword::Globals;
use super::member::{Pending, lossy};
use super::notes::Notes;
use super::{Error, Options, number, pax};

/// Takes in extended headers.
pub(super) struct Extensions<'a, R> {
    pub(super) blocks: &'a mut Blocks<R>,
    pub(super) globals: &'a mut Globals,
    pub(super) notes: &'a mut Notes,
    pub(super) options: &'a Options,
}

/// An extended header.
struct Extension {
    /// Where it stands.
    offset: u64,
    name: Vec<u8>,
    /// The length of its body in bytes.
    size: u64,
}

/// Tells whether a header describes the next one.
pub(super) fn is_extension(header: &Header) -> bool {
    matches!(header.typeflag, b'x' | b'X' | b'g' | b'L' | b'K' | b'V')
}

impl<R: Read> Extensions<'_, R> {
    /// Takes in a header that describes the next one.
    pub(super) fn take(
        &mut self,
        header: &Header,
        offset: u64,
        pending: &mut Pending,
    ) -> Result<(), Error> {
        let name = header.path();
        let size = size(header, offset, &name)?;
        let extension = Extension { offset, name, size };
        pending.since.get_or_insert(offset);
        match header.typeflag {
            b'L' => pending.path = Some(self.long(&extension, "a long name")?),
            b'K' => pending.link = Some(self.long(&extension, "a long link target")?),
            b'g' => self.global(&extension)?,
            b'V' => {
                let label = number::printable(&extension.name);
                self.notes
                    .other(format!("the archive's label is `{label}`"));
                self.blocks.skip(padded(size), "a volume label")?;
            }
            _ => {
                let held = pending.records.iter().map(|(_, body)| body.len());
                let held = held.fold(0, usize::saturating_add);
                let start = self.blocks.offset();
                let body = self.whole(&extension, "PAX records", held, self.options.max_pax)?;
                pending.records.push((start, body));
            }
        }
        Ok(())
    }

    /// Reads a GNU long name, without the NULs at its end.
    fn long(&mut self, extension: &Extension, what: &'static str) -> Result<Vec<u8>, Error> {
        let mut name = self.whole(extension, what, 0, self.options.max_name)?;
        while name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    /// Takes in global records.
    fn global(&mut self, extension: &Extension) -> Result<(), Error> {
        let what = "global PAX records";
        let (start, limit) = (self.blocks.offset(), self.options.max_pax);
        let body = self.whole(extension, what, 0, limit)?;
        let apply = |keyword: &[u8], value: &[u8]| self.globals.apply(keyword, value);
        for keyword in pax::apply(&body, start, &extension.name, apply)? {
            self.notes.unknown(keyword, &extension.name);
        }
        let size = self.globals.bytes();
        if size > limit {
            return Err(extension.too_long(what, size, limit));
        }
        Ok(())
    }

    /// Reads a body that is kept in memory, where `held` bytes are already, with its padding.
    fn whole(
        &mut self,
        extension: &Extension,
        what: &'static str,
        held: usize,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let size = extension.size;
        let all = size.saturating_add(u64::try_from(held).unwrap_or(u64::MAX));
        if all > limit {
            return Err(extension.too_long(what, all, limit));
        }
        let mut body = Vec::new();
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        while left > 0 {
            let buffered = self.blocks.peek(1)?.len();
            if buffered == 0 {
                let end = self.blocks.offset();
                return Err(self.blocks.truncated(what, end, 0, left));
            }
            let part = self.blocks.take(buffered.min(left));
            body.extend_from_slice(part);
            left = left.saturating_sub(part.len());
        }
        self.blocks.skip(padded(size).saturating_sub(size), what)?;
        Ok(body)
    }
}

impl Extension {
    fn too_long(&self, what: &'static str, size: u64, limit: u64) -> Error {
        Error::TooLong {
            offset: self.offset,
            entry: lossy(&self.name),
            what,
            size,
            limit,
        }
    }
}

/// Returns the length of an extended header's body: its own, whatever records have said.
fn size(header: &Header, offset: u64, name: &[u8]) -> Result<u64, Error> {
    let fault = |reason| Error::Field {
        offset,
        entry: lossy(name),
        field: "size",
        reason,
    };
    let size = number::field(&header.size).map_err(fault)?;
    match i64::try_from(size) {
        Ok(size @ 0..) => Ok(size.unsigned_abs()),
        Ok(_) => Err(fault(format!("{size} is negative"))),
        Err(_) => Err(fault(format!("{size} is absurdly large"))),
    }
}
