//! Opens what `convert` reads: an image file, or a stream.

use std::ffi::OsStr;
use std::io::{Cursor, Read};
use std::os::unix::fs::FileTypeExt;

use forger::address::Address;
use forger_disk::{Arriving, Container, Format, Progress, RawArriving, vmdk};
use forger_fs::decompress;
use forger_fs::observe::Observer;

use super::stream;
use crate::args::read::ReadArgs;
use crate::exit::Failure;
use crate::medium::{self, Medium};
use crate::progress::Console;
use crate::remedy;
use crate::spool::{cannot, spool};

/// A disk that is read.
pub(crate) enum Input {
    /// A disk that arrives in order and is wanted in order, and how its format is called.
    Stream(Box<dyn Arriving>, String),
    /// An image file.
    Disk(Box<Medium>),
    /// What arrived in order, in a file of its own.
    Spooled(Container),
}

impl Input {
    /// Opens a file, a partition of one, or standard input for `-`; `takes` says whether a disk that
    /// arrives in order will do, by whether its length is known before its end.
    ///
    /// # Errors
    /// What cannot be opened or read.
    pub(crate) fn open(
        typed: &OsStr,
        args: &ReadArgs,
        takes: impl Fn(bool) -> bool,
        console: &mut Console,
    ) -> Result<Self, Failure> {
        let address = medium::address(typed)?;
        let pipe = typed == OsStr::new("-") || is_fifo(&address);
        let whole = address.part.is_none() && args.input_format.is_none();
        if !(pipe || whole && is_compressed(&address)) {
            return Ok(Self::Disk(Box::new(Medium::open_watched(
                &address, args, console,
            )?)));
        }
        if address.part.is_some() {
            return Err(Failure::failed(format!(
                "cannot read {}: partitions of a pipe cannot be addressed",
                address.disk()
            ))
            .help("convert the whole disk first"));
        }
        let arrived = Arrived::open(typed, console)?;
        match arrived.disk(args, takes)? {
            Ok(stream) => Ok(stream),
            // A file can be opened once more.
            Err(_) if !pipe => Ok(Self::Disk(Box::new(Medium::open_watched(
                &address, args, console,
            )?))),
            Err(arrived) => arrived.spool(args, console),
        }
    }

    /// How the input's format is called.
    pub(crate) fn format(&self) -> String {
        match self {
            Self::Stream(_, format) => format.clone(),
            Self::Disk(medium) => medium.format_name(),
            Self::Spooled(container) => container.format().to_string(),
        }
    }

    /// Checks that the file is still what it was.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn check_unchanged(&self) -> Result<(), Failure> {
        match self {
            Self::Disk(medium) => medium
                .file
                .check_unchanged()
                .map_err(|error| remedy::block("cannot use what was read".to_owned(), error)),
            _ => Ok(()),
        }
    }
}

/// Tells whether a file can only be read in order.
fn is_fifo(address: &Address) -> bool {
    std::fs::metadata(&address.image).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Tells whether a file is compressed as a whole.
fn is_compressed(address: &Address) -> bool {
    let file = forger_block::FileReader::open(&address.image);
    file.is_ok_and(|file| medium::compression(&file).is_some())
}

/// What arrives, unpacked, and its first bytes.
struct Arrived {
    name: String,
    packed: decompress::Format,
    head: Vec<u8>,
    stream: Box<dyn Read + Send>,
}

impl Arrived {
    fn open(typed: &OsStr, console: &Console) -> Result<Self, Failure> {
        let name = stream::shown(typed);
        let input = stream::open(typed, "disk image", console)?;
        let mut stream = decompress::open(input, &decompress::Options::default())
            .map_err(|error| cannot(&name, error))?;
        let packed = stream.format();
        let mut head = Vec::new();
        (&mut stream)
            .take(512)
            .read_to_end(&mut head)
            .map_err(|error| cannot(&name, error))?;
        Ok(Self {
            name,
            packed,
            stream: Box::new(Cursor::new(head.clone()).chain(stream)),
            head,
        })
    }

    /// Returns the disk if it arrives in order and that will do; else what arrives.
    fn disk(
        self,
        args: &ReadArgs,
        takes: impl Fn(bool) -> bool,
    ) -> Result<Result<Input, Self>, Failure> {
        let wanted = args.input_format.map(Format::from);
        let format = match wanted {
            Some(format) => format,
            None => forger_disk::detect(&self.head)
                .map_err(|error| remedy::block(format!("cannot read {}", self.name), error))?,
        };
        match format {
            Format::Raw => {
                if !takes(false) {
                    return Ok(Err(self));
                }
                let name = match self.packed {
                    decompress::Format::Plain => "raw".to_owned(),
                    packed => format!("raw, {packed}"),
                };
                let mut disk = RawArriving::new(self.stream, self.name);
                if wanted.is_none() {
                    disk = disk.or_fixed_vhd();
                }
                Ok(Ok(Input::Stream(Box::new(disk), name)))
            }
            Format::Vmdk if vmdk::is_stream(&self.head) && takes(true) => {
                let what = format!("cannot read {}", self.name);
                let disk = vmdk::StreamArriving::open(self.stream, self.name)
                    .map_err(|error| remedy::block(what, error))?;
                Ok(Ok(Input::Stream(Box::new(disk), format.to_string())))
            }
            _ => Ok(Err(self)),
        }
    }

    /// Keeps everything in a file without a name.
    fn spool(self, args: &ReadArgs, console: &mut Console) -> Result<Input, Failure> {
        let file = spool(self.stream, &self.name, Some(console))?;
        let format = args.input_format.map(Format::from);
        Container::open(file, format)
            .map(Input::Spooled)
            .map_err(|error| remedy::disk(format!("cannot read {}", self.name), error))
    }
}

/// Shows how far a disk is that arrives: its reader counts what was read.
pub(crate) struct Counted<'a>(pub(crate) &'a mut Console);

impl Progress for Counted<'_> {
    fn advance(&mut self, bytes: u64) {
        Observer::advance(self.0, bytes);
    }

    fn cancelled(&mut self) -> bool {
        Observer::cancelled(self.0)
    }
}
