//! Why a disk cannot be served to a monitor, or no longer.

use std::io;

use crate::virtio_blk::{QueueError, SECTOR};

/// Why a disk cannot be served to a monitor, or no longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk's length is none that a driver can see.
    #[error("the disk has {len} bytes, which is no multiple of {SECTOR}")]
    Odd {
        /// The length in bytes.
        len: u64,
    },
    /// The socket failed.
    #[error("the connection to the machine failed")]
    Socket(#[source] io::Error),
    /// The monitor sent what makes no sense.
    #[error("the machine's monitor sent a message {request} that {why}")]
    Message {
        /// The number of the request.
        request: u32,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The guest was told of an error.
    #[error("the disk failed while the machine ran")]
    Disk(#[source] forger_block::Error),
    /// The guest broke its own queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
}
