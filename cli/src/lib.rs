//! The library that other tools call: bundles, and the grammar that names things inside images
//! and partitions inside disks.
//!
//! Nothing here touches a terminal, the environment, a home folder or the clock; the binary's
//! modules do.
#![forbid(unsafe_code)]

pub mod address;
pub mod assemble;
pub mod boot;
pub mod bundle;
pub mod catalog;
pub mod layout;
pub mod partition;
pub mod store;
