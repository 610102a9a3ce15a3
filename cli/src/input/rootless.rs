//! Leaves the root of a folder out.

use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::folder::Folder;
use forger_fs::observe::Note;
use forger_fs::source::{BodyPlace, BodyRun, Entry, Error, Source};

/// All that is in a folder, without the folder itself.
#[derive(Debug)]
pub(super) struct Rootless {
    folder: Folder,
}

impl Rootless {
    pub(super) fn new(folder: Folder) -> Self {
        Self { folder }
    }
}

impl Source for Rootless {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        match self.folder.next_entry()? {
            Some(entry) if entry.path == b"./" => self.folder.next_entry(),
            entry => Ok(entry),
        }
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        self.folder.next_run()
    }

    fn next_place(&mut self) -> Result<Option<BodyPlace>, Error> {
        self.folder.next_place()
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        self.folder.origin()
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.folder.take_notes()
    }
}
