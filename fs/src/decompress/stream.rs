//! The thread that decompresses, and the reader of what it makes.

use std::io::{self, Cursor, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::input::Input;
use super::member::Members;
use super::{Error, Format, HEAD, Options, detect};

/// Size of a piece that is handed from thread to thread, in bytes.
const PIECE: usize = 256 << 10;

/// How many pieces may wait; one more is being filled and one being read.
const WAITING: usize = 8;

/// A stream that was perhaps compressed.
#[derive(Debug)]
pub struct Stream<R> {
    format: Format,
    inner: Inner<R>,
}

#[derive(Debug)]
enum Inner<R> {
    Plain(io::Chain<Cursor<Vec<u8>>, R>),
    Decoded(Decoded),
}

/// A piece, or what ends the stream.
type Answer = io::Result<Vec<u8>>;

/// The receiving end of the thread.
#[derive(Debug)]
struct Decoded {
    pieces: Receiver<Answer>,
    /// Emptied pieces go back to be filled again.
    emptied: Sender<Vec<u8>>,
    piece: Vec<u8>,
    /// How much of the piece has been read.
    read: usize,
    ended: bool,
}

/// Starts to read a stream, whatever its compression.
///
/// # Errors
/// Reading the first bytes fails, or no thread can be had. Whatever is wrong with the stream comes
/// up when it is read, as an [`Error`] inside an [`io::Error`].
pub fn open<R: Read + Send + 'static>(mut input: R, options: &Options) -> io::Result<Stream<R>> {
    let mut head = Vec::with_capacity(HEAD);
    let limit = u64::try_from(HEAD).unwrap_or(u64::MAX);
    input.by_ref().take(limit).read_to_end(&mut head)?;
    let format = detect(&head);
    let input = Cursor::new(head).chain(input);
    if format == Format::Plain && !options.read_ahead {
        return Ok(Stream {
            format,
            inner: Inner::Plain(input),
        });
    }
    let (sender, pieces) = sync_channel(WAITING);
    let (emptied, returned) = channel();
    let options = options.clone();
    let work = move || match format {
        Format::Plain => pass(input, &sender, &returned),
        format => decode(format, input, &options, &sender, &returned),
    };
    thread::Builder::new()
        .name(format!("{format} decoder"))
        .spawn(work)?;
    let decoded = Decoded {
        pieces,
        emptied,
        piece: Vec::new(),
        read: 0,
        ended: false,
    };
    Ok(Stream {
        format,
        inner: Inner::Decoded(decoded),
    })
}

/// Passes on what is not compressed.
fn pass<R: Read>(mut input: R, pieces: &SyncSender<Answer>, returned: &Receiver<Vec<u8>>) {
    let read = |buf: &mut [u8]| loop {
        match input.read(buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    };
    send(read, pieces, returned);
}

/// Passes on what is decoded.
fn decode<R: Read>(
    format: Format,
    input: R,
    options: &Options,
    pieces: &SyncSender<Answer>,
    returned: &Receiver<Vec<u8>>,
) {
    let opened = Members::new(format, Input::new(input), options);
    let damaged = |source| Error::Damaged {
        format,
        at: 0,
        source,
    };
    let mut members = match opened.map_err(damaged) {
        Ok(members) => members,
        // Nobody listens any more if it cannot be sent.
        Err(error) => return pieces.send(Err(error.into())).unwrap_or(()),
    };
    send(|buf| Ok(members.decode(buf)?), pieces, returned);
}

/// Sends pieces until the end, an error, or nobody listens; the end is an empty piece.
fn send(
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    pieces: &SyncSender<Answer>,
    returned: &Receiver<Vec<u8>>,
) {
    loop {
        let mut piece = returned.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let (count, error) = match fill(&mut read, &mut piece) {
            (count, Ok(())) => (count, None),
            (count, Err(error)) => (count, Some(error)),
        };
        piece.truncate(count);
        let last = count == 0;
        if (!last || error.is_none()) && pieces.send(Ok(piece)).is_err() {
            return;
        }
        if let Some(error) = error {
            return pieces.send(Err(error)).unwrap_or(());
        }
        if last {
            return;
        }
    }
}

/// Fills a piece as far as the stream goes.
fn fill(
    read: &mut impl FnMut(&mut [u8]) -> io::Result<usize>,
    piece: &mut [u8],
) -> (usize, io::Result<()>) {
    let mut filled = 0;
    while let Some(free) = piece.get_mut(filled..).filter(|free| !free.is_empty()) {
        match read(free) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) => return (filled, Err(error)),
        }
    }
    (filled, Ok(()))
}

impl<R> Stream<R> {
    /// Returns what the stream was compressed with.
    pub fn format(&self) -> Format {
        self.format
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Plain(input) => input.read(buf),
            Inner::Decoded(decoded) => decoded.read(self.format, buf),
        }
    }
}

impl Decoded {
    fn read(&mut self, format: Format, buf: &mut [u8]) -> io::Result<usize> {
        if self.read == self.piece.len() && !self.ended {
            // The thread may be gone: then it needs no piece any more.
            let _ = self.emptied.send(std::mem::take(&mut self.piece));
            self.read = 0;
            self.piece = match self.pieces.recv() {
                Ok(piece) => piece?,
                Err(_) => return Err(Error::Died { format }.into()),
            };
            self.ended = self.piece.is_empty();
        }
        let count = self.piece.get(self.read..).unwrap_or_default().read(buf)?;
        self.read += count;
        Ok(count)
    }
}
