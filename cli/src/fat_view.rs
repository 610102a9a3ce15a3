//! A FAT as the commands that look into images see it.
//!
//! They all read one filesystem, ext4; a FAT is shown to them as an ext4 that is planned from its tree and
//! never written. Contents are read where they stand in the FAT.

use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::ext4::{self, Free, Image, Journal, Layer, Size};
use forger_fs::fat::{ReadError, Volume};
use forger_fs::observe::Silent;
use forger_fs::tree::TreeSource;

use crate::exit::Failure;

/// Opens a FAT; nothing where there is none.
///
/// # Errors
/// A FAT that cannot be read.
pub(crate) fn volume(reader: &Arc<dyn BlockRead>) -> Result<Option<Volume>, ReadError> {
    match Volume::open(Arc::clone(reader)) {
        Ok(volume) => Ok(Some(volume)),
        Err(ReadError::NotFat { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Shows a FAT as an ext4.
///
/// # Errors
/// What is damaged in it.
pub(crate) fn seen(volume: &Volume, what: &str) -> Result<Image, Failure> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| Failure::failed(what).because(error);
    let tree = volume.tree().map_err(|error| failed(error.into()))?;
    let mut source = TreeSource::new(&tree);
    let mut layers = [Layer {
        source: &mut source,
        overlay: false,
    }];
    let options = ext4::Options {
        journal: Journal::None,
        size: Size::Auto(Free::Bytes(0)),
        lost_found: false,
        ..ext4::Options::default()
    };
    let planned = ext4::plan(&mut layers, &options, &mut Silent);
    let (image, _) = planned.map_err(|error| failed(error.into()))?;
    Image::open(Arc::new(image)).map_err(|error| failed(error.into()))
}
