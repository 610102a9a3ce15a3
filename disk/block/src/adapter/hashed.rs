//! Hashing what goes through.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::read::check_range;
use crate::zeros::each_zeros;
use crate::{BlockSink, MAX_LEN, Result};

/// A [`BlockSink`] that computes BLAKE3 over everything that goes through it; holes count as the
/// zeros they read as, at the speed of hashing them.
pub struct Hashed<S> {
    inner: S,
    hasher: blake3::Hasher,
    digest: Digest,
}

impl<S: BlockSink> Hashed<S> {
    /// Hashes what is written from now on.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            hasher: blake3::Hasher::new(),
            digest: Digest::default(),
        }
    }

    /// Returns the place where the hash will be once the sink has been finished, for sinks that
    /// are finished by someone else.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest.clone()
    }

    /// Returns the sink inside, unfinished, and the hash of what went through.
    pub fn into_parts(self) -> (S, [u8; 32]) {
        (self.inner, self.hasher.finalize().into())
    }
}

impl<S: BlockSink> BlockSink for Hashed<S> {
    fn position(&self) -> u64 {
        self.inner.position()
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.inner.write(data)?;
        self.hasher.update(data);
        Ok(())
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        check_range(self.inner.position(), len, MAX_LEN)?;
        self.inner.skip(len)?;
        let Ok(()) = each_zeros(len, |zeros| {
            self.hasher.update(zeros);
            Ok::<(), Infallible>(())
        });
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self {
            inner,
            hasher,
            digest,
        } = *self;
        Box::new(inner).finish()?;
        // Cannot be set before: only `finish` sets it, and takes the sink.
        let _ = digest.0.set(hasher.finalize().into());
        Ok(())
    }
}

impl<S: fmt::Debug> fmt::Debug for Hashed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashed")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// Where a [`Hashed`] sink leaves its hash.
#[derive(Clone, Debug, Default)]
pub struct Digest(Arc<OnceLock<[u8; 32]>>);

impl Digest {
    /// Returns the BLAKE3 hash once the sink has been finished.
    #[must_use]
    pub fn get(&self) -> Option<[u8; 32]> {
        self.0.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{self, Made};
    use crate::{Forward, MemorySink};

    #[test]
    fn a_hashed_sink_keeps_the_contract() {
        conformance::block_sink(|| {
            let sink = MemorySink::new();
            let output = sink.output();
            let sink = Hashed::new(Forward::new(sink));
            Made::forward(sink, move || output.bytes().map(Vec::from))
        });
    }

    #[test]
    fn the_hash_is_that_of_the_output() {
        let memory = MemorySink::new();
        let output = memory.output();
        let mut sink = Hashed::new(Forward::new(memory));
        let digest = sink.digest();
        sink.write(b"abc").unwrap();
        sink.skip(200_000).unwrap();
        sink.write(b"def").unwrap();
        assert_eq!(digest.get(), None);
        Box::new(sink).finish().unwrap();
        let expected = blake3::hash(&output.bytes().unwrap());
        assert_eq!(digest.get(), Some(*expected.as_bytes()));
    }

    #[test]
    fn the_parts_are_the_sink_and_the_hash() {
        let mut sink = Hashed::new(Forward::new(MemorySink::new()));
        sink.write(b"abc").unwrap();
        let (inner, hash) = sink.into_parts();
        assert_eq!(inner.position(), 3);
        assert_eq!(hash, *blake3::hash(b"abc").as_bytes());
    }
}
