//! The toolkit's common coin: what an image's bytes are, and where they go.
//!
//! Three contracts, and nothing else, carry data between the parts of forger:
//!
//! | trait | direction | who implements it |
//! |---|---|---|
//! | [`BlockRead`] | read at any offset | files, memory, [`SparseImage`], every image reader |
//! | [`BlockSink`] | strictly forward, takes holes | stdout, FIFOs, hashers, stream formats |
//! | [`PlacedSink`] | write anywhere, every byte at most once | regular files, formats whose tables come last |
//!
//! # The contract
//!
//! *Offsets and lengths* are in bytes, relative to the start of the image, and never exceed
//! [`MAX_LEN`]. *Ranges* are checked by the implementor: a range outside the object is
//! [`Error::OutOfRange`], never a panic, and nothing is read or written. *Empty ranges* succeed at
//! any offset up to the length. *Holes* read as zeros; a reader may report zeros as data, never data
//! as a hole. *Errors* leave a sink unusable: a caller drops it, and dropping an unfinished sink
//! publishes nothing.
//!
//! The suite in [`conformance`] (feature `conformance`) asserts these rules; every implementor runs
//! it in its tests.
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

mod adapter;
mod error;
mod file;
mod forward;
mod memory;
mod output;
mod pending;
mod positioned;
mod ranges;
mod read;
mod scratch;
mod sink;
mod sparse;
mod stream;
mod window;
mod zeros;

pub use bytes::Bytes;

pub use adapter::{Checked, Digest, Hashed, Tee, Watched};
pub use error::{Error, Result};
pub use file::FileReader;
pub use forward::Forward;
pub use memory::{MemoryOutput, MemorySink};
pub use output::{
    BlockDeviceSink, ForwardFile, ForwardStream, PlacedFile, Spooled, Target, check_target,
};
pub use pending::{PendingFile, Publish};
pub use read::{BlockRead, Run};
pub use scratch::ScratchFile;
pub use sink::{BlockSink, PlacedSink};
pub use sparse::{SparseImage, SparseImageBuilder};
pub use stream::{PIECE, place, stream};
pub use window::Window;
pub use zeros::is_zero;

/// The largest length of an image in bytes: 2^63 - 1, what a signed file offset can hold.
pub const MAX_LEN: u64 = i64::MAX.unsigned_abs();
