//! An image of which nothing was written yet.

use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, Result, Run, SparseImage, check_range};

use super::error::WriteError;
use super::extension::Named;
use super::geometry::{Geometry, Head};
use super::options::{Codec, Options};
use super::plan::{Kind, assemble};

/// How much room a new image has for what will be written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preallocation {
    /// None.
    #[default]
    Off,
    /// Every cluster has its place, in a file of holes.
    Metadata,
    /// Every cluster has its place, and the file has zeros there.
    Full,
}

/// A file that holds the clusters of the disk, where they stand on the disk; whoever makes the image makes
/// it as well, as long as the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Its name, as it shall stand in the image: relative to the image's folder, or absolute.
    pub name: String,
    /// Whether it is to stay a raw disk that can be read without the image: then every cluster has its
    /// place from the beginning.
    pub raw: bool,
}

/// What is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// Size of the disk, in bytes.
    pub size: u64,
    /// How the image is made.
    pub options: Options,
    /// How clusters will be compressed.
    pub codec: Codec,
    /// What is read where the image has nothing.
    pub backing: Option<Named>,
    /// Where the clusters of the disk are, if not in the image.
    pub data_file: Option<DataFile>,
    /// Room for what will be written.
    pub preallocation: Preallocation,
    /// Whether QEMU may write refcounts late, and repair them after a crash.
    pub lazy_refcounts: bool,
}

impl Create {
    /// Makes nothing but a disk of a size, with the usual options.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self {
            size,
            options: Options::default(),
            codec: Codec::Zlib,
            backing: None,
            data_file: None,
            preallocation: Preallocation::Off,
            lazy_refcounts: false,
        }
    }

    /// Checks every value, alone and beside the others.
    ///
    /// # Errors
    /// [`WriteError::Option`] names the option.
    pub fn validate(&self) -> std::result::Result<(), WriteError> {
        let wrong = |option, reason: &str| {
            let reason = reason.to_owned();
            Err(WriteError::Option { option, reason })
        };
        self.options.validate()?;
        let old = self.options.version == 2;
        if old && self.lazy_refcounts {
            return wrong("lazy refcounts", "they need version 3");
        }
        if old && self.codec == Codec::Zstd {
            return wrong("compression", "zstd needs version 3");
        }
        if let Some(data) = &self.data_file {
            if old {
                return wrong("data file", "it needs version 3");
            }
            if data.raw && self.backing.is_some() {
                return wrong(
                    "data file",
                    "one that is a raw disk has no room for a backing file",
                );
            }
        }
        let room = self.preallocation != Preallocation::Off;
        if room && self.backing.is_some() && !self.options.extended_l2 {
            return wrong(
                "preallocation",
                "over a backing file it needs extended L2 entries",
            );
        }
        Ok(())
    }
}

/// Plans an image of which nothing was written yet; its disk is rounded up to 512 bytes.
///
/// # Errors
/// Options that are impossible; [`WriteError::TooLarge`].
pub fn create(new: &Create) -> std::result::Result<SparseImage, WriteError> {
    new.validate()?;
    let geometry = Geometry::new(new.options, new.size)?;
    let clusters = new.size.div_ceil(new.options.cluster_size);
    let head = Head {
        codec: new.codec,
        backing: new.backing.clone(),
        data_file: new.data_file.clone(),
        lazy_refcounts: new.lazy_refcounts,
    };
    // Over a backing file only subclusters know room from data.
    let kind = match new.backing.is_some() {
        true => Kind::Room,
        false => Kind::Data,
    };
    let all: Range<u64> = 0..clusters;
    let raw = new.data_file.as_ref().is_some_and(|data| data.raw);
    let runs = match new.preallocation {
        Preallocation::Off if !raw => Vec::new(),
        _ if all.is_empty() => Vec::new(),
        _ => vec![(all, kind)],
    };
    let image = assemble(&geometry, &head, runs, None, None)?;
    if new.preallocation != Preallocation::Full || new.data_file.is_some() {
        return Ok(image);
    }
    let room = clusters * new.options.cluster_size;
    let zeros: Arc<dyn BlockRead> = Arc::new(Zeros { len: room });
    let start = image.len() - room;
    let mut whole = SparseImage::builder();
    let tables: Arc<dyn BlockRead> = Arc::new(image);
    whole.span(0, start, &tables, 0)?;
    whole.span(start, room, &zeros, 0)?;
    Ok(whole.finish(start + room)?)
}

/// Zeros that are no hole.
#[derive(Debug)]
struct Zeros {
    len: u64,
}

impl BlockRead for Zeros {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.len)?;
        buf.fill(0);
        Ok(())
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        check_range(offset, 0, self.len)?;
        Ok(Run::Data(self.len - offset))
    }
}
