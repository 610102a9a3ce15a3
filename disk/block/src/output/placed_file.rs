//! Regular files that appear whole.

use std::path::Path;

use bytes::Bytes;

use super::writer::{Medium, Writer};
use crate::positioned::Positioned;
use crate::read::check_range;
use crate::{Forward, PendingFile, PlacedSink, Publish, Result};

/// A [`PlacedSink`] into a [`PendingFile`], written by a thread of its own.
///
/// What is never written stays a hole of the file. At most 8 MiB wait to be written; an error of
/// the thread is returned by the next call, or by the last.
#[derive(Debug)]
pub struct PlacedFile {
    writer: Writer<PendingFile>,
    publish: Publish,
}

impl Medium for PendingFile {
    fn file(&self) -> &Positioned {
        self.file()
    }
}

impl PlacedFile {
    /// Starts a file that appears as `path` when it is finished; see
    /// [`PendingFile::for_target`].
    ///
    /// # Errors
    /// As [`PendingFile::for_target`].
    pub fn create(path: impl AsRef<Path>, publish: Publish) -> Result<Self> {
        Self::over(PendingFile::for_target(path)?, publish)
    }

    /// Writes into a pending file, which [`finish`](PlacedSink::finish) publishes; to publish it
    /// [under another name](PendingFile::publish_as), call [`complete`](Self::complete) instead.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when no thread can be started.
    pub fn over(file: PendingFile, publish: Publish) -> Result<Self> {
        Ok(Self {
            writer: Writer::start(file, publish.sync)?,
            publish,
        })
    }

    /// Waits until everything is written, sets the length, and returns the file unpublished.
    ///
    /// # Errors
    /// As [`PlacedSink::finish`].
    pub fn complete(self, len: u64) -> Result<PendingFile> {
        check_range(0, self.writer.end(), len)?;
        let file = self.writer.finish()?;
        file.set_len(len)?;
        Ok(file)
    }
}

impl PlacedSink for PlacedFile {
    fn write_at(&mut self, offset: u64, data: Bytes) -> Result<()> {
        self.writer.write_at(offset, data)
    }

    fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        self.writer.punch(offset, len)
    }

    fn finish(self: Box<Self>, len: u64) -> Result<()> {
        let publish = self.publish;
        self.complete(len)?.publish(publish)
    }
}

/// A [`BlockSink`](crate::BlockSink) into a file that appears whole; holes stay holes.
pub type ForwardFile = Forward<PlacedFile>;

impl Forward<PlacedFile> {
    /// Starts a file that appears as `path` when it is finished; see [`PlacedFile::create`].
    ///
    /// # Errors
    /// As [`PlacedFile::create`].
    pub fn create(path: impl AsRef<Path>, publish: Publish) -> Result<Self> {
        PlacedFile::create(path, publish).map(Self::new)
    }

    /// Writes into a pending file; see [`PlacedFile::over`].
    ///
    /// # Errors
    /// As [`PlacedFile::over`].
    pub fn over(file: PendingFile, publish: Publish) -> Result<Self> {
        PlacedFile::over(file, publish).map(Self::new)
    }

    /// Waits until everything is written, and returns the file unpublished.
    ///
    /// # Errors
    /// As [`BlockSink::finish`](crate::BlockSink::finish).
    pub fn complete(self) -> Result<PendingFile> {
        let (file, len) = self.into_placed()?;
        file.complete(len)
    }
}

#[cfg(test)]
mod tests;
