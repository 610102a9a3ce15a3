//! Android sparse images: what `fastboot` flashes, `simg2img` and `img2simg` convert.
//!
//! Android's libsparse, version 1. Read are chunks of all four kinds, checksums are verified on
//! demand; written are raw chunks, fill chunks, and don't-care chunks where that is wanted.
//!
//! ```
//! use std::sync::Arc;
//!
//! use forger_block::BlockRead;
//! use forger_disk::{Unwatched, android_sparse};
//!
//! let disk: Arc<dyn BlockRead> = Arc::new(vec![7_u8; 3 << 20]);
//! let options = android_sparse::Options::default();
//! let file = android_sparse::plan(&disk, &options, 1, &mut Unwatched)?;
//! assert_eq!(file.len(), 28 + 12 + 4);
//! assert_eq!(android_sparse::Image::open(Arc::new(file))?.len(), 3 << 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod crc32;
mod error;
pub(crate) mod header;
mod image;
mod plan;
mod scan;

#[cfg(test)]
mod tests;

pub use self::check::check;
pub use self::error::{ReadError, WriteError};
pub use self::image::Image;
pub use self::plan::{Options, Zeros, full_len, plan};
