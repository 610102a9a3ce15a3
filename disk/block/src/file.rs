//! Reading files and block devices.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{OFlags, SeekFrom, seek};
use rustix::io::Errno;

use crate::positioned::Positioned;
use crate::read::check_range;
use crate::{BlockRead, Error, Result, Run};

/// A [`BlockRead`] over a regular file or a block device, with the file's holes.
///
/// The length is taken when the file is opened. A file that is found shorter or longer later has
/// [`Changed`](Error::Changed), which is an error; a change that keeps the length is found by
/// [`check_unchanged`](Self::check_unchanged).
#[derive(Debug)]
pub struct FileReader {
    file: Positioned,
    len: u64,
    /// Time of the last change at the opening, seconds and nanoseconds; none for a block device, and for
    /// what is still being written.
    modified: Option<(i64, i64)>,
    /// The run that was found last. Most questions are about the next byte of the same one.
    found: Mutex<Option<Found>>,
}

#[derive(Clone, Debug)]
struct Found {
    range: Range<u64>,
    hole: bool,
}

impl Found {
    fn run_at(&self, offset: u64) -> Option<Run> {
        let len = self
            .range
            .contains(&offset)
            .then(|| self.range.end - offset)?;
        Some(if self.hole {
            Run::Hole(len)
        } else {
            Run::Data(len)
        })
    }
}

impl FileReader {
    /// Opens a regular file or a block device.
    ///
    /// # Errors
    /// [`Error::NotSeekable`] for anything else; [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        // Without NONBLOCK, opening a FIFO would wait for its other end.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => Self::from_file(file, name),
            Err(error) => Err(Error::io("open", name, error)),
        }
    }

    /// Takes an open file; `name` stands in messages.
    ///
    /// Reads never use the file's own position, but looking for holes moves it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file(file: File, name: impl Into<String>) -> Result<Self> {
        let file = Positioned::new(file, name);
        let metadata = file
            .file
            .metadata()
            .map_err(|error| file.error("inspect", error))?;
        let kind = metadata.file_type();
        let (len, modified) = if kind.is_file() {
            let modified = (metadata.mtime(), metadata.mtime_nsec());
            (metadata.len(), Some(modified))
        } else if kind.is_block_device() {
            (device_len(&file)?, None)
        } else {
            return Err(Error::NotSeekable {
                kind: kind_name(kind),
                path: file.name,
            });
        };
        Ok(Self {
            file,
            len,
            modified,
            found: Mutex::new(None),
        })
    }

    /// Takes the first `len` bytes of a file of one's own that is still being written.
    pub(crate) fn of_start(file: Positioned, len: u64) -> Self {
        Self {
            file,
            len,
            modified: None,
            found: Mutex::new(None),
        }
    }

    /// Checks that length and time of last change are those of the opening.
    ///
    /// # Errors
    /// [`Error::Changed`] when they are not; [`Error::Io`].
    pub fn check_unchanged(&self) -> Result<()> {
        let Some(modified) = self.modified else {
            return Ok(());
        };
        match self.file.file.metadata() {
            Ok(now) if now.len() == self.len && (now.mtime(), now.mtime_nsec()) == modified => {
                Ok(())
            }
            Ok(_) => Err(self.changed()),
            Err(error) => Err(self.file.error("inspect", error)),
        }
    }

    fn check_len(&self) -> Result<()> {
        if self.modified.is_some() && self.file.len()? != self.len {
            return Err(self.changed());
        }
        Ok(())
    }

    fn changed(&self) -> Error {
        Error::Changed {
            object: self.file.name.clone(),
        }
    }

    /// Asks the filesystem for the run at an offset before the end.
    fn find(&self, offset: u64) -> Result<Found> {
        let found = |hole, end: u64| Found {
            range: offset..end.min(self.len),
            hole,
        };
        match seek(&self.file.file, SeekFrom::Data(offset)) {
            Ok(data) if data > offset => Ok(found(true, data)),
            Ok(_) => match seek(&self.file.file, SeekFrom::Hole(offset)) {
                Ok(hole) if hole > offset => Ok(found(false, hole)),
                // The file became shorter between the two questions.
                Ok(_) | Err(Errno::NXIO) => Err(self.changed()),
                Err(error) => Err(self.file.error("look for holes in", error.into())),
            },
            // Nothing but a hole up to the end, unless the end has come nearer.
            Err(Errno::NXIO) => self.check_len().map(|()| found(true, self.len)),
            // Filesystems and devices that know no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOTTY) => {
                Ok(found(false, self.len))
            }
            Err(error) => Err(self.file.error("look for holes in", error.into())),
        }
    }
}

impl BlockRead for FileReader {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.len)?;
        match self.file.read_at(offset, buf) {
            Ok(()) if offset + buf.len() as u64 == self.len => self.check_len(),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::UnexpectedEof => {
                Err(self.changed())
            }
            result => result,
        }
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        check_range(offset, 0, self.len)?;
        if offset == self.len {
            return Ok(Run::Hole(0));
        }
        let mut last = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = last.as_ref().and_then(|found| found.run_at(offset)) {
            return Ok(run);
        }
        let found = last.insert(self.find(offset)?);
        Ok(found.run_at(offset).unwrap_or(Run::Data(self.len - offset)))
    }
}

/// Returns a block device's length in bytes.
pub(crate) fn device_len(file: &Positioned) -> Result<u64> {
    seek(&file.file, SeekFrom::End(0)).map_err(|error| file.error("measure", error.into()))
}

/// Says what a file is that cannot be what it should be.
pub(crate) fn kind_name(kind: std::fs::FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() {
        "a character device"
    } else if kind.is_block_device() {
        "a block device"
    } else {
        "a file"
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::conformance;

    fn sparse_file(folder: &Path) -> (std::path::PathBuf, Vec<u8>) {
        let path = folder.join("sparse");
        let file = File::create(&path).unwrap();
        file.write_all_at(&[1; 5000], 100_000).unwrap();
        file.write_all_at(&[2; 10], 1_000_000).unwrap();
        file.set_len(1_500_001).unwrap();
        let mut expected = vec![0; 1_500_001];
        expected[100_000..105_000].fill(1);
        expected[1_000_000..1_000_010].fill(2);
        (path, expected)
    }

    #[test]
    fn a_file_with_holes_keeps_the_contract_and_shows_its_holes() {
        let folder = tempfile::tempdir().unwrap();
        let (path, expected) = sparse_file(folder.path());
        let reader = FileReader::open(&path).unwrap();
        conformance::reader(&reader, &expected);
        reader.check_unchanged().unwrap();
        match reader.run_at(0).unwrap() {
            Run::Hole(len) => assert!((4096..=100_000).contains(&len), "{len}"),
            Run::Data(_) => eprintln!("skipped: the filesystem knows no holes"),
        }
    }

    #[test]
    fn an_empty_file_keeps_the_contract() {
        let file = tempfile::NamedTempFile::new().unwrap();
        conformance::reader(&FileReader::open(file.path()).unwrap(), &[]);
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error_not_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = sparse_file(folder.path());
        let reader = FileReader::open(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(1_200_000).unwrap();
        let changed = |result| matches!(result, Err(Error::Changed { .. }));
        assert!(changed(reader.read_at(1_100_000, &mut [0; 200_000])));
        assert!(changed(reader.run_at(1_199_000).map(drop)));
        assert!(changed(reader.run_at(1_300_000).map(drop)));
        assert!(changed(reader.check_unchanged()));
        reader.read_at(0, &mut [0; 1000]).unwrap();
    }

    #[test]
    fn a_file_that_became_longer_is_an_error_at_its_old_end() {
        let folder = tempfile::tempdir().unwrap();
        let (path, expected) = sparse_file(folder.path());
        let reader = FileReader::open(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(2_000_000).unwrap();
        let mut whole = expected;
        let result = reader.read_at(0, &mut whole);
        assert!(matches!(result, Err(Error::Changed { .. })));
    }

    #[test]
    fn what_has_no_offsets_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).unwrap();
        for (path, what) in [
            (fifo.as_path(), "a FIFO"),
            (folder.path(), "a directory"),
            (Path::new("/dev/null"), "a character device"),
        ] {
            match FileReader::open(path).unwrap_err() {
                Error::NotSeekable { kind, .. } => assert_eq!(kind, what),
                other => panic!("{other:?}"),
            }
        }
        let missing = FileReader::open(folder.path().join("missing")).unwrap_err();
        assert!(missing.to_string().starts_with("cannot open "));
    }
}
