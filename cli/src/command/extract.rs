//! `forger extract IMAGE[:PATH] --to-tar OUT`

use std::ffi::OsString;
use std::io::{self, Write};

use forger_block::BlockSink;
use forger_fs::source::{Entry, EntryKind};
use forger_fs::tar::{WriteError, Writer};
use forger_fs::tree::{Content, Kind, NodeId, Tree};

use crate::args::Global;
use crate::args::read::ReadArgs;
use crate::args::run::WriteArgs;
use crate::exit::Failure;
use crate::image::{ADDRESS_HELP, Opened};
use crate::lost_found;
use crate::output::Output;
use crate::progress::Console;
use crate::remedy;

/// Takes files out of an image, as a tar
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
The archive is deterministic (PAX, sorted, numeric owners) and holds everything: owners, modes, ns
times, xattrs, ACLs, capabilities, devices, hard links, holes. Sockets, which no tar can hold, are
refused by name. Left out is only what mkfs makes of itself: times that repeat the mtime, and an
empty lost+found. So a deterministic tar that became an image comes back byte for byte. A folder becomes the archive's root; a file becomes its only member.

Examples:
  forger extract rootfs.ext4 --to-tar rootfs.tar
  forger extract rootfs.ext4:/etc --to-tar - | tar -tvf -

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    #[arg(value_name = "IMAGE[:PATH]", help = ADDRESS_HELP)]
    address: OsString,

    /// The archive to make: a file, or - for standard output
    #[arg(long, value_name = "OUT", required = true)]
    to_tar: OsString,

    #[command(flatten)]
    write: WriteArgs,

    #[command(flatten)]
    read: ReadArgs,
}

/// Writes the archive.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let done = extract(args, &console);
    console.conclude(done)
}

fn extract(args: &Args, console: &Console) -> Result<(), Failure> {
    let output = Output::check(&args.to_tar, args.write)?;
    let opened = Opened::open(&args.address, &args.read)?;
    let mut tree = opened.image.tree().map_err(|error| opened.failure(error))?;
    leave_out_what_mkfs_makes(&mut tree);
    let what = || format!("cannot make {}", output.product());
    let mut writer = Writer::new(Sink(output.open_forward(console.signals())?));
    let written = match start(&opened, &tree)? {
        Start::Folder(folder) => writer.append_below(&tree, folder),
        Start::Member(entry, content) => writer.append(&entry, content),
    };
    let sink = written
        .and_then(|()| writer.finish())
        .map_err(|error| match error {
            WriteError::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => {
                Failure::broken_pipe()
            }
            error => Failure::failed(what()).because(error),
        })?;
    sink.0
        .finish()
        .map_err(|error| remedy::block(what(), error))
}

/// Leaves out what every image gets of itself, so that a tar that went through one is the same
/// again: times that repeat the mtime, and an empty `lost+found` that only root may enter.
fn leave_out_what_mkfs_makes(tree: &mut Tree<Content>) {
    for id in tree.ids().collect::<Vec<_>>() {
        let meta = tree.meta_mut(id);
        let mtime = meta.mtime;
        for time in [&mut meta.atime, &mut meta.ctime, &mut meta.crtime] {
            if *time == mtime {
                *time = None;
            }
        }
    }
    lost_found::leave_out(tree);
}

/// What the archive begins with.
enum Start<'a> {
    /// A folder, which becomes the root.
    Folder(NodeId),
    /// Anything else, under its own name.
    Member(Box<Entry>, &'a Content),
}

fn start<'a>(opened: &Opened, tree: &'a Tree<Content>) -> Result<Start<'a>, Failure> {
    static NOTHING: std::sync::LazyLock<Content> = std::sync::LazyLock::new(Content::new);
    let path = opened.address.path_or_root();
    // The path was typed for the image; the tree knows names, so symlinks on the way are followed.
    let id = tree
        .get(path)
        .ok_or_else(|| opened.failure("there is no such name"))?;
    let node = tree.node(id);
    let (kind, content) = match &node.kind {
        Kind::Directory(_) => return Ok(Start::Folder(id)),
        Kind::File(content) => (
            EntryKind::File {
                size: content.size(),
            },
            content,
        ),
        Kind::Symlink(target) => (EntryKind::Symlink(target.to_vec()), &*NOTHING),
        Kind::CharDevice(device) => (EntryKind::CharDevice(*device), &*NOTHING),
        Kind::BlockDevice(device) => (EntryKind::BlockDevice(*device), &*NOTHING),
        Kind::Fifo => (EntryKind::Fifo, &*NOTHING),
        Kind::Socket => (EntryKind::Socket, &*NOTHING),
    };
    let name = path
        .rsplit(|&byte| byte == b'/')
        .find(|name| !name.is_empty());
    let entry = Entry {
        path: name.unwrap_or_default().to_vec(),
        kind,
        meta: node.meta.clone(),
        offset: None,
    };
    Ok(Start::Member(Box::new(entry), content))
}

/// A sink as the archive's writer takes it.
struct Sink(Box<dyn BlockSink>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| match error {
            forger_block::Error::Io { source, .. } => source,
            error => io::Error::other(error),
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
