//! Checking an image: checksums, copies, and that blocks stand apart and inside the file.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::fmt;
use std::sync::Arc;

use forger_block::BlockRead;
use zerocopy::IntoBytes;

use super::error::ReadError;
use super::footer::{DYNAMIC_LEN, FOOTER_LEN, RawFooter, disk_type};
use super::image::{Blocks, Image, UNUSED};
use crate::apart::report_overlaps;
use crate::check::Report;

/// Checks the structures of an image.
///
/// # Errors
/// A file that cannot be read, is no VHD image, or is a differencing one; damage is no error but a
/// finding.
pub fn check(file: &Arc<dyn BlockRead>) -> Result<Report, ReadError> {
    let mut report = Report::default();
    let end = file
        .len()
        .checked_sub(FOOTER_LEN)
        .ok_or(ReadError::NotVhd)?;
    let footer = look(file, end, "footer", &mut report)?;
    let start = match &footer {
        Some(footer) if footer.disk_type.get() == disk_type::FIXED => None,
        _ => look(file, 0, "copy of the footer at the start", &mut report)?,
    };
    if let (Some(footer), Some(copy)) = (&footer, &start)
        && footer.as_bytes() != copy.as_bytes()
    {
        report.error("footer", "it differs from its copy at the start");
    }
    let Some(footer) = footer.or(start) else {
        return Err(ReadError::NotVhd);
    };
    match Image::open(Arc::clone(file)) {
        Ok(image) => {
            if let Some(blocks) = image.blocks() {
                check_blocks(file, blocks, end, &mut report);
            } else if footer.current_size.get() != end {
                let size = footer.current_size.get();
                report.error(
                    "footer",
                    format!("the disk has {size} bytes, the file {end}"),
                );
            }
        }
        Err(error @ (ReadError::Block(_) | ReadError::Differencing | ReadError::NotVhd)) => {
            return Err(error);
        }
        Err(error) => report.error("image", error),
    }
    Ok(report)
}

/// Reads a footer where one should stand.
fn look(
    file: &dyn BlockRead,
    offset: u64,
    name: &str,
    report: &mut Report,
) -> Result<Option<RawFooter>, ReadError> {
    let mut bytes = [0; 512];
    file.read_at(offset, &mut bytes)?;
    match RawFooter::parse(bytes) {
        Ok(Some(footer)) => return Ok(Some(footer)),
        Ok(None) => report.error(name, "it is not there"),
        Err(_) => report.error(name, "its checksum is wrong"),
    }
    Ok(None)
}

/// A part of the file.
enum Part {
    Start,
    Header,
    Table,
    Block(u64),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("the copy of the footer"),
            Self::Header => f.write_str("the dynamic header"),
            Self::Table => f.write_str("the block allocation table"),
            Self::Block(number) => write!(f, "block {number}"),
        }
    }
}

fn check_blocks(file: &dyn BlockRead, blocks: &Blocks, end: u64, report: &mut Report) {
    let range = |start: u64, len: u64| start..start.saturating_add(len);
    let mut places = vec![
        (range(0, FOOTER_LEN), Part::Start),
        (range(blocks.header_offset, DYNAMIC_LEN), Part::Header),
        (range(blocks.table_offset, blocks.table_len()), Part::Table),
    ];
    let len = blocks.bitmap_len.saturating_add(blocks.size);
    for (number, sector) in (0..).zip(&blocks.table) {
        if *sector == UNUSED {
            continue;
        }
        let place = range(u64::from(*sector).saturating_mul(512), len);
        if place.end > end {
            report.error(
                Part::Block(number),
                ReadError::Beyond {
                    block: number,
                    sector: *sector,
                    size: file.len(),
                },
            );
        }
        places.push((place, Part::Block(number)));
    }
    report_overlaps(report, places);
}
