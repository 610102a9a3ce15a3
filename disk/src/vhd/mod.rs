//! VHD: Virtual PC's and Azure's format, fixed and dynamic.
//!
//! Microsoft's "Virtual Hard Disk Image Format Specification", version 1.0. Differencing images are
//! refused. The size is that of the footer, whatever its geometry says.
//!
//! ```
//! use std::sync::Arc;
//!
//! use forger_block::BlockRead;
//! use forger_disk::vhd;
//!
//! let disk: Arc<dyn BlockRead> = Arc::new(vec![7_u8; 1 << 20]);
//! let file = vhd::plan_fixed(&disk)?;
//! assert_eq!(file.len(), (1 << 20) + 512);
//! assert_eq!(vhd::Image::open(Arc::new(file))?.len(), 1 << 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod error;
pub(crate) mod footer;
mod image;
mod plan;

#[cfg(test)]
mod tests;

pub use self::check::check;
pub use self::error::{ReadError, WriteError};
pub use self::image::Image;
pub(crate) use self::image::is_fixed_footer;
pub use self::plan::{append_fixed_footer, fixed_len, full_dynamic_len, plan_dynamic, plan_fixed};
