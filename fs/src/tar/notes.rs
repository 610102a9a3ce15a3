//! What deserves the user's attention, each thing once.

use std::collections::BTreeSet;

use super::member::lossy;
use super::number;
use crate::observe::Note;

/// At so many unknown keywords the notes about them stop.
const MAX_KEYWORDS: usize = 256;

/// Notes to be taken, and what has been said already.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: Vec<Note>,
    keywords: BTreeSet<Vec<u8>>,
}

impl Notes {
    /// Takes what came up since the last call.
    pub(super) fn take(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Notes something.
    pub(super) fn other(&mut self, text: String) {
        self.notes.push(Note::Other(text));
    }

    /// Notes that something of a member is left out.
    pub(super) fn ignored(&mut self, entry: &[u8], what: String) {
        let entry = lossy(entry);
        self.notes.push(Note::Ignored { entry, what });
    }

    /// Notes an unknown keyword the first time it comes.
    pub(super) fn unknown(&mut self, mut keyword: Vec<u8>, entry: &[u8]) {
        keyword.truncate(256);
        if self.keywords.len() > MAX_KEYWORDS || self.keywords.contains(&keyword) {
            return;
        }
        self.notes.push(match self.keywords.len() {
            MAX_KEYWORDS => Note::Other("further unknown PAX keywords are passed over".to_owned()),
            _ => Note::UnknownKeyword {
                keyword: number::printable(&keyword),
                entry: lossy(entry),
            },
        });
        self.keywords.insert(keyword);
    }
}
