//! The model: every name, node and fact of a filesystem, contents by reference.
pub mod acl;
mod meta;

pub use meta::{Device, InodeFlags, Meta, Time, Xattrs};
