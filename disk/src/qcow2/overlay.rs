//! The image of a disk over a backing file: it has what differs.

use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, SparseImage};

use super::error::WriteError;
use super::extension::Named;
use super::geometry::{Geometry, Head};
use super::options::{Codec, Options};
use super::plan::{Kind, assemble};
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
    let head = Head {
        codec: Codec::Zlib,
        backing: Some(backing.named.clone()),
        lazy_refcounts: false,
    };
    let found = differing(
        source,
        &backing.disk,
        options.cluster_size,
        threads,
        progress,
    )?;
    let runs = found.into_iter().map(|(run, differs)| {
        let kind = match differs {
            Differs::Zeros if options.version >= 3 => Kind::Zero,
            Differs::Zeros | Differs::Data => Kind::Data,
        };
        (run, kind)
    });
    let runs: Vec<(Range<u64>, Kind)> = runs.collect();
    assemble(&geometry, &head, runs, Some(source))
}
