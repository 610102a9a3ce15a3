//! Definitions of systemd-repart: a folder of files `*.conf`, one for each partition.
//!
//! Follows repart.d(5). What a definition asks for is done as systemd-repart does it for a new disk; what
//! only matters elsewhere, as on a running system, is [listed](Definition::unused) and left alone; all else
//! is refused.

mod definition;
mod files;
mod fill;
mod size;
mod supplement;
mod unit;

pub use definition::{Definition, Format, Verity, parse};
pub use fill::{Filled, Ground, fill};
