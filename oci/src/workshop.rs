//! Places where blobs are made, whose digests are known last.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forger_block::{BlockRead, ScratchFile};

use crate::blob::{Blobs, Images};
use crate::range::RangeReader;
use crate::{Algorithm, Descriptor, Digest, Error, Hasher, MediaType, Result};

/// A place where blobs are made.
pub trait Workshop: Debug {
    /// Begins a blob whose digest is not known yet.
    ///
    /// # Errors
    /// Whatever is wrong with the place.
    fn begin(&self) -> Result<BlobWriter>;

    /// Makes a blob of bytes in memory, and returns what refers to it.
    ///
    /// # Errors
    /// Whatever is wrong with the place.
    fn put_bytes(&self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
        let mut writer = self.begin()?;
        let written = writer.write_all(bytes);
        written.map_err(|error| Error::read("what is written", error))?;
        writer.finish(media_type)
    }
}

/// Bytes that become a blob when their digest is known.
pub(crate) trait Unnamed: Debug + Send {
    /// Writes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> forger_block::Result<()>;

    /// Makes a blob of them.
    fn name(self: Box<Self>, digest: Digest) -> Result<()>;
}

/// A blob that is being made; its name is its digest.
#[derive(Debug)]
pub struct BlobWriter {
    unnamed: Box<dyn Unnamed>,
    hasher: Hasher,
    len: u64,
}

impl BlobWriter {
    pub(crate) fn new(unnamed: impl Unnamed + 'static) -> Self {
        Self {
            unnamed: Box::new(unnamed),
            hasher: Hasher::new(Algorithm::Sha256),
            len: 0,
        }
    }

    /// Names the blob, and returns what refers to it.
    ///
    /// # Errors
    /// Whatever is wrong with the place.
    pub fn finish(self, media_type: MediaType) -> Result<Descriptor> {
        let digest = self.hasher.finish();
        self.unnamed.name(digest)?;
        Ok(Descriptor::new(media_type, self.len, digest))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.unnamed.write(buf).map_err(io::Error::other)?;
        self.hasher.update(buf);
        self.len += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An image that is made to be copied elsewhere: its new blobs are in files without names, which are gone with it; those
/// that it shares with another image stay where that is.
#[derive(Debug)]
pub struct Workbench {
    scratch: PathBuf,
    made: Made,
    base: Option<Arc<dyn Images>>,
    root: Mutex<Option<Descriptor>>,
}

/// What was made.
type Made = Arc<Mutex<BTreeMap<Digest, Arc<dyn BlockRead>>>>;

impl Workbench {
    /// Begins with nothing but the blobs of `base`; new ones go to the folder `scratch`.
    #[must_use]
    pub fn new(scratch: PathBuf, base: Option<Arc<dyn Images>>) -> Self {
        Self {
            scratch,
            made: Made::default(),
            base,
            root: Mutex::default(),
        }
    }

    /// Says which manifest is the image.
    pub fn set_root(&self, root: Descriptor) {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(root);
    }

    fn made(&self, blob: &Descriptor) -> Result<Option<Arc<dyn BlockRead>>> {
        let digest = Digest::try_from(blob.digest())?;
        Ok(lock(&self.made).get(&digest).cloned())
    }

    fn missing(&self, what: String) -> Error {
        Error::Missing {
            what,
            place: self.place(),
        }
    }
}

fn lock(made: &Made) -> MutexGuard<'_, BTreeMap<Digest, Arc<dyn BlockRead>>> {
    made.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workshop for Workbench {
    fn begin(&self) -> Result<BlobWriter> {
        Ok(BlobWriter::new(Scratch {
            file: ScratchFile::create_in(&self.scratch)?,
            len: 0,
            made: Arc::clone(&self.made),
        }))
    }
}

impl Blobs for Workbench {
    fn open_raw(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        match (self.made(blob)?, &self.base) {
            (Some(file), _) => Ok(Box::new(RangeReader::from(&file, 0))),
            (None, Some(base)) => base.open_raw(blob),
            (None, None) => Err(self.missing(format!("blob {}", blob.digest()))),
        }
    }

    fn open_raw_at(&self, blob: &Descriptor, offset: u64) -> Result<Option<Box<dyn Read + Send>>> {
        match (self.made(blob)?, &self.base) {
            (Some(file), _) => Ok(Some(Box::new(RangeReader::from(&file, offset)))),
            (None, Some(base)) => base.open_raw_at(blob, offset),
            (None, None) => Err(self.missing(format!("blob {}", blob.digest()))),
        }
    }

    fn place(&self) -> String {
        match &self.base {
            Some(base) => base.place(),
            None => "what was made".to_owned(),
        }
    }
}

impl Images for Workbench {
    fn root(&self) -> Result<Descriptor> {
        let root = self.root.lock().unwrap_or_else(PoisonError::into_inner);
        root.clone().ok_or_else(|| self.missing("image".to_owned()))
    }

    fn referrers(&self, _: &Digest) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }
}

#[derive(Debug)]
struct Scratch {
    file: ScratchFile,
    len: u64,
    made: Made,
}

impl Unnamed for Scratch {
    fn write(&mut self, bytes: &[u8]) -> forger_block::Result<()> {
        self.file.write_at(self.len, bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn name(self: Box<Self>, digest: Digest) -> Result<()> {
        let reader: Arc<dyn BlockRead> = Arc::new(self.file.into_reader()?);
        lock(&self.made).insert(digest, reader);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob;

    #[test]
    fn what_is_made_is_read_back_from_any_offset_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let bench = Workbench::new(folder.path().to_owned(), None);
        let made = bench.put_bytes(MediaType::EmptyJSON, b"{ }").unwrap();
        assert_eq!(blob::read(&bench, &made, 10).unwrap(), b"{ }");
        let mut rest = String::new();
        let part = bench.open_raw_at(&made, 2).unwrap();
        part.unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        assert!(matches!(bench.root(), Err(Error::Missing { .. })));
        bench.set_root(made.clone());
        assert_eq!(bench.root().unwrap(), made);
        let other = Descriptor::new(MediaType::EmptyJSON, 2, Digest::of(b"{}"));
        assert!(matches!(bench.open_raw(&other), Err(Error::Missing { .. })));
    }

    #[test]
    fn what_is_not_made_comes_from_the_image_below() {
        let folder = tempfile::tempdir().unwrap();
        let below = Workbench::new(folder.path().to_owned(), None);
        let old = below.put_bytes(MediaType::EmptyJSON, b"old").unwrap();
        let bench = Workbench::new(folder.path().to_owned(), Some(Arc::new(below)));
        let new = bench.put_bytes(MediaType::EmptyJSON, b"new").unwrap();
        for (blob, bytes) in [(&old, b"old"), (&new, b"new")] {
            assert_eq!(blob::read(&bench, blob, 10).unwrap(), bytes);
        }
    }
}
