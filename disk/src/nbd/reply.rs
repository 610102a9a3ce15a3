//! How a request is answered.

use std::io::Write;

use zerocopy::IntoBytes;

use super::message::{Errno, RawChunk, RawSimpleReply, SIMPLE_REPLY, STRUCTURED_REPLY, chunk};

/// Room for the longest start of a reply before its data: a chunk's and its offset.
pub(super) const ROOM: usize = size_of::<RawChunk>() + 8;

/// The place where replies to one request go.
pub(super) struct Reply<'s, S> {
    pub(super) stream: &'s mut S,
    pub(super) cookie: u64,
    pub(super) structured: bool,
}

impl<S: Write> Reply<'_, S> {
    /// Says that all is done.
    pub(super) fn done(&mut self) -> std::io::Result<()> {
        if self.structured {
            return self.chunk(chunk::DONE, chunk::NONE, &[]);
        }
        self.stream.write_all(self.simple(0).as_bytes())
    }

    /// Says that it failed, and why.
    pub(super) fn failed(&mut self, errno: Errno, why: &str) -> std::io::Result<()> {
        if !self.structured {
            return self
                .stream
                .write_all(self.simple(errno.number()).as_bytes());
        }
        let why = &why.as_bytes()[..why.floor_char_boundary(1000)];
        let mut data = errno.number().to_be_bytes().to_vec();
        data.extend(u16::try_from(why.len()).unwrap_or(0).to_be_bytes());
        data.extend(why);
        self.chunk(chunk::DONE, chunk::ERROR, &data)
    }

    /// Sends what was read, all of it: `buffer` has [`ROOM`] before its data.
    pub(super) fn simple_data(&mut self, buffer: &mut [u8]) -> std::io::Result<()> {
        let head = self.simple(0);
        let start = ROOM - size_of::<RawSimpleReply>();
        buffer[start..ROOM].copy_from_slice(head.as_bytes());
        self.stream.write_all(&buffer[start..])
    }

    /// Sends data at an offset; `buffer` has [`ROOM`] before its data.
    pub(super) fn data(
        &mut self,
        flags: u16,
        offset: u64,
        buffer: &mut [u8],
    ) -> std::io::Result<()> {
        let len = buffer.len() - size_of::<RawChunk>();
        let head = self.head(flags, chunk::OFFSET_DATA, len);
        let (start, at) = buffer.split_at_mut(size_of::<RawChunk>());
        start.copy_from_slice(head.as_bytes());
        at[..8].copy_from_slice(&offset.to_be_bytes());
        self.stream.write_all(buffer)
    }

    /// Says that a range reads as zeros.
    pub(super) fn hole(&mut self, flags: u16, offset: u64, len: u32) -> std::io::Result<()> {
        let mut data = offset.to_be_bytes().to_vec();
        data.extend(len.to_be_bytes());
        self.chunk(flags, chunk::OFFSET_HOLE, &data)
    }

    /// Sends a chunk.
    pub(super) fn chunk(&mut self, flags: u16, kind: u16, data: &[u8]) -> std::io::Result<()> {
        let head = self.head(flags, kind, data.len());
        self.stream.write_all(&[head.as_bytes(), data].concat())
    }

    fn head(&self, flags: u16, kind: u16, len: usize) -> RawChunk {
        RawChunk {
            magic: STRUCTURED_REPLY.into(),
            flags: flags.into(),
            kind: kind.into(),
            cookie: self.cookie.into(),
            // Never more than the limit of a request.
            len: u32::try_from(len).unwrap_or(u32::MAX).into(),
        }
    }

    fn simple(&self, error: u32) -> RawSimpleReply {
        RawSimpleReply {
            magic: SIMPLE_REPLY.into(),
            error: error.into(),
            cookie: self.cookie.into(),
        }
    }
}
