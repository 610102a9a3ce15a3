//! The root filesystem, planned where its contents can be read again.

use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::ext4;
use forger_fs::tree::{Content, Tree, TreeSource};

use crate::exit::Failure;
use crate::input::Inputs;
use crate::output::scratch::Scratch;
use crate::progress::Console;
use crate::remedy;

/// Plans a filesystem where its contents can be read again; else writes it into an unnamed file.
///
/// # Errors
/// Whatever is wrong with the sources, or with the folder of temporary files.
pub(super) fn filesystem(
    inputs: &mut Inputs,
    overlay: Option<&Tree<Content>>,
    ext4: &ext4::Options,
    console: &mut Console,
    what: &str,
) -> Result<(Arc<dyn BlockRead>, ext4::Summary), Failure> {
    let failed = |error| remedy::ext4(what.to_owned(), error);
    let seekable = inputs.are_seekable();
    let mut overlay = overlay.map(TreeSource::new);
    let mut layers = inputs.layers();
    if let Some(source) = &mut overlay {
        layers.push(ext4::Layer {
            source,
            overlay: true,
        });
    }
    if seekable {
        let (image, summary) = ext4::plan(&mut layers, ext4, console).map_err(failed)?;
        return Ok((Arc::new(image), summary));
    }
    let mut scratch = Scratch::create()?;
    let summary = ext4::write(&mut layers, ext4, &mut scratch, console).map_err(failed)?;
    let reader = scratch
        .into_reader(summary.size)
        .map_err(|error| remedy::block(what.to_owned(), error))?;
    Ok((reader, summary))
}
