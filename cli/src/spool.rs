//! What can only be read in order, kept in a file without a name.

use std::io::{self, Read};
use std::sync::Arc;

use forger_block::{FileReader, ScratchFile, is_zero};
use forger_disk::{Arriving, RawArriving, ZEROS};
use forger_fs::observe::Observer;

use crate::config;
use crate::exit::Failure;
use crate::progress::Console;
use crate::remedy;

/// Reads a stream to its end into a file without a name; zeros become holes.
///
/// # Errors
/// When it cannot be read, or there is no room.
pub(crate) fn spool(
    stream: impl Read + Send,
    name: &str,
    mut console: Option<&mut Console>,
) -> Result<Arc<FileReader>, Failure> {
    let fail = |error| remedy::block(format!("cannot keep {name}"), error);
    if let Some(console) = console.as_deref_mut() {
        console.detail(&format!("{name} is kept in a temporary file"));
        console.start_phase("receive");
    }
    let scratch = ScratchFile::create_in(config::scratch_folder()).map_err(fail)?;
    let mut stream = RawArriving::new(stream, name);
    let mut buffer = Vec::new();
    while let Some(start) = stream.next(&mut buffer).map_err(fail)? {
        for (at, block) in (start..).step_by(ZEROS).zip(buffer.chunks(ZEROS)) {
            if !is_zero(block) {
                scratch.write_at(at, block).map_err(fail)?;
            }
        }
        if let Some(console) = console.as_deref_mut() {
            // What was read, was counted as it was read.
            Observer::advance(console, buffer.len() as u64);
            if Observer::cancelled(console) {
                return Err(fail(forger_block::Error::Interrupted));
            }
        }
    }
    scratch.set_len(stream.reached()).map_err(fail)?;
    Ok(Arc::new(scratch.into_reader().map_err(fail)?))
}

/// Says what could not be read.
pub(crate) fn cannot(name: &str, error: io::Error) -> Failure {
    Failure::failed(format!("cannot read {name}")).because(error)
}
