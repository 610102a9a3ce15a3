//! Opens what `convert` reads: an image file, or a stream.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use forger::address::Address;
use forger_block::{BlockRead, BlockSink, FileReader, PIECE, ScratchFile, is_zero};
use forger_disk::{Container, ZEROS};
use forger_fs::decompress::{self, Format};
use forger_fs::observe::Observer;

use super::stream::{self, Stream};
use crate::args::read::ReadArgs;
use crate::config;
use crate::exit::Failure;
use crate::medium::Medium;
use crate::progress::Console;
use crate::remedy;

/// A disk that is read.
pub(crate) enum Input {
    /// A raw disk that arrives in order and is wanted in order.
    Stream(Box<Arriving>),
    /// An image file.
    Disk(Box<Medium>),
    /// What arrived in order, in a file of its own.
    Spooled(Container),
}

/// A raw disk that arrives in order.
pub(crate) struct Arriving {
    name: String,
    format: &'static str,
    /// What was read of it to see what it is.
    head: Vec<u8>,
    stream: decompress::Stream<Stream>,
}

impl Input {
    /// Opens a file, a partition of one, or standard input for `-`; `in_order` says that a raw
    /// disk need not be read at any offset.
    ///
    /// # Errors
    /// What cannot be opened or read.
    pub(crate) fn open(
        typed: &OsStr,
        args: &ReadArgs,
        in_order: bool,
        console: &mut Console,
    ) -> Result<Self, Failure> {
        let address = Address::parse(typed, |path| path.exists());
        let streamed = typed == OsStr::new("-") || is_stream(&address);
        if !streamed || args.input_format.is_some() && typed != OsStr::new("-") {
            return Ok(Self::Disk(Box::new(Medium::open(&address, args)?)));
        }
        if address.part.is_some() {
            return Err(Failure::failed(format!(
                "cannot read {}: partitions of a compressed disk or a pipe cannot be addressed",
                address.disk()
            ))
            .help("convert the whole disk first"));
        }
        let arriving = Arriving::open(typed, console)?;
        let container = !matches!(
            forger_disk::detect(&arriving.head),
            Ok(forger_disk::Format::Raw)
        );
        let raw = args.input_format.map_or(!container, |format| {
            forger_disk::Format::from(format) == forger_disk::Format::Raw
        });
        if raw && in_order {
            return Ok(Self::Stream(Box::new(arriving)));
        }
        arriving.spool(args, console).map(Self::Spooled)
    }

    /// How the input's format is called.
    pub(crate) fn format(&self) -> String {
        match self {
            Self::Stream(arriving) => arriving.format.to_owned(),
            Self::Disk(medium) => medium.container.format().to_string(),
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

/// Tells whether a file can only be read in order: a pipe, or something compressed.
fn is_stream(address: &Address) -> bool {
    let metadata = std::fs::metadata(&address.image);
    if metadata.is_ok_and(|metadata| !metadata.is_file()) {
        return std::fs::metadata(&address.image)
            .is_ok_and(|metadata| std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type()));
    }
    let mut head = [0; decompress::HEAD];
    let read = File::open(&address.image).and_then(|file| file.read_at(&mut head, 0));
    read.is_ok_and(|len| decompress::detect(&head[..len]) != Format::Plain)
}

impl Arriving {
    fn open(typed: &OsStr, console: &Console) -> Result<Self, Failure> {
        let name = stream::shown(typed);
        let input = stream::open(typed, "disk image", console)?;
        let mut stream = decompress::open(input, &decompress::Options::default())
            .map_err(|error| cannot(&name, error))?;
        let format = match stream.format() {
            Format::Plain => "raw",
            Format::Gzip => "raw, gzip",
            Format::Zstd => "raw, zstd",
            Format::Xz => "raw, xz",
            Format::Bzip2 => "raw, bzip2",
            _ => "raw, compressed",
        };
        let mut head = vec![0; 512];
        let len = fill(&mut stream, &mut head).map_err(|error| cannot(&name, error))?;
        head.truncate(len);
        Ok(Self {
            name,
            format,
            head,
            stream,
        })
    }

    /// Passes everything on, zeros as holes, and returns how much it was.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) fn pump(
        mut self,
        sink: &mut dyn BlockSink,
        console: &mut Console,
    ) -> Result<u64, Failure> {
        let write = |error| remedy::block("cannot write the image".to_owned(), error);
        let mut hole = 0;
        let mut len = 0;
        self.each(console, &mut |block| {
            len += block.len() as u64;
            if is_zero(block) {
                hole += block.len() as u64;
                return Ok(());
            }
            sink.skip(std::mem::take(&mut hole))?;
            sink.write(block)
        })
        .map_err(|error| match error {
            Failed::Read(error) => cannot(&self.name, error),
            Failed::Write(error) => write(error),
        })?;
        sink.skip(hole).map_err(write)?;
        Ok(len)
    }

    /// Keeps everything in a file without a name.
    fn spool(mut self, args: &ReadArgs, console: &mut Console) -> Result<Container, Failure> {
        let name = self.name.clone();
        let what = || format!("cannot keep {name}");
        let block = |error| remedy::block(what(), error);
        console.detail(&format!("{name} is kept in a temporary file"));
        console.start_phase("receive");
        let scratch = ScratchFile::create_in(config::scratch_folder()).map_err(block)?;
        let mut at = 0;
        self.each(console, &mut |piece| {
            if !is_zero(piece) {
                scratch.write_at(at, piece)?;
            }
            at += piece.len() as u64;
            Ok(())
        })
        .map_err(|error| match error {
            Failed::Read(error) => cannot(&name, error),
            Failed::Write(error) => block(error),
        })?;
        scratch.set_len(at).map_err(block)?;
        let file: Arc<dyn BlockRead> =
            Arc::<FileReader>::new(scratch.into_reader().map_err(block)?);
        let format = args.input_format.map(forger_disk::Format::from);
        Container::open(file, format)
            .map_err(|error| Failure::failed(format!("cannot read {name}")).because(error))
    }

    /// Calls `take` with everything, in blocks of 64 KiB.
    fn each(
        &mut self,
        console: &mut Console,
        take: &mut dyn FnMut(&[u8]) -> forger_block::Result<()>,
    ) -> Result<(), Failed> {
        let mut buffer = vec![0; PIECE];
        let mut have = self.head.len();
        buffer[..have].copy_from_slice(&self.head);
        loop {
            let more = fill(&mut self.stream, &mut buffer[have..]).map_err(Failed::Read)?;
            let len = have + more;
            for block in buffer[..len].chunks(ZEROS) {
                take(block).map_err(Failed::Write)?;
            }
            // What was read, was counted as it was read.
            Observer::advance(console, len as u64);
            if Observer::cancelled(console) {
                return Err(Failed::Write(forger_block::Error::Interrupted));
            }
            if len < PIECE {
                return Ok(());
            }
            have = 0;
        }
    }
}

/// Which end failed.
enum Failed {
    Read(io::Error),
    Write(forger_block::Error),
}

/// Reads until the buffer is full or the stream ends.
fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match stream.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

fn cannot(name: &str, error: io::Error) -> Failure {
    Failure::failed(format!("cannot read {name}")).because(error)
}
