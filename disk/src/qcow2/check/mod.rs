//! Checking an image: that every cluster is counted as often as it is referred to, and that every
//! reference leads to where it may.
//!
//! What `qemu-img check` counts as corruption is [damage](crate::Severity::Error), what it counts as
//! leaked is a [leak](crate::Severity::Leak).
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod bitmaps;
mod refcounts;
mod references;
mod tables;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use forger_block::BlockRead;

use self::refcounts::Refcounts;
use self::references::{Counted, References};
use super::error::{Damage, ReadError};
use super::header::Header;
use crate::check::Report;

/// Checks the structures of an image; what it builds on and its data file are not needed.
///
/// # Errors
/// A file that cannot be read, is no qcow2 image, or uses what is not known; damage is no error but a
/// finding.
pub fn check(file: &Arc<dyn BlockRead>) -> Result<Report, ReadError> {
    let mut report = Report::default();
    let header = match Header::read(file) {
        Ok(header) => header,
        Err(ReadError::Corrupt { place, damage }) => {
            report.error(place, damage);
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let Some(refcounts) = Refcounts::read(file, &header, &mut report)? else {
        return Ok(report);
    };
    let mut check = Check {
        file,
        header: &header,
        refcounts,
        references: References::default(),
        report,
    };
    check.marks();
    let cluster = header.cluster_size;
    check.refer(&"the header", 0, cluster, 1, true)?;
    check.tables()?;
    let snapshots = (header.snapshots_offset, header.snapshots_len);
    check.refer(&"the list of snapshots", snapshots.0, snapshots.1, 1, true)?;
    check.bitmaps()?;
    check.refcount_structures()?;
    check.compare()?;
    Ok(check.report)
}

/// A check under way.
struct Check<'a> {
    file: &'a Arc<dyn BlockRead>,
    header: &'a Header,
    refcounts: Refcounts,
    references: References,
    report: Report,
}

impl Check<'_> {
    /// Says what the header itself says of the image.
    fn marks(&mut self) {
        if self.header.corrupt {
            let what = "the image is marked as corrupt: QEMU writes to it only to repair it";
            self.report.advise("header", what);
        }
        if self.header.dirty {
            let what = "the image was not closed: its refcounts may be wrong";
            self.report.advise("header", what);
        }
        let list = self.header.snapshots_offset;
        if !list.is_multiple_of(self.header.cluster_size) || i64::try_from(list).is_err() {
            let damage = Damage::Field {
                field: "snapshots_offset",
                value: list,
            };
            self.report.error("header", damage);
        }
        if self.header.data_file.is_some() && !self.header.snapshots.is_empty() {
            let what = "an image whose data is in another file cannot have snapshots";
            self.report.error("header", what);
        }
    }

    /// Counts `times` references to a range of the file; what it is stands in `what`.
    fn refer(
        &mut self,
        what: &dyn fmt::Display,
        offset: u64,
        len: u64,
        times: u32,
        metadata: bool,
    ) -> Result<(), ReadError> {
        let Some(last) = len.checked_sub(1) else {
            return Ok(());
        };
        let (size, cluster) = (self.file.len(), self.header.cluster_size);
        // The file may end inside its last cluster.
        let end = offset.checked_add(last);
        let limit = size.saturating_add(cluster).saturating_sub(1);
        let Some(end) = end.filter(|end| *end < limit) else {
            let damage = format!(
                "it would stand at offset {offset} ({len} bytes) in a file of {size} bytes"
            );
            self.report.error(what, damage);
            return Ok(());
        };
        let bits = self.header.cluster_bits;
        let number = |offset: u64| offset.checked_shr(bits).unwrap_or(0);
        for cluster in number(offset)..=number(end) {
            let counted = self.references.add(cluster, times, metadata)?;
            if counted == Counted::Overlap {
                let at = cluster.saturating_mul(self.header.cluster_size);
                let damage = format!("it shares the cluster at offset {at} with something else");
                self.report.error(what, damage);
            }
        }
        Ok(())
    }
}
