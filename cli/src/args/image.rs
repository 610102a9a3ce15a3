//! How the filesystem is made: the typed options, and the library's options they mean.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::{Args, ValueEnum};
use forger_fs::ext4::{BLOCK_SIZE, Free, Ignore, Inodes, Journal, Options, Size};
use forger_fs::tree::Time;

use super::owner;
use super::size::{self, ImageSize};
use super::time::{self, When};
use super::uuid::{self, Identifier};
use crate::config::Environment;
use crate::exit::Failure;

/// What the filesystem is and says of itself.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Filesystem")]
pub(crate) struct ImageArgs {
    /// Filesystem to make [default: ext4]
    #[arg(
        long = "type",
        value_name = "TYPE",
        default_value = "ext4",
        hide_default_value = true
    )]
    pub(crate) filesystem: Filesystem,

    /// Volume label, at most 16 bytes; 11 characters for vfat [default: none]
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::OsStringValueParser::new())]
    pub(crate) label: Option<OsString>,

    /// UUID of the filesystem, or volume id of a vfat: 1234-ABCD [default: derived from content and
    /// options]
    #[arg(long, value_name = "UUID", value_parser = uuid::identifier)]
    pub(crate) uuid: Option<Identifier>,

    /// Seed of the folders' hash trees, a UUID [default: derived from content and options]
    #[arg(long, value_name = "UUID", value_parser = uuid::parse)]
    pub(crate) hash_seed: Option<[u8; 16]>,

    /// Time of the filesystem and of files without one: @SECONDS, RFC 3339 or now [default:
    /// $SOURCE_DATE_EPOCH, else the newest file's]
    ///
    /// @SECONDS counts from 1970; RFC 3339 looks like 2024-05-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub(crate) time: Option<When>,

    /// Sets all later times back to the one of --time or SOURCE_DATE_EPOCH
    #[arg(long)]
    pub(crate) clamp_mtime: bool,

    /// Owner of the root folder where the source does not say, in numbers [default: 0:0]
    #[arg(long, value_name = "UID:GID", value_parser = owner::ids)]
    pub(crate) root_owner: Option<(u32, u32)>,

    /// Stores long runs of zeros instead of making them holes; declared holes stay holes
    #[arg(long)]
    pub(crate) keep_zeros: bool,

    /// Leaves out, with a note, what ext4 cannot hold: KINDs with commas between them [default:
    /// refuse it]
    #[arg(
        long,
        value_name = "KIND[,KIND]",
        value_delimiter = ',',
        action = clap::ArgAction::Append
    )]
    pub(crate) ignore: Vec<Kind>,

    #[command(flatten)]
    pub(crate) size: SizeArgs,

    /// Upper bound for the memory that names and metadata take, a SIZE [default: 8G]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, help_heading = "Run")]
    pub(crate) memory_limit: Option<u64>,
}

/// How large the filesystem is.
#[derive(Args, Clone, Debug)]
#[command(
    next_help_heading = "Size (SIZE in bytes; K M G T and KiB .. are powers of 1024, kB MB GB TB \
                         of 1000)"
)]
pub(crate) struct SizeArgs {
    /// Size of the filesystem: a SIZE, or auto for content and free space
    ///
    /// A size that is no multiple of 4096 bytes is rounded down to one, with a note.
    #[arg(long, value_name = "auto|SIZE", default_value = "auto", value_parser = size::image)]
    pub(crate) size: ImageSize,

    /// Free space beside the content, a SIZE or a percentage of the image such as 20% [default: the
    /// larger of 16M and 5% of the content]
    #[arg(long, value_name = "SIZE|PERCENT%", value_parser = size::free)]
    pub(crate) free: Option<Free>,

    /// Size to which resize2fs can grow the image without moving data [default: 1T, or what --size
    /// needs]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) max_size: Option<u64>,

    /// Number of inodes at least [default: one per 16 KiB, and 10% but at least 1024 to spare]
    #[arg(long, value_name = "N", conflicts_with = "bytes_per_inode")]
    pub(crate) inodes: Option<u64>,

    /// Bytes of image per inode, a SIZE between 1K and 64M [default: 16K]
    #[arg(long, value_name = "SIZE", value_parser = size::per_inode)]
    pub(crate) bytes_per_inode: Option<u64>,

    /// Share of the blocks that only root may fill, 0 to 50 percent [default: 0]
    #[arg(long, value_name = "PERCENT", value_parser = size::reserved)]
    pub(crate) reserved: Option<u16>,

    /// Size of the journal, a SIZE of 4M at least [default: by mke2fs's table: 4M to 1G, none below
    /// 8M]
    #[arg(long, value_name = "SIZE", value_parser = size::journal, conflicts_with = "no_journal")]
    pub(crate) journal_size: Option<u64>,

    /// Makes no journal
    #[arg(long)]
    pub(crate) no_journal: bool,
}

/// What `--type` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Filesystem {
    /// Everything a root filesystem needs
    Ext4,
    /// FAT12, FAT16 or FAT32: boot partitions, cloud-init seeds
    Vfat,
}

/// What `--ignore` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Attributes that are too large for an inode and a block, or of an unknown kind
    Xattrs,
    /// Devices whose numbers are wider than 12 and 20 bits; all devices, fifos and sockets for vfat
    Devices,
    /// Times outside 1901 to 2446, or from 2310-04 to 2378-04, which become the nearest that fits
    Times,
    /// ACL entries with a name but no number
    Acls,
    /// Inode flags that ext4 does not have
    Flags,
    /// Symlinks, where the filesystem has none (vfat)
    Symlinks,
}

impl ImageArgs {
    /// Returns the options of the ext4 writer that these arguments mean; `notes` receives what the
    /// user should know.
    ///
    /// # Errors
    /// Wrong usage: options that contradict each other, or an environment variable that is no time.
    pub(crate) fn options(
        &self,
        environment: &Environment,
        notes: &mut Vec<String>,
    ) -> Result<Options, Failure> {
        let time = self.image_time(environment)?;
        if self.clamp_mtime && time.is_none() {
            return Err(Failure::usage("--clamp-mtime needs a time")
                .help("give one with --time or SOURCE_DATE_EPOCH"));
        }
        let defaults = Options::default();
        Ok(Options {
            label: self.label()?,
            uuid: self.ext4_uuid()?,
            hash_seed: self.hash_seed,
            time,
            clamp_mtime: self.clamp_mtime,
            size: self.size.size(notes)?,
            max_size: self.size.max_size,
            journal: self.size.journal(),
            reserved: self.size.reserved.unwrap_or(defaults.reserved),
            inodes: self.size.inodes(),
            root_owner: self.root_owner.unwrap_or(defaults.root_owner),
            keep_zeros: self.keep_zeros,
            unread: false,
            ignore: self.ignored(),
            memory_limit: self.memory_limit.unwrap_or(defaults.memory_limit),
            lost_found: true,
        })
    }

    fn ext4_uuid(&self) -> Result<Option<[u8; 16]>, Failure> {
        match self.uuid {
            Some(Identifier::Volume(_)) => Err(Failure::usage(
                "--uuid: ext4 takes a whole UUID, as in 123e4567-e89b-12d3-a456-426614174000",
            )),
            Some(Identifier::Uuid(uuid)) => Ok(Some(uuid)),
            None => Ok(None),
        }
    }

    fn label(&self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(label) = &self.label else {
            return Ok(None);
        };
        let bytes = label.as_bytes();
        if bytes.len() > 16 {
            return Err(Failure::usage(format!(
                "the label {} has {} bytes; ext4 holds 16",
                label.display(),
                bytes.len()
            )));
        }
        Ok(Some(bytes.to_vec()))
    }

    pub(super) fn image_time(&self, environment: &Environment) -> Result<Option<Time>, Failure> {
        match self.time {
            Some(When::At(time)) => Ok(Some(time)),
            Some(When::Now) => Ok(Some((environment.clock)())),
            None => environment_time(environment),
        }
    }

    pub(crate) fn ignored(&self) -> Ignore {
        let has = |kind| self.ignore.contains(&kind);
        Ignore {
            xattrs: has(Kind::Xattrs),
            devices: has(Kind::Devices),
            times: has(Kind::Times),
            acls: has(Kind::Acls),
            flags: has(Kind::Flags),
            sockets: false,
        }
    }
}

/// Returns the time that the environment wants images to have.
///
/// # Errors
/// Wrong usage: a variable that is no time.
pub(crate) fn environment_time(environment: &Environment) -> Result<Option<Time>, Failure> {
    let Some(text) = &environment.source_date_epoch else {
        return Ok(None);
    };
    text.to_str()
        .and_then(time::source_date_epoch)
        .map(Some)
        .ok_or_else(|| {
            let text = text.display();
            Failure::usage(format!(
                "SOURCE_DATE_EPOCH is {text}, which is no number of seconds"
            ))
            .help("unset it, or give --time")
        })
}

impl SizeArgs {
    fn size(&self, notes: &mut Vec<String>) -> Result<Size, Failure> {
        match (self.size, self.free) {
            (ImageSize::Auto, free) => Ok(Size::Auto(free.unwrap_or(Free::Default))),
            (ImageSize::Bytes(_), Some(_)) => {
                Err(Failure::usage("--size and --free contradict each other")
                    .help("--size fixes the whole image; --free sizes it by its content"))
            }
            (ImageSize::Bytes(bytes), None) => {
                let whole = bytes - bytes % BLOCK_SIZE;
                if whole != bytes {
                    notes.push(format!(
                        "the size of {bytes} bytes is rounded down to {whole}, a multiple of \
                         {BLOCK_SIZE}"
                    ));
                }
                Ok(Size::Exact(whole))
            }
        }
    }

    fn journal(&self) -> Journal {
        match self.journal_size {
            _ if self.no_journal => Journal::None,
            Some(bytes) => Journal::Bytes(bytes),
            None => Journal::Auto,
        }
    }

    fn inodes(&self) -> Inodes {
        match (self.inodes, self.bytes_per_inode) {
            (Some(count), _) => Inodes::Count(count),
            (None, Some(bytes)) => Inodes::BytesPerInode(bytes),
            (None, None) => Inodes::Auto,
        }
    }
}
