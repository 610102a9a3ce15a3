//! A change that does not go through a journal: made on a copy, which takes the image's name.

use std::os::unix::fs::MetadataExt;

use forger_block::{BlockRead, Error, PendingFile, Publish, Run};
use rustix::fs::fstatvfs;

use super::commit::Changed;
use super::error::{EditError, Result};
use super::resized::Beyond;
use super::store::LockedFile;
use super::volume::Volume;

/// Bytes that are copied at a time.
const PIECE: u64 = 1 << 20;

/// Makes the change on a copy of `len` bytes in the image's folder, with its holes, mode and owner, and
/// gives it the image's name when it is durable.
pub(super) fn replace(
    file: &LockedFile,
    volume: &Volume,
    changed: &[Changed],
    len: u64,
    beyond: Option<&dyn Beyond>,
) -> Result<()> {
    let shown = || file.path().display().to_string();
    let metadata = file
        .file()
        .metadata()
        .map_err(|error| Error::io("inspect", shown(), error))?;
    if !metadata.file_type().is_file() {
        return Err(EditError::NoJournal {
            blocks: u64::try_from(changed.len()).unwrap_or(u64::MAX),
        });
    }
    let needed = metadata.blocks().saturating_mul(512);
    let room =
        fstatvfs(file.file()).map_err(|error| Error::io("inspect", shown(), error.into()))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < needed {
        return Err(EditError::NoRoomForCopy { needed, free });
    }
    let copy = PendingFile::for_target(file.path())?;
    copy.set_owner(metadata.uid(), metadata.gid())?;
    copy_runs(file, &copy, len)?;
    if let Some(beyond) = beyond {
        beyond.emit(
            &mut |offset, data| copy.write_at(offset, data),
            &mut |offset, len| copy.punch(offset, len),
        )?;
    }
    let block_size = volume.block_size();
    volume
        .contents
        .write(block_size, &mut |offset, data| copy.write_at(offset, data))?;
    for (block, bytes) in changed {
        copy.write_at(block.0.saturating_mul(block_size), bytes)?;
    }
    copy.publish(Publish {
        force: true,
        sync: true,
    })?;
    Ok(())
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
                let step = data.clamp(1, PIECE).min(len - at);
                buffer.resize(usize::try_from(step).unwrap_or(0), 0);
                from.read_at(at, &mut buffer)?;
                to.write_at(at, &buffer)?;
                at += step;
            }
        }
    }
    Ok(())
}
