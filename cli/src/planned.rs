//! Filesystems that nobody keeps: planned where contents can be read again, else written to an unnamed file.

use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::ext4;

use crate::exit::Failure;
use crate::input::Inputs;
use crate::output::scratch::Scratch;
use crate::progress::Console;
use crate::remedy;

/// A filesystem, and how it came about.
pub(crate) struct Planned {
    pub(crate) disk: Arc<dyn BlockRead>,
    /// It was written to an unnamed file: what it is made of can be read only once.
    pub(crate) is_written: bool,
}

/// Makes a filesystem of sources, which are called `shown`.
///
/// # Errors
/// A source that cannot be read or does not fit.
pub(crate) fn filesystem(
    inputs: &mut Inputs,
    options: &ext4::Options,
    shown: &str,
    console: &mut Console,
) -> Result<Planned, Failure> {
    let what = || format!("cannot make a filesystem from {shown}");
    if inputs.are_seekable() {
        let planned = ext4::plan(&mut inputs.layers(), options, console);
        let (image, _) = planned.map_err(|error| remedy::ext4(what(), error))?;
        return Ok(Planned {
            disk: Arc::new(image),
            is_written: false,
        });
    }
    let mut scratch = Scratch::create()?;
    let summary = ext4::write(&mut inputs.layers(), options, &mut scratch, console)
        .map_err(|error| remedy::ext4(what(), error))?;
    let disk = scratch
        .into_reader(summary.size)
        .map_err(|error| remedy::block(what(), error))?;
    Ok(Planned {
        disk,
        is_written: true,
    })
}
