//! Files of this machine opened and read ahead of the actions that put them, in a thread of its own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::BytesMut;
use forger_block::Result;

use super::host::HostFile;

/// How many files are handed over at once: waking the other thread costs more than opening one.
const BATCH: usize = 32;
/// Files are read into buffers of this length, in bytes, one behind the other; another begins when less
/// than [`LEAST`] is left.
const ROOM: usize = 1 << 20;
const LEAST: usize = 32 << 10;
/// How many batches are read ahead; each file is small, or has not been read.
const AHEAD: usize = 8;

type Opened = (PathBuf, Result<HostFile>);

/// Files in the order in which they were asked for.
#[derive(Debug)]
pub(super) struct Ahead {
    batches: Receiver<Vec<Opened>>,
    files: RefCell<VecDeque<Opened>>,
}

impl Ahead {
    /// Begins to open files.
    pub(super) fn start(paths: Vec<PathBuf>) -> Self {
        let (sender, batches) = sync_channel(AHEAD);
        // It ends with the paths, or when nobody asks any more.
        std::thread::spawn(move || {
            let mut paths = paths.into_iter().peekable();
            let mut room = BytesMut::new();
            while paths.peek().is_some() {
                let open = |path: PathBuf| {
                    if room.len() < LEAST {
                        room = BytesMut::zeroed(ROOM);
                    }
                    let file = HostFile::new_in(&path, &mut room);
                    (path, file)
                };
                let batch = paths.by_ref().take(BATCH).map(open).collect();
                if sender.send(batch).is_err() {
                    return;
                }
            }
        });
        Self {
            batches,
            files: RefCell::default(),
        }
    }

    /// Returns the next file, which must be the one that is asked for; opened now if it is not.
    pub(super) fn take(&self, path: &Path) -> Result<HostFile> {
        let mut files = self.files.borrow_mut();
        if files.is_empty() {
            files.extend(self.batches.recv().unwrap_or_default());
        }
        match files.pop_front() {
            Some((opened, file)) if opened == path => file,
            _ => HostFile::new(path),
        }
    }
}
