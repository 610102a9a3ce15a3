//! Checking an image: header and descriptor, grain directory and tables and their copies, and that
//! grains stand apart and inside the file.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, is_zero};

use super::error::ReadError;
use super::header::RawGrain;
use super::image::{Image, read_words};
use crate::apart::report_overlaps;
use crate::check::Report;

/// Checks the structures of an image.
///
/// # Errors
/// A file that cannot be read, is no VMDK image, or needs other files; damage is no error but a
/// finding.
pub fn check(file: &Arc<dyn BlockRead>) -> Result<Report, ReadError> {
    let mut report = Report::default();
    let image = match Image::open(Arc::clone(file)) {
        Ok(image) => image,
        Err(error @ (ReadError::Block(_) | ReadError::NotVmdk | ReadError::Unsupported { .. })) => {
            return Err(error);
        }
        Err(error) => {
            report.error("header", error);
            return Ok(report);
        }
    };
    let mut check = Check {
        file,
        image: &image,
        places: Vec::new(),
        report,
    };
    if image.is_compressed() {
        check.end_of_stream()?;
    }
    check.directory()?;
    check.tables()?;
    let Check {
        places, mut report, ..
    } = check;
    report_overlaps(&mut report, places);
    Ok(report)
}

/// A check under way.
struct Check<'a> {
    file: &'a Arc<dyn BlockRead>,
    image: &'a Image,
    places: Vec<(Range<u64>, Part)>,
    report: Report,
}

/// A part of the file.
#[derive(Clone, Copy)]
enum Part {
    Start,
    Directory,
    Copy,
    /// A grain table, by its number.
    Table(u64),
    /// A grain, by its offset of the disk.
    Grain(u64),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("header and descriptor"),
            Self::Directory => f.write_str("the grain directory"),
            Self::Copy => f.write_str("the copy of the grain directory"),
            Self::Table(number) => write!(f, "grain table {number}"),
            Self::Grain(guest) => write!(f, "the grain of guest offset {guest}"),
        }
    }
}

/// Returns a range of the file in bytes.
fn sectors(start: u64, len: u64) -> Range<u64> {
    let start = start.saturating_mul(512);
    start..start.saturating_add(len)
}

impl Check<'_> {
    /// Checks that a stream ends as it should.
    fn end_of_stream(&mut self) -> Result<(), ReadError> {
        let mut last = [0; 512];
        if let Some(at) = self.file.len().checked_sub(512) {
            self.file.read_at(at, &mut last)?;
        }
        if !is_zero(&last) {
            let what =
                "the file does not end with its marker: it was cut short or something follows";
            self.report.error("end of the stream", what);
        }
        Ok(())
    }

    /// Compares the grain directory and its tables with their copies.
    fn directory(&mut self) -> Result<(), ReadError> {
        let header = self.image.header();
        let len = u64::try_from(self.image.directory().len())
            .unwrap_or(u64::MAX)
            .saturating_mul(4);
        let descriptor = header
            .descriptor_offset
            .get()
            .saturating_add(header.descriptor_size.get())
            .max(1);
        self.places
            .push((0..descriptor.saturating_mul(512), Part::Start));
        let place = sectors(header.gd_offset.get(), len);
        self.places.push((place, Part::Directory));
        let Some(copy) = self.image.redundant() else {
            return Ok(());
        };
        self.places.push((sectors(copy, len), Part::Copy));
        let tables = match read_words(self.file, copy, len / 4) {
            Ok(tables) => tables,
            Err(ReadError::Block(error)) => return Err(error.into()),
            Err(_) => {
                let damage = format!("it would stand at sector {copy}, beyond the file's end");
                self.report.error(Part::Copy, damage);
                return Ok(());
            }
        };
        let entries = self.image.table_entries();
        for (number, (one, other)) in (0..).zip(self.image.directory().iter().zip(tables)) {
            if *one == 0 || other == 0 {
                if *one != other {
                    let damage = "it is there once, and should be twice";
                    self.report.error(Part::Table(number), damage);
                }
                continue;
            }
            let read = |sector: u32| read_words(self.file, sector.into(), entries).ok();
            let (one, other) = (read(*one), read(other));
            if other.is_none() || one.is_some() && one != other {
                self.report
                    .error(Part::Table(number), "its copy differs from it");
            }
        }
        Ok(())
    }

    /// Walks the grain tables.
    fn tables(&mut self) -> Result<(), ReadError> {
        let entries = self.image.table_entries();
        let (grain, size) = (self.image.grain_len(), self.image.len());
        for (number, sector) in (0_u64..).zip(self.image.directory()) {
            if *sector == 0 {
                continue;
            }
            let place = sectors((*sector).into(), entries.saturating_mul(4));
            self.places.push((place, Part::Table(number)));
            let table = match read_words(self.file, (*sector).into(), entries) {
                Ok(table) => table,
                Err(ReadError::Block(error)) => return Err(error.into()),
                Err(_) => {
                    let damage =
                        format!("it would stand at sector {sector}, beyond the file's end");
                    self.report.error(Part::Table(number), damage);
                    continue;
                }
            };
            let first = number.saturating_mul(entries).saturating_mul(grain);
            for (at, sector) in (0_u64..).zip(table) {
                let guest = first.saturating_add(at.saturating_mul(grain));
                if self.image.is_grain(sector) && guest < size {
                    self.grain(guest, sector)?;
                }
            }
        }
        Ok(())
    }

    /// Checks where a grain stands.
    fn grain(&mut self, guest: u64, sector: u32) -> Result<(), ReadError> {
        let needed = self
            .image
            .grain_len()
            .min(self.image.len().saturating_sub(guest));
        let mut place = sectors(sector.into(), needed);
        let size = self.file.len();
        if self.image.is_compressed() {
            let mut head = [0; 12];
            if place.start.saturating_add(12) <= size {
                self.file.read_at(place.start, &mut head)?;
                let head: RawGrain = zerocopy::transmute!(head);
                let len = u64::from(head.size.get()).saturating_add(12);
                place.end = place.start.saturating_add(len);
                if head.lba.get().saturating_mul(512) != guest {
                    let lba = head.lba.get();
                    self.report
                        .error(Part::Grain(guest), format!("its marker names sector {lba}"));
                    return Ok(());
                }
            }
        }
        if place.end > size {
            let beyond = ReadError::Beyond {
                what: "grain",
                guest,
                sector,
                size,
            };
            self.report.error(Part::Grain(guest), beyond);
        }
        self.places.push((place, Part::Grain(guest)));
        Ok(())
    }
}
