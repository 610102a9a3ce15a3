//! cpio archives in the "new ASCII" format (newc): what a kernel unpacks as its initial RAM disk.
//!
//! Specification: the Linux kernel's
//! [`initramfs-buffer-format`](https://docs.kernel.org/driver-api/early-userspace/buffer-format.html).
//!
//! ```text
//!   header, 110 bytes of ASCII | name, 0 | pad to 4 | content | pad to 4 | header | ...
//!   ... | header of "TRAILER!!!" | pad to 512
//! ```

mod header;
#[cfg(test)]
mod tests;
mod write;

pub use write::{WriteError, Writer};
