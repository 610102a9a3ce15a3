//! The frames of the channel between a guest and its host.
//!
//! One protocol over whatever byte stream a backend has: a serial line, a virtio console, a socket
//! pair. Both ends encode and decode with this crate, which does no I/O at all.
//!
//! ```text
//!   guest                                       host
//!     | -- Ready (version, what it is) ---------> |   the host writes nothing before that
//!     | <------- Hello (version, clock, seed) --- |
//!     | <------- Setup (disks, modules, name) --- |
//!     | -- SetUp, or Fault ---------------------> |
//!     | <------- Run (stream 2, argv, env, ...)   |   streams of the host have even numbers
//!     | -- Data (stream 2, stdout or stderr) ---> |   at most as much as there is credit
//!     | <------- Credit (stream 2) -------------- |
//!     | -- Exit (stream 2, code or signal) -----> |   the last frame of a stream
//!     | -- Connect (stream 1) ------------------> |   streams of the guest have odd numbers
//!     | <------- Ping / -- Pong ----------------> |
//!     | <------- Shutdown ----------------------- |
//!     | -- Bye ---------------------------------> |   a channel that ends without it broke
//! ```
//!
//! Each end takes what the other one says for hostile: lengths and counts are bounded before
//! anything is allocated, every frame has a checksum, and numbers, texts and lists are read by one
//! piece of code that cannot panic.
//!
//! # Example
//!
//! ```
//! use forger_wire::{Decoder, Message, Side};
//!
//! let mut bytes = Vec::new();
//! Message::Data { side: Side::Stdout, bytes: b"hello" }.encode(2, &mut bytes);
//!
//! let mut decoder = Decoder::new();
//! decoder.push(&bytes);
//! let frame = decoder.next_frame()?.expect("it is whole");
//! assert_eq!(frame.stream, 2);
//! assert_eq!(frame.message()?, Message::Data { side: Side::Stdout, bytes: b"hello" });
//! # Ok::<(), forger_wire::WireError>(())
//! ```
#![forbid(unsafe_code)]

mod checksum;
mod credit;
mod error;
mod field;
mod frame;
mod job;
mod message;
mod setup;

pub use checksum::crc32c;
pub use credit::{Credit, Overdrawn, affordable, cost};
pub use error::WireError;
pub use frame::{Decoder, Frame, HEADER_LEN, MAX_PAYLOAD};
pub use job::{Ended, Job, Limit, Resource, Terminal};
pub use message::{Message, Side};
pub use setup::{Filesystem, Hello, Mount, Ready, Setup};

/// The protocol's version; both ends must have the same.
pub const VERSION: u16 = 1;

/// How much credit each direction of a stream begins with, in bytes.
pub const WINDOW: u32 = 1 << 20;

/// The most bytes of content in one [`Message::Data`].
pub const MAX_DATA: usize = 256 << 10;
