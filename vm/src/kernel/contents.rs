//! Kernels and modules in a tar.

use std::fmt;
use std::io::Read;

use forger_fs::decompress;
use forger_fs::source::{BodyRun, Entry, EntryKind, Source};
use forger_fs::tar;

use super::error::Error;
use super::{MAX_FILE, Place};

/// Most bytes that the files of a kernel have together, as they are packed.
const MAX_TOTAL: u64 = 4 << 30;

/// The kernel and modules of a tar: the contents of a package, or a kernel bundle.
pub struct Contents {
    archive: tar::Reader<decompress::Stream<Box<dyn Read + Send>>>,
    part: &'static str,
    total: u64,
}

/// A file that belongs to a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub place: Place,
    /// Its bytes; a module may be packed.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents")
            .field("part", &self.part)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl Contents {
    /// Begins to read a tar of any compression: a kernel bundle, or a root filesystem.
    ///
    /// # Errors
    /// What is no tar.
    pub fn of_tar(input: impl Read + Send + 'static) -> Result<Self, Error> {
        Self::open("the archive", input)
    }

    pub(super) fn open(
        part: &'static str,
        input: impl Read + Send + 'static,
    ) -> Result<Self, Error> {
        let input: Box<dyn Read + Send> = Box::new(input);
        let stream = decompress::open(input, &decompress::Options::default())
            .map_err(|error| Error::unpack(part, error))?;
        Ok(Self {
            archive: tar::Reader::new(stream),
            part,
            total: 0,
        })
    }

    /// Returns the next file that belongs to a kernel.
    ///
    /// # Errors
    /// Damage, and more than any kernel has.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Error> {
        while let Some(entry) = self.entry()? {
            let EntryKind::File { size } = entry.kind else {
                continue;
            };
            let Some(place) = Place::of(&path(&entry))? else {
                continue;
            };
            self.total = self.total.saturating_add(size);
            if self.total > MAX_TOTAL {
                return Err(Error::TooLarge {
                    what: self.part.to_owned(),
                    limit: MAX_TOTAL,
                });
            }
            let bytes = self.body(MAX_FILE)?;
            return Ok(Some(Piece { place, bytes }));
        }
        Ok(None)
    }

    /// Returns the content of a file by its name, whatever it is.
    pub(super) fn file(&mut self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        while let Some(entry) = self.entry()? {
            let file = matches!(entry.kind, EntryKind::File { .. });
            if file && path(&entry) == name {
                return self.body(limit).map(Some);
            }
        }
        Ok(None)
    }

    fn entry(&mut self) -> Result<Option<Entry>, Error> {
        let next = self.archive.next_entry();
        next.map_err(|error| Error::unpack(self.part, error))
    }

    /// Reads the content of the current entry.
    fn body(&mut self, limit: u64) -> Result<Vec<u8>, Error> {
        let part = self.part;
        let mut whole = Vec::new();
        while let Some(run) = self
            .archive
            .next_run()
            .map_err(|error| Error::unpack(part, error))?
        {
            if (whole.len() as u64).saturating_add(run.len()) > limit {
                return Err(Error::TooLarge {
                    what: format!("a file in {part}"),
                    limit,
                });
            }
            match run {
                BodyRun::Data { bytes, .. } => whole.extend_from_slice(bytes),
                BodyRun::Hole(len) => {
                    let len = usize::try_from(len).unwrap_or(0);
                    whole.resize(whole.len().saturating_add(len), 0);
                }
            }
        }
        Ok(whole)
    }
}

/// Returns an entry's name without its start.
fn path(entry: &Entry) -> String {
    let path = String::from_utf8_lossy(&entry.path);
    path.trim_start_matches("./")
        .trim_start_matches('/')
        .to_owned()
}
