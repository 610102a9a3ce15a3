//! Making a bundle.

use std::ops::Range;

use forger_block::PlacedSink;
use forger_fs::ext4;
use forger_fs::observe::Observer;
use ring::digest::{Context, SHA256};

use super::error::Error;
use super::file::BundleFile;
use super::framed::{FramedSink, Framing};
use super::manifest::{self, FORMAT_VERSION, Manifest};
use super::member;
use super::options::Options;

/// Room for the tar header of `rootfs.ext4`, which carries its size: three blocks at most, and a
/// filler.
const PREFIX_ROOM: u64 = 2048;
/// How much of the finished bundle is hashed at a time, in bytes.
const HASH_PIECE: u64 = 1 << 20;

/// A bundle that was made.
#[derive(Clone, Debug)]
pub struct Made<S = ext4::Summary> {
    /// Length of the bundle in bytes.
    pub size: u64,
    /// SHA-256 of the bundle.
    pub sha256: [u8; 32],
    /// Its manifest.
    pub manifest: Manifest,
    /// What is known of the filesystem.
    pub image: S,
}

impl<S> Made<S> {
    /// Returns the bundle's name in a folder:
    /// `NAME-ARCH-<the first 12 digits of its SHA-256>.tar.zst`.
    #[must_use]
    pub fn file_name(&self) -> String {
        let digits = manifest::hex(&self.sha256[..6]);
        format!(
            "{}-{}-{digits}.tar.zst",
            self.manifest.name, self.manifest.arch
        )
    }

    /// Returns the SHA-256 in lower-case hexadecimal.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        manifest::hex(&self.sha256)
    }
}

/// What a bundle needs to know of its image.
#[derive(Clone, Debug)]
pub(super) struct Image<S> {
    pub(super) size: u64,
    /// Seconds since 1970; what lies before counts as 0.
    pub(super) time: i64,
    pub(super) uuid: [u8; 16],
    pub(super) label: Option<Vec<u8>>,
    pub(super) summary: S,
}

/// What decides the frames, beside the image.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) window: u64,
    pub(super) late: Vec<Range<u64>>,
    pub(super) late_room: u64,
}

/// Makes a bundle of all layers.
///
/// The sources are read once, forward, so a pipe will do. `out` is empty, and is written and read
/// back at any offset; nobody may use it before this returns, and the caller publishes it then,
/// perhaps under [`Made::file_name`].
///
/// # Errors
/// Whatever is wrong with the sources, the options or the output.
pub fn make(
    layers: &mut [ext4::Layer<'_>],
    options: &Options,
    out: &dyn BundleFile,
    observer: &mut dyn Observer,
) -> Result<Made, Error> {
    let shape = Shape {
        window: window(options.level),
        late: ext4::late_ranges(&options.ext4)?.collect(),
        late_room: late_room(options.ext4.size),
    };
    assemble(options, shape, out, observer, |sink, observer| {
        let summary = ext4::write(layers, &options.ext4, sink, observer)?;
        Ok(Image {
            size: summary.size,
            time: summary.time.sec,
            uuid: summary.uuid,
            label: summary.label.clone(),
            summary,
        })
    })
}

/// Returns the length of a window in bytes.
///
/// Measured on a root filesystem of 1.7 GB, windows that are compressed on their own, and seen as a
/// whole, make bundles as small as one stream of the same level does. Higher levels look back
/// further, so they take longer windows to get there, and more memory.
fn window(level: i32) -> u64 {
    match level {
        ..8 => 4 << 20,
        8..16 => 8 << 20,
        16.. => 16 << 20,
    }
}

/// Returns the room for a late segment in bytes: superblock, and a descriptor of 64 bytes for each
/// group of 128 MiB, most of which compresses well.
fn late_room(size: ext4::Size) -> u64 {
    match size {
        // Enough for some 200 GiB of content; a larger image moves what follows.
        ext4::Size::Auto(_) => 32 << 10,
        ext4::Size::Exact(size) => (size.div_ceil(128 << 20) * 24 + 4096).clamp(8 << 10, 1 << 20),
    }
}

/// Makes a bundle of an image that `write` places into a sink.
pub(super) fn assemble<S>(
    options: &Options,
    shape: Shape,
    out: &dyn BundleFile,
    observer: &mut dyn Observer,
    write: impl FnOnce(&mut dyn PlacedSink, &mut dyn Observer) -> Result<Image<S>, Error>,
) -> Result<Made<S>, Error> {
    options.validate()?;
    let mut sink = FramedSink::new(
        out,
        Framing {
            level: options.level,
            threads: options.threads,
            window: shape.window,
            late: shape.late,
            late_room: shape.late_room,
            prefix_room: PREFIX_ROOM,
        },
    )?;
    let image = write(&mut sink, observer)?;
    observer.phase("compress");
    let blake3 = sink.settle(image.size)?;
    let mtime = u64::try_from(image.time).unwrap_or(0);
    let manifest = describe(options, &image, blake3);
    sink.fill_prefix(&member::header(member::IMAGE, image.size, mtime))?;
    let size = sink.append(&ending(&manifest.to_json()?, image.size, mtime))?;
    drop(sink);
    observer.phase("hash");
    let sha256 = sha256(out, size, observer)?;
    let image = image.summary;
    Ok(Made {
        size,
        sha256,
        manifest,
        image,
    })
}

fn describe<S>(options: &Options, image: &Image<S>, blake3: [u8; 32]) -> Manifest {
    let label = image.label.as_deref().map(String::from_utf8_lossy);
    Manifest {
        name: options.name.clone(),
        distro: options.distro.clone(),
        arch: options.arch.clone(),
        kernel_ref: options.kernel_ref.clone(),
        description: options.description.clone(),
        config: options.config.clone(),
        format_version: FORMAT_VERSION,
        image_size: Some(image.size),
        uuid: Some(manifest::uuid_text(&image.uuid)),
        label: label.map(std::borrow::Cow::into_owned),
        blake3: Some(manifest::hex(&blake3)),
        forger_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        zstd_version: Some(zstd::zstd_safe::version_string().to_owned()),
        level: Some(options.level),
    }
}

/// Returns what follows the image in the tar stream.
fn ending(manifest: &[u8], image_size: u64, mtime: u64) -> Vec<u8> {
    let mut out = Vec::new();
    // The image's last block, should its size be no multiple.
    let over = image_size % member::BLOCK as u64;
    if over > 0 {
        out.resize(member::BLOCK - super::cuts::index(over), 0);
    }
    out.extend_from_slice(&member::header(
        member::MANIFEST,
        manifest.len() as u64,
        mtime,
    ));
    let start = out.len();
    out.extend_from_slice(manifest);
    out.resize(start + manifest.len().next_multiple_of(member::BLOCK), 0);
    member::end(&mut out);
    out
}

/// Reads the bundle back; its first bytes were known last.
fn sha256(out: &dyn BundleFile, size: u64, observer: &mut dyn Observer) -> Result<[u8; 32], Error> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; super::cuts::index(size.min(HASH_PIECE))];
    let mut offset = 0;
    while offset < size {
        if observer.cancelled() {
            return Err(Error::Interrupted);
        }
        let len = super::cuts::index((size - offset).min(HASH_PIECE));
        let piece = &mut buffer[..len];
        out.read_at(offset, piece)?;
        context.update(piece);
        offset += len as u64;
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Ok(digest)
}
