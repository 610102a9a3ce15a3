//! VHDX: Hyper-V's format.
//!
//! Microsoft's MS-VHDX, version 2. Read are fixed and dynamic images that were closed; differencing
//! images, and those whose log has to be replayed, are refused. Written are both, with blocks of
//! 1 MiB.
//!
//! ```
//! use std::sync::Arc;
//!
//! use forger_block::BlockRead;
//! use forger_disk::{Unwatched, vhdx};
//!
//! let disk: Arc<dyn BlockRead> = Arc::new(vec![7_u8; 3 << 20]);
//! let file = vhdx::plan(&disk, &vhdx::Options::default(), 1, &mut Unwatched)?;
//! assert_eq!(vhdx::Image::open(Arc::new(file))?.len(), 3 << 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod error;
mod image;
pub(crate) mod layout;
mod plan;

#[cfg(test)]
mod tests;

pub use self::check::check;
pub use self::error::{ReadError, WriteError};
pub use self::image::Image;
pub use self::plan::{Options, full_len, plan};
