//! Bundles: a root filesystem and its manifest in one compressed file.
//!
//! A bundle is a tar stream, compressed with zstd, of exactly two regular files: `rootfs.ext4`,
//! then `manifest.json`. `tar --zstd -xf` unpacks it as any other.
mod archive;
mod cuts;
mod error;
mod file;
mod framed;
mod frames;
mod header;
mod hole;
mod image_hasher;
mod make;
mod manifest;
mod member;
mod open;
mod restore;
mod settle;
mod slots;
mod subtrees;
#[cfg(test)]
mod tests;
mod workers;
mod zero_subtrees;

pub use error::{Error, OpenError};
pub use file::BundleFile;
pub use make::{Made, Options, make};
pub use manifest::{FORMAT_VERSION, Manifest};
pub use open::{Facts, extract, show, verify};
