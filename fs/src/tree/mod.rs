//! The model: every name, node and fact of a filesystem, contents by reference.
pub mod acl;
mod error;
mod meta;

pub use error::Error;
pub use meta::{Device, InodeFlags, Meta, Time, Xattrs};
