//! qcow2: QEMU's copy-on-write format.
//!
//! QEMU's `docs/interop/qcow2.txt`. Read is what QEMU 10 can make without encryption: versions 2 and
//! 3, clusters compressed with zlib and zstd, subclusters, refcounts of every width, and images with
//! backing and data files, where the caller gives these. Written are versions 2 and 3, with
//! subclusters and refcounts of every width: [planned](plan) uncompressed, [over](plan_over) a
//! backing file, [compressed](write_compressed), [both](write_compressed_over), or [empty](create),
//! also with their data in another file.
//!
//! ```
//! use std::sync::Arc;
//!
//! use forger_block::BlockRead;
//! use forger_disk::{Unwatched, qcow2};
//!
//! let mut disk = vec![0_u8; 1 << 20];
//! disk[300_000] = 1;
//! let disk: Arc<dyn BlockRead> = Arc::new(disk);
//! let file = qcow2::plan(&disk, &qcow2::Options::default(), 1, &mut Unwatched)?;
//! assert_eq!(file.len(), 6 * 65_536);
//! let image = qcow2::Image::open(Arc::new(file))?;
//! let mut byte = [0];
//! image.read_at(300_000, &mut byte)?;
//! assert_eq!(byte, [1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod compress;
mod create;
mod decompress;
mod entry;
mod error;
mod extension;
mod geometry;
mod header;
mod image;
mod led;
mod options;
mod overlay;
mod pack;
mod plan;
mod refcount;
mod snapshot;

#[cfg(test)]
mod tests;

pub use self::check::check;
pub use self::create::{Create, DataFile, Preallocation, create};
pub use self::error::{Damage, Place, ReadError, Role, WriteError};
pub use self::extension::Named;
pub use self::geometry::full_len;
pub use self::header::Header;
pub use self::image::{Image, Neighbours};
pub use self::led::{lead_place, plan_led};
pub use self::options::{Codec, Compression, Options};
pub use self::overlay::{Backing, plan_over, write_compressed_over};
pub use self::pack::{write_compressed, write_compressed_arriving};
pub use self::plan::plan;
pub use self::snapshot::Snapshot;
