//! Block maps (bmap): which blocks of a raw disk hold anything, and their checksums.
//!
//! The format of Yocto's `bmaptool`, version 2.0; read are versions from 1.2 on.
//!
//! ```
//! use std::sync::Arc;
//!
//! use forger_block::{BlockRead, BlockSink, Forward, MemorySink};
//! use forger_disk::{Unwatched, bmap::{Bmap, Recorder}};
//!
//! let mut sink = Forward::new(MemorySink::new());
//! let mut recorder = Recorder::new(&mut sink);
//! recorder.write(&[7; 10_000])?;
//! recorder.skip(90_000)?;
//! let text = recorder.complete().to_string();
//!
//! let bmap: Bmap = text.parse()?;
//! assert_eq!((bmap.image_size(), bmap.mapped_blocks()), (100_000, 3));
//! let mut disk = vec![7_u8; 10_000];
//! disk.resize(100_000, 0);
//! let disk: Arc<dyn BlockRead> = Arc::new(disk);
//! bmap.verify(&disk, 1, &mut Unwatched)?;
//! assert_eq!(bmap.mapped(&disk)?.covered(), 12_288);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod map;
mod read;
mod record;

#[cfg(test)]
mod tests;

pub use self::error::{MapError, ReadError};
pub use self::map::Bmap;
pub use self::record::Recorder;
pub use crate::xml::XmlError;
