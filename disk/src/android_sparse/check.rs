//! Checking an image: the headers of its chunks, and its checksums.

use std::sync::Arc;

use forger_block::BlockRead;

use super::error::ReadError;
use super::image::Image;
use crate::Unwatched;
use crate::check::Report;

/// Checks the structures of an image, and what it has checksums of.
///
/// # Errors
/// A file that cannot be read, is no Android sparse image, or uses what is not known; damage is no
/// error but a finding.
pub fn check(file: &Arc<dyn BlockRead>) -> Result<Report, ReadError> {
    let mut report = Report::default();
    let checked = Image::open(Arc::clone(file)).and_then(|image| image.verify(&mut Unwatched));
    match checked {
        Ok(()) => {}
        Err(error @ ReadError::Sum { .. }) => report.error("checksum", error),
        Err(
            error @ (ReadError::Block(_)
            | ReadError::NotSparse
            | ReadError::Version { .. }
            | ReadError::TooMany { .. }),
        ) => return Err(error),
        Err(error) => report.error("image", error),
    }
    Ok(report)
}
