//! Checking an image: both copies of headers and region tables, the log, and that regions and blocks
//! stand apart and inside the file.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use forger_block::BlockRead;
use zerocopy::FromBytes;

use super::error::ReadError;
use super::image::{Image, header, regions};
use super::layout::{HEADER_LEN, HEADERS, MIB, REGION_TABLES, RawHeader, TABLE_LEN, checksum};
use crate::apart::report_overlaps;
use crate::check::Report;

/// Checks the structures of an image.
///
/// # Errors
/// A file that cannot be read, is no VHDX image, or uses what is not known; damage is no error but a
/// finding.
pub fn check(file: &Arc<dyn BlockRead>) -> Result<Report, ReadError> {
    let mut report = Report::default();
    let image = match Image::open_unclean(Arc::clone(file)) {
        Ok(image) => image,
        Err(error @ (ReadError::Block(_) | ReadError::NotVhdx | ReadError::Unsupported { .. })) => {
            return Err(error);
        }
        Err(error) => {
            report.error("image", error);
            return Ok(report);
        }
    };
    copies(file, &mut report)?;
    let header = header(file)?;
    if header.log_guid != [0; 16] {
        let what = "the image was not closed: its log has to be replayed";
        report.error("log", what);
    }
    let log = header.log_offset.get();
    let log = log..log.saturating_add(header.log_length.get().into());
    if log.end > file.len() || log.start < MIB || !log.start.is_multiple_of(MIB) {
        let size = file.len();
        let damage = format!(
            "it stands at {} to {} in a file of {size} bytes",
            log.start, log.end
        );
        report.error("log", damage);
    }
    let (bat, metadata) = regions(file)?;
    let mut places = vec![
        (0..MIB, Part::Headers),
        (log, Part::Log),
        (bat, Part::Table),
        (metadata, Part::Metadata),
    ];
    blocks(&image, &mut places, &mut report)?;
    report_overlaps(&mut report, places);
    Ok(report)
}

/// A part of the file.
enum Part {
    Headers,
    Log,
    Table,
    Metadata,
    Block(u64),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Headers => f.write_str("the headers"),
            Self::Log => f.write_str("the log"),
            Self::Table => f.write_str("the block allocation table"),
            Self::Metadata => f.write_str("the metadata"),
            Self::Block(number) => write!(f, "block {number}"),
        }
    }
}

/// Checks both copies of what is there twice.
fn copies(file: &dyn BlockRead, report: &mut Report) -> Result<(), ReadError> {
    for offset in HEADERS {
        let mut bytes = vec![0; HEADER_LEN];
        file.read_at(offset, &mut bytes)?;
        let raw = RawHeader::read_from_prefix(&bytes).map(|(raw, _)| raw);
        let whole = raw
            .is_ok_and(|raw| raw.signature == *b"head" && raw.checksum.get() == checksum(&bytes));
        if !whole {
            // One is always out of date, and the way it is while it is written.
            let place = format!("the header at offset {offset}");
            report.advise(place, "it is damaged; the other one was read");
        }
    }
    let mut tables: Vec<Vec<u8>> = Vec::new();
    for offset in REGION_TABLES {
        let mut bytes = vec![0; TABLE_LEN];
        file.read_at(offset, &mut bytes)?;
        let sum = bytes.get(4..8).and_then(|sum| sum.first_chunk::<4>());
        let sum = sum.map(|sum| u32::from_le_bytes(*sum));
        if !bytes.starts_with(b"regi") || sum != Some(checksum(&bytes)) {
            let place = format!("the region table at offset {offset}");
            report.error(place, "it is damaged; the other one was read");
            return Ok(());
        }
        tables.push(bytes);
    }
    if let [one, other] = tables.as_slice()
        && one != other
    {
        report.error("region tables", "the two copies differ");
    }
    Ok(())
}

/// Checks every block's entry, and notes where it stands.
fn blocks(
    image: &Image,
    places: &mut Vec<(Range<u64>, Part)>,
    report: &mut Report,
) -> Result<(), ReadError> {
    for number in 0..image.blocks() {
        match image.block(number) {
            Ok(None) => {}
            Ok(Some(start)) => {
                let end = start.saturating_add(image.block_len(number));
                places.push((start..end, Part::Block(number)));
            }
            Err(error @ ReadError::Entry { .. }) => report.error(Part::Block(number), error),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
