//! VMDK: VMware's format, as one sparse file.
//!
//! VMware's "Virtual Disk Format 5.0". Read and written are monolithicSparse and streamOptimized
//! (compressed, as it stands in an OVA); images in several files, or that build on others, are
//! refused.
//!
//! ```
//! use std::sync::Arc;
//!
//! use forger_block::BlockRead;
//! use forger_disk::{Unwatched, vmdk};
//!
//! let disk: Arc<dyn BlockRead> = Arc::new(vec![7_u8; 1 << 20]);
//! let file = vmdk::plan(&disk, "disk.vmdk", 1, &mut Unwatched)?;
//! assert_eq!(vmdk::Image::open(Arc::new(file))?.len(), 1 << 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arriving;
mod check;
mod error;
mod grain;
pub(crate) mod header;
mod image;
mod plan;
mod stream;

#[cfg(test)]
mod tests;

pub use self::arriving::{StreamArriving, is_stream};
pub use self::check::check;
pub use self::error::{ReadError, WriteError};
pub use self::image::Image;
pub(crate) use self::plan::rounded;
pub use self::plan::{full_len, plan};
pub use self::stream::{full_stream_len, restream, write_stream};
