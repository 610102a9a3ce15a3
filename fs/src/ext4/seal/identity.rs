//! What makes an image itself: its time, uuid and hash seed, all from the content and the options.

use crate::ext4::file_map::FileMap;
use crate::ext4::options::Options;
use crate::tree::{Kind, Meta, Time, Tree};

/// The image's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) time: Time,
    pub(crate) uuid: [u8; 16],
    pub(crate) hash_seed: [u8; 16],
    clamp: bool,
}

/// The four times of an inode, none missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) atime: Time,
    pub(crate) ctime: Time,
    pub(crate) mtime: Time,
    pub(crate) crtime: Time,
}

impl Identity {
    /// Takes what the options say; derives the rest.
    pub(crate) fn new(tree: &Tree<FileMap>, options: &Options) -> Self {
        let time = options.time.or_else(|| newest(tree)).unwrap_or_default();
        let mut identity = Self {
            time,
            uuid: [0; 16],
            hash_seed: [0; 16],
            clamp: options.clamp_mtime,
        };
        let digest = identity.digest(tree, options);
        let (uuid, seed) = digest.split_at(16);
        identity.uuid = options.uuid.unwrap_or_else(|| custom_uuid(uuid));
        identity.hash_seed = options.hash_seed.unwrap_or_else(|| custom_uuid(seed));
        identity
    }

    /// Completes an inode's times.
    pub(crate) fn times(&self, meta: &Meta) -> Times {
        let clamp = |time: Time| {
            if self.clamp {
                time.min(self.time)
            } else {
                time
            }
        };
        let mtime = meta.mtime.unwrap_or(self.time);
        let or_mtime = |time: Option<Time>| clamp(time.unwrap_or(mtime));
        Times {
            atime: or_mtime(meta.atime),
            ctime: or_mtime(meta.ctime),
            mtime: clamp(mtime),
            crtime: or_mtime(meta.crtime),
        }
    }

    /// Digests the canonical metadata, the contents' digests, and every option that changes bytes.
    fn digest(&self, tree: &Tree<FileMap>, options: &Options) -> [u8; 32] {
        let mut hash = Digest(blake3::Hasher::new_derive_key(
            "forger 2026 ext4 image identity v1",
        ));
        hash.options(options);
        hash.time(self.time);
        let mut seen = vec![0_u32; tree.id_bound()];
        let mut count = 0;
        let mut walk = tree.walk();
        while let Some(visit) = walk.next() {
            let id = visit.node;
            hash.bytes(walk.path());
            count += 1;
            if seen[id.index()] != 0 {
                hash.number(u64::from(seen[id.index()]));
                continue;
            }
            seen[id.index()] = count;
            hash.number(0);
            let node = tree.node(id);
            hash.meta(&node.meta, self.times(&node.meta));
            hash.kind(&node.kind);
        }
        *hash.0.finalize().as_bytes()
    }
}

/// Finds the newest mtime that can be a time of making: e2fsck complains of a superblock that was
/// written in the future, and the end of 31 bits or more is an odd file's time, not an image's.
fn newest(tree: &Tree<FileMap>) -> Option<Time> {
    let times = tree.iter().filter_map(|(_, node)| node.meta.mtime);
    times.filter(|time| time.sec < i64::from(i32::MAX)).max()
}

/// Marks 16 bytes as a UUID of version 8 (RFC 9562: made by the application's own rule).
fn custom_uuid(bytes: &[u8]) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid.copy_from_slice(bytes);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

/// A hasher whose inputs cannot run into each other.
struct Digest(blake3::Hasher);

impl Digest {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn time(&mut self, time: Time) {
        self.0.update(&time.sec.to_le_bytes());
        self.0.update(&time.nsec.to_le_bytes());
    }

    fn options(&mut self, options: &Options) {
        let Options {
            label,
            uuid,
            hash_seed,
            time: _,
            clamp_mtime: _,
            size,
            max_size,
            journal,
            reserved,
            inodes,
            root_owner: _,
            keep_zeros: _,
            unread: _,
            ignore: _,
            memory_limit: _,
            lost_found: _,
        } = options;
        // The times and owners in force are part of the metadata below.
        self.bytes(label.as_deref().unwrap_or_default());
        self.bytes(uuid.as_ref().map_or(&[], |uuid| &uuid[..]));
        self.bytes(hash_seed.as_ref().map_or(&[], |seed| &seed[..]));
        let text = format!("{size:?} {max_size:?} {journal:?} {reserved} {inodes:?}");
        self.bytes(text.as_bytes());
    }

    fn meta(&mut self, meta: &Meta, times: Times) {
        for number in [
            u32::from(meta.mode),
            meta.uid,
            meta.gid,
            meta.flags.0,
            meta.project,
        ] {
            self.number(u64::from(number));
        }
        for time in [times.atime, times.ctime, times.mtime, times.crtime] {
            self.time(time);
        }
        self.number(meta.xattrs.len() as u64);
        for (name, value) in &meta.xattrs {
            self.bytes(name);
            self.bytes(value);
        }
    }

    fn kind(&mut self, kind: &Kind<FileMap>) {
        self.bytes(kind.name().as_bytes());
        match kind {
            Kind::File(map) => {
                self.number(map.size);
                self.0.update(&map.digest.to_le_bytes());
                for extent in map.extents() {
                    self.number(u64::from(extent.logical) << 32 | u64::from(extent.len));
                }
            }
            Kind::Symlink(target) => self.bytes(target),
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                self.number(u64::from(device.major) << 32 | u64::from(device.minor));
            }
            Kind::Directory(_) | Kind::Fifo | Kind::Socket => {}
        }
    }
}
