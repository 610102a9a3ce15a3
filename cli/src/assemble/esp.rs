//! The boot partition.

use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::fat;
use forger_fs::observe::Observer;
use forger_fs::tree::{Content, Time, Tree};

use super::{ALIGN, Error};

/// The size of a boot partition unless another is asked for: enough for two kernels, and for FAT32 with
/// sectors of 4096 bytes (which take 258 MiB).
const USUAL: u64 = 260 << 20;
/// The smallest boot partition of which firmware and systemd think well, in bytes.
const LEAST: u64 = 100 << 20;

/// Returns the size of a boot partition; the usual one where none is asked for.
///
/// # Errors
/// [`Error::SmallEsp`].
pub(super) fn size(asked: Option<u64>, sector_size: u64) -> Result<u64, Error> {
    let size = asked.unwrap_or(USUAL).next_multiple_of(ALIGN);
    let least = if sector_size == 4096 { USUAL } else { LEAST };
    match size < least {
        true => Err(Error::SmallEsp { size, least }),
        false => Ok(size),
    }
}

/// Makes a boot partition of so many bytes, which starts at `start` of its disk.
pub(super) fn make(
    files: &Tree<Content>,
    size: u64,
    start: u64,
    sector_size: u64,
    time: Time,
    observer: &mut dyn Observer,
) -> Result<Arc<dyn BlockRead>, Error> {
    let options = fat::Options {
        size: fat::Size::Exact(size),
        sector_size: u32::try_from(sector_size).unwrap_or(512),
        bits: Some(fat::Bits::Fat32),
        label: Some("ESP".into()),
        time: Some(time),
        // Where more than 32 bits would be needed, nothing reads it.
        hidden_sectors: u32::try_from(start / sector_size).unwrap_or(0),
        ..fat::Options::default()
    };
    let (image, _) = fat::plan(files, &options, observer).map_err(Error::Esp)?;
    Ok(Arc::new(image))
}
