//! The library that other tools call: bundles.
//!
//! Nothing here touches a terminal, the environment, a home folder or the clock; the binary's
//! modules do.
#![forbid(unsafe_code)]

pub mod bundle;
