//! Standard output, pipes, and whatever else is written forward.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Seek, SeekFrom, Write};
use std::os::fd::AsFd;

use rustix::fs::{OFlags, fcntl_getfl};

use crate::read::check_range;
use crate::zeros::each_zeros;
use crate::{BlockSink, Error, MAX_LEN, Result};

/// Smaller pieces than this are gathered, in bytes.
const GATHERED: usize = 64 << 10;

/// A [`BlockSink`] into any [`Write`]; holes are written as zeros, but for standard output at the
/// end of a regular file, which gets them as holes.
///
/// What has been gathered but not written when it is dropped is not written at all.
pub struct ForwardStream<W> {
    stream: W,
    name: String,
    gathered: Vec<u8>,
    position: u64,
    /// How the stream takes holes, if it does.
    holes: Option<Holes<W>>,
    /// The stream's last bytes are a hole, which only exists when its length is set.
    ends_in_hole: bool,
}

/// What a stream needs in order to take holes.
struct Holes<W> {
    /// Moves on by so many bytes.
    skip: fn(&mut W, u64) -> io::Result<()>,
    /// Makes the position the length.
    end: fn(&mut W) -> io::Result<()>,
}

impl<W: Write + Send> ForwardStream<W> {
    /// Starts at position 0; `name` stands in messages.
    pub fn new(stream: W, name: impl Into<String>) -> Self {
        Self {
            stream,
            name: name.into(),
            gathered: Vec::new(),
            position: 0,
            holes: None,
            ends_in_hole: false,
        }
    }

    fn put(&mut self, data: &[u8]) -> Result<()> {
        if !data.is_empty() {
            self.ends_in_hole = false;
        }
        if self.gathered.len() + data.len() > GATHERED {
            self.pass_on()?;
        }
        if data.len() >= GATHERED {
            self.stream.write_all(data).map_err(|e| self.error(e))?;
        } else {
            self.gathered.extend_from_slice(data);
        }
        self.position += data.len() as u64;
        Ok(())
    }

    fn pass_on(&mut self) -> Result<()> {
        let result = self.stream.write_all(&self.gathered);
        self.gathered.clear();
        result.map_err(|error| self.error(error))
    }

    fn error(&self, error: io::Error) -> Error {
        Error::io("write", &self.name, error)
    }
}

impl ForwardStream<File> {
    /// Starts with what standard output is, past the buffer of [`std::io::stdout`].
    ///
    /// # Errors
    /// [`Error::NotAnOutput`] when it is a terminal; [`Error::Io`].
    pub fn stdout() -> Result<Self> {
        let name = "standard output";
        let stdout = io::stdout();
        if stdout.is_terminal() {
            return Err(Error::NotAnOutput {
                path: name.into(),
                kind: "a terminal",
            });
        }
        match stdout.as_fd().try_clone_to_owned() {
            Ok(fd) => Ok(Self::over(File::from(fd), name)),
            Err(error) => Err(Error::io("open", name, error)),
        }
    }
}

impl ForwardStream<File> {
    /// Starts at a file's position; with holes where what follows is sure to read as zeros.
    fn over(mut file: File, name: &str) -> Self {
        let holes = can_skip(&mut file).then_some(Holes {
            skip: |file: &mut File, len| {
                let len = i64::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
                file.seek(SeekFrom::Current(len)).map(drop)
            },
            end: |file: &mut File| {
                let end = file.stream_position()?;
                file.set_len(end)
            },
        });
        Self {
            holes,
            ..Self::new(file, name)
        }
    }
}

/// Tells whether a file is a regular one that ends at its position and is not appended to.
fn can_skip(file: &mut File) -> bool {
    let appends = fcntl_getfl(&*file).map_or(true, |flags| flags.contains(OFlags::APPEND));
    match (file.metadata(), file.stream_position()) {
        (Ok(metadata), Ok(position)) => {
            !appends && metadata.is_file() && metadata.len() == position
        }
        _ => false,
    }
}

impl<W: Write + Send> BlockSink for ForwardStream<W> {
    fn position(&self) -> u64 {
        self.position
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        check_range(self.position, data.len() as u64, MAX_LEN)?;
        self.put(data)
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        check_range(self.position, len, MAX_LEN)?;
        let Some(Holes { skip, .. }) = self.holes.as_ref().filter(|_| len >= GATHERED as u64)
        else {
            return each_zeros(len, |zeros| self.put(zeros));
        };
        let skip = *skip;
        self.pass_on()?;
        skip(&mut self.stream, len).map_err(|error| self.error(error))?;
        self.position += len;
        self.ends_in_hole = true;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.pass_on()?;
        if let Some(Holes { end, .. }) = self.holes.as_ref().filter(|_| self.ends_in_hole) {
            end(&mut self.stream).map_err(|error| self.error(error))?;
        }
        self.stream.flush().map_err(|error| self.error(error))
    }
}

impl<W> fmt::Debug for ForwardStream<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardStream")
            .field("name", &self.name)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::conformance::{self, Made};

    /// Bytes that count as arrived when they are flushed.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<(Vec<u8>, bool)>>);

    impl Write for Pipe {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            let taken = data.len().min(100_000);
            self.0.lock().unwrap().0.extend_from_slice(&data[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.lock().unwrap().1 = true;
            Ok(())
        }
    }

    #[test]
    fn a_stream_keeps_the_contract_and_flushes_at_the_end() {
        conformance::block_sink(|| {
            let pipe = Pipe::default();
            let end = pipe.clone();
            Made::forward(ForwardStream::new(pipe, "pipe"), move || {
                let state = end.0.lock().unwrap();
                state.1.then(|| state.0.clone())
            })
        });
    }

    #[test]
    fn a_regular_file_at_its_end_gets_holes() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before").unwrap();
        let mut sink = Box::new(ForwardStream::over(file.try_clone().unwrap(), "file"));
        sink.write(b"data").unwrap();
        sink.skip(10 << 30).unwrap();
        sink.write(b"more").unwrap();
        sink.skip(3).unwrap();
        sink.skip(1 << 30).unwrap();
        sink.finish().unwrap();
        let end = 6 + 4 + (10 << 30) + 4 + 3 + (1 << 30);
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), end);
        assert!(metadata.blocks() * 512 < 1 << 20);
        assert_eq!(
            file.stream_position().unwrap(),
            end,
            "others go on after it"
        );
        let mut bytes = [0; 10];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"beforedata");
        file.read_exact_at(&mut bytes, 4 + (10 << 30)).unwrap();
        assert_eq!(&bytes, b"\0\0\0\0\0\0more");
    }

    #[test]
    fn a_regular_file_before_its_end_or_appended_to_gets_zeros() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0xFF; 200_000]).unwrap();
        let before_end = File::options().write(true).open(file.path()).unwrap();
        let mut sink = Box::new(ForwardStream::over(before_end, "file"));
        sink.skip(150_000).unwrap();
        sink.finish().unwrap();
        let append = File::options().append(true).open(file.path()).unwrap();
        let mut sink = Box::new(ForwardStream::over(append, "file"));
        sink.skip(150_000).unwrap();
        sink.finish().unwrap();
        let mut expected = vec![0; 350_000];
        expected[150_000..200_000].fill(0xFF);
        assert!(std::fs::read(file.path()).unwrap() == expected);
    }

    #[test]
    fn a_stream_with_holes_keeps_the_contract() {
        conformance::block_sink(|| {
            let file = tempfile::tempfile().unwrap();
            let end = file.try_clone().unwrap();
            let finished = Arc::new(Mutex::new(false));
            let seen = Arc::clone(&finished);
            let sink = Finished(ForwardStream::over(file, "file"), finished);
            Made::forward(sink, move || {
                let len = usize::try_from(end.metadata().unwrap().len()).unwrap();
                let mut bytes = vec![0; len];
                end.read_exact_at(&mut bytes, 0).unwrap();
                seen.lock().unwrap().then_some(bytes)
            })
        });
    }

    /// A sink that notes when it is finished.
    struct Finished(ForwardStream<File>, Arc<Mutex<bool>>);

    impl BlockSink for Finished {
        fn position(&self) -> u64 {
            self.0.position()
        }
        fn write(&mut self, data: &[u8]) -> Result<()> {
            self.0.write(data)
        }
        fn skip(&mut self, len: u64) -> Result<()> {
            self.0.skip(len)
        }
        fn finish(self: Box<Self>) -> Result<()> {
            let Self(stream, finished) = *self;
            Box::new(stream).finish()?;
            *finished.lock().unwrap() = true;
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut sink = Box::new(ForwardStream::new(writer, "pipe"));
        sink.write(b"gathered").unwrap();
        let Err(Error::Io { source, object, .. }) = sink.finish() else {
            panic!("no error");
        };
        assert_eq!(source.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(object, "pipe");
    }

    #[test]
    fn a_full_device_is_an_error() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut sink = ForwardStream::new(full, "/dev/full");
        assert!(sink.write(&[1; 1 << 20]).is_err());
    }
}
