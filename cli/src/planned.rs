//! Filesystems that nobody keeps: planned over contents that are read where they stand; what can be read
//! only once is kept in an unnamed file.

use std::sync::Arc;

use forger_block::{BlockRead, ScratchFile};
use forger_fs::ext4::{self, Layer};

use crate::config;
use crate::exit::Failure;
use crate::input::Inputs;
use crate::input::kept::{Kept, Room};
use crate::progress::Console;
use crate::remedy;

/// A filesystem, and how it came about.
pub(crate) struct Planned {
    pub(crate) disk: Arc<dyn BlockRead>,
    /// How many bytes of contents are in an unnamed file, as they can be read only once.
    pub(crate) kept: u64,
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
    let room = match inputs.are_seekable() {
        true => None,
        false => Some(room()?),
    };
    let planned = match &room {
        None => ext4::plan(&mut inputs.layers(), options, console),
        Some(room) => {
            let layers = inputs.layers().into_iter();
            let mut kept: Vec<_> = layers
                .map(|layer| (Kept::new(layer.source, Arc::clone(room)), layer.overlay))
                .collect();
            let layers = kept.iter_mut().map(|(source, overlay)| Layer {
                source,
                overlay: *overlay,
            });
            ext4::plan(&mut layers.collect::<Vec<_>>(), options, console)
        }
    };
    let (image, _) = planned.map_err(|error| remedy::ext4(what(), error))?;
    Ok(Planned {
        disk: Arc::new(image),
        kept: room.map_or(0, |room| room.written()),
    })
}

/// Makes room for contents in the folder of temporary files.
fn room() -> Result<Arc<Room>, Failure> {
    let folder = config::scratch_folder();
    match ScratchFile::create_in(&folder) {
        Ok(file) => Ok(Arc::new(Room::new(file))),
        Err(error) => {
            let what = format!("cannot keep contents in {}", folder.display());
            Err(remedy::block(what, error))
        }
    }
}
