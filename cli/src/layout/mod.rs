//! Layouts of disks that stand in files: dumps of sfdisk, and definitions of systemd-repart.
//!
//! Both become [slots](crate::assemble::Slot). What a file says and nothing here does is refused, by its
//! name and place.

mod error;
pub mod repart;
mod sfdisk;

pub use error::{Error, Place};
pub use sfdisk::{Dump, sfdisk};
