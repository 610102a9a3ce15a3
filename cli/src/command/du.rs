//! `forger du IMAGE[:PATH]...`

use std::collections::BTreeSet;
use std::ffi::OsString;

use forger_fs::ext4::{FileType, Inode, InodeNo};
use serde_json::json;

use crate::args::read::ReadArgs;
use crate::args::size::human;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::image::{ADDRESS_HELP, Opened};
use crate::listing;
use crate::print::{self, Lines};

/// Shows how much space folders of an image take
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Counted are the blocks of the files, of the folders and of their metadata, as du does on a mounted
image; a file of several names counts once for each IMAGE:PATH, in the folder that comes first.
Sizes are in KiB, rounded up. With --output json there is one object a line, with path, bytes and
entries.

Examples:
  forger du -s rootfs.ext4
  forger du -d 1 --human rootfs.ext4:/usr
  forger du --output json rootfs.ext4 | jq -s 'sort_by(-.bytes)[:10]'

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    #[arg(value_name = "IMAGE[:PATH]", required = true, help = ADDRESS_HELP)]
    addresses: Vec<OsString>,

    /// Shows only the sum of each IMAGE:PATH
    #[arg(short, long, conflicts_with_all = ["max_depth", "all"])]
    summarize: bool,

    /// Shows folders down to so many levels below each IMAGE:PATH; all are counted [default: all levels]
    #[arg(short = 'd', long, value_name = "LEVELS")]
    max_depth: Option<usize>,

    /// Shows files as well
    #[arg(short, long)]
    all: bool,

    /// Counts the lengths of files and symlinks instead of the space they take
    #[arg(long)]
    apparent_size: bool,

    /// Shows sizes as people read them: 1.5 MiB
    #[arg(long, alias = "human-readable", conflicts_with = "bytes")]
    human: bool,

    /// Shows sizes in bytes
    #[arg(short, long)]
    bytes: bool,

    #[command(flatten)]
    read: ReadArgs,
}

/// Prints the sizes.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut lines = Lines::start();
    for address in &args.addresses {
        let opened = Opened::open(address, &args.read)?;
        let mut counter = Counter {
            args,
            opened: &opened,
            format: global.output,
            seen: BTreeSet::new(),
            folders: Vec::new(),
            lines: &mut lines,
        };
        counter.count()?;
    }
    lines.finish()
}

/// A folder that is being counted.
struct Folder {
    path: Vec<u8>,
    usage: Usage,
}

/// What something takes.
#[derive(Clone, Copy, Default)]
struct Usage {
    bytes: u64,
    entries: u64,
}

impl Usage {
    fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.entries = self.entries.saturating_add(other.entries);
    }
}

struct Counter<'a> {
    args: &'a Args,
    opened: &'a Opened,
    format: Format,
    /// Files of several names that were counted.
    seen: BTreeSet<InodeNo>,
    /// The folders that are open, the start first.
    folders: Vec<Folder>,
    lines: &'a mut Lines,
}

impl Counter<'_> {
    fn count(&mut self) -> Result<(), Failure> {
        let opened = self.opened;
        let start = opened.lookup(true)?;
        let typed = opened.address.path_or_root();
        if start.file_type() != FileType::Directory {
            let usage = self.usage(&start);
            return self.line(typed, usage);
        }
        let mut walk = opened
            .image
            .walk(&start, typed)
            .map_err(|error| opened.failure(error))?;
        self.open(typed, &start);
        while let Some(step) = walk.next() {
            let fail = |error| opened.failure_at(walk.path(), error);
            let step = step.map_err(fail)?;
            let inode = opened.image.inode(step.entry.inode).map_err(fail)?;
            self.close(step.depth)?;
            if inode.file_type() == FileType::Directory {
                self.open(walk.path(), &inode);
                continue;
            }
            let usage = self.usage(&inode);
            if let Some(folder) = self.folders.last_mut() {
                folder.usage.add(usage);
            }
            if self.args.all && usage.entries > 0 && self.is_shown(step.depth) {
                self.line(walk.path(), usage)?;
            }
        }
        self.close(0)
    }

    fn open(&mut self, path: &[u8], inode: &Inode) {
        let usage = self.usage(inode);
        self.folders.push(Folder {
            path: path.to_vec(),
            usage,
        });
    }

    /// Ends the folders that are `depth` or more levels below the start.
    fn close(&mut self, depth: usize) -> Result<(), Failure> {
        while self.folders.len() > depth {
            let Some(folder) = self.folders.pop() else {
                break;
            };
            if let Some(parent) = self.folders.last_mut() {
                parent.usage.add(folder.usage);
            }
            if self.is_shown(self.folders.len()) {
                self.line(&folder.path, folder.usage)?;
            }
        }
        Ok(())
    }

    fn is_shown(&self, depth: usize) -> bool {
        let most = if self.args.summarize {
            Some(0)
        } else {
            self.args.max_depth
        };
        most.is_none_or(|most| depth <= most)
    }

    /// Returns what an inode takes; nothing when it was counted by another name.
    fn usage(&mut self, inode: &Inode) -> Usage {
        let folder = inode.file_type() == FileType::Directory;
        if !folder && inode.links() > 1 && !self.seen.insert(inode.number()) {
            return Usage::default();
        }
        let bytes = match (self.args.apparent_size, inode.file_type()) {
            (false, _) => space(self.opened, inode),
            (true, FileType::File | FileType::Symlink) => inode.size(),
            (true, _) => 0,
        };
        Usage { bytes, entries: 1 }
    }

    fn line(&mut self, path: &[u8], usage: Usage) -> Result<(), Failure> {
        let path = listing::shown(path);
        let Usage { bytes, entries } = usage;
        if self.format == Format::Json {
            let object = json!({ "path": path, "bytes": bytes, "entries": entries });
            return self.lines.put(print::json_line(&object));
        }
        let size = if self.args.bytes {
            bytes.to_string()
        } else if self.args.human {
            human(bytes)
        } else {
            bytes.div_ceil(1024).to_string()
        };
        self.lines.put(format!("{size}\t{path}\n"))
    }
}

/// Returns the space that Linux shows for an inode, in bytes: a file whose content is in the inode
/// has some.
fn space(opened: &Opened, inode: &Inode) -> u64 {
    let blocks = inode.space(opened.image.superblock());
    if inode.file_type() == FileType::File && inode.is_inline() {
        return blocks.saturating_add(inode.size().next_multiple_of(512));
    }
    blocks
}
