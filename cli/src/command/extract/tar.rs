//! What an image holds as a deterministic tar.

use std::ffi::OsStr;
use std::io::{self, Write};

use forger_block::BlockSink;
use forger_fs::source::{Entry, EntryKind};
use forger_fs::tar::{WriteError, Writer};
use forger_fs::tree::{Content, Kind, NodeId, Tree};

use super::Args;
use crate::exit::Failure;
use crate::image::Opened;
use crate::lost_found;
use crate::output::Output;
use crate::progress::Console;
use crate::remedy;

/// Writes the archive.
pub(super) fn extract(args: &Args, out: &OsStr, console: &Console) -> Result<(), Failure> {
    let output = Output::check(out, args.write)?;
    let opened = Opened::open(&args.address, &args.read)?;
    let mut tree = opened.image.tree().map_err(|error| opened.failure(error))?;
    // The path was typed for the image; the tree knows names, so symlinks on the way are followed.
    let node = tree
        .get(opened.address.path_or_root())
        .ok_or_else(|| opened.failure("there is no such name"))?;
    leave_out_what_mkfs_makes(&mut tree, node);
    write(&output, console, |writer| {
        match start(&opened, &tree, node) {
            Start::Folder(folder) => writer.append_below(&tree, folder),
            Start::Member(entry, content) => writer.append(&entry, content),
        }
    })
}

/// Writes the whole of a tree, but what every image gets of itself.
pub(in crate::command) fn whole(
    mut tree: Tree<Content>,
    output: &Output,
    console: &Console,
) -> Result<(), Failure> {
    let root = tree.root();
    leave_out_what_mkfs_makes(&mut tree, root);
    write(output, console, |writer| writer.append_below(&tree, root))
}

fn write(
    output: &Output,
    console: &Console,
    fill: impl FnOnce(&mut Writer<Sink>) -> Result<(), WriteError>,
) -> Result<(), Failure> {
    let what = || format!("cannot make {}", output.product());
    let mut writer = Writer::new(Sink(output.open_forward(console.signals())?));
    let sink = fill(&mut writer)
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
fn leave_out_what_mkfs_makes(tree: &mut Tree<Content>, start: NodeId) {
    for id in tree.ids().collect::<Vec<_>>() {
        let meta = tree.meta_mut(id);
        let mtime = meta.mtime;
        for time in [&mut meta.atime, &mut meta.ctime, &mut meta.crtime] {
            if *time == mtime {
                *time = None;
            }
        }
    }
    lost_found::leave_out(tree, start);
}

/// What the archive begins with.
enum Start<'a> {
    /// A folder, which becomes the root.
    Folder(NodeId),
    /// Anything else, under its own name.
    Member(Box<Entry>, &'a Content),
}

fn start<'a>(opened: &Opened, tree: &'a Tree<Content>, id: NodeId) -> Start<'a> {
    static NOTHING: std::sync::LazyLock<Content> = std::sync::LazyLock::new(Content::new);
    let path = opened.address.path_or_root();
    let node = tree.node(id);
    let (kind, content) = match &node.kind {
        Kind::Directory(_) => return Start::Folder(id),
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
    Start::Member(Box::new(entry), content)
}

/// A sink as the archive's writer takes it.
pub(crate) struct Sink(pub(crate) Box<dyn BlockSink>);

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
