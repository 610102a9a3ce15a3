//! Results: lines of text or one JSON object, on standard output.

use std::io::{self, Write};

use crate::args::Global;
use crate::exit::Failure;

/// Where results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error, because standard output carries the image.
    Stderr,
}

/// Writes a result whole.
///
/// # Errors
/// A failure that ends quietly when nobody reads any more, else one that says why.
pub(crate) fn result(stream: Stream, text: &str) -> Result<(), Failure> {
    let (written, name) = match stream {
        Stream::Stdout => (write(io::stdout().lock(), text), "standard output"),
        Stream::Stderr => (write(io::stderr().lock(), text), "standard error"),
    };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::broken_pipe(),
        _ => Failure::failed(format!("cannot write the result to {name}")).because(error),
    })
}

/// Writes what a command says about its work: as [`result()`], but a quiet command says nothing on
/// standard error.
///
/// # Errors
/// As [`result()`].
pub(crate) fn summary(stream: Stream, global: Global, text: &str) -> Result<(), Failure> {
    if stream == Stream::Stderr && global.quiet {
        return Ok(());
    }
    result(stream, text)
}

/// Standard output, for results that come piece by piece.
#[derive(Debug)]
pub(crate) struct Lines {
    out: io::BufWriter<io::StdoutLock<'static>>,
}

impl Lines {
    /// Takes standard output.
    pub(crate) fn start() -> Self {
        Self {
            out: io::BufWriter::with_capacity(1 << 16, io::stdout().lock()),
        }
    }

    /// Writes a piece.
    ///
    /// # Errors
    /// As [`result()`].
    pub(crate) fn put(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.out.write_all(bytes.as_ref()).map_err(refused)
    }

    /// Writes what is still kept back.
    ///
    /// # Errors
    /// As [`result()`].
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(refused)
    }
}

/// Explains why standard output took no more.
fn refused(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::broken_pipe(),
        _ => Failure::failed("cannot write the result to standard output").because(error),
    }
}

/// Returns lines of names and values, these below each other; what has no value is left out.
pub(crate) fn rows<'a>(rows: impl IntoIterator<Item = (&'a str, Option<String>)>) -> String {
    let rows = rows.into_iter();
    rows.filter_map(|(name, value)| Some(format!("{name:<8}{}\n", value?)))
        .collect()
}

/// Returns a JSON object on one line.
pub(crate) fn json_line(object: &serde_json::Value) -> String {
    format!("{object}\n")
}

fn write(mut stream: impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}
