//! The toolkit's common coin: what an image's bytes are, and where they go.
//!
//! Four contracts, and nothing else, carry data between the parts of forger:
//!
//! | trait | direction | who implements it |
//! |---|---|---|
//! | [`BlockRead`] | read at any offset | [`FileReader`], `Bytes`, `Vec<u8>`, [`Window`], [`SparseImage`], every image reader |
//! | [`BlockSink`] | strictly forward, takes holes | [`ForwardFile`], [`ForwardStream`], [`Hashed`], stream formats |
//! | [`PlacedSink`] | write anywhere, every byte at most once | [`PlacedFile`], [`BlockDeviceSink`], [`MemorySink`], formats whose tables come last |
//! | [`BlockStore`] | read and written at any offset, in place | [`Overlay`], files that are edited; what is served |
//!
//! Between them: [`stream`] and [`place`] carry a reader into a sink, [`Forward`] makes a forward
//! sink of any placed one, and [`Spooled`] a placed sink of any forward one, by way of a scratch
//! file. [`Target`] tells what a path is and opens it.
//!
//! # The contract
//!
//! For all four:
//!
//! - *Offsets and lengths* are in bytes, relative to the start of the image, and never exceed
//!   [`MAX_LEN`].
//! - *Ranges* are checked by the implementor, also those whose end overflows: a range outside the
//!   object is [`Error::OutOfRange`], never a panic, and nothing is read or written.
//! - *Empty ranges* succeed at any offset up to the length (a sink's: up to its limit), and change
//!   nothing.
//! - *Holes* read as zeros.
//!
//! A reader:
//!
//! - is of one length and one content as long as it lives. What changes underneath is
//!   [`Error::Changed`] where it is noticed, never a short read;
//! - is read by several threads at once;
//! - reports zeros as data where it likes, never data as a hole. Runs make progress: one before
//!   the end is not empty, and none goes beyond the end.
//!
//! A sink:
//!
//! - *publishes by `finish`* and by nothing else: one that is dropped unfinished, or that fails,
//!   leaves nothing under the final name, and what stood there before still does. Exempt is what
//!   has no unfinished state: a pipe's reader has seen what was sent, a device has been written to;
//! - is unusable after an *error*: a caller drops it. An error may come later than the call that
//!   caused it, at the latest from `finish`.
//!
//! A placed sink:
//!
//! - takes pieces in any order, each byte at most once; [`Checked`] asserts that;
//! - holds zeros where nothing was written;
//! - has nowhere in its output what was punched. A punch may cover what was never written, and
//!   makes the output no longer;
//! - is finished with a length that no written byte lies beyond.
//!
//! A store:
//!
//! - is a reader of one length whose content changes: a read that starts after a write has returned
//!   sees it; reads and writes of one range at the same time see either, byte by byte;
//! - is durable up to the last `sync` that returned, as far as what it stands on can be.
//!
//! The suite in the module `conformance` (feature `conformance`) asserts these rules; every
//! implementor runs it in its tests.
//!
//! # Example
//!
//! An image of three parts is planned, read where it was never written, and streamed into memory
//! and a hash at once.
//!
//! ```
//! use std::sync::Arc;
//!
//! use forger_block::{
//!     BlockRead, BlockSink, Bytes, Forward, Hashed, MemorySink, Run, SparseImage,
//! };
//!
//! let contents: Arc<dyn BlockRead> = Arc::new(b"contents, from elsewhere".to_vec());
//! let mut parts = SparseImage::builder();
//! parts.bytes(0, Bytes::from_static(b"header"))?;
//! parts.span(4096, 8, &contents, 0)?;
//! let image = parts.finish(1 << 20)?;
//!
//! let mut word = [0; 8];
//! image.read_at(4096, &mut word)?;
//! assert_eq!(&word, b"contents");
//! assert_eq!(image.run_at(6)?, Run::Hole(4090));
//!
//! let memory = MemorySink::new();
//! let output = memory.output();
//! let mut sink = Box::new(Hashed::new(Forward::new(memory)));
//! let digest = sink.digest();
//! image.stream(&mut *sink, &mut || false)?;
//! sink.finish()?;
//!
//! assert_eq!(output.bytes().map(|bytes| bytes.len()), Some(1 << 20));
//! assert!(digest.get().is_some());
//! # Ok::<(), forger_block::Error>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

mod adapter;
mod error;
mod file;
mod forward;
mod memory;
mod output;
mod overlay;
mod pending;
mod pool;
mod positioned;
mod ranges;
mod read;
mod scratch;
mod sink;
mod sparse;
mod store;
mod store_window;
mod stream;
mod window;
mod zeros;

pub use bytes::Bytes;

pub use adapter::{Checked, Digest, Hashed, Shifted, Tee, Watched};
pub use error::{Error, Result};
pub use file::FileReader;
pub use forward::Forward;
pub use memory::{MemoryOutput, MemorySink};
pub use output::{
    BlockDeviceSink, ForwardFile, ForwardStream, PlacedFile, Spooled, Target, check_target,
};
pub use overlay::Overlay;
pub use pending::{PendingFile, Publish};
pub use pool::BufferPool;
pub use positioned::write_parts_at;
pub use read::{BlockRead, Run, check_range, run_within};
pub use scratch::ScratchFile;
pub use sink::{BlockSink, PlacedSink};
pub use sparse::{SparseImage, SparseImageBuilder};
pub use store::BlockStore;
pub use store_window::StoreWindow;
pub use stream::{PIECE, place, stream};
pub use window::Window;
pub use zeros::is_zero;

/// The largest length of an image in bytes: 2^63 - 1, what a signed file offset can hold.
pub const MAX_LEN: u64 = i64::MAX.unsigned_abs();
