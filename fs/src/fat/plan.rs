//! From a tree to an image: names, geometry, clusters, bytes.

use std::sync::Arc;

use bytes::Bytes;
use forger_block::{BlockRead, SparseImage};

use super::Error;
use super::boot::{BACKUP, FSINFO, Identity, NO_NAME, ROOT_CLUSTER, boot_sector, info_sector};
use super::folder::{self, Record, Stamps, attribute};
use super::gather::{Is, Planner};
use super::geometry::{Bits, ENTRY, Geometry};
use super::name::is_short;
use super::options::{Options, Size};
use super::stamp::{self, Stamp};
use super::table::{Chain, Table};
use crate::observe::Observer;
use crate::tree::{Content, Kind, Meta, NodeId, Time, Tree};

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Where everything stands.
    pub geometry: Geometry,
    /// Clusters that nothing uses.
    pub free_clusters: u32,
    /// The volume id.
    pub volume_id: u32,
    /// The volume label.
    pub label: Option<String>,
    /// Files.
    pub files: u64,
    /// Folders, the root included.
    pub folders: u64,
    /// The time of what had none.
    pub time: Time,
}

/// Plans a volume that holds a tree; its contents are read from their origins when it is read.
///
/// # Errors
/// What FAT cannot hold, options that it does not allow, and content that has no room.
pub fn plan(
    tree: &Tree<Content>,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<(SparseImage, Summary), Error> {
    validate(options)?;
    let label = options.label.as_deref().map(label).transpose()?;
    let mut planner = Planner::gather(tree, options, observer)?;
    let root_extra = usize::from(label.is_some());
    let geometry = planner.geometry(root_extra)?;
    let time = options.time.or_else(|| planner.newest());
    let time = time.unwrap_or(Time::from_sec(stamp::FIRST));
    let chains = planner.place(&geometry, root_extra);
    let used: u32 = chains.iter().map(|chain| chain.clusters).sum();
    let volume_id = options
        .volume_id
        .unwrap_or_else(|| planner.digest(&geometry, label, time));
    let identity = Identity {
        volume_id,
        label,
        hidden_sectors: options.hidden_sectors,
    };
    let image = planner.compose(&geometry, &identity, &chains, time)?;
    let summary = Summary {
        geometry,
        free_clusters: geometry.clusters - used,
        volume_id,
        label: options.label.clone(),
        files: planner.files.len() as u64,
        folders: planner.folders.len() as u64,
        time,
    };
    Ok((image, summary))
}

fn validate(options: &Options) -> Result<(), Error> {
    let refuse = |option, reason: &str| {
        Err(Error::Option {
            option,
            reason: reason.to_owned(),
        })
    };
    let sector = options.sector();
    if ![512, 1024, 2048, 4096].contains(&sector) {
        return refuse("sector-size", "512, 1024, 2048 and 4096 are possible");
    }
    if let Some(cluster) = options.cluster_size
        && !(cluster.is_power_of_two()
            && (sector..=64 << 10).contains(&cluster)
            && cluster / sector < 256)
    {
        return refuse(
            "cluster-size",
            "a power of two from a sector to 64 KiB is possible",
        );
    }
    match options.size {
        Size::Exact(size) if !size.is_multiple_of(u64::from(sector)) => {
            refuse("size", "it is no multiple of the sector")
        }
        _ => Ok(()),
    }
}

/// Checks a label and pads it.
fn label(text: &str) -> Result<[u8; 11], Error> {
    let refuse = |reason: &str| Error::Option {
        option: "label",
        reason: format!("{text:?}: {reason}"),
    };
    let mut padded = [b' '; 11];
    let bytes = text.to_ascii_uppercase().into_bytes();
    if bytes.is_empty() || bytes.len() > padded.len() {
        return Err(refuse("1 to 11 characters are possible"));
    }
    if bytes[0] == b' ' || !bytes.iter().all(|byte| *byte == b' ' || is_short(*byte)) {
        return Err(refuse(
            "letters, digits, spaces and !#$%&'()-@^_`{}~ are possible",
        ));
    }
    padded[..bytes.len()].copy_from_slice(&bytes);
    match padded == NO_NAME {
        true => Err(refuse("that is how a volume without a label is marked")),
        false => Ok(padded),
    }
}

impl Planner<'_> {
    fn newest(&self) -> Option<Time> {
        let metas = self.tree.iter().map(|(_, node)| &node.meta);
        metas.filter_map(|meta| meta.mtime).max()
    }

    /// Returns the clusters that everything takes.
    fn clusters(&self, geometry: &Geometry, root_extra: usize) -> u64 {
        let cluster = geometry.cluster();
        let folders = (0..self.folders.len()).map(|index| {
            self.folder_bytes(index, geometry, root_extra)
                .div_ceil(cluster)
        });
        let files = self
            .files
            .iter()
            .map(|file| file.content.size().div_ceil(cluster));
        folders.chain(files).sum()
    }

    /// Returns the bytes of a folder's clusters; 0 for a root that has its own place.
    fn folder_bytes(&self, index: usize, geometry: &Geometry, root_extra: usize) -> u64 {
        let root = index == 0;
        if root && geometry.bits != Bits::Fat32 {
            return 0;
        }
        let own = if root { root_extra as u64 } else { 2 };
        ((u64::from(self.folders[index].entries) + own) * u64::from(ENTRY)).max(1)
    }

    /// Chooses the size, and with it where everything stands.
    fn geometry(&self, root_extra: usize) -> Result<Geometry, Error> {
        let root = self.folders[0].entries + u32::try_from(root_extra).unwrap_or(1);
        match self.options.size {
            Size::Exact(size) => {
                let geometry = Geometry::choose(size, root, self.options)?;
                let needed = self.clusters(&geometry, root_extra);
                if needed > u64::from(geometry.clusters) {
                    let more = needed - u64::from(geometry.clusters);
                    let needed = size + (more + 1) * geometry.cluster();
                    return Err(Error::TooSmall { needed, size });
                }
                Ok(geometry)
            }
            Size::Auto { free } => self.smallest(free, root, root_extra),
        }
    }

    /// Finds the smallest size in whole MiB that holds everything and `free` bytes more.
    fn smallest(&self, free: u64, root: u32, root_extra: usize) -> Result<Geometry, Error> {
        const MIB: u64 = 1 << 20;
        let content: u64 = self.files.iter().map(|file| file.content.size()).sum();
        let mut size = (content + free).max(1).next_multiple_of(MIB);
        let mut last = None;
        // Larger sizes can mean larger clusters, hence the repetition; it ends since sizes grow.
        for _ in 0..1 << 16 {
            match Geometry::choose(size, root, self.options) {
                Ok(geometry) => {
                    let cluster = geometry.cluster();
                    let needed = self.clusters(&geometry, root_extra) + free.div_ceil(cluster);
                    let there = u64::from(geometry.clusters);
                    if needed <= there {
                        return Ok(geometry);
                    }
                    size += ((needed - there) * cluster).next_multiple_of(MIB);
                }
                Err(error) => {
                    last = Some(error);
                    size += MIB;
                }
            }
        }
        Err(last.unwrap_or(Error::TooSmall { needed: size, size }))
    }

    /// Gives folders, then files their clusters, one after the other; returns all chains.
    fn place(&mut self, geometry: &Geometry, root_extra: usize) -> Vec<Chain> {
        let cluster = geometry.cluster();
        let (mut next, mut chains) = (2_u32, Vec::new());
        let mut take = |bytes: u64| {
            let clusters = u32::try_from(bytes.div_ceil(cluster)).unwrap_or(u32::MAX);
            let chain = Chain {
                first: next,
                clusters,
            };
            (clusters > 0).then(|| {
                next += clusters;
                chains.push(chain);
                chain
            })
        };
        for index in 0..self.folders.len() {
            let bytes = self.folder_bytes(index, geometry, root_extra);
            self.folders[index].chain = take(bytes);
        }
        for file in &mut self.files {
            file.chain = take(file.content.size());
        }
        chains
    }

    /// Derives the volume id.
    fn digest(&self, geometry: &Geometry, label: Option<[u8; 11]>, time: Time) -> u32 {
        let mut hash = blake3::Hasher::new_derive_key("forger 2026 fat volume id v1");
        hash.update(&geometry.bytes().to_le_bytes());
        hash.update(&geometry.cluster().to_le_bytes());
        hash.update(&label.unwrap_or_default());
        hash.update(&time.sec.to_le_bytes());
        let mut walk = self.tree.walk();
        while let Some(visit) = walk.next() {
            let node = self.tree.node(visit.node);
            let size = match &node.kind {
                Kind::File(content) => content.size(),
                _ => 0,
            };
            let time = node.meta.mtime.unwrap_or(time);
            hash.update(&(walk.path().len() as u64).to_le_bytes());
            hash.update(walk.path());
            hash.update(&size.to_le_bytes());
            hash.update(&time.sec.to_le_bytes());
        }
        let mut id = [0; 4];
        id.copy_from_slice(&hash.finalize().as_bytes()[..4]);
        u32::from_le_bytes(id)
    }

    /// Puts the image together.
    fn compose(
        &self,
        geometry: &Geometry,
        identity: &Identity,
        chains: &[Chain],
        time: Time,
    ) -> Result<SparseImage, Error> {
        let mut image = SparseImage::builder();
        let sector = u64::from(geometry.sector);
        let boot = Bytes::from(boot_sector(geometry, identity));
        image.bytes(0, boot.clone())?;
        if geometry.bits == Bits::Fat32 {
            let used = chains.iter().map(|chain| chain.clusters).sum();
            let info = Bytes::from(info_sector(geometry, used));
            image.bytes(u64::from(FSINFO) * sector, info.clone())?;
            image.bytes(u64::from(BACKUP) * sector, boot)?;
            image.bytes(u64::from(BACKUP + FSINFO) * sector, info)?;
        }
        let table: Arc<dyn BlockRead> = Arc::new(Table::new(*geometry, chains));
        for index in 0..geometry.tables {
            image.span(geometry.table(index), table.len(), &table, 0)?;
        }
        for (index, folder) in self.folders.iter().enumerate() {
            let at = match folder.chain {
                Some(chain) => geometry.offset(chain.first),
                None => geometry.root(),
            };
            image.bytes(at, Bytes::from(self.folder(index, identity, time)))?;
        }
        for file in &self.files {
            let Some(chain) = file.chain else { continue };
            let start = geometry.offset(chain.first);
            for span in file.content.spans() {
                image.span(start + span.at, span.len, &span.origin, span.offset)?;
            }
        }
        Ok(image.finish(geometry.bytes())?)
    }

    /// Makes a folder's entries.
    fn folder(&self, index: usize, identity: &Identity, time: Time) -> Vec<u8> {
        let folder = &self.folders[index];
        let stamps = |node: NodeId| self.stamps(&self.tree.node(node).meta, time);
        let first = |index: usize| match (index, self.folders[index].chain) {
            // The root is 0, whatever its cluster.
            (0, _) | (_, None) => 0,
            (_, Some(chain)) => chain.first,
        };
        let mut out = Vec::new();
        if index > 0 {
            for (name, of) in [(b".          ", index), (b"..         ", folder.parent)] {
                let record = Record {
                    attributes: attribute::FOLDER,
                    stamps: stamps(self.folders[of].node),
                    cluster: first(of),
                    size: 0,
                };
                folder::push(&mut out, name, None, &record);
            }
        } else if let Some(label) = &identity.label {
            let record = Record {
                attributes: attribute::LABEL,
                stamps: Stamps {
                    modified: Stamp::of(time),
                    ..Stamps::default()
                },
                cluster: 0,
                size: 0,
            };
            folder::push(&mut out, label, None, &record);
        }
        for child in &folder.children {
            let record = match child.is {
                Is::Folder(of) => Record {
                    attributes: attribute::FOLDER,
                    stamps: stamps(self.folders[of].node),
                    cluster: first(of),
                    size: 0,
                },
                Is::File(of) => {
                    let file = &self.files[of];
                    Record {
                        attributes: attribute::ARCHIVE,
                        stamps: stamps(file.node),
                        cluster: file.chain.map_or(0, |chain| chain.first),
                        size: u32::try_from(file.content.size()).unwrap_or(u32::MAX),
                    }
                }
            };
            folder::push(&mut out, &child.short, child.long.as_deref(), &record);
        }
        out
    }

    fn stamps(&self, meta: &Meta, time: Time) -> Stamps {
        let clamp = |at: Time| match self.options.clamp_mtime {
            true => at.min(time),
            false => at,
        };
        let modified = clamp(meta.mtime.unwrap_or(time));
        let or = |at: Option<Time>| Stamp::of(at.map_or(modified, clamp));
        Stamps {
            created: or(meta.crtime),
            accessed: or(meta.atime),
            modified: Stamp::of(modified),
        }
    }
}

// The root's first cluster is where the boot sector says.
const _: () = assert!(ROOT_CLUSTER == 2);
