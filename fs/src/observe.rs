//! What a long operation tells whoever watches it.

/// Receives progress and notes of a long operation; every method may be left out.
///
/// The libraries never print: the command line turns these calls into a progress bar and lines on
/// standard error, a test into assertions.
pub trait Observer: Send {
    /// Says that something deserves the user's attention although it is not an error.
    fn note(&mut self, note: Note) {
        let _ = note;
    }

    /// Says that so many further bytes of content went through.
    fn advance(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// Says that one further entry was taken.
    fn entry(&mut self) {}

    /// Says that the operation enters its next phase: `ingest`, `seal`, `emit`, `hash`.
    fn phase(&mut self, name: &'static str) {
        let _ = name;
    }

    /// Tells whether the operation shall stop as soon as it can; asked at least once per MiB.
    fn cancelled(&mut self) -> bool {
        false
    }
}

/// A fact worth the user's attention.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The image is too small for a journal.
    NoJournal {
        /// The image's size in blocks.
        blocks: u64,
    },
    /// Something of an entry was left out, because the options allow it.
    Ignored {
        /// The entry's name, lossily decoded.
        entry: String,
        /// What was left out and why.
        what: String,
    },
    /// A PAX keyword nobody knows was passed over (said once per keyword).
    UnknownKeyword {
        /// The keyword.
        keyword: String,
        /// The first entry that carries it.
        entry: String,
    },
    /// Owners of a folder source were mapped to root.
    OwnersMapped,
    /// Anything else, as a sentence fragment in lower case.
    Other(String),
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoJournal { blocks } => {
                write!(
                    f,
                    "an image of {blocks} blocks is too small for a journal: made without one"
                )
            }
            Self::Ignored { entry, what } => write!(f, "{entry}: {what}"),
            Self::UnknownKeyword { keyword, entry } => {
                write!(
                    f,
                    "{entry}: PAX keyword {keyword} is not known and was passed over"
                )
            }
            Self::OwnersMapped => {
                write!(
                    f,
                    "every file is owned by root in the output (--owner keep keeps the owners)"
                )
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// An observer that watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}
