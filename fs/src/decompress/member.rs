//! One decoder a format, and what may follow a member.

use std::io::{self, BufRead, Read};
use std::rc::Rc;

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;

use super::input::{Input, Progress};
use super::{Error, Format, Options};

/// Decodes all members of a stream.
pub(super) struct Members<R: Read> {
    format: Format,
    progress: Rc<Progress>,
    options: Options,
    /// `None` after the last member, and after an error.
    current: Option<Member<Input<R>>>,
}

/// A decoder in the middle of a member.
enum Member<R: BufRead> {
    Gzip(Box<GzDecoder<R>>),
    /// Goes from frame to frame by itself, which spares it the set-up of each.
    Zstd(zstd::Decoder<'static, R>),
    Xz(Box<XzReader<R>>),
    Bzip2(BzDecoder<R>),
}

impl<R: Read> Members<R> {
    pub(super) fn new(format: Format, input: Input<R>, options: &Options) -> io::Result<Self> {
        let progress = input.progress();
        let current = Some(Member::new(format, input, options)?);
        Ok(Self {
            format,
            progress,
            options: options.clone(),
            current,
        })
    }

    /// Decodes up to `buf.len()` bytes; 0 at the end of the last member.
    pub(super) fn decode(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        while let Some(mut member) = self.current.take() {
            let count = member.read(buf).map_err(|error| self.explain(error))?;
            if count > 0 {
                self.current = Some(member);
                return Ok(count);
            }
            let mut input = member.into_inner();
            if self.another(&mut input)? {
                let next = Member::new(self.format, input, &self.options);
                self.current = Some(next.map_err(|error| self.explain(error))?);
            }
        }
        Ok(0)
    }

    /// Tells whether a member follows; zeros may follow instead, and xz has them between streams.
    fn another(&self, input: &mut Input<R>) -> Result<bool, Error> {
        let mut padded = false;
        loop {
            let bytes = input.fill_buf().map_err(|error| self.explain(error))?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let (next, ended) = (bytes.get(zeros).copied(), bytes.is_empty());
            input.consume(zeros);
            padded |= zeros > 0;
            let start = match self.format {
                Format::Gzip => Some(0x1f),
                Format::Bzip2 => Some(b'B'),
                Format::Xz => Some(0xfd),
                // Its decoder has taken all frames.
                Format::Zstd | Format::Plain => None,
            };
            match next {
                None if ended => return Ok(false),
                None => {}
                Some(_) if next == start && (!padded || self.format == Format::Xz) => {
                    return Ok(true);
                }
                Some(_) => {
                    return Err(Error::Trailing {
                        format: self.format,
                        at: self.progress.at.get(),
                    });
                }
            }
        }
    }

    /// Says in one language what each decoder says in its own.
    fn explain(&self, source: io::Error) -> Error {
        let (format, at) = (self.format, self.progress.at.get());
        if self.progress.failed.get() {
            return Error::Read { format, at, source };
        }
        // zstd has no kinds of errors, only these texts.
        let text = if format == Format::Zstd {
            source.to_string()
        } else {
            String::new()
        };
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Error::Truncated { format, at },
            io::ErrorKind::OutOfMemory => Error::Memory {
                format,
                at,
                limit: self.options.xz_memory,
            },
            _ if text.contains("too much memory") => Error::Memory {
                format,
                at,
                limit: self.options.zstd_window,
            },
            _ if text.contains("Unknown frame descriptor") => Error::Trailing { format, at },
            _ => Error::Damaged { format, at, source },
        }
    }
}

impl<R: BufRead> Member<R> {
    fn new(format: Format, input: R, options: &Options) -> io::Result<Self> {
        Ok(match format {
            Format::Gzip => Self::Gzip(Box::new(GzDecoder::new(input))),
            Format::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                let window = options.zstd_window.clamp(1 << 10, 1 << 31);
                decoder.window_log_max(window.ilog2())?;
                Self::Zstd(decoder)
            }
            Format::Xz => {
                let limit = u32::try_from(options.xz_memory >> 10).unwrap_or(u32::MAX);
                Self::Xz(Box::new(XzReader::new_mem_limit(input, false, limit)))
            }
            Format::Bzip2 => Self::Bzip2(BzDecoder::new(input)),
            Format::Plain => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    fn into_inner(self) -> R {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Bzip2(decoder) => decoder.into_inner(),
        }
    }
}

impl<R: BufRead> Read for Member<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buf),
            Self::Zstd(decoder) => decoder.read(buf),
            Self::Xz(decoder) => decoder.read(buf),
            Self::Bzip2(decoder) => decoder.read(buf),
        }
    }
}
