//! A compressed image (streamOptimized), written strictly forward.
//!
//! ```text
//! header | descriptor | grains, each with its marker | after each 512 grains their table | …
//! directory | footer: the header again, which knows the directory | end of stream
//! ```

use std::ops::Range;
use std::sync::Mutex;

use flate2::{Compress, Compression, FlushCompress, Status};
use forger_block::{BlockRead, BlockSink, Error, PIECE, Result, is_zero};
use zerocopy::IntoBytes;

use super::error::WriteError;
use super::header::{
    AT_END, GRAIN_SECTORS, RawGrain, RawHeader, TABLE_ENTRIES, descriptor, flag, marker,
    marker_sector,
};
use super::plan::{GRAIN, id, rounded};
use crate::ordered::in_order;
use crate::pieces::Pieces;
use crate::progress::Progress;

/// Appends the compressed image of a disk, which is rounded up to 64 KiB, to a sink, which is not
/// finished; `name` is the file's, which stands in its descriptor.
///
/// What is written does not depend on the number of threads.
///
/// # Errors
/// Those of source and sink; [`Error::Interrupted`] when `progress` says so;
/// [`WriteError::TooLarge`]; a name or level that is impossible.
pub fn write_stream(
    source: &dyn BlockRead,
    name: &str,
    level: u32,
    threads: usize,
    sink: &mut dyn BlockSink,
    progress: &mut dyn Progress,
) -> std::result::Result<(), WriteError> {
    let size = rounded(source.len())?;
    if !(1..=9).contains(&level) {
        return Err(WriteError::Level { level });
    }
    let capacity = size / 512;
    let mut header = RawHeader::new(capacity, 3, flag::COMPRESSED | flag::MARKERS);
    header.gd_offset = AT_END.into();
    sink.write(header.as_bytes())?;
    sink.write(&descriptor(
        "streamOptimized",
        name,
        capacity,
        id(size, &[]),
    )?)?;
    sink.skip(GRAIN - sink.position())?;
    let mut tables = Tables::new(sink, size);
    let spare: Mutex<Vec<Vec<u8>>> = Mutex::default();
    let mut done = 0;
    in_order(
        threads,
        Pieces::new(source, PIECE as u64),
        || Ok(Compress::new(Compression::new(level), true)),
        |stream, range: Range<u64>| {
            let mut buffer = lock(&spare).pop().unwrap_or_default();
            let len = index(range.end - range.start);
            buffer.resize(len.next_multiple_of(index(GRAIN)), 0);
            let (inside, behind) = buffer.split_at_mut(len);
            source.read_at(range.start, inside)?;
            behind.fill(0);
            let mut grains = Vec::new();
            for (number, grain) in (range.start / GRAIN..).zip(buffer.chunks(index(GRAIN))) {
                if !is_zero(grain) {
                    grains.push((number, packed(stream, number, grain)?));
                }
            }
            lock(&spare).push(buffer);
            Ok((range.end, grains))
        },
        |(end, grains)| {
            for (number, sectors) in grains {
                tables.put(number, &sectors)?;
            }
            progress.advance(end - done);
            done = end;
            match progress.cancelled() {
                true => Err(Error::Interrupted),
                false => Ok(()),
            }
        },
    )?;
    progress.advance(source.len() - done);
    tables.finish(header)?;
    Ok(())
}

/// Returns a grain with its marker, in whole sectors.
fn packed(stream: &mut Compress, number: u64, grain: &[u8]) -> Result<Vec<u8>> {
    let fail = |source| Error::io("compress", "a grain", source);
    // Always room for all of it: a stream that was left unfinished cannot be reset.
    let mut sectors = vec![0; 12 + grain.len() + grain.len() / 8 + 64];
    stream.reset();
    let status = stream
        .compress(grain, &mut sectors[12..], FlushCompress::Finish)
        .map_err(|error| fail(error.into()))?;
    if status != Status::StreamEnd {
        return Err(fail(std::io::Error::other("it does not fit its buffer")));
    }
    let len = stream.total_out();
    let head = RawGrain {
        lba: (number * GRAIN_SECTORS).into(),
        size: word(len).into(),
    };
    sectors[..12].copy_from_slice(head.as_bytes());
    sectors.truncate(12 + index(len));
    sectors.resize(sectors.len().next_multiple_of(512), 0);
    Ok(sectors)
}

/// The sink, and where grains and tables went.
struct Tables<'a> {
    sink: &'a mut dyn BlockSink,
    /// The sector of each grain table; 0 for one without grains.
    directory: Vec<u32>,
    /// The number of the table that is being filled.
    number: u64,
    table: Vec<u32>,
}

impl<'a> Tables<'a> {
    fn new(sink: &'a mut dyn BlockSink, size: u64) -> Self {
        Self {
            sink,
            directory: vec![0; index(size.div_ceil(GRAIN * TABLE_ENTRIES))],
            number: 0,
            table: vec![0; index(TABLE_ENTRIES)],
        }
    }

    fn sector(&self) -> Result<u32> {
        let sector = self.sink.position() / 512;
        u32::try_from(sector).map_err(|_| {
            let problem = std::io::Error::other("it exceeds 2 TiB");
            Error::io("write", "the image", problem)
        })
    }

    fn put(&mut self, grain: u64, sectors: &[u8]) -> Result<()> {
        if grain / TABLE_ENTRIES != self.number {
            self.end_table()?;
            self.number = grain / TABLE_ENTRIES;
        }
        self.table[index(grain % TABLE_ENTRIES)] = self.sector()?;
        self.sink.write(sectors)
    }

    /// Writes the table, if there is anything in it.
    fn end_table(&mut self) -> Result<()> {
        if self.table.iter().all(|sector| *sector == 0) {
            return Ok(());
        }
        let bytes = words(&self.table);
        self.sink.write(&marker_sector(
            bytes.len() as u64 / 512,
            marker::GRAIN_TABLE,
        ))?;
        self.directory[index(self.number)] = self.sector()?;
        self.sink.write(&bytes)?;
        self.table.fill(0);
        Ok(())
    }

    fn finish(mut self, header: RawHeader) -> Result<()> {
        self.end_table()?;
        let bytes = words(&self.directory);
        self.sink.write(&marker_sector(
            bytes.len() as u64 / 512,
            marker::GRAIN_DIRECTORY,
        ))?;
        let mut footer = header;
        footer.gd_offset = u64::from(self.sector()?).into();
        self.sink.write(&bytes)?;
        self.sink.write(&marker_sector(1, marker::FOOTER))?;
        self.sink.write(footer.as_bytes())?;
        self.sink.write(&marker_sector(0, marker::END_OF_STREAM))
    }
}

/// Returns the bytes of a table, in whole sectors.
fn words(table: &[u32]) -> Vec<u8> {
    let mut bytes: Vec<u8> = table.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn lock(spare: &Mutex<Vec<Vec<u8>>>) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
    spare
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn word(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
