//! Reading a volume: every field checked before it is used, every cluster taken once.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod directory;
mod parameters;

use std::sync::Arc;

use forger_block::BlockRead;

use self::directory::{Found, parse};
use super::ReadError;
use super::boot::{NO_NAME, ROOT_CLUSTER};
use super::folder::{MAX_ENTRIES, attribute};
use super::geometry::{Bits, ENTRY, Geometry};
use super::name::Short;
use crate::tree::{Content, Kind, Meta, Policy, Tree, shown};

/// How deep folders may lie in each other.
const MAX_DEPTH: usize = 128;
/// How many names a volume may have: what a tree of them takes stays below some GiB.
const MAX_NAMES: usize = 1 << 22;

/// A FAT12, FAT16 or FAT32 volume, open for reading.
#[derive(Clone, Debug)]
pub struct Volume {
    source: Arc<dyn BlockRead>,
    geometry: Geometry,
    volume_id: Option<u32>,
    label: Option<Short>,
    root: u32,
}

type Result<T> = std::result::Result<T, ReadError>;

fn corrupt(at: impl Into<String>, what: impl Into<String>) -> ReadError {
    ReadError::Corrupt {
        at: at.into(),
        what: what.into(),
    }
}

impl Volume {
    /// Opens a volume that starts with the first byte of `source`.
    ///
    /// # Errors
    /// [`ReadError::NotFat`] when there is none, [`ReadError::Corrupt`] when its parameters make no sense.
    pub fn open(source: Arc<dyn BlockRead>) -> Result<Self> {
        let parameters = parameters::read(&*source)?;
        let mut volume = Self {
            source,
            geometry: parameters.geometry,
            volume_id: parameters.volume_id,
            label: parameters.label,
            root: parameters.root,
        };
        // The root folder's label counts; the boot sector's is a copy.
        let root = volume.folder_bytes(None)?;
        let named = directory::label(&root);
        volume.label = named.or(volume.label.filter(|label| *label != NO_NAME));
        Ok(volume)
    }

    /// Returns where everything stands.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the volume id, if the boot sector has one.
    #[must_use]
    pub fn volume_id(&self) -> Option<u32> {
        self.volume_id
    }

    /// Returns the volume label, without its padding.
    #[must_use]
    pub fn label(&self) -> Option<String> {
        let label = self.label?;
        Some(directory::oem(&label).trim_end().to_owned())
    }

    /// Returns the number of clusters that the table says are free.
    ///
    /// # Errors
    /// [`ReadError::Block`] when the table cannot be read.
    pub fn free_clusters(&self) -> Result<u32> {
        let mut free = 0_u32;
        let end = self.geometry.clusters.saturating_add(2);
        let mut cluster = 2;
        while cluster < end {
            let count = end.saturating_sub(cluster).min(1 << 15);
            let entries = self.entries(cluster, count)?;
            let empty = entries.iter().filter(|entry| **entry == 0).count();
            free = free.saturating_add(u32::try_from(empty).unwrap_or(u32::MAX));
            cluster = cluster.saturating_add(count);
        }
        Ok(free)
    }

    /// Reads everything as a tree: folders 0755 and files 0644 of root, contents where they stand.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] where a chain or a name makes no sense, or two chains share a cluster.
    pub fn tree(&self) -> Result<Tree<Content>> {
        let meta = |mode| Meta {
            mode,
            ..Meta::default()
        };
        let mut tree = Tree::new(meta(0o755));
        tree.put(b"/", meta(0o755), Kind::directory(), Policy::default())
            .map_err(|source| ReadError::Tree {
                path: "/".into(),
                source,
            })?;
        let mut taken = Taken::new(self.geometry.clusters);
        let mut names = 0_usize;
        let mut pending: Vec<(Vec<u8>, Option<u32>, usize)> = vec![(Vec::new(), None, 0)];
        while let Some((path, cluster, depth)) = pending.pop() {
            if depth > MAX_DEPTH {
                return Err(corrupt(shown(&path), "folders lie too deep in each other"));
            }
            let chain = self.chain_of_folder(cluster, &shown(&path), &mut taken)?;
            let bytes = self.bytes_of(cluster, &chain)?;
            for found in parse(&bytes).map_err(|what| corrupt(shown(&path), what))? {
                names = names.saturating_add(1);
                if names > MAX_NAMES {
                    return Err(corrupt(shown(&path), "more names than can be"));
                }
                let full = match path.is_empty() {
                    true => found.name.clone(),
                    false => [&path, &b"/"[..], &found.name].concat(),
                };
                self.put(&mut tree, &full, &found, &mut taken)?;
                if found.attributes & attribute::FOLDER != 0 {
                    pending.push((full, Some(found.cluster), depth.saturating_add(1)));
                }
            }
        }
        Ok(tree)
    }

    /// Puts one name into the tree.
    fn put(
        &self,
        tree: &mut Tree<Content>,
        path: &[u8],
        found: &Found,
        taken: &mut Taken,
    ) -> Result<()> {
        let folder = found.attributes & attribute::FOLDER != 0;
        let (mode, kind) = match folder {
            true => (0o755, Kind::directory()),
            false => (0o644, Kind::File(self.content(found, path, taken)?)),
        };
        let meta = Meta {
            mode,
            mtime: found.modified,
            atime: found.accessed,
            crtime: found.created,
            ..Meta::default()
        };
        if tree.get(path).is_some() {
            return Err(corrupt(shown(path), "the name stands there twice"));
        }
        match tree.put(path, meta, kind, Policy::default()) {
            Ok(_) => Ok(()),
            Err(source) => Err(ReadError::Tree {
                path: shown(path),
                source,
            }),
        }
    }

    /// Returns a file's content: spans of the volume.
    fn content(&self, found: &Found, path: &[u8], taken: &mut Taken) -> Result<Content> {
        let mut content = Content::new();
        if found.size == 0 && found.cluster == 0 {
            return Ok(content);
        }
        let mut left = u64::from(found.size);
        let cluster = self.geometry.cluster();
        for (first, count) in self.chain(found.cluster, &shown(path), taken)? {
            let len = cluster.saturating_mul(u64::from(count)).min(left);
            content.push_span(&self.source, self.geometry.offset(first), len);
            left = left.saturating_sub(len);
        }
        match left {
            0 => Ok(content),
            _ => Err(corrupt(
                shown(path),
                "the chain of clusters is shorter than the file",
            )),
        }
    }

    /// Returns the runs of clusters of a folder; none for a root with a place of its own.
    fn chain_of_folder(
        &self,
        cluster: Option<u32>,
        path: &str,
        taken: &mut Taken,
    ) -> Result<Vec<(u32, u32)>> {
        match cluster {
            None if self.geometry.bits != Bits::Fat32 => Ok(Vec::new()),
            None => self.chain(self.root, path, taken),
            Some(first) => self.chain(first, path, taken),
        }
    }

    /// Returns the bytes of a folder: at most 65,536 entries.
    fn bytes_of(&self, cluster: Option<u32>, chain: &[(u32, u32)]) -> Result<Vec<u8>> {
        let limit = u64::from(ENTRY).saturating_mul(u64::try_from(MAX_ENTRIES).unwrap_or(u64::MAX));
        let ranges: Vec<(u64, u64)> = if cluster.is_none() && self.geometry.bits != Bits::Fat32 {
            let len = u64::from(self.geometry.root_entries).saturating_mul(u64::from(ENTRY));
            vec![(self.geometry.root(), len)]
        } else {
            let cluster = self.geometry.cluster();
            let range = |&(first, count): &(u32, u32)| {
                let len = cluster.saturating_mul(u64::from(count));
                (self.geometry.offset(first), len)
            };
            chain.iter().map(range).collect()
        };
        let total: u64 = ranges
            .iter()
            .map(|(_, len)| *len)
            .fold(0, u64::saturating_add);
        if total > limit {
            return Err(corrupt(
                "a folder",
                format!("{total} bytes, {limit} are possible"),
            ));
        }
        let mut bytes = Vec::new();
        for (at, len) in ranges {
            let start = bytes.len();
            let len = usize::try_from(len).unwrap_or(0);
            bytes.resize(start.saturating_add(len), 0);
            if let Some(part) = bytes.get_mut(start..) {
                self.source.read_at(at, part)?;
            }
        }
        Ok(bytes)
    }

    /// Returns the bytes of the root folder.
    fn folder_bytes(&self, cluster: Option<u32>) -> Result<Vec<u8>> {
        let mut taken = Taken::new(self.geometry.clusters);
        let chain = self.chain_of_folder(cluster, "/", &mut taken)?;
        self.bytes_of(cluster, &chain)
    }

    /// Follows a chain from its first cluster; returns its runs of neighbours.
    fn chain(&self, first: u32, path: &str, taken: &mut Taken) -> Result<Vec<(u32, u32)>> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let mut cluster = first;
        let end = self.geometry.clusters.saturating_add(2);
        let mut window: (u32, Vec<u32>) = (0, Vec::new());
        loop {
            if !(ROOT_CLUSTER..end).contains(&cluster) {
                return Err(corrupt(
                    path,
                    format!("cluster {cluster} is not of this volume"),
                ));
            }
            if !taken.take(cluster) {
                return Err(corrupt(path, format!("cluster {cluster} is in use twice")));
            }
            match runs.last_mut() {
                Some((start, count)) if start.saturating_add(*count) == cluster => {
                    *count = count.saturating_add(1);
                }
                _ => runs.push((cluster, 1)),
            }
            let index = cluster
                .checked_sub(window.0)
                .and_then(|i| usize::try_from(i).ok());
            let next = match index.and_then(|index| window.1.get(index)) {
                Some(next) => *next,
                None => {
                    let count = end.saturating_sub(cluster).min(1 << 10);
                    window = (cluster, self.entries(cluster, count)?);
                    window.1.first().copied().unwrap_or(0)
                }
            };
            // The last eight values end a chain.
            if next >= self.geometry.bits.end().saturating_sub(7) {
                return Ok(runs);
            }
            cluster = next;
        }
    }

    /// Returns the table's entries of some clusters, from the first table.
    fn entries(&self, first: u32, count: u32) -> Result<Vec<u32>> {
        let width = self.geometry.bits.width();
        let bit = u64::from(first).saturating_mul(width);
        let (start, shift) = (bit / 8, bit % 8);
        let bits = u64::from(count).saturating_mul(width).saturating_add(shift);
        let mut bytes = vec![0; usize::try_from(bits.div_ceil(8)).unwrap_or(0)];
        let at = self.geometry.table(0).saturating_add(start);
        self.source.read_at(at, &mut bytes)?;
        let mask = self.geometry.bits.end();
        let entry = |index: u32| {
            let bit = u64::from(index).saturating_mul(width).saturating_add(shift);
            let byte = usize::try_from(bit / 8).unwrap_or(usize::MAX);
            let value = bytes
                .iter()
                .skip(byte)
                .take(4)
                .rev()
                .fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
            value >> (bit % 8) & mask
        };
        Ok((0..count).map(entry).collect())
    }
}

/// Which clusters belong to something already.
struct Taken(Vec<u64>);

impl Taken {
    fn new(clusters: u32) -> Self {
        let words = u64::from(clusters).saturating_add(2).div_ceil(64);
        Self(vec![0; usize::try_from(words).unwrap_or(0)])
    }

    /// Takes a cluster; false where it is taken.
    fn take(&mut self, cluster: u32) -> bool {
        let bit = 1_u64 << (cluster % 64);
        let word = usize::try_from(cluster / 64).unwrap_or(usize::MAX);
        match self.0.get_mut(word) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                true
            }
            _ => false,
        }
    }
}
