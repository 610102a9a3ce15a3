//! A source below a folder.

use std::sync::Arc;

use forger_block::BlockRead;

use super::{AdapterError, BodyPlace, BodyRun, Entry, EntryKind, Error, Source};
use crate::observe::Note;
use crate::tree::{check_name, shown};

/// A source whose root becomes a folder of another tree: every name, and every hard link's target,
/// gets that folder's name in front.
#[derive(Debug)]
pub struct Rebase<S> {
    inner: S,
    folder: Vec<u8>,
}

impl<S: Source> Rebase<S> {
    /// Puts all of a source below `folder`, which is a name such as entries have; its root becomes
    /// that folder.
    pub fn new(inner: S, folder: &[u8]) -> Self {
        Self {
            inner,
            folder: folder.to_vec(),
        }
    }

    fn below(&self, path: &[u8]) -> Result<Vec<u8>, crate::tree::Error> {
        check_name(path)?;
        Ok([&self.folder, path].join(&b'/'))
    }
}

impl<S: Source> Source for Rebase<S> {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        let Some(mut entry) = self.inner.next_entry()? else {
            return Ok(None);
        };
        let name = |source| AdapterError::Name {
            entry: shown(&entry.path),
            source,
        };
        let path = self.below(&entry.path).map_err(name)?;
        if let EntryKind::HardLink { target, .. } = &mut entry.kind {
            *target = self.below(target).map_err(name)?;
        }
        entry.path = path;
        Ok(Some(entry))
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        self.inner.next_run()
    }

    fn next_place(&mut self) -> Result<Option<BodyPlace>, Error> {
        self.inner.next_place()
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        self.inner.origin()
    }

    fn has_whiteouts(&self) -> bool {
        self.inner.has_whiteouts()
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.inner.take_notes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::{Listed, file, link};
    use crate::tree;

    fn rebase(entry: Entry) -> Result<Entry, Error> {
        let mut source = Rebase::new(Listed::new(vec![entry]), b"usr/local");
        source.next_entry().map(Option::unwrap)
    }

    #[test]
    fn names_and_link_targets_get_the_folder_in_front() {
        assert_eq!(rebase(file("./")).unwrap().path, b"usr/local/./");
        assert_eq!(rebase(file("/a")).unwrap().path, b"usr/local//a");
        let link = rebase(link("b", "./a")).unwrap();
        assert_eq!(link.path, b"usr/local/b");
        assert!(matches!(
            link.kind,
            EntryKind::HardLink { target, .. } if target == b"usr/local/./a"
        ));
    }

    #[test]
    fn names_that_leave_the_source_are_refused() {
        for entry in [file("../a"), link("a", "b/../../c")] {
            let error = rebase(entry).unwrap_err();
            let cause = std::error::Error::source(&error).unwrap();
            assert_eq!(cause.to_string(), tree::Error::LeavesRoot.to_string());
        }
    }
}
