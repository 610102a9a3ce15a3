//! Which image of an index is meant.

use std::collections::BTreeSet;

use super::{Manifest, config};
use crate::blob::Blobs;
use crate::{Descriptor, Digest, Error, ImageManifest, Platform, Result};

/// How deep indexes may stand in each other, the outermost included.
const MAX_DEPTH: usize = 8;

/// How many manifests are looked at.
const MAX_MANIFESTS: usize = 4096;

/// Annotation and value by which BuildKit marks what is no image, but says something about one.
const REFERENCE_TYPE: (&str, &str) = ("vnd.docker.reference.type", "attestation-manifest");

/// An image of an index, or the only one.
#[derive(Clone, Debug)]
pub struct Select {
    /// What refers to its manifest.
    pub descriptor: Descriptor,
    /// Its manifest.
    pub manifest: Box<ImageManifest>,
}

/// Finds the image for a platform below a manifest or an index, also through nested indexes.
///
/// A manifest that no index leads to is taken for what it is, whatever its platform, unless a platform was
/// asked for expressly and its configuration says another one. Of several that fit, the best variant and then the
/// first in order is taken.
///
/// # Errors
/// [`Error::NoPlatform`] when nothing fits; whatever is wrong with what has to be read.
pub fn image(
    blobs: &(impl Blobs + ?Sized),
    root: &Descriptor,
    wanted: Option<&Platform>,
    host: &Platform,
) -> Result<Select> {
    if let Manifest::Image(manifest) = Manifest::read(blobs, root)? {
        if let Some(wanted) = wanted
            && let Some(platform) = platform_of(blobs, root, &manifest)?
            && wanted.rank(&platform).is_none()
        {
            return Err(no_platform(wanted, root, vec![platform]));
        }
        return Ok(Select {
            descriptor: root.clone(),
            manifest,
        });
    }
    let platform = wanted.unwrap_or(host);
    let (mut best, mut all, mut nameless) = (None, BTreeSet::new(), Vec::new());
    for descriptor in leaves(blobs, root)? {
        let found = match descriptor.platform() {
            Some(found) => Some(Platform::of(found)),
            None => match Manifest::read(blobs, &descriptor)? {
                Manifest::Image(manifest) => platform_of(blobs, &descriptor, &manifest)?,
                Manifest::Index(_) => None,
            },
        };
        let Some(found) = found else {
            nameless.push(descriptor);
            continue;
        };
        if let Some(rank) = platform.rank(&found)
            && best.as_ref().is_none_or(|(other, _)| rank < *other)
        {
            best = Some((rank, descriptor));
        }
        all.insert(found);
    }
    // An artifact has no platform: where there is nothing else, the only one is meant.
    let only = match (&nameless[..], all.is_empty(), wanted) {
        ([only], true, None) => Some(only.clone()),
        _ => None,
    };
    let Some(descriptor) = best.map(|(_, descriptor)| descriptor).or(only) else {
        return Err(no_platform(platform, root, all.into_iter().collect()));
    };
    match Manifest::read(blobs, &descriptor)? {
        Manifest::Image(manifest) => Ok(Select {
            descriptor,
            manifest,
        }),
        Manifest::Index(_) => Err(Error::invalid(
            format!("index {}", root.digest()),
            format!("its manifest {} is an index after all", descriptor.digest()),
        )),
    }
}

/// Returns what refers to the images below a manifest or an index, in order and each once; what only says something
/// about images, as attestations do, is left out.
///
/// # Errors
/// Whatever is wrong with what has to be read.
pub fn images(blobs: &(impl Blobs + ?Sized), root: &Descriptor) -> Result<Vec<Descriptor>> {
    match Manifest::read(blobs, root)? {
        Manifest::Image(_) => Ok(vec![root.clone()]),
        Manifest::Index(_) => leaves(blobs, root),
    }
}

fn leaves(blobs: &(impl Blobs + ?Sized), root: &Descriptor) -> Result<Vec<Descriptor>> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    collect(blobs, root, MAX_DEPTH, &mut seen, &mut found)?;
    Ok(found)
}

fn collect(
    blobs: &(impl Blobs + ?Sized),
    descriptor: &Descriptor,
    depth: usize,
    seen: &mut BTreeSet<Digest>,
    found: &mut Vec<Descriptor>,
) -> Result<()> {
    if !seen.insert(Digest::try_from(descriptor.digest())?) {
        return Ok(());
    }
    let refused = |reason: &str| {
        Err(Error::invalid(
            format!("index {}", descriptor.digest()),
            reason,
        ))
    };
    if seen.len() > MAX_MANIFESTS {
        return refused("there are more than 4096 manifests");
    }
    if !crate::media_type::is_index(descriptor.media_type()) {
        if !is_attestation(descriptor) {
            found.push(descriptor.clone());
        }
        return Ok(());
    }
    let Some(depth) = depth.checked_sub(1) else {
        return refused("indexes stand in each other more than 8 deep");
    };
    if let Manifest::Index(index) = Manifest::read(blobs, descriptor)? {
        for manifest in index.manifests() {
            collect(blobs, manifest, depth, seen, found)?;
        }
    }
    Ok(())
}

fn is_attestation(descriptor: &Descriptor) -> bool {
    let (key, value) = REFERENCE_TYPE;
    let annotations = descriptor.annotations().as_ref();
    annotations
        .and_then(|all| all.get(key))
        .is_some_and(|found| found == value)
}

/// Returns the platform of an image: its descriptor's, else its configuration's; `None` for an artifact.
pub(crate) fn platform_of(
    blobs: &(impl Blobs + ?Sized),
    descriptor: &Descriptor,
    manifest: &ImageManifest,
) -> Result<Option<Platform>> {
    if let Some(platform) = descriptor.platform() {
        return Ok(Some(Platform::of(platform)));
    }
    if !crate::media_type::is_config(manifest.config().media_type()) {
        return Ok(None);
    }
    let (config, _) = config(blobs, manifest)?;
    Ok(Some(Platform::new(
        &config.os().to_string(),
        &config.architecture().to_string(),
        config.variant().as_deref(),
    )))
}

fn no_platform(platform: &Platform, root: &Descriptor, platforms: Vec<Platform>) -> Error {
    Error::NoPlatform {
        platform: platform.to_string(),
        place: root.digest().to_string(),
        platforms: platforms.iter().map(Platform::to_string).collect(),
    }
}
