//! Checking an archive: its members, the disk in it, and the digests in its manifest.

use std::sync::Arc;

use forger_block::BlockRead;

use super::error::ReadError;
use super::image::Image;
use crate::check::Report;
use crate::{Unwatched, vmdk};

/// Checks the structures of an archive and of its disk, and what the manifest has digests of.
///
/// # Errors
/// A file that cannot be read, is no OVA, or uses what is not known; damage is no error but a finding.
pub fn check(file: &Arc<dyn BlockRead>) -> Result<Report, ReadError> {
    let image = match Image::open(Arc::clone(file)) {
        Ok(image) => image,
        Err(error @ (ReadError::Block(_) | ReadError::NotOva | ReadError::Unsupported { .. })) => {
            return Err(error);
        }
        Err(error) => {
            let mut report = Report::default();
            report.error("image", error);
            return Ok(report);
        }
    };
    let mut report = vmdk::check(image.disk_file()).map_err(|source| ReadError::Disk {
        name: image.disk_name().to_owned(),
        source,
    })?;
    match image.verify(&mut Unwatched) {
        Ok(()) => {}
        Err(error @ ReadError::Block(_)) => return Err(error),
        Err(error) => report.error("manifest", error),
    }
    Ok(report)
}
