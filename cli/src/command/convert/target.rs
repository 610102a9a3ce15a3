//! What `convert` makes: a format and its options, and how it is written.

use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, PlacedFile, PlacedSink, place};
use forger_disk::{Arriving, Packing, android_sparse, copy, ova, qcow2, receive, vhd, vhdx, vmdk};

use super::raw::{self, From};
use super::refused::Refused;
use super::work::Work;
use crate::exit::Failure;
use crate::input::disk::Counted;
use crate::output::Output;
use crate::progress::Console;
use crate::remedy;

/// A format that is made, with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Raw,
    /// Compressed as a whole.
    RawPacked(Packing),
    Qcow2(qcow2::Options, Option<(qcow2::Codec, i32)>),
    VhdFixed,
    VhdDynamic,
    Vhdx(vhdx::Options),
    /// With the file's name, and the level of its compression.
    Vmdk(String, Option<u32>),
    AndroidSparse(android_sparse::Options),
    Ova(ova::Options),
}

impl Target {
    /// How the format is called.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::RawPacked(Packing::Gzip(_)) => "raw, gzip",
            Self::RawPacked(Packing::Xz(_)) => "raw, xz",
            Self::RawPacked(Packing::Zstd(_)) => "raw, zstd",
            Self::Qcow2(..) => "qcow2",
            Self::VhdFixed => "vhd-fixed",
            Self::VhdDynamic => "vhd",
            Self::Vhdx(options) if options.fixed => "vhdx-fixed",
            Self::Vhdx(_) => "vhdx",
            Self::Vmdk(..) => "vmdk",
            Self::AndroidSparse(_) => "android-sparse",
            Self::Ova(_) => "ova",
        }
    }

    /// Tells whether a disk that arrives in order can be [received](Self::receive), by whether its
    /// length is known before its end.
    pub(crate) fn takes_arriving(&self, known_len: bool) -> bool {
        match self {
            Self::Raw | Self::RawPacked(_) | Self::VhdFixed | Self::Qcow2(_, Some(_)) => true,
            Self::Vmdk(_, Some(_)) => known_len,
            _ => false,
        }
    }

    /// Returns where the file has the byte at `at` of the disk, where that follows from its lead's start
    /// alone and not from what else is on the disk; the lead starts there.
    pub(in crate::command) fn lead_place(&self, at: u64) -> Option<u64> {
        match self {
            Self::Raw | Self::VhdFixed => Some(at),
            Self::Qcow2(options, None) => Some(qcow2::lead_place(at, options)),
            _ => None,
        }
    }

    /// Completes the image of a disk whose lead stands in the file already: `rest` is the disk without
    /// it. Calls `check` before it is published, and returns how long the file is.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(in crate::command) fn complete(
        &self,
        rest: Arc<dyn BlockRead>,
        lead: &Range<u64>,
        mut file: PlacedFile,
        work: Work<'_>,
        check: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let what = work.what();
        work.console.start_phase("write the rest");
        let image = self.plan(rest, Some(lead), work.threads, work.console);
        let image = image.map_err(|error| error.failure(what.clone()))?;
        let block = |error| remedy::block(what.clone(), error);
        let signals = work.console.signals().clone();
        let mut stopped = || signals.caught().is_some();
        place(&image, 0, &mut file, &mut stopped).map_err(block)?;
        check()?;
        work.console.finishing();
        Box::new(file).finish(image.len()).map_err(block)?;
        Ok(image.len())
    }

    /// Writes the image of a disk, calls `check` before it is published, and returns how long the
    /// file is.
    ///
    /// # Errors
    /// When the disk cannot be read or the image not be written; nothing is published then.
    pub(crate) fn write(
        &self,
        disk: Arc<dyn BlockRead>,
        output: &Output,
        threads: usize,
        console: &mut Console,
        check: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let work = Work {
            output,
            threads,
            console,
        };
        self.write_led(disk, None, work, check)
    }

    /// As [`write`](Self::write); beside a raw disk, its block map where one is wanted.
    pub(super) fn write_mapped(
        &self,
        disk: Arc<dyn BlockRead>,
        map: Option<&Output>,
        work: Work<'_>,
        check: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        match map {
            Some(_) => raw::write(self, From::Disk(disk), map, work, check),
            None => self.write_led(disk, None, work, check),
        }
    }

    /// As [`write`](Self::write); what `lead` says of the disk stands first where the format has a
    /// choice, as [`complete`](Self::complete) leaves it.
    ///
    /// # Errors
    /// As there.
    pub(in crate::command) fn write_led(
        &self,
        disk: Arc<dyn BlockRead>,
        lead: Option<&Range<u64>>,
        work: Work<'_>,
        check: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let threads = work.threads;
        match self {
            Self::Qcow2(options, Some(codec)) => {
                let compression = work.compression(*codec);
                work.placed(check, |sink, console| {
                    qcow2::write_compressed(&disk, options, &compression, sink, console)
                })
            }
            Self::Ova(options) => work.placed(check, |sink, console| {
                ova::write(&disk, options, threads, sink, console)
            }),
            Self::Vmdk(name, Some(level)) => work.forward(check, |mut sink, console| {
                vmdk::write_stream(&disk, name, *level, threads, &mut *sink, console)?;
                Ok(sink)
            }),
            Self::Raw | Self::RawPacked(_) => raw::write(self, From::Disk(disk), None, work, check),
            _ => {
                if *self != Self::VhdFixed {
                    work.console.start_phase("look for zeros");
                }
                let plan = self.plan(disk, lead, threads, work.console);
                let image = plan.map_err(|error| error.failure(work.what()))?;
                work.forward(check, |mut sink, console| {
                    copy(&image, &mut *sink, threads, console)?;
                    Ok(sink)
                })
            }
        }
    }

    /// Writes the image of a disk that arrives in order, if this format
    /// [takes it](Self::takes_arriving), and returns the lengths of disk and file.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) fn receive(
        &self,
        disk: &mut dyn Arriving,
        output: &Output,
        map: Option<&Output>,
        threads: usize,
        console: &mut Console,
    ) -> Result<(u64, u64), Failure> {
        let work = Work {
            output,
            threads,
            console,
        };
        let unchecked = || Ok(());
        let len = match self {
            Self::Qcow2(options, Some(codec)) => {
                let compression = work.compression(*codec);
                work.placed(unchecked, |sink, console| {
                    let watch = &mut Counted(console);
                    qcow2::write_compressed_arriving(disk, options, &compression, sink, watch)
                })
            }
            Self::Vmdk(name, Some(level)) => work.forward(unchecked, |mut sink, console| {
                let watch = &mut Counted(console);
                vmdk::restream(disk, name, *level, threads, &mut *sink, watch)?;
                Ok(sink)
            }),
            Self::VhdFixed => work.forward(unchecked, |mut sink, console| {
                receive(disk, &mut *sink, &mut Counted(console))?;
                vhd::append_fixed_footer(&mut *sink)?;
                Ok(sink)
            }),
            _ => raw::write(self, From::Arriving(disk), map, work, unchecked),
        }?;
        Ok((disk.reached(), len))
    }

    /// Plans an image that is not compressed; what `lead` says of the disk stands first where the format
    /// has a choice.
    pub(super) fn plan(
        &self,
        disk: Arc<dyn BlockRead>,
        lead: Option<&Range<u64>>,
        threads: usize,
        console: &mut Console,
    ) -> Result<Arc<dyn BlockRead>, Refused> {
        let image = match self {
            // What is compressed is not planned.
            Self::Raw | Self::RawPacked(_) | Self::Ova(_) => return Ok(disk),
            Self::Qcow2(options, _) => match lead {
                Some(lead) => qcow2::plan_led(&disk, lead, options, threads, console)?,
                None => qcow2::plan(&disk, options, threads, console)?,
            },
            Self::VhdFixed => vhd::plan_fixed(&disk)?,
            Self::VhdDynamic => vhd::plan_dynamic(&disk, threads, console)?,
            Self::Vhdx(options) => vhdx::plan(&disk, options, threads, console)?,
            Self::Vmdk(name, _) => vmdk::plan(&disk, name, threads, console)?,
            Self::AndroidSparse(options) => android_sparse::plan(&disk, options, threads, console)?,
        };
        Ok(Arc::new(image))
    }
}

/// Writes the qcow2 image that a disk has over a backing file, as [`Target::write`] does.
///
/// # Errors
/// As there.
pub(super) fn write_over(
    disk: &Arc<dyn BlockRead>,
    backing: &qcow2::Backing,
    options: &qcow2::Options,
    codec: Option<(qcow2::Codec, i32)>,
    work: Work<'_>,
    check: impl FnOnce() -> Result<(), Failure>,
) -> Result<u64, Failure> {
    if let Some(codec) = codec {
        let compression = work.compression(codec);
        return work.placed(check, |sink, console| {
            qcow2::write_compressed_over(disk, backing, options, &compression, sink, console)
        });
    }
    let threads = work.threads;
    work.console.start_phase("look for differences");
    let plan = qcow2::plan_over(disk, backing, options, threads, work.console);
    let image = plan.map_err(|error| Refused::from(error).failure(work.what()))?;
    work.forward(check, |mut sink, console| {
        copy(&image, &mut *sink, threads, console)?;
        Ok(sink)
    })
}
