//! Everything that decides an image's bytes beside its content.

use crate::tree::Time;

/// How an image is made. Equal input and options give equal bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Volume label, at most 16 bytes.
    pub label: Option<Vec<u8>>,
    /// Filesystem UUID; derived from content and options when `None`.
    pub uuid: Option<[u8; 16]>,
    /// Seed of the directory hashes; derived when `None`.
    pub hash_seed: Option<[u8; 16]>,
    /// The image's time: superblock times and the times of what has none; the newest mtime of the
    /// tree before 2038-01-19T03:14:07Z when `None`, 0 where there is none.
    pub time: Option<Time>,
    /// Lowers every time after the image's time to it.
    pub clamp_mtime: bool,
    /// How large the image becomes.
    pub size: Size,
    /// The size up to which the image can be grown offline without moving data, in bytes; decides
    /// the reserve of group descriptor blocks. 1 TiB when `None`.
    pub max_size: Option<u64>,
    /// The journal.
    pub journal: Journal,
    /// Blocks only root may fill, in hundredths of a percent of the image: 0..=5000.
    pub reserved: u16,
    /// How many inodes.
    pub inodes: Inodes,
    /// Owner of the root directory where the source has no entry for it.
    pub root_owner: (u32, u32),
    /// Keeps zero runs of the sources as data; declared holes stay holes.
    pub keep_zeros: bool,
    /// Looks at no content that can be read again where it stands: zero runs stay data, and the UUID is derived
    /// from names, metadata and sizes. For what is served and never kept, which is planned in no time then.
    pub unread: bool,
    /// The kinds of metadata that may be left out where ext4 cannot hold them, each with a note.
    pub ignore: Ignore,
    /// Upper bound for the memory that the tree takes, in bytes.
    pub memory_limit: u64,
    /// Makes `lost+found` where the source has none. Without it e2fsck complains: only for images that
    /// are planned to be looked into.
    pub lost_found: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            label: None,
            uuid: None,
            hash_seed: None,
            time: None,
            clamp_mtime: false,
            size: Size::Auto(Free::Default),
            max_size: None,
            journal: Journal::Auto,
            reserved: 0,
            inodes: Inodes::Auto,
            root_owner: (0, 0),
            keep_zeros: false,
            unread: false,
            ignore: Ignore::default(),
            memory_limit: 8 << 30,
            lost_found: true,
        }
    }
}

/// How large the image becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The content and so much free space.
    Auto(Free),
    /// Exactly so many bytes, a multiple of 4096.
    Exact(u64),
}

/// Free space beside the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    /// The larger of 16 MiB and 5% of the content.
    Default,
    /// At least so many bytes.
    Bytes(u64),
    /// At least so many hundredths of a percent of the finished image: 0..=9500.
    Share(u16),
}

/// The journal (inode 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// By mke2fs's table; none below 2048 blocks, which is noted.
    Auto,
    /// None.
    None,
    /// Of exactly so many bytes: 4 MiB to 40 GiB, a multiple of 4096.
    Bytes(u64),
}

/// How many inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inodes {
    /// One per 16 KiB in every group, and at least what is needed and max(1024, 10%) more.
    Auto,
    /// At least so many in all.
    Count(u64),
    /// One per so many bytes: 1024..=67,108,864.
    BytesPerInode(u64),
}

/// What may be left out, with a note, where it cannot be represented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    /// Extended attributes that do not fit the inode and one block, or whose prefix is unknown.
    pub xattrs: bool,
    /// Device nodes whose numbers are too wide.
    pub devices: bool,
    /// Times outside 1901..2446, and those e2fsck misreads (2310-04-04..2378-04-22), are moved to the nearest end.
    pub times: bool,
    /// ACL entries that name a user or group without its id.
    pub acls: bool,
    /// Inode flags that ext4 does not have.
    pub flags: bool,
    /// Sockets, for formats that have none.
    pub sockets: bool,
}
