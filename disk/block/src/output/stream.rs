//! Standard output, pipes, and whatever else is written forward.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use crate::read::check_range;
use crate::zeros::each_zeros;
use crate::{BlockSink, Error, MAX_LEN, Result};

/// Smaller pieces than this are gathered, in bytes.
const GATHERED: usize = 64 << 10;

/// A [`BlockSink`] into any [`Write`]; holes are written as zeros.
///
/// What has been gathered but not written when it is dropped is not written at all.
pub struct ForwardStream<W> {
    stream: W,
    name: String,
    gathered: Vec<u8>,
    position: u64,
}

impl<W: Write + Send> ForwardStream<W> {
    /// Starts at position 0; `name` stands in messages.
    pub fn new(stream: W, name: impl Into<String>) -> Self {
        Self {
            stream,
            name: name.into(),
            gathered: Vec::new(),
            position: 0,
        }
    }

    fn put(&mut self, data: &[u8]) -> Result<()> {
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
            Ok(fd) => Ok(Self::new(File::from(fd), name)),
            Err(error) => Err(Error::io("open", name, error)),
        }
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
        each_zeros(len, |zeros| self.put(zeros))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.pass_on()?;
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
