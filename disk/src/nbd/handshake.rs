//! What is said until the client has chosen an export.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::{Read, Write};

use zerocopy::{FromZeros, IntoBytes};

use super::error::ServeError;
use super::message::{
    IHAVEOPT, NBDMAGIC, REPLY, RawAnswer, RawOption, answer, handshake_flag, info, option,
    transmission_flag,
};
use super::options::{Export, Limits};
use super::session::Session;

/// The metadata context that is known, and the number clients get for it.
const ALLOCATION: &[u8] = b"base:allocation";
pub(super) const ALLOCATION_ID: u32 = 1;

/// Lets a client choose an export; nothing when it leaves without.
///
/// # Errors
/// As [`serve`](super::serve).
pub fn negotiate<'a, S: Read + Write>(
    stream: &mut S,
    exports: &'a [Export],
    limits: &'a Limits,
) -> Result<Option<Session<'a>>, ServeError> {
    let flags = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;
    let mut greeting = Vec::with_capacity(18);
    greeting.extend(NBDMAGIC.to_be_bytes());
    greeting.extend(IHAVEOPT.to_be_bytes());
    greeting.extend(flags.to_be_bytes());
    stream.write_all(&greeting)?;
    let mut client = [0; 4];
    stream.read_exact(&mut client)?;
    let client = u32::from_be_bytes(client);
    if client & !u32::from(flags) != 0 {
        return Err(ServeError::Flags { flags: client });
    }
    Handshake {
        stream,
        exports,
        limits,
        zeroes: client & u32::from(handshake_flag::NO_ZEROES) == 0,
        structured: false,
        allocation: None,
    }
    .run()
}

struct Handshake<'a, 's, S> {
    stream: &'s mut S,
    exports: &'a [Export],
    limits: &'a Limits,
    /// The answer to `EXPORT_NAME` ends with zeros.
    zeroes: bool,
    /// Replies are structured from now on.
    structured: bool,
    /// The export for which the client wants to know what is allocated.
    allocation: Option<String>,
}

/// What comes after an option.
enum Then<'a> {
    Next,
    Leave,
    Serve(&'a Export),
}

impl<'a, S: Read + Write> Handshake<'a, '_, S> {
    fn run(mut self) -> Result<Option<Session<'a>>, ServeError> {
        for _ in 0..self.limits.options {
            let mut raw = RawOption::new_zeroed();
            self.stream.read_exact(raw.as_mut_bytes())?;
            if raw.magic.get() != IHAVEOPT {
                return Err(ServeError::Magic {
                    expected: "an option",
                    found: raw.magic.get(),
                });
            }
            let (len, limit) = (raw.len.get(), self.limits.option);
            if len > limit {
                return Err(ServeError::TooLong { len, limit });
            }
            let mut data = vec![0; usize::try_from(len).unwrap_or(0)];
            self.stream.read_exact(&mut data)?;
            match self.option(raw.option.get(), &data)? {
                Then::Next => {}
                Then::Leave => return Ok(None),
                Then::Serve(export) => return Ok(Some(self.session(export))),
            }
        }
        Err(ServeError::TooManyOptions {
            limit: self.limits.options,
        })
    }

    fn session(&self, export: &'a Export) -> Session<'a> {
        let allocation = self.structured && self.allocation.as_ref() == Some(&export.name);
        Session::new(export, self.limits, self.structured, allocation)
    }

    fn option(&mut self, option: u32, data: &[u8]) -> Result<Then<'a>, ServeError> {
        match option {
            option::EXPORT_NAME => return self.export_name(data).map(Then::Serve),
            option::ABORT => {
                // The client may have gone already.
                let _ = self.answer(option, answer::ACK, &[]);
                return Ok(Then::Leave);
            }
            option::LIST if data.is_empty() => {
                for export in self.exports {
                    let mut entry = named(&export.name);
                    entry.extend(export.description.as_bytes());
                    self.answer(option, answer::SERVER, &entry)?;
                }
                self.answer(option, answer::ACK, &[])?;
            }
            option::STRUCTURED_REPLY if data.is_empty() => {
                self.structured = true;
                self.answer(option, answer::ACK, &[])?;
            }
            option::LIST | option::STRUCTURED_REPLY => {
                self.refuse(option, answer::ERR_INVALID, "this option has no data")?;
            }
            option::INFO | option::GO => {
                let chosen = self.info(option, data)?;
                if let (Some(export), option::GO) = (chosen, option) {
                    return Ok(Then::Serve(export));
                }
            }
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => {
                self.contexts(option, data)?;
            }
            _ => self.refuse(option, answer::ERR_UNSUP, "this server does not know it")?,
        }
        Ok(Then::Next)
    }

    /// Answers the option of old clients, to which only an end of the connection says no.
    fn export_name(&mut self, name: &[u8]) -> Result<&'a Export, ServeError> {
        let Some(export) = find(self.exports, name) else {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(ServeError::NoExport { name });
        };
        let mut answer = export.disk.reader().len().to_be_bytes().to_vec();
        answer.extend(flags(export, self.structured).to_be_bytes());
        if self.zeroes {
            answer.extend([0; 124]);
        }
        self.stream.write_all(&answer)?;
        Ok(export)
    }

    /// Tells about an export; returns it when there is such a one.
    fn info(&mut self, option: u32, data: &[u8]) -> Result<Option<&'a Export>, ServeError> {
        let Some((name, wanted)) = parse_info(data) else {
            self.refuse(option, answer::ERR_INVALID, "the lengths do not add up")?;
            return Ok(None);
        };
        let Some(export) = find(self.exports, name) else {
            self.refuse(option, answer::ERR_UNKNOWN, "there is no such export")?;
            return Ok(None);
        };
        let mut facts = info::EXPORT.to_be_bytes().to_vec();
        facts.extend(export.disk.reader().len().to_be_bytes());
        facts.extend(flags(export, self.structured).to_be_bytes());
        self.answer(option, answer::INFO, &facts)?;
        for kind in [info::NAME, info::DESCRIPTION, info::BLOCK_SIZE] {
            if !wanted.contains(&kind) {
                continue;
            }
            let mut fact = kind.to_be_bytes().to_vec();
            match kind {
                info::NAME => fact.extend(export.name.as_bytes()),
                info::DESCRIPTION => fact.extend(export.description.as_bytes()),
                _ => {
                    for size in [1, export.preferred_block, self.limits.payload] {
                        fact.extend(size.to_be_bytes());
                    }
                }
            }
            self.answer(option, answer::INFO, &fact)?;
        }
        self.answer(option, answer::ACK, &[])?;
        Ok(Some(export))
    }

    /// Lists or sets the metadata contexts of an export.
    fn contexts(&mut self, option: u32, data: &[u8]) -> Result<(), ServeError> {
        let set = option == option::SET_META_CONTEXT;
        if set {
            self.allocation = None;
        }
        if !self.structured {
            let why = "structured replies come first";
            return self.refuse(option, answer::ERR_INVALID, why);
        }
        let Some((name, queries)) = parse_contexts(data) else {
            return self.refuse(option, answer::ERR_INVALID, "the lengths do not add up");
        };
        let Some(export) = find(self.exports, name) else {
            return self.refuse(option, answer::ERR_UNKNOWN, "there is no such export");
        };
        // Without a query a client that lists wants everything; one that sets wants nothing.
        let all = !set && queries.is_empty();
        let meant = |query: &&[u8]| *query == ALLOCATION || !set && *query == b"base:".as_slice();
        if all || queries.iter().any(meant) {
            let id = if set { ALLOCATION_ID } else { 0 };
            let context = [&id.to_be_bytes(), ALLOCATION].concat();
            self.answer(option, answer::META_CONTEXT, &context)?;
            if set {
                self.allocation = Some(export.name.clone());
            }
        }
        self.answer(option, answer::ACK, &[])
    }

    fn refuse(&mut self, option: u32, answer: u32, why: &str) -> Result<(), ServeError> {
        self.answer(option, answer, why.as_bytes())
    }

    fn answer(&mut self, option: u32, answer: u32, data: &[u8]) -> Result<(), ServeError> {
        let head = RawAnswer {
            magic: REPLY.into(),
            option: option.into(),
            answer: answer.into(),
            len: u32::try_from(data.len()).unwrap_or(0).into(),
        };
        Ok(self.stream.write_all(&[head.as_bytes(), data].concat())?)
    }
}

fn find<'a>(exports: &'a [Export], name: &[u8]) -> Option<&'a Export> {
    exports.iter().find(|export| export.name.as_bytes() == name)
}

/// Returns what an export can do.
fn flags(export: &Export, structured: bool) -> u16 {
    use transmission_flag as can;
    let reading = can::HAS_FLAGS | can::SEND_FLUSH | can::SEND_CACHE | can::CAN_MULTI_CONN;
    let changing = match export.disk.store() {
        Some(_) => can::SEND_FUA | can::SEND_TRIM | can::SEND_WRITE_ZEROES,
        None => can::READ_ONLY,
    };
    let whole = if structured { can::SEND_DF } else { 0 };
    reading | changing | whole
}

/// Returns a string with its length before it.
fn named(name: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(name.len())
        .unwrap_or(0)
        .to_be_bytes()
        .to_vec();
    bytes.extend(name.as_bytes());
    bytes
}

/// Takes a string with its length before it off the front.
fn take_string<'d>(data: &mut &'d [u8]) -> Option<&'d [u8]> {
    let (len, rest) = data.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let (string, rest) = rest.split_at_checked(len)?;
    *data = rest;
    Some(string)
}

/// Reads the data of `INFO` and `GO`: a name and what is wanted.
fn parse_info(mut data: &[u8]) -> Option<(&[u8], Vec<u16>)> {
    let name = take_string(&mut data)?;
    let (count, rest) = data.split_first_chunk::<2>()?;
    let (wanted, odd) = rest.as_chunks::<2>();
    let right = odd.is_empty() && usize::from(u16::from_be_bytes(*count)) == wanted.len();
    let wanted = wanted
        .iter()
        .map(|kind| u16::from_be_bytes(*kind))
        .collect();
    right.then_some((name, wanted))
}

/// Reads the data of the options about metadata contexts: a name and queries.
fn parse_contexts(mut data: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let name = take_string(&mut data)?;
    let (count, mut rest) = data.split_first_chunk::<4>()?;
    let mut queries = Vec::new();
    while !rest.is_empty() {
        queries.push(take_string(&mut rest)?);
    }
    let right = usize::try_from(u32::from_be_bytes(*count)) == Ok(queries.len());
    right.then_some((name, queries))
}
