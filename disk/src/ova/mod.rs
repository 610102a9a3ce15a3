//! OVA: a virtual machine in one file, as VMware and VirtualBox import it.
//!
//! An OVF 1.0 descriptor, a streamOptimized VMDK and a manifest with SHA-256 digests, in a ustar
//! archive. Read are machines with one disk, which is a VMDK of any kind that [`vmdk`](crate::vmdk)
//! reads.
//!
//! ```
//! use std::sync::Arc;
//!
//! use forger_block::{BlockRead, MemorySink, PlacedSink};
//! use forger_disk::{Unwatched, ova};
//!
//! let mut sink = Box::new(MemorySink::new());
//! let output = sink.output();
//! let disk = vec![7_u8; 1 << 20];
//! let len = ova::write(&disk, &ova::Options::default(), 1, &mut *sink, &mut Unwatched)?;
//! sink.finish(len)?;
//!
//! let file = output.bytes().unwrap();
//! let image = ova::Image::open(Arc::new(file))?;
//! image.verify(&mut Unwatched)?;
//! assert_eq!((image.disk().len(), image.disk_name()), (1 << 20, "disk-disk1.vmdk"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod descriptor;
mod error;
pub(crate) mod header;
mod image;
mod options;
mod write;

#[cfg(test)]
mod tests;

pub use self::check::check;
pub use self::error::{ReadError, WriteError};
pub use self::image::Image;
pub use self::options::{Firmware, Options};
pub use self::write::{full_len, write};
