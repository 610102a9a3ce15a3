//! Disks: partition tables and image formats.
//!
//! Nothing here opens a file, reads the clock or random numbers, or prints: images are read from a
//! [`BlockRead`](forger_block::BlockRead) and made as a [`SparseImage`](forger_block::SparseImage)
//! or into a sink.
#![forbid(unsafe_code)]

pub mod android_sparse;
pub mod bmap;
pub mod nbd;
pub mod ova;
pub mod partition;
pub mod qcow2;
pub mod vhd;
pub mod vhdx;
pub mod vhost_user;
pub mod virtio_blk;
pub mod vmdk;

mod apart;
mod arriving;
mod batch;
mod cache;
mod check;
mod compare;
mod container;
mod copy;
mod detect;
mod differing;
mod foreign;
mod guid;
mod hex;
mod image_error;
mod mapped;
mod occupied;
mod ordered;
mod packing;
mod padded;
mod pieces;
mod progress;
mod served;
mod swap;
mod words;
mod xml;

pub use arriving::{Arriving, RawArriving, receive};
pub use check::{Finding, Report, Severity, check};
pub use compare::compare;
pub use container::{Container, OpenError};
pub use copy::{ZEROS, copy};
pub use detect::{Format, detect};
pub use guid::{Guid, NotAGuid};
pub use packing::{Packed, Packing};
pub use progress::{Progress, Unwatched};
pub use served::Disk;
pub use swap::{SwapError, swap};
