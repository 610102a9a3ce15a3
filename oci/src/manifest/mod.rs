//! Manifests and indexes: bounded, told by what they say they are, and refused when that is contradictory
//! ([image-spec, manifest.md](https://github.com/opencontainers/image-spec/blob/main/manifest.md)).

mod json;
mod select;

use crate::blob::{self, Blobs, MANIFEST_LIMIT};
use crate::media_type::{is_image_manifest, is_index, is_schema1};
use crate::{
    Descriptor, Digest, Error, ImageConfiguration, ImageIndex, ImageManifest, MediaType, Result,
};

pub use json::{canonical, parse, parse_value};
pub use select::{Select, image, images};

/// A document that registries keep among the manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// Several manifests, for several platforms perhaps.
    Index(Box<ImageIndex>),
    /// One image or artifact.
    Image(Box<ImageManifest>),
}

impl Manifest {
    /// Understands a document that a descriptor of this media type refers to.
    ///
    /// # Errors
    /// [`Error::Json`]; [`Error::Invalid`] when the document contradicts the media type or itself.
    pub fn parse(what: &str, media_type: &MediaType, bytes: &[u8]) -> Result<Self> {
        let shape: Shape = parse(what, bytes)?;
        let own = shape.media_type.as_deref().map(MediaType::from);
        let invalid = |reason: String| Err(Error::invalid(what, reason));
        if let Some(own) = &own
            && own != media_type
            && (is_index(media_type) || is_image_manifest(media_type))
        {
            return invalid(format!(
                "it says to be {own}, and what refers to it {media_type}"
            ));
        }
        let media_type = own.as_ref().unwrap_or(media_type);
        if is_schema1(media_type) || shape.schema_version == Some(1) {
            return invalid(
                "it is of docker's schema 1, which names no layers by digest of what is in them; pushing the image again with a later docker converts it"
                    .to_owned(),
            );
        }
        let (lists, layers) = (
            shape.manifests.is_some(),
            shape.layers.is_some() || shape.config.is_some(),
        );
        if lists && layers {
            return invalid("it is index and image at once".to_owned());
        }
        match () {
            () if is_index(media_type) || (lists && !is_image_manifest(media_type)) => {
                Ok(Self::Index(Box::new(parse(what, bytes)?)))
            }
            () if is_image_manifest(media_type) || layers => {
                Ok(Self::Image(Box::new(parse(what, bytes)?)))
            }
            () => invalid(format!(
                "{media_type} is neither an index nor an image's manifest"
            )),
        }
    }

    /// Reads the document that a descriptor refers to, verified.
    ///
    /// # Errors
    /// Those of reading the blob; as [`parse`](Self::parse).
    pub fn read(blobs: &(impl Blobs + ?Sized), descriptor: &Descriptor) -> Result<Self> {
        let bytes = blob::read(blobs, descriptor, MANIFEST_LIMIT)?;
        let what = format!("manifest {}", descriptor.digest());
        Self::parse(&what, descriptor.media_type(), &bytes)
    }

    /// Returns what it refers to, in order: an index's manifests, an image's configuration and layers.
    #[must_use]
    pub fn children(&self) -> Vec<&Descriptor> {
        match self {
            Self::Index(index) => index.manifests().iter().collect(),
            Self::Image(image) => std::iter::once(image.config())
                .chain(image.layers())
                .collect(),
        }
    }

    /// Returns the manifest that it says something about.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Index(index) => index.subject().as_ref(),
            Self::Image(image) => image.subject().as_ref(),
        }
    }

    /// Returns the type of artifact: its own word, else its configuration's media type.
    #[must_use]
    pub fn artifact_type(&self) -> Option<&MediaType> {
        match self {
            Self::Index(index) => index.artifact_type().as_ref(),
            Self::Image(image) => Some(
                image
                    .artifact_type()
                    .as_ref()
                    .unwrap_or(image.config().media_type()),
            ),
        }
    }
}

/// What tells documents apart.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
}

/// Reads an image's configuration, verified, and checks that it has one diff_id for each layer.
///
/// # Errors
/// Those of reading the blob; [`Error::Json`], [`Error::Invalid`].
pub fn config(
    blobs: &(impl Blobs + ?Sized),
    image: &ImageManifest,
) -> Result<(ImageConfiguration, Vec<Digest>)> {
    let descriptor = image.config();
    let bytes = blob::read(blobs, descriptor, MANIFEST_LIMIT)?;
    let what = format!("configuration {}", descriptor.digest());
    let config: ImageConfiguration = parse(&what, &bytes)?;
    let (ids, layers) = (config.rootfs().diff_ids(), image.layers().len());
    if ids.len() != layers {
        let reason = format!("it has {} diff_ids for {layers} layers", ids.len());
        return Err(Error::invalid(what, reason));
    }
    let ids = ids.iter().map(|id| id.parse()).collect::<Result<_>>()?;
    Ok((config, ids))
}

#[cfg(test)]
mod tests;
