//! The suite that every implementor runs: the crate's written contract as assertions.
//!
//! [`reader`] checks a [`BlockRead`](crate::BlockRead) against the bytes it must have;
//! [`store`] a [`BlockStore`](crate::BlockStore)
//! by changing it; [`block_sink`] and [`placed_sink`] take a function that makes a fresh sink together with a way
//! to see what it has published. What fails panics, as a test does.

mod forward;
mod placed;
mod read;
mod store;

use std::fmt;

pub use self::forward::block_sink;
pub use self::placed::{placed_content, placed_sink, placed_unpublished};
pub use self::read::reader;
pub use self::store::store;
use crate::{BlockSink, PlacedSink};

/// A sink under test, and how to see what it has published.
pub struct Made<S: ?Sized> {
    /// The sink, nothing written yet.
    pub sink: Box<S>,
    /// Returns what stands under the final name: nothing before the sink is finished.
    pub published: Box<dyn Fn() -> Option<Vec<u8>>>,
}

impl Made<dyn BlockSink> {
    /// Joins a forward sink with the look at its output.
    pub fn forward(
        sink: impl BlockSink + 'static,
        published: impl Fn() -> Option<Vec<u8>> + 'static,
    ) -> Self {
        Self {
            sink: Box::new(sink),
            published: Box::new(published),
        }
    }
}

impl Made<dyn PlacedSink> {
    /// Joins a placed sink with the look at its output.
    pub fn placed(
        sink: impl PlacedSink + 'static,
        published: impl Fn() -> Option<Vec<u8>> + 'static,
    ) -> Self {
        Self {
            sink: Box::new(sink),
            published: Box::new(published),
        }
    }
}

impl<S: ?Sized> fmt::Debug for Made<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made").finish_non_exhaustive()
    }
}

/// Numbers that look random and are the same on every run (a multiplicative generator).
struct Numbers(u64);

impl Numbers {
    /// Returns the next number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
    }

    /// Returns `len` bytes, none of them zero.
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len)
            .map(|_| u8::try_from(self.below(255) + 1).unwrap_or(1))
            .collect()
    }
}

/// Compares without printing megabytes.
#[track_caller]
fn assert_same(found: &[u8], expected: &[u8], what: &str) {
    assert_eq!(found.len(), expected.len(), "length of {what}");
    if let Some(at) = found.iter().zip(expected).position(|(a, b)| a != b) {
        panic!(
            "{what}: byte {at} is {:#04x}, not {:#04x}",
            found[at], expected[at]
        );
    }
}
