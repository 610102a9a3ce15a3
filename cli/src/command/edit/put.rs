//! What comes from this machine: a file, standard input, a folder with all that is in it.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger_block::{BlockRead, ScratchFile};
use forger_fs::ext4::{Editor, FileType, Special};
use forger_fs::tree::{Device, Meta, shown};

use super::action::{Facts, Surroundings, Undone};
use super::host::HostFile;
use crate::config::{Environment, scratch_folder};

/// Permission bits of what comes from standard input.
const STDIN_MODE: u16 = 0o644;

/// Puts a file, or what standard input holds for `-`.
pub(super) fn file(
    editor: &mut Editor,
    source: &Path,
    path: &[u8],
    facts: Facts,
    surroundings: &Surroundings,
) -> Result<(), Undone> {
    let environment = &surroundings.environment;
    if source == Path::new("-") {
        let content = stdin().map_err(|error| Undone::new("cannot read standard input", error))?;
        let meta = facts.meta(STDIN_MODE, environment);
        return editor
            .put(path, &meta, content)
            .map_err(|error| Undone::at_path("put", path, error));
    }
    let file = surroundings.files.take(source).map_err(|error| {
        if source.is_dir() {
            return cannot(source, "it is a folder").help("put -r puts all that is in it");
        }
        cannot(source, error)
    })?;
    regular(editor, file, path, facts, environment)
}

/// Spools standard input, whose length nobody knows before its end.
fn stdin() -> Result<Arc<dyn BlockRead>, Box<dyn std::error::Error + Send + Sync>> {
    let spool = ScratchFile::create_in(scratch_folder())?;
    let (mut stdin, mut buffer, mut at) = (io::stdin().lock(), vec![0; 64 << 10], 0);
    loop {
        let count = match stdin.read(&mut buffer) {
            Ok(0) => return Ok(Arc::new(spool.into_reader()?)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        spool.write_at(at, &buffer[..count])?;
        at += u64::try_from(count)?;
    }
}

fn regular(
    editor: &mut Editor,
    file: HostFile,
    path: &[u8],
    facts: Facts,
    environment: &Environment,
) -> Result<(), Undone> {
    let file = Arc::new(file);
    let meta = facts.meta(file.mode(), environment);
    let put = editor.put(path, &meta, Arc::<HostFile>::clone(&file) as Arc<_>);
    // What is not in memory by now is opened again when it is written.
    file.rest();
    put.map_err(|error| Undone::at_path("put", path, error))
}

fn cannot(source: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Undone {
    Undone::new(format!("cannot put {}", source.display()), error)
}

/// Puts a folder and all that is in it, hard links among it as such. Folders that are there stay as they are, with
/// what is in them; other files that are there are replaced.
pub(super) fn tree(
    editor: &mut Editor,
    source: &Path,
    path: &[u8],
    facts: Facts,
    surroundings: &Surroundings,
) -> Result<(), Undone> {
    let mut tree = PutTree {
        editor,
        facts,
        environment: &surroundings.environment,
        names: HashMap::new(),
    };
    let top = fs::metadata(source).map_err(|error| cannot(source, error))?;
    let mut left = vec![(source.to_owned(), path.to_vec(), top)];
    while let Some((source, path, metadata)) = left.pop() {
        if !metadata.is_dir() {
            tree.entry(&source, &path, &metadata)?;
            continue;
        }
        tree.folder(&path, &metadata)?;
        let mut inside = Vec::new();
        for entry in fs::read_dir(&source).map_err(|error| cannot(&source, error))? {
            let name = entry.map_err(|error| cannot(&source, error))?.file_name();
            inside.push(name);
        }
        // The last one is taken first.
        inside.sort_by(|a, b| b.cmp(a));
        for name in inside {
            let below: PathBuf = source.join(&name);
            let metadata = fs::symlink_metadata(&below).map_err(|error| cannot(&below, error))?;
            left.push((
                below,
                [&path, &b"/"[..], name.as_bytes()].concat(),
                metadata,
            ));
        }
    }
    Ok(())
}

struct PutTree<'a> {
    editor: &'a mut Editor,
    facts: Facts,
    environment: &'a Environment,
    /// Where the first name of a file with several went.
    names: HashMap<(u64, u64), Vec<u8>>,
}

impl PutTree<'_> {
    fn meta(&self, metadata: &Metadata) -> Meta {
        let mode = u16::try_from(metadata.mode() & 0o7777).unwrap_or(0);
        self.facts.meta(mode, self.environment)
    }

    fn folder(&mut self, path: &[u8], metadata: &Metadata) -> Result<(), Undone> {
        let meta = self.meta(metadata);
        let made = match self.editor.kind(path) {
            Ok(Some(FileType::Directory)) => Ok(()),
            Ok(_) => self.editor.mkdir(path, &meta, false),
            Err(error) => Err(error),
        };
        made.map_err(|error| Undone::at_path("make", path, error))
    }

    fn entry(&mut self, source: &Path, path: &[u8], metadata: &Metadata) -> Result<(), Undone> {
        let failed = |error| Undone::at_path("put", path, error);
        let identity = (metadata.dev(), metadata.ino());
        let first = self.names.get(&identity).cloned();
        if metadata.is_file() && first.is_none() {
            if metadata.nlink() > 1 {
                self.names.insert(identity, path.to_vec());
            }
            let file = HostFile::new(source).map_err(|error| cannot(source, error))?;
            return regular(self.editor, file, path, self.facts, self.environment);
        }
        match self.editor.kind(path).map_err(failed)? {
            None => {}
            Some(FileType::Directory) => {
                let what = format!("cannot put {}", shown(path));
                return Err(Undone::new(what, "a folder stands there"));
            }
            Some(_) => self.editor.remove(path, false).map_err(failed)?,
        }
        if let Some(first) = first {
            return self.editor.link(&first, path).map_err(failed);
        }
        if metadata.nlink() > 1 {
            self.names.insert(identity, path.to_vec());
        }
        let meta = self.meta(metadata);
        let kind = metadata.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(source).map_err(|error| cannot(source, error))?;
            let target = target.as_os_str().as_bytes();
            return self.editor.symlink(target, path, &meta).map_err(failed);
        }
        let number = metadata.rdev();
        let device = Device {
            major: rustix::fs::major(number),
            minor: rustix::fs::minor(number),
        };
        let special = if kind.is_char_device() {
            Special::CharDevice(device)
        } else if kind.is_block_device() {
            Special::BlockDevice(device)
        } else if kind.is_fifo() {
            Special::Fifo
        } else {
            Special::Socket
        };
        self.editor.mknod(path, special, &meta).map_err(failed)
    }
}
