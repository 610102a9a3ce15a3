//! What an image holds as files of this machine.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use forger_fs::folder::{
    self, Kept, NotKept, WriteError, WriteOptions, clear, write_as, write_into,
};
use forger_fs::observe::Observer;
use forger_fs::tree::{Content, NodeId, Tree};
use rustix::fs::{RenameFlags, renameat, renameat_with, syncfs};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::Args;
use crate::args::run::WriteArgs;
use crate::exit::Failure;
use crate::image::Opened;
use crate::listing;
use crate::lost_found;
use crate::progress::Console;

/// Makes the folder or file; returns the result as an object.
pub(super) fn extract(args: &Args, dest: &OsStr, console: &mut Console) -> Result<Value, Failure> {
    let opened = Opened::open(&args.address, &args.read)?;
    let mut tree = opened.image.tree().map_err(|error| opened.failure(error))?;
    let path = opened.address.path_or_root();
    let node = tree
        .get(path)
        .ok_or_else(|| opened.failure("there is no such name"))?;
    lost_found::leave_out(&mut tree, node);
    let name = path
        .rsplit(|&byte| byte == b'/')
        .find(|name| !name.is_empty());
    let target = Target::check(
        Path::new(dest),
        tree.node(node).directory().is_some(),
        name,
        args.write.force,
    )?;
    write(&tree, node, &target, args.strict, args.write, console)
}

/// Makes the folder `dest` of a whole tree; returns the result as an object.
///
/// # Errors
/// What stands there, what cannot be written.
pub(crate) fn write_tree(
    tree: &Tree<Content>,
    dest: &Path,
    strict: bool,
    how: WriteArgs,
    console: &mut Console,
) -> Result<Value, Failure> {
    let target = Target::check(dest, true, None, how.force)?;
    write(tree, tree.root(), &target, strict, how, console)
}

fn write(
    tree: &Tree<Content>,
    node: NodeId,
    target: &Target,
    strict: bool,
    how: WriteArgs,
    console: &mut Console,
) -> Result<Value, Failure> {
    console.phase("extract");
    let job = Job {
        tree,
        node,
        options: WriteOptions {
            strict,
            replace: how.force && tree.node(node).directory().is_some(),
        },
        sync: !how.no_sync,
    };
    let not_kept = job
        .run(target, console)
        .map_err(|failure| failure.help_if(target.remains(how.force)))?;
    for (kept, (count, first)) in &not_kept.0 {
        console.say(&said(*kept, *count, first));
    }
    Ok(json!({
        "path": target.path().display().to_string(),
        "not_kept": json_not_kept(&not_kept),
    }))
}

/// Where it goes.
enum Target {
    /// A new name in a folder, or one to be replaced at the end.
    Name { path: PathBuf, replace: bool },
    /// A folder that is there, and whether it was empty.
    Folder { path: PathBuf, empty: bool },
}

impl Target {
    /// Looks at what stands under the name, before any work is done.
    fn check(
        dest: &Path,
        is_folder: bool,
        name: Option<&[u8]>,
        force: bool,
    ) -> Result<Self, Failure> {
        let shown = dest.display();
        let cannot = |error: io::Error| {
            Failure::failed(format!("cannot write {}", dest.display())).because(error)
        };
        let there = match fs::metadata(dest) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(cannot(error)),
        };
        match (there, is_folder) {
            (Some(metadata), true) if metadata.is_dir() => {
                let empty = dest.read_dir().map_err(cannot)?.next().is_none();
                if !empty && !force {
                    return Err(Failure::failed(format!("{shown} is not empty"))
                        .help("--force writes into it and replaces files of the same names"));
                }
                let path = dest.to_path_buf();
                Ok(Self::Folder { path, empty })
            }
            (Some(metadata), false) if metadata.is_dir() => {
                let name = OsStr::from_bytes(name.unwrap_or_default());
                Self::name(dest.join(name), force)
            }
            (Some(_), true) => Err(Failure::failed(format!("{shown} is no folder"))
                .help("name another DEST, or remove it first")),
            _ => Self::name(dest.to_path_buf(), force && !is_folder),
        }
    }

    fn name(path: PathBuf, replace: bool) -> Result<Self, Failure> {
        let there = path.symlink_metadata();
        if there.as_ref().is_ok_and(|there| there.is_dir()) {
            return Err(Failure::failed(format!("{} is a folder", path.display())));
        }
        if there.is_ok() && !replace {
            return Err(
                Failure::failed(format!("{} is there already", path.display()))
                    .help("--force replaces it"),
            );
        }
        if path.file_name().is_none() {
            return Err(Failure::failed(format!("{} is no name", path.display())));
        }
        Ok(Self::Name { path, replace })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Name { path, .. } | Self::Folder { path, .. } => path,
        }
    }

    /// Says what a failure leaves behind, where it leaves anything.
    fn remains(&self, force: bool) -> Option<String> {
        match self {
            Self::Folder { path, empty: false } if force => Some(format!(
                "{} has what was written until then; the same command again completes it",
                path.display()
            )),
            _ => None,
        }
    }
}

/// What is to be made.
struct Job<'a> {
    tree: &'a Tree<Content>,
    node: NodeId,
    options: WriteOptions,
    sync: bool,
}

impl Job<'_> {
    fn run(&self, target: &Target, console: &mut Console) -> Result<NotKept, Failure> {
        let shown = target.path().display().to_string();
        let made = match target {
            Target::Name { path, replace } => self.make(path, *replace, console),
            Target::Folder { path, empty } => self.fill(path, *empty, console),
        };
        made.map_err(|error| explain(&shown, error))
    }

    /// Makes it under a name of its own beside the one it gets at the end.
    fn make(
        &self,
        path: &Path,
        replace: bool,
        console: &mut Console,
    ) -> Result<NotKept, WriteError> {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let io = |operation| failed(operation, path);
        let parent = File::open(parent).map_err(|e| failed("open the folder of", path)(e))?;
        let name = path.file_name().unwrap_or_default();
        let part = Part::new(&parent, name).map_err(io("make"))?;
        let at = (parent.as_fd(), part.name.as_bytes());
        let called = name.as_bytes();
        let not_kept = write_as(self.tree, self.node, at, called, self.options, console)?;
        // A device that cannot be made is nothing to publish.
        let missing = not_kept.0.contains_key(&Kept::Devices);
        if missing && self.tree.node(self.node).directory().is_none() {
            return Err(WriteError::NotKept {
                path: listing::shown(called),
                what: Kept::Devices,
                source: Errno::PERM.into(),
            });
        }
        console.finishing();
        self.sync(&parent).map_err(io("flush"))?;
        part.publish(name, replace).map_err(io("name"))?;
        Ok(not_kept)
    }

    /// Fills a folder that is there; empties it again when that fails and it was empty before.
    fn fill(&self, path: &Path, empty: bool, console: &mut Console) -> Result<NotKept, WriteError> {
        let into = File::open(path).map_err(failed("open", path))?;
        let made = write_into(self.tree, self.node, into.as_fd(), self.options, console);
        if made.is_err() && empty {
            // The error that is there already matters more.
            let _ = clear(into.as_fd());
        }
        let not_kept = made?;
        console.finishing();
        self.sync(&into).map_err(failed("flush", path))?;
        Ok(not_kept)
    }

    fn sync(&self, on: &File) -> io::Result<()> {
        match self.sync {
            true => Ok(syncfs(on)?),
            false => Ok(()),
        }
    }
}

/// Something that has not got its name yet; it goes when this is dropped.
struct Part<'a> {
    parent: &'a File,
    name: String,
    published: bool,
}

impl<'a> Part<'a> {
    /// Finds a name that is free.
    fn new(parent: &'a File, name: &OsStr) -> io::Result<Self> {
        let process = std::process::id();
        // Long names are cut, so that there is room for the rest.
        let start: String = name.to_string_lossy().chars().take(40).collect();
        for attempt in 0..1000 {
            let name = format!(".{start}.{process}-{attempt}.part");
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            let there = rustix::fs::statat(parent, &*name, flags);
            if there.err() == Some(Errno::NOENT) {
                return Ok(Self {
                    parent,
                    name,
                    published: false,
                });
            }
        }
        Err(Errno::EXIST.into())
    }

    fn publish(mut self, name: &OsStr, replace: bool) -> io::Result<()> {
        let (from, to) = (&*self.name, name);
        let renamed = match replace {
            true => renameat(self.parent, from, self.parent, to),
            false => {
                let flags = RenameFlags::NOREPLACE;
                match renameat_with(self.parent, from, self.parent, to, flags) {
                    // Some filesystems do not know how.
                    Err(Errno::INVAL | Errno::NOSYS) => {
                        renameat(self.parent, from, self.parent, to)
                    }
                    renamed => renamed,
                }
            }
        };
        renamed?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if !self.published {
            // What is left cannot be helped here.
            let _ = folder::remove(self.parent.as_fd(), self.name.as_bytes());
        }
    }
}

/// Makes the error for an operation on what is made.
fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.display().to_string();
    move |source| WriteError::Io {
        operation,
        path,
        source,
    }
}

fn explain(shown: &str, error: WriteError) -> Failure {
    let help = match &error {
        WriteError::NotKept { .. } => {
            Some("only root may set everything; without --strict it is left out".to_owned())
        }
        WriteError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            Some("make room, or extract somewhere else".to_owned())
        }
        _ => None,
    };
    Failure::failed(format!("cannot extract to {shown}"))
        .because(error)
        .help_if(help)
}

/// Returns a kind of fact for many entries.
fn plural(kept: Kept) -> (&'static str, &'static str) {
    match kept {
        Kept::Owners => ("owners", "owner"),
        Kept::SetIds => ("setids", "setuid or setgid bit"),
        Kept::Modes => ("modes", "mode"),
        Kept::Devices => ("devices", "device"),
        Kept::Xattrs => ("xattrs", "extended attributes (or some of them)"),
        Kept::Flags => ("flags", "inode flags"),
        Kept::Projects => ("projects", "project id"),
        _ => ("other", "some fact"),
    }
}

fn said(kept: Kept, count: u64, first: &[u8]) -> String {
    let first = shown(first);
    let more = match count - 1 {
        0 => String::new(),
        1 => " and 1 more entry".to_owned(),
        more => format!(" and {more} more entries"),
    };
    let (_, what) = plural(kept);
    match kept {
        Kept::Devices => format!("could not make the device {first}{more}: only root may"),
        _ => format!("could not set the {what} of {first}{more}"),
    }
}

fn json_not_kept(not_kept: &NotKept) -> Value {
    not_kept
        .0
        .iter()
        .map(|(kept, (count, first))| {
            json!({ "what": plural(*kept).0, "entries": count, "first": shown(first) })
        })
        .collect()
}

fn shown(path: &[u8]) -> String {
    match path {
        b"" => ".".to_owned(),
        path => listing::shown(path),
    }
}
