//! An uncompressed image in which a part of the disk has its place before anything else is known.
//!
//! ```text
//! header | clusters that lead | other data clusters in order
//!        | refcount table | refcount blocks | L1 table | L2 tables
//! ```

use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, SparseImage, Window, check_range};

use super::error::WriteError;
use super::geometry::{Geometry, Head};
use super::options::{Codec, Options};
use super::plan::{Kind, assemble};
use crate::occupied::occupied;
use crate::progress::Progress;

/// Plans an image as [`plan`](super::plan()) does, in which all clusters of the bytes `lead` of the disk
/// stand first, whatever they hold; [`lead_place`] says where.
///
/// # Errors
/// As there; a range that does not lie on the disk.
pub fn plan_led(
    source: &Arc<dyn BlockRead>,
    lead: &Range<u64>,
    options: &Options,
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<SparseImage, WriteError> {
    let size = source.len();
    let geometry = Geometry::new(*options, size)?;
    check_range(lead.start, lead.end.saturating_sub(lead.start), size)?;
    let unit = options.cluster_size;
    let clusters = lead.start / unit..lead.end.div_ceil(unit);
    let mut find = |bytes: Range<u64>| {
        let first = bytes.start / unit;
        let part = Window::new(Arc::clone(source), bytes)?;
        let found = occupied(&part, unit, threads, progress)?;
        let moved = |run: Range<u64>| (run.start + first..run.end + first, Kind::Data);
        Ok::<_, WriteError>(found.into_iter().map(moved).collect::<Vec<_>>())
    };
    let mut runs = find(0..clusters.start * unit)?;
    runs.push((clusters.clone(), Kind::Data));
    runs.extend(find((clusters.end * unit).min(size)..size)?);
    runs.retain(|(run, _)| !run.is_empty());
    let head = Head::alone(Codec::Zlib);
    assemble(&geometry, &head, runs, Some(source), Some(&clusters))
}

/// Returns where an image whose lead starts at byte `at` of the disk has that byte.
#[must_use]
pub fn lead_place(at: u64, options: &Options) -> u64 {
    options.cluster_size + at % options.cluster_size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unwatched;
    use crate::qcow2::{Image, check};

    #[test]
    fn the_lead_stands_first_whatever_it_holds_and_the_disk_is_the_same() {
        let mut bytes = vec![0; 3_000_000];
        for (at, byte) in [(0, 1), (1_200_000, 2), (1_500_000, 3), (2_999_999, 4)] {
            bytes[at] = byte;
        }
        let disk: Arc<dyn BlockRead> = Arc::new(bytes.clone());
        for cluster_size in [512, 65_536, 2 << 20] {
            let options = Options {
                cluster_size,
                ..Options::default()
            };
            for lead in [
                1_048_576..2_500_000,
                0..1,
                2_999_999..3_000_000,
                0..3_000_000,
                5..5,
            ] {
                let file = plan_led(&disk, &lead, &options, 2, &mut Unwatched).unwrap();
                let place = lead_place(lead.start, &options);
                let len = usize::try_from(lead.end - lead.start).unwrap();
                let mut found = vec![0; len];
                file.read_at(place, &mut found).unwrap();
                let start = usize::try_from(lead.start).unwrap();
                assert!(found == bytes[start..start + len], "{lead:?}");
                let file: Arc<dyn BlockRead> = Arc::new(file);
                assert_eq!(check(&file).unwrap().findings, [], "{lead:?}");
                let mut whole = vec![0; bytes.len()];
                let image = Image::open(file).unwrap();
                image.read_at(0, &mut whole).unwrap();
                assert!(whole == bytes, "{cluster_size} {lead:?}");
            }
        }
        assert!(
            plan_led(
                &disk,
                &(0..3_000_001),
                &Options::default(),
                1,
                &mut Unwatched
            )
            .is_err()
        );
    }
}
