//! dm-verity on a disk: the Discoverable Partitions Specification finds data and hash tree by the root
//! hash, whose halves are the partitions' GUIDs.

use std::sync::Arc;

use forger_block::{BlockRead, SparseImage};
use forger_disk::Guid;
use forger_disk::partition::Part;
use forger_fs::observe::Observer;
use forger_fs::verity::{self, Parameters, Root};

use super::{ALIGN, Error};

/// A hash tree for a partition.
pub(super) struct Hashes {
    /// Superblock and tree.
    pub(super) area: Arc<dyn BlockRead>,
    /// The root hash.
    pub(super) root: Root,
}

/// Returns how many bytes the hash tree of so many bytes takes.
pub(super) fn len(data: u64) -> Result<u64, verity::Error> {
    Parameters::new(data, 0)?.end()
}

/// Returns the largest length of data in `room` bytes that leaves room for its hash tree, both in whole
/// units of the alignment; 0 where there is none.
pub(super) fn largest(room: u64) -> u64 {
    let fits = |data: u64| {
        let taken = len(data)
            .ok()
            .and_then(|tree| tree.checked_next_multiple_of(ALIGN));
        taken
            .and_then(|tree| data.checked_add(tree))
            .is_some_and(|end| end <= room)
    };
    // The more data, the more tree: what fits is found by halving, in units.
    let (mut most, mut beyond) = (0, room / ALIGN + 1);
    while most + 1 < beyond {
        let middle = most.midpoint(beyond);
        match fits(middle * ALIGN) {
            true => most = middle,
            false => beyond = middle,
        }
    }
    most * ALIGN
}

/// Makes the hash tree of all bytes of a partition.
pub(super) fn of(
    part: &Part,
    len: u64,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<Hashes, Error> {
    let make = |observer: &mut dyn Observer| -> Result<Hashes, verity::Error> {
        let mut padded = SparseImage::builder();
        if let Some(content) = &part.content {
            padded.span(0, content.len(), content, 0)?;
        }
        let data: Arc<dyn BlockRead> = Arc::new(padded.finish(len)?);
        let (salt, uuid) = verity::derive(&data)?;
        let parameters = Parameters::new(len, 0)?
            .with_salt(salt.to_vec())?
            .with_uuid(uuid);
        let (area, root) = verity::plan(&data, &parameters, threads, observer)?;
        Ok(Hashes { area, root })
    };
    observer.phase("hash");
    make(observer).map_err(|source| Error::Verity {
        name: part.name.clone(),
        source,
    })
}

impl Hashes {
    /// Returns the GUIDs of the partition with the data and of the one with the tree.
    pub(super) fn guids(&self) -> [Guid; 2] {
        let mut halves = [[0; 16]; 2];
        let [data, tree] = &mut halves;
        data.copy_from_slice(&self.root.0[..16]);
        tree.copy_from_slice(&self.root.0[16..]);
        halves.map(Guid::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_tree_fill_their_room_as_far_as_alignment_allows() {
        for room in [
            2 * ALIGN,
            100 * ALIGN + 5,
            129 * ALIGN,
            5000 * ALIGN,
            1 << 42,
        ] {
            let data = largest(room);
            let taken = |data: u64| data + len(data).unwrap().next_multiple_of(ALIGN);
            assert!(taken(data) <= room, "{room}");
            assert!(taken(data + ALIGN) > room, "{room}");
        }
        assert_eq!(largest(ALIGN), 0);
        assert_eq!(largest(0), 0);
    }
}
