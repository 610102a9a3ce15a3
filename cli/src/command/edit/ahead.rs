//! Files of this machine opened and read ahead of the actions that put them, in a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use forger_block::Result;

use super::host::HostFile;

/// How many files are read ahead; each is small, or has not been read.
const AHEAD: usize = 64;

/// Files in the order in which they were asked for.
#[derive(Debug)]
pub(super) struct Ahead {
    files: Receiver<(PathBuf, Result<HostFile>)>,
}

impl Ahead {
    /// Begins to open files.
    pub(super) fn start(paths: Vec<PathBuf>) -> Self {
        let (sender, files) = sync_channel(AHEAD);
        // It ends with the paths, or when nobody asks any more.
        std::thread::spawn(move || {
            for path in paths {
                let file = HostFile::new(&path);
                if sender.send((path, file)).is_err() {
                    return;
                }
            }
        });
        Self { files }
    }

    /// Returns the next file, which must be the one that is asked for; opened now if it is not.
    pub(super) fn take(&self, path: &Path) -> Result<HostFile> {
        match self.files.recv() {
            Ok((opened, file)) if opened == path => file,
            _ => HostFile::new(path),
        }
    }
}
