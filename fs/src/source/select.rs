//! Some entries of a source, under shorter names.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::sync::Arc;

use forger_block::BlockRead;

use super::{AdapterError, BodyPlace, BodyRun, Entry, EntryKind, Error, Exclude, Source};
use crate::observe::Note;
use crate::tree::shown;

/// A source without the entries that are left out, and without leading components of the others.
///
/// Patterns are matched first, with the names as they arrived. Then the leading components are
/// stripped as GNU tar's `--strip-components` does: a leading `/` is none, a leading `./` is one,
/// several `/` in a row are one; an entry of which nothing is left is dropped, and a note at the end
/// says how many. The targets of hard
/// links are stripped as well, those of symlinks are not. A hard link to a name that was dropped or
/// left out has lost its content: the tree refuses it.
#[derive(Debug)]
pub struct Select<S> {
    inner: S,
    exclude: Exclude,
    strip: usize,
    dropped: Dropped,
    ended: bool,
    notes: Vec<Note>,
}

/// How many entries did not come through a [`Select`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Entries that a pattern leaves out.
    pub excluded: u64,
    /// Entries with no more components than are stripped.
    pub stripped: u64,
}

impl<S: Source> Select<S> {
    /// Leaves out what `exclude` matches and strips `strip` components of the other names.
    pub fn new(inner: S, exclude: Exclude, strip: usize) -> Self {
        Self {
            inner,
            exclude,
            strip,
            dropped: Dropped::default(),
            ended: false,
            notes: Vec::new(),
        }
    }

    /// Returns how many entries have been dropped so far.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Returns the source that entries are selected of.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Returns the source that entries are selected of, to be changed.
    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Notes, once, how many entries were too short to be stripped.
    fn note_dropped(&mut self) {
        let (count, strip) = (self.dropped.stripped, self.strip);
        let first = !std::mem::replace(&mut self.ended, true);
        if count > 0 && first {
            let text = format!("{count} entries have no more than {strip} components: left out");
            self.notes.push(Note::Other(text));
        }
    }

    /// Strips an entry's names; `None` when nothing is left of its own.
    fn stripped(&self, mut entry: Entry) -> Result<Option<Entry>, AdapterError> {
        // What leaves the root is not to be hidden by stripping it.
        crate::tree::check_name(&entry.path).map_err(|source| AdapterError::Name {
            entry: shown(&entry.path),
            source,
        })?;
        let Some(path) = strip(&entry.path, self.strip) else {
            return Ok(None);
        };
        if let EntryKind::HardLink { target, .. } = &mut entry.kind {
            let rest = strip(target, self.strip).ok_or_else(|| AdapterError::StrippedTarget {
                link: shown(&entry.path),
                target: shown(target),
                count: self.strip,
            })?;
            *target = rest.to_vec();
        }
        entry.path = path.to_vec();
        Ok(Some(entry))
    }
}

/// Strips leading components; `None` when nothing is left.
fn strip(path: &[u8], count: usize) -> Option<&[u8]> {
    let mut rest = without_slashes(path);
    for _ in 0..count {
        let slash = rest.iter().position(|&byte| byte == b'/')?;
        rest = without_slashes(rest.get(slash..)?);
    }
    (!rest.is_empty()).then_some(rest)
}

fn without_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().take_while(|&&byte| byte == b'/').count();
    path.get(start..).unwrap_or_default()
}

impl<S: Source> Source for Select<S> {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        while let Some(entry) = self.inner.next_entry()? {
            if self.exclude.matches(&entry.path) {
                self.dropped.excluded = self.dropped.excluded.saturating_add(1);
                continue;
            }
            if self.strip == 0 {
                return Ok(Some(entry));
            }
            match self.stripped(entry)? {
                Some(entry) => return Ok(Some(entry)),
                None => self.dropped.stripped = self.dropped.stripped.saturating_add(1),
            }
        }
        self.note_dropped();
        Ok(None)
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
        let mut notes = self.inner.take_notes();
        notes.append(&mut self.notes);
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::{Listed, file, link, symlink};

    fn select(entries: Vec<Entry>, exclude: &[&str], strip: usize) -> Select<Listed> {
        Select::new(Listed::new(entries), Exclude::new(exclude), strip)
    }

    fn paths(source: &mut dyn Source) -> Vec<String> {
        let mut paths = Vec::new();
        while let Some(entry) = source.next_entry().unwrap() {
            paths.push(shown(&entry.path));
        }
        paths
    }

    #[test]
    fn components_are_stripped_as_by_gnu_tar() {
        for (path, count, expected) in [
            ("a/b/c", 1, Some("b/c")),
            ("./a/b", 1, Some("a/b")),
            ("/a/b", 1, Some("b")),
            ("//a///b", 1, Some("b")),
            ("a/b/", 1, Some("b/")),
            ("a/", 1, None),
            ("a", 1, None),
            ("./", 1, None),
            (".", 1, None),
            ("a/b", 2, None),
            ("./a/b/c", 3, Some("c")),
        ] {
            let stripped = strip(path.as_bytes(), count);
            assert_eq!(stripped, expected.map(str::as_bytes), "{path} {count}");
        }
    }

    #[test]
    fn short_names_are_dropped_and_counted() {
        let entries = vec![file("./"), file("a"), file("a/b"), file("c/d/e")];
        let mut source = select(entries, &[], 1);
        assert_eq!(paths(&mut source), ["b", "d/e"]);
        let dropped = Dropped {
            excluded: 0,
            stripped: 2,
        };
        assert_eq!(source.dropped(), dropped);
        let note = "2 entries have no more than 1 components: left out".to_owned();
        assert_eq!(source.take_notes(), [Note::Other(note)]);
        assert!(source.next_entry().unwrap().is_none());
        assert_eq!(source.take_notes(), []);
    }

    #[test]
    fn targets_of_hard_links_are_stripped_and_of_symlinks_not() {
        let entries = vec![link("x/l", "./y/z"), symlink("x/s", "y/z")];
        let mut source = select(entries, &[], 1);
        let kind = source.next_entry().unwrap().unwrap().kind;
        assert!(matches!(kind, EntryKind::HardLink { target, .. } if target == b"y/z"));
        let kind = source.next_entry().unwrap().unwrap().kind;
        assert_eq!(kind, EntryKind::Symlink(b"y/z".to_vec()));
    }

    #[test]
    fn hard_link_whose_target_is_stripped_away_is_an_error() {
        let mut source = select(vec![link("x/l", "y")], &[], 1);
        let error = source.next_entry().unwrap_err().to_string();
        assert_eq!(
            error,
            "hard link x/l to y: nothing is left of the target without 1 leading components"
        );
    }

    #[test]
    fn stripping_does_not_hide_a_name_that_leaves_the_root() {
        let mut source = select(vec![file("../a/b")], &[], 1);
        let error = source.next_entry().unwrap_err();
        assert_eq!(error.to_string(), "../a/b");
    }

    #[test]
    fn excluded_folder_takes_its_subtree_with_it_before_stripping() {
        let entries = vec![file("a/x"), file("a/x/y"), file("a/z"), file("x")];
        let mut source = select(entries, &["a/x"], 1);
        assert_eq!(paths(&mut source), ["z"]);
        let dropped = Dropped {
            excluded: 2,
            stripped: 1,
        };
        assert_eq!(source.dropped(), dropped);
    }
}
