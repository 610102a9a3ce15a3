//! Raw disks, perhaps compressed as a whole, perhaps with a block map beside them.

use std::sync::Arc;

use forger_block::{BlockRead, BlockSink};
use forger_disk::bmap::Recorder;
use forger_disk::{Arriving, Packed, copy, receive};

use super::Target;
use super::refused::Refused;
use super::work::Work;
use crate::exit::Failure;
use crate::input::disk::Counted;
use crate::output::Output;
use crate::progress::Console;
use crate::remedy;

/// Where a disk comes from.
pub(super) enum From<'a> {
    Disk(Arc<dyn BlockRead>),
    Arriving(&'a mut dyn Arriving),
}

impl From<'_> {
    fn fill(
        self,
        sink: &mut dyn BlockSink,
        threads: usize,
        console: &mut Console,
    ) -> forger_block::Result<()> {
        match self {
            Self::Disk(disk) => copy(&disk, sink, threads, console),
            Self::Arriving(disk) => receive(disk, sink, &mut Counted(console)),
        }
    }
}

/// Writes a raw disk, and its block map where one is wanted, and returns the length of the file.
///
/// # Errors
/// When the disk cannot be read, or one of the files not be written.
pub(super) fn write(
    target: &Target,
    from: From<'_>,
    map: Option<&Output>,
    work: Work<'_>,
    check: impl FnOnce() -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let threads = work.threads;
    let open = |map: &Output| map.open_forward(work.console.signals());
    let mut beside = map.map(open).transpose()?;
    let len = work.forward(check, |sink, console| {
        packed(target, sink, threads, |sink| {
            let Some(beside) = &mut beside else {
                return Ok(from.fill(sink, threads, console)?);
            };
            let mut recorder = Recorder::new(sink);
            from.fill(&mut recorder, threads, console)?;
            let text = recorder.complete().to_string();
            Ok(beside.write(text.as_bytes())?)
        })
    })?;
    if let (Some(beside), Some(map)) = (beside, map) {
        beside.finish().map_err(|error| {
            remedy::block(format!("cannot write the block map {}", map.shown()), error)
        })?;
    }
    Ok(len)
}

/// Fills a sink, by way of a compressor if the format is compressed as a whole.
///
/// # Errors
/// Those of `fill` and the sink.
pub(super) fn packed(
    target: &Target,
    mut sink: Box<dyn BlockSink>,
    threads: usize,
    fill: impl FnOnce(&mut dyn BlockSink) -> Result<(), Refused>,
) -> Result<Box<dyn BlockSink>, Refused> {
    if let Target::RawPacked(packing) = target {
        let mut packed = Packed::new(sink, *packing, threads)?;
        fill(&mut packed)?;
        return Ok(packed.complete()?);
    }
    fill(&mut *sink)?;
    Ok(sink)
}
