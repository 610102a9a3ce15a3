//! Bundles: a root filesystem and its manifest in one compressed file.
//!
//! A bundle is a tar stream, compressed with zstd, of exactly two regular files: `rootfs.ext4`,
//! then `manifest.json`. `tar --zstd -xf` unpacks it as any other.
//!
//! ```text
//!   zstd frames   header, filler | image, one frame a window, fillers and hole frames | ending
//!   tar stream    ustar header   | rootfs.ext4                                        | manifest.json, end
//! ```
//!
//! [`make()`] writes one in a single pass, from sources that may be pipes: see `framed` for how, and
//! for the memory it takes. [`show`], [`verify`] and [`extract`] read one forward, whoever made it.
//!
//! | file | concept |
//! |---|---|
//! | `options`, `make` | what is asked for, and the order of things |
//! | `framed`, `settle` | the sink that frames an image; its end |
//! | `cuts`, `edit` | where the image is cut into segments, and what changes in them |
//! | `pipeline`, `workers` | segments in order, and the threads that compress and hash them |
//! | `slots` | where each frame stands in the file |
//! | `hole` | frames of zeros, and of nothing |
//! | `subtrees`, `zero_subtrees` | BLAKE3 from parts in any order; zeros computed beforehand |
//! | `member`, `header` | tar headers, written and read |
//! | `manifest` | `manifest.json` |
//! | `open`, `archive`, `frames`, `skip` | reading: the bundle, its tar stream, its zstd frames |
//! | `restore`, `image_hasher` | where an image that is read goes |
//!
//! # Example
//! ```
//! use forger::bundle::{Options, make, verify};
//! use forger_fs::ext4::Layer;
//! use forger_fs::observe::Silent;
//! use forger_fs::tar;
//!
//! // An empty archive: two blocks of zeros.
//! let mut source = tar::Reader::new(&[0; 1024][..]);
//! let mut layers = [Layer { source: &mut source, overlay: false }];
//! let file = tempfile::tempfile()?;
//! let made = make(&mut layers, &Options::new("empty", "none", "x86_64"), &file, &mut Silent)?;
//!
//! let facts = verify(&file, Some(made.sha256), &mut Silent)?;
//! assert_eq!(facts.image_size, made.image.size);
//! assert!(made.file_name().starts_with("empty-x86_64-"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod archive;
mod cuts;
mod edit;
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
mod options;
mod pipeline;
mod restore;
mod settle;
mod skip;
mod slots;
mod subtrees;
#[cfg(test)]
mod tests;
mod workers;
mod zero_subtrees;

pub use error::{Error, OpenError};
pub use file::BundleFile;
pub use make::{Made, make};
pub use manifest::{FORMAT_VERSION, Manifest, RunConfig};
pub use open::{Facts, extract, show, verify};
pub use options::Options;
