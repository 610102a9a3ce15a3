//! A disk that is copied into an unnamed sparse file, where a kernel has no driver for served ones.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use forger_block::{BlockRead, FileReader, Run, run_within};

use crate::backend::Disk;
use crate::error::Error;
use crate::scratch;

/// How much is copied at once in bytes.
const PIECE: usize = 1 << 20;

/// A copy of a disk that the guest reads and writes.
#[derive(Debug)]
pub(crate) struct CopiedDisk {
    file: File,
}

impl CopiedDisk {
    /// Copies a disk, holes kept.
    pub(crate) fn make(disk: &Disk, scratch: &Path) -> Result<Self, Error> {
        let file = scratch::file(scratch)?;
        let failed = |error| Error::host("write a copy of the disk", error);
        let len = disk.store.len();
        file.set_len(len).map_err(failed)?;
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        while at < len {
            let run = run_within(&disk.store, at, PIECE as u64)?;
            if let (Run::Data(_), Ok(len)) = (run, usize::try_from(run.len())) {
                let piece = &mut piece[..len];
                disk.store.read_at(at, piece)?;
                if !forger_block::is_zero(piece) {
                    file.write_all_at(piece, at).map_err(failed)?;
                }
            }
            at += run.len();
        }
        Ok(Self { file })
    }

    /// Returns another handle of the file.
    pub(crate) fn again(&self) -> Result<File, Error> {
        self.file
            .try_clone()
            .map_err(|error| Error::host("copy a file", error))
    }

    /// Reads what the disk holds now.
    pub(crate) fn reader(&self) -> Result<Arc<dyn BlockRead>, Error> {
        Ok(Arc::new(FileReader::from_file(
            self.again()?,
            "the guest's disk",
        )?))
    }
}
