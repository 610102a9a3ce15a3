//! Checking a partition table.

use forger_block::BlockRead;

use super::{Note, ReadError, Table, read};
use crate::check::Report;

/// Checks the partition table of a disk, and returns it where it can be read.
///
/// # Errors
/// Those of the disk; damage is no error but a finding.
pub fn check(disk: &dyn BlockRead) -> forger_block::Result<(Option<Table>, Report)> {
    let mut report = Report::default();
    let table = match read(disk, None) {
        Ok(table) => table,
        Err(ReadError::Block(error)) => return Err(error),
        Err(error) => {
            report.error("partition table", error);
            None
        }
    };
    for note in table.iter().flat_map(|table| &table.notes) {
        match note {
            Note::PrimaryDamaged(_)
            | Note::BackupDamaged(_)
            | Note::CopiesDiffer
            | Note::NoProtectiveMbr => report.error("partition table", note),
            Note::BackupNotAtEnd { .. } | Note::Hybrid { .. } => {
                report.advise("partition table", note);
            }
        }
    }
    Ok((table, report))
}
