//! A change that does not go through a journal: made on a copy, which takes the image's name.

use std::fs::Metadata;
use std::io::IoSlice;
use std::os::unix::fs::MetadataExt;

use forger_block::{BlockRead, Error, PendingFile, Publish, Run};
use rustix::fs::fstatvfs;

use super::Editor;
use super::batch::Batch;
use super::commit::Changed;
use super::error::{EditError, Result};
use super::log::Log;
use super::resized::Beyond;
use super::store::{LockedFile, Store};
use super::volume::Volume;

/// Bytes that are copied at a time.
const PIECE: u64 = 1 << 20;

/// Checks that a copy can be made and can take the image's name; `blocks` of metadata change.
pub(super) fn check(file: &LockedFile, volume: &Volume, blocks: u64) -> Result<()> {
    let metadata = inspect(file)?;
    if !metadata.file_type().is_file() {
        return Err(EditError::NoJournal { blocks });
    }
    if metadata.nlink() > 1 {
        return Err(EditError::Names {
            names: metadata.nlink(),
        });
    }
    let needed = (metadata.blocks().saturating_mul(512))
        .saturating_add(volume.contents.len())
        .saturating_add(blocks.saturating_mul(volume.block_size()));
    let room = fstatvfs(file.file()).map_err(|error| failed(file, error.into()))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < needed {
        return Err(EditError::NoRoomForCopy { needed, free });
    }
    Ok(())
}

fn inspect(file: &LockedFile) -> Result<Metadata> {
    file.file().metadata().map_err(|error| failed(file, error))
}

fn failed(file: &LockedFile, error: std::io::Error) -> EditError {
    Error::io("inspect", file.path().display().to_string(), error).into()
}

/// What a change is written onto, at offsets in the filesystem.
trait Onto {
    fn write(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> forger_block::Result<()>;

    /// Makes zeros of a range.
    fn zero(&self, offset: u64, len: u64) -> forger_block::Result<()>;
}

/// A copy of a file, in which the filesystem starts at an offset.
struct Copied {
    file: PendingFile,
    start: u64,
}

impl Onto for Copied {
    fn write(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> forger_block::Result<()> {
        self.file
            .write_parts_at(self.start.saturating_add(offset), parts)
    }

    fn zero(&self, offset: u64, len: u64) -> forger_block::Result<()> {
        self.file.punch(self.start.saturating_add(offset), len)
    }
}

/// The image itself.
struct Itself<'a>(&'a dyn Store);

impl Onto for Itself<'_> {
    fn write(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> forger_block::Result<()> {
        self.0.write_parts_at(offset, parts)
    }

    fn zero(&self, offset: u64, len: u64) -> forger_block::Result<()> {
        self.0.erase(offset, len)
    }
}

impl Editor {
    /// Makes the change on a copy of `len` bytes in the image's folder, with its holes, mode and owner,
    /// and gives it the image's name when it is durable.
    pub(super) fn on_copy(
        &self,
        file: &LockedFile,
        changed: &[Changed],
        len: u64,
        beyond: Option<&dyn Beyond>,
    ) -> Result<()> {
        let metadata = inspect(file)?;
        let copy = Copied {
            file: PendingFile::for_target(file.path())?,
            start: self.part.unwrap_or(0),
        };
        copy.file.set_owner(metadata.uid(), metadata.gid())?;
        copy_runs(file, &copy.file, len)?;
        self.lay(&copy, changed, beyond)?;
        if !file.in_place()? {
            return Err(EditError::Locked {
                path: file.path().display().to_string(),
            });
        }
        copy.file.publish(Publish {
            force: true,
            sync: true,
        })?;
        Ok(())
    }

    /// Makes the change in the image itself, which nobody sees before.
    pub(super) fn at_once(&self, changed: &[Changed], beyond: Option<&dyn Beyond>) -> Result<()> {
        self.lay(&Itself(&*self.store), changed, beyond)?;
        Ok(self.store.sync()?)
    }

    /// Writes the change. What it gives back, and what the journal has left of earlier changes, becomes
    /// zeros.
    fn lay(&self, onto: &dyn Onto, changed: &[Changed], beyond: Option<&dyn Beyond>) -> Result<()> {
        let volume = &self.volume;
        let block_size = volume.block_size();
        let old = self.given_back();
        let log = self.log.as_ref().filter(|_| !self.keep_removed);
        let places = log.map(Log::places).unwrap_or_default();
        for run in old.iter().chain(&places) {
            onto.zero(run.start.0 * block_size, run.len * block_size)?;
        }
        if let Some(beyond) = beyond {
            beyond.emit(
                &mut |offset, data| onto.write(offset, &mut [IoSlice::new(data)]),
                &mut |offset, len| onto.zero(offset, len),
            )?;
        }
        let mut write = |offset, parts: &mut [IoSlice<'_>]| onto.write(offset, parts);
        let mut batch = Batch::new(&mut write);
        volume.contents.write(block_size, &mut batch)?;
        for (block, bytes) in changed {
            batch.put(block.0.saturating_mul(block_size), &**bytes)?;
        }
        batch.flush()
    }
}

fn copy_runs(from: &LockedFile, to: &PendingFile, len: u64) -> Result<()> {
    to.set_len(len)?;
    let len = len.min(from.len());
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < len {
        match from.run_at(at)? {
            Run::Hole(hole) => at = at.saturating_add(hole.max(1)),
            Run::Data(data) => {
                let end = at.saturating_add(data.max(1)).min(len);
                // The kernel copies faster, or shares the blocks, where it can at all.
                at = to.copy_from(from.file(), at..end)?;
                while at < end {
                    let step = PIECE.min(end - at);
                    buffer.resize(usize::try_from(step).unwrap_or(0), 0);
                    from.read_at(at, &mut buffer)?;
                    to.write_at(at, &buffer)?;
                    at += step;
                }
            }
        }
    }
    Ok(())
}
