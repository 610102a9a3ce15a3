//! What blobs are, by the media types of OCI and of docker
//! ([image-spec, media-types.md](https://github.com/opencontainers/image-spec/blob/main/media-types.md)).

use crate::MediaType;

/// Docker's manifest of one image.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's gzip layer.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker's plain layer.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker's zstd layer.
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/// Docker's gzip layer that registries may not give away.
pub const DOCKER_FOREIGN_LAYER_GZIP: &str =
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
/// Docker's plain layer that registries may not give away.
pub const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";

/// The manifests of docker before 1.10, which name layers in another way.
const DOCKER_SCHEMA1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// How a layer is compressed, as its media type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// Zstandard, zstd:chunked included.
    Zstd,
}

/// What the media type of a layer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerType {
    /// How it is compressed.
    pub compression: Compression,
    /// Registries may give it away. Otherwise its blob may have to be fetched from its `urls`.
    pub distributable: bool,
}

/// Tells what a media type says of a layer; `None` when it is not one of a file tree.
#[must_use]
pub fn layer_type(media_type: &MediaType) -> Option<LayerType> {
    use Compression::{Gzip, Plain, Zstd};
    let (compression, distributable) = match media_type {
        MediaType::ImageLayer => (Plain, true),
        MediaType::ImageLayerGzip => (Gzip, true),
        MediaType::ImageLayerZstd => (Zstd, true),
        MediaType::ImageLayerNonDistributable => (Plain, false),
        MediaType::ImageLayerNonDistributableGzip => (Gzip, false),
        MediaType::ImageLayerNonDistributableZstd => (Zstd, false),
        MediaType::Other(other) => match other.as_str() {
            DOCKER_LAYER => (Plain, true),
            DOCKER_LAYER_GZIP => (Gzip, true),
            DOCKER_LAYER_ZSTD => (Zstd, true),
            DOCKER_FOREIGN_LAYER => (Plain, false),
            DOCKER_FOREIGN_LAYER_GZIP => (Gzip, false),
            _ => return None,
        },
        _ => return None,
    };
    Some(LayerType {
        compression,
        distributable,
    })
}

/// Tells whether a media type is an index's, OCI's or docker's.
#[must_use]
pub fn is_index(media_type: &MediaType) -> bool {
    matches!(media_type.as_ref(), DOCKER_LIST) || *media_type == MediaType::ImageIndex
}

/// Tells whether a media type is that of a manifest of one image or artifact.
#[must_use]
pub fn is_image_manifest(media_type: &MediaType) -> bool {
    matches!(media_type.as_ref(), DOCKER_MANIFEST) || *media_type == MediaType::ImageManifest
}

/// Tells whether a media type is that of a document which registries keep among the manifests.
#[must_use]
pub fn is_manifest(media_type: &MediaType) -> bool {
    is_index(media_type)
        || is_image_manifest(media_type)
        || is_schema1(media_type)
        || *media_type == MediaType::ArtifactManifest
}

/// Tells whether a media type is that of an image's configuration.
#[must_use]
pub fn is_config(media_type: &MediaType) -> bool {
    matches!(media_type.as_ref(), DOCKER_CONFIG) || *media_type == MediaType::ImageConfig
}

pub(crate) fn is_schema1(media_type: &MediaType) -> bool {
    DOCKER_SCHEMA1.contains(&media_type.as_ref())
}
