//! Opening a bundle: looking at it, verifying it, taking the image out.
//!
//! All read forward, once, from any source, in bounded memory, and refuse whatever is not a bundle.
//! Bundles of other making are welcome: any zstd frames, any tar dialect, no digest in the manifest.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::Read;

use forger_block::BlockSink;
use forger_fs::observe::Observer;

use super::archive::Archive;
use super::error::OpenError;
use super::frames::Next;
use super::manifest::{self, FORMAT_VERSION, Manifest};
use super::member;
use super::restore::Restore;

/// The largest image in bytes: what ext4 with blocks of 4 KiB and 32-bit extents can be.
const MAX_IMAGE: u64 = 16 << 40;
/// The largest `manifest.json` in bytes.
const MAX_MANIFEST: u64 = 1 << 20;

/// What was found in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// The manifest.
    pub manifest: Manifest,
    /// `manifest.json` as it stands in the bundle.
    pub manifest_json: Vec<u8>,
    /// Length of the image in bytes.
    pub image_size: u64,
    /// BLAKE3 of the image; `None` where it was not computed.
    pub blake3: Option<[u8; 32]>,
    /// Length of the bundle in bytes.
    pub size: u64,
    /// SHA-256 of the bundle.
    pub sha256: [u8; 32],
}

/// Reads a bundle to its end and returns what is in it. The shape is checked, the image is not:
/// frames that say how long they are need not even be decompressed.
///
/// # Errors
/// [`OpenError`], with the place.
pub fn show(reader: impl Read, observer: &mut dyn Observer) -> Result<Facts, OpenError> {
    read(reader, None, &mut Restore::nowhere(), observer)
}

/// Checks a bundle: its shape, its SHA-256 if one is expected, and the image's size and BLAKE3 if
/// the manifest has them (those of format version 1 do).
///
/// # Errors
/// [`OpenError`], with the place or with both digests.
pub fn verify(
    reader: impl Read,
    sha256: Option<[u8; 32]>,
    observer: &mut dyn Observer,
) -> Result<Facts, OpenError> {
    read(reader, sha256, &mut Restore::hashed(None), observer)
}

/// Checks a bundle as [`verify`] does, and writes its image to `image`; runs of zeros of at least
/// 64 KiB become holes.
///
/// The sink is not finished: the caller publishes it when this returns without an error, and drops
/// it otherwise.
///
/// # Errors
/// [`OpenError`], with the place or with both digests.
pub fn extract(
    reader: impl Read,
    sha256: Option<[u8; 32]>,
    image: &mut dyn BlockSink,
    observer: &mut dyn Observer,
) -> Result<Facts, OpenError> {
    read(reader, sha256, &mut Restore::hashed(Some(image)), observer)
}

fn read(
    reader: impl Read,
    sha256: Option<[u8; 32]>,
    restore: &mut Restore<'_>,
    observer: &mut dyn Observer,
) -> Result<Facts, OpenError> {
    let mut archive = Archive::new(reader)?;
    let image_size = archive.member(member::IMAGE)?;
    if image_size > MAX_IMAGE {
        let (what, size, limit) = (member::IMAGE, image_size, MAX_IMAGE);
        return Err(OpenError::TooLarge { what, size, limit });
    }
    observer.phase("read image");
    let mut left = image_size;
    while left > 0 {
        if observer.cancelled() {
            return Err(OpenError::Interrupted);
        }
        let skipped = if restore.is_nowhere() {
            archive.skip(left)?
        } else {
            0
        };
        let len = if skipped > 0 {
            skipped
        } else {
            match archive.next(restore.room()?, left, member::IMAGE)? {
                Next::Data(len) => {
                    restore.filled(len);
                    u64::try_from(len).unwrap_or(u64::MAX)
                }
                Next::Zeros(len) => {
                    restore.zeros(len)?;
                    len
                }
                Next::End => 0,
            }
        };
        observer.advance(len);
        left = left.saturating_sub(len);
    }
    let blake3 = restore.finish()?;
    archive.padding(image_size, member::IMAGE)?;
    let size = archive.member(member::MANIFEST)?;
    let manifest_json = archive.small(size, MAX_MANIFEST, member::MANIFEST)?;
    let (size, found) = archive.finish()?;
    check_sha256(sha256, found)?;
    let manifest: Manifest = serde_json::from_slice(&manifest_json).map_err(OpenError::Json)?;
    check_manifest(&manifest, image_size, blake3)?;
    Ok(Facts {
        manifest,
        manifest_json,
        image_size,
        blake3,
        size,
        sha256: found,
    })
}

fn check_sha256(expected: Option<[u8; 32]>, found: [u8; 32]) -> Result<(), OpenError> {
    match expected {
        Some(expected) if expected != found => Err(OpenError::Sha256 {
            expected: manifest::hex(&expected),
            found: manifest::hex(&found),
        }),
        _ => Ok(()),
    }
}

/// Checks a manifest against the image.
fn check_manifest(
    manifest: &Manifest,
    image_size: u64,
    blake3: Option<[u8; 32]>,
) -> Result<(), OpenError> {
    let refuse = |field, reason: String| Err(OpenError::Manifest { field, reason });
    let version = manifest.format_version;
    if version > FORMAT_VERSION {
        return refuse(
            "format_version",
            format!("{version} is later than {FORMAT_VERSION}; a later forger can open it"),
        );
    }
    match manifest.image_size {
        Some(size) if size != image_size => {
            return refuse(
                "image_size",
                format!("{size}, but the image has {image_size} bytes"),
            );
        }
        None if version > 0 => return refuse("image_size", "missing".to_owned()),
        _ => {}
    }
    match (&manifest.blake3, blake3) {
        (None, _) if version > 0 => refuse("blake3", "missing".to_owned()),
        (Some(expected), Some(found)) if *expected != manifest::hex(&found) => {
            Err(OpenError::Blake3 {
                expected: expected.chars().take(64).collect(),
                found: manifest::hex(&found),
            })
        }
        _ => Ok(()),
    }
}
