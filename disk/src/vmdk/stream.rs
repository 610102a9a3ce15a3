//! A compressed image (streamOptimized), written strictly forward.
//!
//! ```text
//! header | descriptor | grains, each with its marker | after each 512 grains their table | …
//! directory | footer: the header again, which knows the directory | end of stream
//! ```

use flate2::{Compress, Compression, FlushCompress, Status};
use forger_block::{BlockRead, BlockSink, Error, PIECE, Result, is_zero};
use zerocopy::IntoBytes;

use super::error::WriteError;
use super::header::{
    AT_END, GRAIN_SECTORS, RawGrain, RawHeader, TABLE_ENTRIES, descriptor, flag, marker,
    marker_sector,
};
use super::plan::{GRAIN, id, rounded};
use crate::arriving::Arriving;
use crate::batch::Batches;
use crate::ordered::in_order;
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
    let head = Head {
        len: source.len(),
        name,
        level,
        threads,
    };
    head.write(Batches::Source(source), sink, progress)
}

/// Appends the compressed image of a disk that arrives, as [`write_stream`] does; the disk must
/// [know its length](Arriving::known_len).
///
/// # Errors
/// As [`write_stream`]; [`WriteError::Unknown`].
pub fn restream(
    disk: &mut dyn Arriving,
    name: &str,
    level: u32,
    threads: usize,
    sink: &mut dyn BlockSink,
    progress: &mut dyn Progress,
) -> std::result::Result<(), WriteError> {
    let head = Head {
        len: disk.known_len().ok_or(WriteError::Unknown)?,
        name,
        level,
        threads,
    };
    head.write(Batches::Arriving(disk), sink, progress)
}

/// Returns the length that the compressed image of a disk of `size` bytes has at most, in bytes.
///
/// # Errors
/// [`WriteError::TooLarge`].
pub fn full_stream_len(size: u64) -> std::result::Result<u64, WriteError> {
    let size = rounded(size)?;
    // What cannot be compressed is stored, with a few bytes around it: a sector more.
    let grains = size.div_ceil(GRAIN) * (GRAIN + 512);
    let tables = size.div_ceil(GRAIN * TABLE_ENTRIES);
    let directory = (tables * 4).next_multiple_of(512);
    Ok(GRAIN + grains + tables * (512 + TABLE_ENTRIES * 4) + 512 + directory + 3 * 512)
}

/// What is known of an image before the first byte of the disk.
struct Head<'a> {
    len: u64,
    name: &'a str,
    level: u32,
    threads: usize,
}

impl Head<'_> {
    fn write(
        &self,
        batches: Batches<'_>,
        sink: &mut dyn BlockSink,
        progress: &mut dyn Progress,
    ) -> std::result::Result<(), WriteError> {
        let level = self.level;
        let size = rounded(self.len)?;
        if !(1..=9).contains(&level) {
            return Err(WriteError::Level { level });
        }
        let capacity = size / 512;
        let mut header = RawHeader::new(capacity, 3, flag::COMPRESSED | flag::MARKERS);
        header.gd_offset = AT_END.into();
        sink.write(header.as_bytes())?;
        let id = id(size, &[]);
        sink.write(&descriptor("streamOptimized", self.name, capacity, id)?)?;
        sink.skip(GRAIN - sink.position())?;
        let mut tables = Tables::new(sink, size);
        let mut done = 0;
        let (batches, loader) = batches.of(PIECE as u64);
        in_order(
            self.threads,
            batches,
            || Ok(Deflaters::new(level)),
            |deflaters, batch| {
                let (range, buffer) = loader.load(batch, index(GRAIN))?;
                let mut grains = Vec::new();
                for (number, grain) in (range.start / GRAIN..).zip(buffer.chunks(index(GRAIN))) {
                    if !is_zero(grain) {
                        grains.push((number, deflaters.packed(number, grain)?));
                    }
                }
                loader.done(buffer);
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
        progress.advance(self.len - done);
        tables.finish(header)?;
        Ok(())
    }
}

/// Compresses grains, one after the other.
struct Deflaters {
    stream: Compress,
    /// For what only becomes longer.
    stored: Compress,
}

impl Deflaters {
    fn new(level: u32) -> Self {
        Self {
            stream: Compress::new(Compression::new(level), true),
            stored: Compress::new(Compression::none(), true),
        }
    }

    /// Returns a grain with its marker, in whole sectors.
    fn packed(&mut self, number: u64, grain: &[u8]) -> Result<Vec<u8>> {
        // Always room for all of it: a stream that was left unfinished cannot be reset.
        let mut sectors = vec![0; 12 + grain.len() + grain.len() / 8 + 64];
        let mut len = deflate(&mut self.stream, grain, &mut sectors[12..])?;
        if len > grain.len() as u64 {
            len = deflate(&mut self.stored, grain, &mut sectors[12..])?;
        }
        let head = RawGrain {
            lba: (number * GRAIN_SECTORS).into(),
            size: word(len).into(),
        };
        sectors[..12].copy_from_slice(head.as_bytes());
        let end = 12 + index(len);
        sectors.truncate(end.next_multiple_of(512));
        // What an earlier attempt left behind.
        sectors[end..].fill(0);
        Ok(sectors)
    }
}

/// Compresses a grain, and returns how long it is then.
fn deflate(stream: &mut Compress, grain: &[u8], packed: &mut [u8]) -> Result<u64> {
    let fail = |source| Error::io("compress", "a grain", source);
    stream.reset();
    let status = stream
        .compress(grain, packed, FlushCompress::Finish)
        .map_err(|error| fail(error.into()))?;
    match status {
        Status::StreamEnd => Ok(stream.total_out()),
        _ => Err(fail(std::io::Error::other("it does not fit its buffer"))),
    }
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

fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn word(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
