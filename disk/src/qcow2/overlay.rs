//! The image of a disk over a backing file: it has what differs.

use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, PlacedSink, SparseImage};

use super::error::WriteError;
use super::extension::Named;
use super::geometry::{Geometry, Head};
use super::options::{Codec, Compression, Options};
use super::pack::Packer;
use super::plan::{Kind, assemble};
use crate::batch::Batches;
use crate::differing::{Differs, differing};
use crate::progress::Progress;

/// What an image builds on.
#[derive(Clone, Debug)]
pub struct Backing {
    /// How the image names it.
    pub named: Named,
    /// What it holds; behind its end are zeros.
    pub disk: Arc<dyn BlockRead>,
}

/// Plans the image of a disk, which is rounded up to 512 bytes, over a backing file: clusters that are the same there are left out,
/// those of zeros where it has others become zero clusters, which version 2 has to store.
///
/// # Errors
/// Those of disk and backing file; [`WriteError::TooLarge`]; options and names that are impossible.
pub fn plan_over(
    source: &Arc<dyn BlockRead>,
    backing: &Backing,
    options: &Options,
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<SparseImage, WriteError> {
    let geometry = Geometry::new(*options, source.len())?;
    let runs = backing.runs(source, options, threads, progress)?;
    assemble(
        &geometry,
        &backing.head(Codec::Zlib),
        runs,
        Some(source),
        None,
    )
}

/// Writes the compressed image of a disk over a backing file, with the clusters that [`plan_over`] would
/// have, and returns its length as [`write_compressed`](super::write_compressed) does.
///
/// # Errors
/// As those two.
pub fn write_compressed_over(
    source: &dyn BlockRead,
    backing: &Backing,
    options: &Options,
    compression: &Compression,
    sink: &mut dyn PlacedSink,
    progress: &mut dyn Progress,
) -> Result<u64, WriteError> {
    let geometry = Geometry::new(*options, source.len())?;
    let cluster = options.cluster_size;
    let mut packer = Packer::new(*options);
    let mut data = Vec::new();
    for (run, kind) in backing.runs(source, options, compression.threads, progress)? {
        match kind {
            Kind::Zero => packer.zeros(run),
            _ => data.push(run.start * cluster..(run.end * cluster).min(source.len())),
        }
    }
    let done = packer.fill(Batches::Parts(source, data), compression, sink, progress)?;
    progress.advance(source.len() - done);
    packer.finish(geometry, &backing.head(compression.codec), sink)
}

impl Backing {
    fn head(&self, codec: Codec) -> Head {
        Head {
            backing: Some(self.named.clone()),
            ..Head::alone(codec)
        }
    }

    /// Returns what an image over this one has of the clusters of a disk.
    fn runs(
        &self,
        source: &dyn BlockRead,
        options: &Options,
        threads: usize,
        progress: &mut dyn Progress,
    ) -> Result<Vec<(Range<u64>, Kind)>, WriteError> {
        let unit = options.cluster_size;
        let found = differing(source, &self.disk, unit, threads, progress)?;
        let runs = found.into_iter().map(|(run, differs)| {
            let kind = match differs {
                Differs::Zeros if options.version >= 3 => Kind::Zero,
                Differs::Zeros | Differs::Data => Kind::Data,
            };
            (run, kind)
        });
        Ok(runs.collect())
    }
}
