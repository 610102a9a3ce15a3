//! Two ways to an image: written as it is ingested, or planned and read on demand.

use std::sync::Arc;

use forger_block::{PlacedSink, SparseImage};

use super::geometry::Frame;
use super::ingest::ingest;
use super::options::{Inodes, Journal, Options, Size};
use super::record::Recorder;
use super::store::{Discarded, Staged, Store};
use super::units::BLOCK_SIZE;
use super::{Error, inode, seal};
use crate::observe::Observer;
use crate::source::Source;
use crate::tree::Time;

/// A source, and how its entries replace those of the sources before it.
pub struct Layer<'a> {
    /// Where the entries come from.
    pub source: &'a mut dyn Source,
    /// Keeps and follows a symlink to a folder where a folder arrives (overlays on a merged
    /// `/usr`); else the folder replaces the symlink.
    pub overlay: bool,
}

impl std::fmt::Debug for Layer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer")
            .field("overlay", &self.overlay)
            .finish_non_exhaustive()
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Length of the image in bytes.
    pub size: u64,
    /// Blocks of the filesystem, 4096 bytes each.
    pub blocks: u64,
    /// Blocks that nothing uses.
    pub free_blocks: u64,
    /// Inodes, used or not.
    pub inodes: u64,
    /// Inodes that nothing uses.
    pub free_inodes: u64,
    /// The filesystem's UUID.
    pub uuid: [u8; 16],
    /// The seed of the directory hashes.
    pub hash_seed: [u8; 16],
    /// The image's time.
    pub time: Time,
    /// Entries taken from the sources.
    pub entries: u64,
    /// Bytes of content taken from the sources, holes included.
    pub content_bytes: u64,
    /// Where contents end in the image, in bytes: from there on is metadata, or nothing.
    pub contents_end: u64,
    /// Length of the journal in bytes, 0 without one.
    pub journal_bytes: u64,
    /// The volume label.
    pub label: Option<Vec<u8>>,
}

/// Makes an image of all layers and writes it into `sink` in one pass.
///
/// Writes ascend, except the [`late_ranges`](super::late_ranges), which come last, and contents that
/// a later entry replaced, which are punched. The caller finishes the sink with
/// [`Summary::size`].
///
/// # Errors
/// Whatever is wrong with the sources, the options or the sink.
pub fn write(
    layers: &mut [Layer<'_>],
    options: &Options,
    sink: &mut dyn PlacedSink,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    let sealed = make(layers, options, &mut Staged::new(sink), observer)?;
    observer.phase("write metadata");
    let summary = sealed.summary();
    let (placed, late) = sealed.metadata()?;
    placed.place_into(sink, &mut || observer.cancelled())?;
    late.place_into(sink, &mut || observer.cancelled())?;
    Ok(summary)
}

/// Plans an image of all layers; its contents are read from the sources when it is read.
///
/// Sources without an [`origin`](Source::origin) may bring 256 MiB of content at most.
///
/// # Errors
/// Whatever is wrong with the sources or the options.
pub fn plan(
    layers: &mut [Layer<'_>],
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<(SparseImage, Summary), Error> {
    let mut recorder = Recorder::default();
    let sealed = make(layers, options, &mut recorder, observer)?;
    let summary = sealed.summary();
    let image = seal::Sealed::image(&Arc::new(sealed), recorder.finish()?)?;
    Ok((image, summary))
}

/// Finds out what an image of all layers would be, and stores nothing.
///
/// # Errors
/// Whatever is wrong with the sources or the options.
pub fn dry_run(
    layers: &mut [Layer<'_>],
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    Ok(make(layers, options, &mut Discarded, observer)?.summary())
}

pub(super) fn make(
    layers: &mut [Layer<'_>],
    options: &Options,
    store: &mut dyn Store,
    observer: &mut dyn Observer,
) -> Result<seal::Sealed, Error> {
    options.validate()?;
    let frame = Frame::new(options)?;
    observer.phase("ingest");
    let ingested = ingest(layers, options, frame, store, observer)?;
    observer.phase("seal");
    seal::seal(ingested, options, frame, observer)
}

impl Options {
    /// Checks every option's legal range.
    ///
    /// # Errors
    /// [`Error::Option`], which names the option.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |option, reason: String| Err(Error::Option { option, reason });
        if let Some(label) = &self.label
            && (label.len() > 16 || label.contains(&0))
        {
            return refuse(
                "label",
                format!("{} bytes, at most 16 without NUL", label.len()),
            );
        }
        if self
            .time
            .is_some_and(|time| inode::encode_time(time).is_none())
        {
            return refuse("time", "lies outside 1901..2446".into());
        }
        if self.time.is_some_and(inode::is_misread) {
            return refuse("time", "is taken by e2fsck for one before 1970".into());
        }
        if self.reserved > 5_000 {
            return refuse("reserved", "more than half of the image".into());
        }
        if let Inodes::BytesPerInode(bytes) = self.inodes
            && !(1024..=64 << 20).contains(&bytes)
        {
            return refuse(
                "bytes-per-inode",
                format!("{bytes} is not within 1024 and 64 MiB"),
            );
        }
        if let Journal::Bytes(bytes) = self.journal
            && (!(4 << 20..=40 << 30).contains(&bytes) || !bytes.is_multiple_of(BLOCK_SIZE))
        {
            let reason = format!("{bytes} bytes is not a multiple of 4096 from 4M to 40G");
            return refuse("journal-size", reason);
        }
        if let Size::Exact(bytes) = self.size
            && bytes < 1 << 20
        {
            return refuse("size", format!("{bytes} bytes is less than 1 MiB"));
        }
        Ok(())
    }
}
