//! File trees and what they become: tar streams and folders in, ext4 out.
//!
//! ```text
//!   source                 tree                     ext4
//!   tar::Reader       ->   Tree<C>: all metadata -> ingest (contents get their blocks on arrival)
//!   folder::Folder         in memory, contents      seal   (everything else, a pure function)
//!                          by reference `C`         emit   (a SparseImage, or into a PlacedSink)
//! ```
//!
//! The crate reads no clock, no random numbers and no environment: every time, uuid and seed comes
//! in through options.
#![forbid(unsafe_code)]

pub mod cpio;
pub mod decompress;
pub mod ext4;
pub mod fat;
pub mod folder;
pub mod observe;
pub mod source;
pub mod tar;
pub mod tree;
pub mod verity;
