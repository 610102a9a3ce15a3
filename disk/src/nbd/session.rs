//! Requests and replies, until the client leaves.

use std::io::{ErrorKind, Read, Write};

use forger_block::{Error, Run, check_range, run_within};
use zerocopy::{FromZeros, IntoBytes};

use super::error::ServeError;
use super::handshake::ALLOCATION_ID;
use super::message::{Errno, REQUEST, RawRequest, chunk, command, command_flag};
use super::options::{Export, Limits};
use super::reply::{ROOM, Reply};
use super::status::descriptors;

/// Data are passed on in pieces of so many bytes, where the client lets us.
const PIECE: u32 = 1 << 20;
/// Zeros to write where no hole is wanted.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A client that has chosen an export.
#[derive(Debug)]
pub struct Session<'a> {
    export: &'a Export,
    limits: &'a Limits,
    structured: bool,
    allocation: bool,
    served: Served,
    /// Room for the start of a reply, and data.
    buffer: Vec<u8>,
}

/// What was done for a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// How many requests it sent.
    pub requests: u64,
    /// How many bytes it read.
    pub read: u64,
    /// How many bytes it wrote.
    pub written: u64,
}

/// A request that was understood.
#[derive(Clone, Copy, Debug)]
struct Request {
    command: u16,
    flags: u16,
    offset: u64,
    len: u32,
}

impl Request {
    fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    fn end(self) -> u64 {
        self.offset + u64::from(self.len)
    }

    /// Returns the flags that the command may have.
    fn allowed(self) -> u16 {
        use command_flag as flag;
        match self.command {
            // Nothing is left to be written after a read, so that this is no contradiction.
            command::READ => flag::FUA | flag::DF,
            command::WRITE_ZEROES => flag::FUA | flag::NO_HOLE,
            command::BLOCK_STATUS => flag::FUA | flag::REQ_ONE,
            _ => flag::FUA,
        }
    }
}

/// Why a request is not done.
type Refusal = (Errno, String);

impl<'a> Session<'a> {
    pub(super) fn new(
        export: &'a Export,
        limits: &'a Limits,
        structured: bool,
        allocation: bool,
    ) -> Self {
        Self {
            export,
            limits,
            structured,
            allocation,
            served: Served::default(),
            buffer: Vec::new(),
        }
    }

    /// Returns the export that the client chose.
    #[must_use]
    pub fn export(&self) -> &Export {
        self.export
    }

    /// Serves the client until it leaves.
    ///
    /// # Errors
    /// As [`serve`](super::serve).
    pub fn run<S: Read + Write>(mut self, stream: &mut S) -> Result<Served, ServeError> {
        loop {
            let mut raw = RawRequest::new_zeroed();
            // Between two requests a client may just go.
            match read_whole(stream, raw.as_mut_bytes())? {
                false => return Ok(self.served),
                true if raw.magic.get() != REQUEST => {
                    return Err(ServeError::Magic {
                        expected: "a request",
                        found: raw.magic.get().into(),
                    });
                }
                true if raw.command.get() == command::DISC => return Ok(self.served),
                true => self.request(stream, raw)?,
            }
        }
    }

    fn request<S: Read + Write>(
        &mut self,
        stream: &mut S,
        raw: RawRequest,
    ) -> Result<(), ServeError> {
        self.served.requests += 1;
        let request = Request {
            command: raw.command.get(),
            flags: raw.flags.get(),
            offset: raw.offset.get(),
            len: raw.len.get(),
        };
        let cookie = raw.cookie.get();
        let refused = self.check(request).err();
        if request.command == command::WRITE {
            let done = self.write(stream, request, refused)?;
            return self.conclude(stream, cookie, done);
        }
        let done = match (refused, request.command) {
            (Some(refusal), _) => Err(refusal),
            (None, command::READ) if self.structured => {
                return self.read_structured(stream, cookie, request);
            }
            (None, command::READ) => return self.read_simple(stream, cookie, request),
            (None, command::BLOCK_STATUS) => return self.status(stream, cookie, request),
            (None, _) => self.change(request),
        };
        self.conclude(stream, cookie, done)
    }

    /// Checks what can be checked before anything is done.
    fn check(&self, request: Request) -> Result<(), Refusal> {
        let invalid = |why: &str| Err((Errno::Invalid, why.to_owned()));
        if request.command > command::BLOCK_STATUS {
            return invalid("this server does not know the request");
        }
        if request.flags & !request.allowed() != 0 {
            return invalid("the request cannot have these flags");
        }
        let changes = matches!(
            request.command,
            command::WRITE | command::TRIM | command::WRITE_ZEROES
        );
        if changes && self.export.disk.store().is_none() {
            return Err((Errno::Perm, "the disk is read-only".to_owned()));
        }
        if request.command == command::BLOCK_STATUS && (!self.allocation || request.len == 0) {
            return invalid("no metadata context was set, or nothing asked for");
        }
        if request.command == command::READ && request.len > self.limits.payload {
            return invalid("the read is longer than the server allows");
        }
        if request.command == command::FLUSH {
            return Ok(());
        }
        let size = self.export.disk.reader().len();
        check_range(request.offset, request.len.into(), size).map_err(|error| {
            let errno = if changes {
                Errno::NoSpace
            } else {
                Errno::Invalid
            };
            (errno, error.to_string())
        })
    }

    /// Answers a request that has no data to send back.
    fn conclude<S: Write>(
        &self,
        stream: &mut S,
        cookie: u64,
        done: Result<(), Refusal>,
    ) -> Result<(), ServeError> {
        let mut reply = self.reply(stream, cookie);
        match done {
            Ok(()) => reply.done()?,
            Err((errno, why)) => reply.failed(errno, &why)?,
        }
        Ok(())
    }

    fn reply<'s, S>(&self, stream: &'s mut S, cookie: u64) -> Reply<'s, S> {
        Reply {
            stream,
            cookie,
            structured: self.structured,
        }
    }

    /// Takes the data of a write, also of one that is refused: the next request stands behind them.
    fn write<S: Read>(
        &mut self,
        stream: &mut S,
        request: Request,
        refused: Option<Refusal>,
    ) -> Result<Result<(), Refusal>, ServeError> {
        let (len, limit) = (request.len, self.limits.payload);
        if len > limit {
            return Err(ServeError::TooLong { len, limit });
        }
        let mut done = refused.map_or(Ok(()), Err);
        let (mut at, mut left) = (request.offset, len);
        while left > 0 {
            let piece = left.min(PIECE);
            let data = room(&mut self.buffer, piece);
            stream.read_exact(data)?;
            if let (Ok(()), Some(store)) = (&done, self.export.disk.store()) {
                done = store.write_at(at, data).map_err(refusal);
                self.served.written += u64::from(piece);
            }
            at = at.saturating_add(piece.into());
            left -= piece;
        }
        if done.is_ok() && request.has(command_flag::FUA) {
            done = self.sync();
        }
        Ok(done)
    }

    /// Does what needs no data from the client.
    fn change(&mut self, request: Request) -> Result<(), Refusal> {
        let Request { offset, len, .. } = request;
        match (request.command, self.export.disk.store()) {
            (command::FLUSH, _) => return self.sync(),
            (command::CACHE, _) => return self.cache(request),
            (command::TRIM, Some(store)) => store.discard(offset, len.into()).map_err(refusal)?,
            (command::WRITE_ZEROES, Some(store)) if request.has(command_flag::NO_HOLE) => {
                let mut at = offset;
                while at < request.end() {
                    let piece = (request.end() - at).min(ZEROS.len() as u64);
                    let zeros = usize::try_from(piece).unwrap_or(ZEROS.len());
                    store.write_at(at, &ZEROS[..zeros]).map_err(refusal)?;
                    at += piece;
                }
            }
            (command::WRITE_ZEROES, Some(store)) => {
                store.erase(offset, len.into()).map_err(refusal)?;
            }
            _ => return Err((Errno::Invalid, "this cannot be done".to_owned())),
        }
        if request.has(command_flag::FUA) {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Refusal> {
        self.export
            .disk
            .store()
            .map_or(Ok(()), |store| store.sync().map_err(refusal))
    }

    /// Reads what the client will want, and keeps it nowhere but where reading keeps it.
    fn cache(&mut self, request: Request) -> Result<(), Refusal> {
        let end = request
            .end()
            .min(request.offset + u64::from(self.limits.payload));
        let mut at = request.offset;
        while at < end {
            let piece = u32::try_from(end - at).unwrap_or(PIECE).min(PIECE);
            let data = room(&mut self.buffer, piece);
            self.export
                .disk
                .reader()
                .read_at(at, data)
                .map_err(refusal)?;
            at += u64::from(piece);
        }
        Ok(())
    }

    /// Sends a read as one reply, which cannot say half-way that it failed.
    fn read_simple<S: Write>(
        &mut self,
        stream: &mut S,
        cookie: u64,
        request: Request,
    ) -> Result<(), ServeError> {
        let data = room(&mut self.buffer, request.len);
        let read = self.export.disk.reader().read_at(request.offset, data);
        if let Err(error) = read {
            return self.conclude(stream, cookie, Err(refusal(error)));
        }
        self.served.read += u64::from(request.len);
        let end = ROOM + usize::try_from(request.len).unwrap_or(0);
        let mut reply = Reply {
            stream,
            cookie,
            structured: false,
        };
        reply.simple_data(&mut self.buffer[..end])?;
        // One large read must not keep its memory for the rest of the connection.
        self.buffer
            .truncate(ROOM + usize::try_from(PIECE).unwrap_or(0));
        self.buffer.shrink_to(self.buffer.len());
        Ok(())
    }

    /// Sends a read in chunks, holes as such.
    fn read_structured<S: Write>(
        &mut self,
        stream: &mut S,
        cookie: u64,
        request: Request,
    ) -> Result<(), ServeError> {
        let disk = self.export.disk.reader();
        let whole = request.has(command_flag::DF);
        let mut reply = Reply {
            stream,
            cookie,
            structured: true,
        };
        let mut at = request.offset;
        if at == request.end() {
            return Ok(reply.done()?);
        }
        while at < request.end() {
            let left = u32::try_from(request.end() - at).unwrap_or(u32::MAX);
            let run = if whole {
                Ok(Run::Data(left.into()))
            } else {
                run_within(disk, at, left.into())
            };
            let sent = match run {
                Ok(Run::Hole(len)) => {
                    let len = u32::try_from(len).unwrap_or(left);
                    reply.hole(last(len == left), at, len)?;
                    Ok(len)
                }
                Ok(Run::Data(len)) => {
                    let most = if whole { left } else { PIECE };
                    let len = u32::try_from(len).unwrap_or(left).min(most);
                    match disk.read_at(at, room(&mut self.buffer, len)) {
                        Ok(()) => {
                            let end = ROOM + usize::try_from(len).unwrap_or(0);
                            reply.data(last(len == left), at, &mut self.buffer[..end])?;
                            Ok(len)
                        }
                        Err(error) => Err(error),
                    }
                }
                Err(error) => Err(error),
            };
            match sent {
                Ok(len) => at += u64::from(len),
                Err(error) => {
                    let (errno, why) = refusal(error);
                    return Ok(reply.failed(errno, &why)?);
                }
            }
        }
        self.served.read += u64::from(request.len);
        Ok(())
    }

    /// Says what is allocated.
    fn status<S: Write>(
        &mut self,
        stream: &mut S,
        cookie: u64,
        request: Request,
    ) -> Result<(), ServeError> {
        let disk = self.export.disk.reader();
        let one = request.has(command_flag::REQ_ONE);
        match descriptors(disk, request.offset, request.len, one) {
            Ok(descriptors) => {
                let mut data = ALLOCATION_ID.to_be_bytes().to_vec();
                for (len, state) in descriptors {
                    data.extend(len.to_be_bytes());
                    data.extend(state.to_be_bytes());
                }
                let mut reply = self.reply(stream, cookie);
                Ok(reply.chunk(chunk::DONE, chunk::BLOCK_STATUS, &data)?)
            }
            Err(error) => self.conclude(stream, cookie, Err(refusal(error))),
        }
    }
}

/// Returns the flag of a chunk behind which none follows.
fn last(is_last: bool) -> u16 {
    if is_last { chunk::DONE } else { 0 }
}

/// Returns room for `len` bytes of data, behind the room for the start of a reply.
fn room(buffer: &mut Vec<u8>, len: u32) -> &mut [u8] {
    let end = ROOM + usize::try_from(len).unwrap_or(0);
    if buffer.len() < end {
        buffer.resize(end, 0);
    }
    &mut buffer[ROOM..end]
}

/// Says to the client why something failed: what lies behind the disk's name is none of its
/// business.
fn refusal(error: Error) -> Refusal {
    match error {
        Error::OutOfRange { .. } => (Errno::Invalid, error.to_string()),
        Error::Full { .. } => (Errno::NoSpace, error.to_string()),
        Error::Io {
            operation,
            ref source,
            ..
        } => {
            let errno = match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Errno::NoSpace,
                _ => Errno::Io,
            };
            (
                errno,
                format!("cannot {operation} the disk: {}", source.kind()),
            )
        }
        Error::Changed { .. } => (Errno::Io, "the disk changed underneath".to_owned()),
        _ => (Errno::Io, "the disk cannot be read".to_owned()),
    }
}

/// Fills a buffer; false when the stream ends before its first byte.
fn read_whole<S: Read>(stream: &mut S, buffer: &mut [u8]) -> std::io::Result<bool> {
    let first = loop {
        match stream.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => break count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    stream.read_exact(&mut buffer[first..])?;
    Ok(true)
}
