//! The tar stream of a bundle, read forward and strictly.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::Read;

use super::error::OpenError;
use super::frames::{Frames, Next};
use super::header::{self, Header, Records};
use super::member::BLOCK;

/// How many PAX headers may precede a member.
const MAX_EXTENSIONS: u32 = 8;
/// How long the records of one PAX header may be, in bytes.
const MAX_RECORDS: u64 = 64 << 10;
/// How many zeros may follow the end of the archive, in bytes; GNU tar fills up a record, which is
/// 10 KiB unless it is told otherwise.
const MAX_PADDING: u64 = 16 << 20;

/// The members of a bundle, one after the other.
pub(super) struct Archive<R> {
    frames: Frames<R>,
    /// Place in the tar stream in bytes.
    offset: u64,
}

impl<R: Read> Archive<R> {
    /// Begins to read.
    pub(super) fn new(input: R) -> Result<Self, OpenError> {
        let frames = Frames::new(input)?;
        Ok(Self { frames, offset: 0 })
    }

    /// Returns what comes next, bytes in `buf` or zeros, `max` at most, at least one.
    pub(super) fn next(
        &mut self,
        buf: &mut [u8],
        max: u64,
        within: &'static str,
    ) -> Result<Next, OpenError> {
        let most = usize::try_from(max).unwrap_or(usize::MAX).min(buf.len());
        let next = self
            .frames
            .next(buf.get_mut(..most).unwrap_or_default(), max)?;
        let len = match next {
            Next::Data(len) => u64::try_from(len).unwrap_or(u64::MAX),
            Next::Zeros(len) => len,
            Next::End => {
                let offset = self.offset;
                return Err(OpenError::Truncated { offset, within });
            }
        };
        self.offset = self.offset.saturating_add(len);
        Ok(next)
    }

    /// Passes over bytes without looking at them, `max` at most; 0 when they have to be read.
    pub(super) fn skip(&mut self, max: u64) -> Result<u64, OpenError> {
        let len = self.frames.skip(max)?;
        self.offset = self.offset.saturating_add(len);
        Ok(len)
    }

    /// Fills `buf`.
    pub(super) fn read_exact(
        &mut self,
        mut buf: &mut [u8],
        within: &'static str,
    ) -> Result<(), OpenError> {
        while !buf.is_empty() {
            let max = u64::try_from(buf.len()).unwrap_or(u64::MAX);
            let len = match self.next(buf, max, within)? {
                Next::Data(len) => len,
                Next::Zeros(len) => {
                    let len = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
                    buf.get_mut(..len).unwrap_or_default().fill(0);
                    len
                }
                Next::End => 0,
            };
            buf = std::mem::take(&mut buf).get_mut(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads the header of the member that has to come now, a regular file called `name`, and
    /// returns the length of its body in bytes.
    pub(super) fn member(&mut self, name: &'static str) -> Result<u64, OpenError> {
        let start = self.offset;
        let refuse = |what| OpenError::Member {
            offset: start,
            what,
        };
        let mut records = Records::default();
        for _ in 0..=MAX_EXTENSIONS {
            let Some(header) = self.header()? else {
                return Err(refuse(format!("the archive ends; {name:?} is missing")));
            };
            match header.kind {
                b'x' => records = self.records(header.size)?,
                // Global records: those that would matter are refused.
                b'g' => {
                    if self.records(header.size)? != Records::default() {
                        return Err(refuse("global PAX records of a name or size".to_owned()));
                    }
                }
                b'0' | b'7' | 0 => {
                    let found = records.path.unwrap_or(header.name);
                    if found.strip_prefix(b"./").unwrap_or(&found) != name.as_bytes() {
                        return Err(refuse(unexpected(&found, "a file", name)));
                    }
                    return Ok(records.size.unwrap_or(header.size));
                }
                other => return Err(refuse(unexpected(&header.name, kind_name(other), name))),
            }
        }
        Err(refuse("too many PAX headers".to_owned()))
    }

    fn header(&mut self) -> Result<Option<Header>, OpenError> {
        let offset = self.offset;
        let mut block = [0; BLOCK];
        self.read_exact(&mut block, "a header")?;
        header::parse(&block).map_err(|what| OpenError::Member { offset, what })
    }

    fn records(&mut self, size: u64) -> Result<Records, OpenError> {
        let what = "a PAX header";
        let offset = self.offset;
        let data = self.small(size, MAX_RECORDS, what)?;
        header::parse_records(&data).map_err(|what| OpenError::Member { offset, what })
    }

    /// Reads a body of `size` bytes, which is refused above `limit`, and its padding.
    pub(super) fn small(
        &mut self,
        size: u64,
        limit: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, OpenError> {
        let len = usize::try_from(size).ok().filter(|_| size <= limit);
        let len = len.ok_or(OpenError::TooLarge { what, size, limit })?;
        let mut data = vec![0; len];
        self.read_exact(&mut data, what)?;
        self.padding(size, what)?;
        Ok(data)
    }

    /// Reads the zeros that fill up the last block of a body of `size` bytes.
    pub(super) fn padding(&mut self, size: u64, within: &'static str) -> Result<(), OpenError> {
        let offset = self.offset;
        let mut block = [0; BLOCK];
        let block_len = u64::try_from(BLOCK).unwrap_or(u64::MAX);
        let over = size.checked_rem(block_len).filter(|&over| over > 0);
        let missing = over
            .and_then(|over| block_len.checked_sub(over))
            .unwrap_or(0);
        let missing = usize::try_from(missing).unwrap_or(0);
        let padding = block.get_mut(..missing).unwrap_or_default();
        self.read_exact(padding, within)?;
        if !forger_block::is_zero(padding) {
            let what = format!("{within} is followed by something other than zeros");
            return Err(OpenError::Member { offset, what });
        }
        Ok(())
    }

    /// Reads the end of the archive and all that follows, which has to be zeros; returns the length
    /// and the SHA-256 of the bundle.
    pub(super) fn finish(mut self) -> Result<(u64, [u8; 32]), OpenError> {
        let start = self.offset;
        let within = "the end of the archive";
        let mut marker = [0; BLOCK];
        for _ in 0..2 {
            let offset = self.offset;
            self.read_exact(&mut marker, within)?;
            if !forger_block::is_zero(&marker) {
                let what = match header::parse(&marker) {
                    Ok(Some(header)) => format!(
                        "a further member {:?}; a bundle holds two",
                        String::from_utf8_lossy(&header.name)
                    ),
                    _ => "neither a header nor the end of the archive".to_owned(),
                };
                return Err(OpenError::Member { offset, what });
            }
        }
        let mut buf = [0; 4096];
        loop {
            let offset = self.offset;
            let clean = match self.frames.next(&mut buf, MAX_PADDING)? {
                Next::End => return Ok(self.frames.finish()),
                Next::Zeros(len) => {
                    self.offset = offset.saturating_add(len);
                    true
                }
                Next::Data(len) => {
                    let len_u64 = u64::try_from(len).unwrap_or(u64::MAX);
                    self.offset = offset.saturating_add(len_u64);
                    forger_block::is_zero(buf.get(..len).unwrap_or_default())
                }
            };
            if !clean || self.offset.saturating_sub(start) > MAX_PADDING {
                let what = "data after the end of the archive".to_owned();
                return Err(OpenError::Member { offset, what });
            }
        }
    }
}

fn unexpected(found: &[u8], kind: &str, name: &str) -> String {
    let found = String::from_utf8_lossy(found.get(..256).unwrap_or(found));
    format!("{found:?} is {kind}; the regular file {name:?} has to come here")
}

fn kind_name(kind: u8) -> &'static str {
    match kind {
        b'1' => "a hard link",
        b'2' => "a symbolic link",
        b'3' => "a character device",
        b'4' => "a block device",
        b'5' => "a directory",
        b'6' => "a FIFO",
        b'S' => "a sparse file",
        b'L' | b'K' => "a long name",
        _ => "a member of an unknown type",
    }
}
