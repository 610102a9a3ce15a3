//! Room for bytes that nobody else shall see.

use std::path::Path;

use crate::pending::Folder;
use crate::positioned::Positioned;
use crate::{FileReader, Result};

/// A file without a name: for bytes that arrive before their place is known.
///
/// It is gone with the last handle on it, however the process ends.
#[derive(Debug)]
pub struct ScratchFile {
    file: Positioned,
}

impl ScratchFile {
    /// Makes an empty file in a folder; the library knows no default one.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn create_in(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = Folder::open(folder.as_ref())?;
        let name = format!("temporary file in {}", folder.path().display());
        let file = match folder.create_unnamed() {
            Ok(file) => file,
            Err(_) => {
                let (name, file) = folder.create_temporary()?;
                folder.remove(&name)?;
                file
            }
        };
        Ok(Self {
            file: Positioned::new(file, name),
        })
    }

    /// Writes bytes at `offset`; the file grows as needed.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`Error::OutOfRange`](crate::Error::OutOfRange).
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.file.write_at(offset, data)
    }

    /// Fills `buf` with bytes that were written, while others still are.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at); an end before that.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.file.read_at(offset, buf)
    }

    /// Gives a range's room back; it reads as zeros.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.file.punch(offset, len)
    }

    /// Sets the length in bytes; what is added is a hole.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }

    /// Ends the writing and makes the bytes readable, up to the last one written.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn into_reader(self) -> Result<FileReader> {
        FileReader::from_file(self.file.file, self.file.name)
    }

    pub(crate) fn file(&self) -> &Positioned {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn a_scratch_file_has_no_name_and_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = ScratchFile::create_in(folder.path()).unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        scratch.write_at(70_000, &[7; 5000]).unwrap();
        let mut read = [0; 6];
        scratch.read_at(69_998, &mut read).unwrap();
        assert_eq!(read, [0, 0, 7, 7, 7, 7]);
        scratch.punch(70_100, 100).unwrap();
        let mut expected = vec![0; 75_000];
        expected[70_000..].fill(7);
        expected[70_100..70_200].fill(0);
        conformance::reader(&scratch.into_reader().unwrap(), &expected);
    }

    #[test]
    fn a_missing_folder_is_named_in_the_error() {
        let error = ScratchFile::create_in("/nonexistent/folder").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot open the folder /nonexistent/folder"
        );
    }
}
