//! Where blobs are and where they go: folders, archives, registries.
//!
//! Whatever comes out of a [`Blobs`] goes through a [`VerifiedReader`]: size and digest are checked on every
//! read, and an end before both are right is an error.

use std::fmt::Debug;
use std::io::{self, Read};
use std::sync::Arc;

use forger_block::BlockRead;

use crate::{Descriptor, Digest, Error, Hasher, Result};

/// The longest manifest or configuration that is read by default, in bytes: what registries take.
pub const MANIFEST_LIMIT: u64 = 4 << 20;

/// A place that has blobs.
pub trait Blobs: Debug + Send + Sync {
    /// Starts to read a blob, unverified: for implementors; others take [`open`].
    ///
    /// A registry tells manifests from other blobs by the descriptor's media type.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is no such blob; whatever is wrong with the place.
    fn open_raw(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>>;

    /// Starts to read a blob at an offset in bytes, unverified, where that costs less than to read
    /// what is before it; `None` where it does not.
    ///
    /// # Errors
    /// As [`open_raw`](Self::open_raw).
    fn open_raw_at(&self, blob: &Descriptor, offset: u64) -> Result<Option<Box<dyn Read + Send>>> {
        let _ = (blob, offset);
        Ok(None)
    }

    /// Returns a blob as it stands in a file of this machine, unverified, where it does: at any offset, and as
    /// often as needed.
    ///
    /// # Errors
    /// As [`open_raw`](Self::open_raw).
    fn standing(&self, blob: &Descriptor) -> Result<Option<Arc<dyn BlockRead>>> {
        let _ = blob;
        Ok(None)
    }

    /// Says what the place is, for messages: a path, a reference.
    fn place(&self) -> String;
}

/// A place that has images: blobs, and names for some of them.
pub trait Images: Blobs {
    /// Returns the descriptor of the manifest or index that is meant when nothing else is said:
    /// what the place's reference names, or its only one.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Ambiguous`], whatever is wrong with the place.
    fn root(&self) -> Result<Descriptor>;

    /// Returns what refers to a manifest as its subject, by the types of artifacts.
    ///
    /// # Errors
    /// Whatever is wrong with the place.
    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>>;
}

/// A place that takes blobs.
pub trait BlobSink: Debug + Send + Sync {
    /// Tells whether a blob is there already, whole and right as far as the place can know.
    ///
    /// # Errors
    /// Whatever is wrong with the place.
    fn has(&self, blob: &Descriptor) -> Result<bool>;

    /// Takes a blob out of another place. It appears whole and verified, or not at all; one that is
    /// there already costs nothing.
    ///
    /// A registry tells manifests by the media type, and opens the blob again to try once more.
    ///
    /// # Errors
    /// Whatever is wrong with the blob or either place.
    fn put(&self, blob: &Descriptor, from: &dyn Blobs) -> Result<()>;
}

/// A place that takes images.
pub trait ImageSink: BlobSink {
    /// Gives a manifest or index, which the place has by now with all that belongs to it, the name
    /// that the place's reference says; `from` has it too.
    ///
    /// # Errors
    /// Whatever is wrong with the place.
    fn publish(&self, root: &Descriptor, from: &dyn Blobs) -> Result<()>;
}

/// Opens a blob to be read and verified.
///
/// # Errors
/// As [`Blobs::open_raw`]; a digest that cannot be verified.
pub fn open(
    blobs: &(impl Blobs + ?Sized),
    blob: &Descriptor,
) -> Result<VerifiedReader<Box<dyn Read + Send>>> {
    let verifier = Verifier::new(blob)?;
    Ok(VerifiedReader::new(blobs.open_raw(blob)?, verifier))
}

/// Reads a blob of at most `limit` bytes, verified.
///
/// # Errors
/// [`Error::TooLarge`]; as [`open`].
pub fn read(blobs: &(impl Blobs + ?Sized), blob: &Descriptor, limit: u64) -> Result<Vec<u8>> {
    let what = || format!("blob {}", blob.digest());
    if blob.size() > limit {
        return Err(Error::TooLarge {
            what: what(),
            size: blob.size(),
            limit,
        });
    }
    let mut bytes = Vec::new();
    open(blobs, blob)?
        .read_to_end(&mut bytes)
        .map_err(|error| Error::read(what(), error))?;
    Ok(bytes)
}

/// Finds out whether bytes that pass are a blob.
#[derive(Clone, Debug)]
pub struct Verifier {
    digest: Digest,
    size: u64,
    hasher: Hasher,
    seen: u64,
}

impl Verifier {
    /// Expects the blob that a descriptor names.
    ///
    /// # Errors
    /// [`Error::Digest`] for a digest that cannot be verified.
    pub fn new(blob: &Descriptor) -> Result<Self> {
        let digest = Digest::try_from(blob.digest())?;
        Ok(Self {
            digest,
            size: blob.size(),
            hasher: Hasher::new(digest.algorithm()),
            seen: 0,
        })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Error::Length`] when they are more than there should be.
    pub fn update(&mut self, bytes: &[u8]) -> Result<()> {
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        if self.seen > self.size {
            return Err(self.length());
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Judges at the end.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Mismatch`].
    pub fn finish(self) -> Result<()> {
        if self.seen != self.size {
            return Err(self.length());
        }
        let found = self.hasher.finish();
        match found == self.digest {
            true => Ok(()),
            false => Err(Error::Mismatch {
                digest: self.digest.to_string(),
                found: found.to_string(),
            }),
        }
    }

    fn length(&self) -> Error {
        Error::Length {
            digest: self.digest.to_string(),
            size: self.size,
            found: self.seen.min(self.size.saturating_add(1)),
        }
    }
}

/// Reads a blob and verifies it: the end is an error unless size and digest are right.
///
/// Bytes are handed out before the verdict. Whoever does not read to the end, or acts on bytes before
/// it, has nothing verified.
#[derive(Debug)]
pub struct VerifiedReader<R> {
    inner: R,
    verifier: Option<Verifier>,
}

impl<R: Read> VerifiedReader<R> {
    /// Reads from `inner` what the verifier expects.
    pub const fn new(inner: R, verifier: Verifier) -> Self {
        Self {
            inner,
            verifier: Some(verifier),
        }
    }
}

impl<R: Read> Read for VerifiedReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        let Some(verifier) = &mut self.verifier else {
            return Ok(0);
        };
        if count > 0 {
            verifier.update(buf.get(..count).unwrap_or_default())?;
        } else if !buf.is_empty()
            && let Some(verifier) = self.verifier.take()
        {
            verifier.finish()?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MediaType;

    fn read_as(bytes: &[u8], of: &[u8]) -> Result<Vec<u8>> {
        let blob = Descriptor::new(MediaType::EmptyJSON, of.len() as u64, Digest::of(of));
        let mut reader = VerifiedReader::new(bytes, Verifier::new(&blob).unwrap());
        let mut out = Vec::new();
        match reader.read_to_end(&mut out) {
            Ok(_) => Ok(out),
            Err(error) => Err(Error::read("test", error)),
        }
    }

    #[test]
    fn right_bytes_pass() {
        assert_eq!(read_as(b"right", b"right").unwrap(), b"right");
        assert_eq!(read_as(b"", b"").unwrap(), b"");
    }

    #[test]
    fn wrong_bytes_fail_at_the_end_at_the_latest() {
        assert!(matches!(
            read_as(b"wrong", b"right"),
            Err(Error::Mismatch { .. })
        ));
        for bytes in [&b"righ"[..], b"", b"rightly"] {
            assert!(matches!(
                read_as(bytes, b"right"),
                Err(Error::Length { .. })
            ));
        }
    }
}
