//! An image that is kept in an unnamed file until something else is made of it.

use std::sync::Arc;

use forger_block::{BlockRead, Bytes, PlacedSink, Result, ScratchFile};

use crate::config;
use crate::exit::Failure;
use crate::remedy;

/// An unnamed file in the folder of temporary files, written at any offset.
pub(crate) struct Scratch(ScratchFile);

impl Scratch {
    /// Makes an empty one.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn create() -> std::result::Result<Self, Failure> {
        let folder = config::scratch_folder();
        ScratchFile::create_in(&folder).map(Self).map_err(|error| {
            remedy::block(
                format!("cannot keep the filesystem in {}", folder.display()),
                error,
            )
        })
    }

    /// Completes it with so many bytes and reads it from now on.
    ///
    /// # Errors
    /// When the file cannot be sized.
    pub(crate) fn into_reader(self, len: u64) -> Result<Arc<dyn BlockRead>> {
        self.0.set_len(len)?;
        Ok(Arc::new(self.0.into_reader()?))
    }
}

impl PlacedSink for Scratch {
    fn write_at(&mut self, offset: u64, data: Bytes) -> Result<()> {
        self.0.write_at(offset, &data)
    }

    fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        self.0.punch(offset, len)
    }

    fn finish(self: Box<Self>, _len: u64) -> Result<()> {
        Ok(())
    }
}
