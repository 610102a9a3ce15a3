//! Which file an artifact is.

use super::disk::{DISK_CONFIG, DISK_LAYER};
use super::wasm::{WASM_CONFIG, WASM_LAYER};
use super::{ANY_BYTES, BUNDLE_LAYER, KERNEL_LAYER, TITLE};
use crate::{Descriptor, Error, ImageManifest, Result};

/// What an artifact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A disk image.
    Disk,
    /// A WebAssembly module or component.
    Wasm,
    /// A bundle, a kernel, or a single file of another kind.
    Other,
}

/// The file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactFile {
    /// What it is.
    pub kind: Kind,
    /// The layer that is the file.
    pub layer: Descriptor,
    /// The file's name; never a path.
    pub title: Option<String>,
}

impl ArtifactFile {
    /// Finds the file of an artifact; none where the manifest is a container image's.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a disk or WebAssembly artifact without a file, or one whose file's name
    /// is a path.
    pub fn of(manifest: &ImageManifest) -> Result<Option<Self>> {
        let config = manifest.config().media_type().as_ref();
        let (kind, accepted): (_, &[&str]) = match config {
            DISK_CONFIG => (Kind::Disk, &[DISK_LAYER, ANY_BYTES]),
            WASM_CONFIG => (Kind::Wasm, &[WASM_LAYER]),
            _ => (
                Kind::Other,
                &[
                    DISK_LAYER,
                    WASM_LAYER,
                    BUNDLE_LAYER,
                    KERNEL_LAYER,
                    ANY_BYTES,
                ],
            ),
        };
        let fits = |layer: &&Descriptor| accepted.contains(&layer.media_type().as_ref());
        let Some(layer) = manifest.layers().iter().find(fits) else {
            return match kind {
                Kind::Other => Ok(None),
                _ => Err(Error::invalid(
                    "artifact",
                    format!("it has no layer of {}", accepted.join(" or ")),
                )),
            };
        };
        let kind = match layer.media_type().as_ref() {
            DISK_LAYER => Kind::Disk,
            WASM_LAYER => Kind::Wasm,
            _ => kind,
        };
        let annotations = layer.annotations().as_ref();
        let title = annotations
            .and_then(|annotations| annotations.get(TITLE))
            .cloned();
        match title {
            Some(title) if !is_name(&title) => {
                let reason = format!("its file is called {title:?}, which is no name");
                Err(Error::invalid("artifact", reason))
            }
            title => Ok(Some(Self {
                kind,
                layer: layer.clone(),
                title,
            })),
        }
    }
}

/// Tells whether a text can be the name of a file in a folder.
fn is_name(title: &str) -> bool {
    let control = title.chars().any(char::is_control);
    !matches!(title, "" | "." | "..") && !title.contains('/') && !control && title.len() <= 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::parse;

    fn of(config: &str, layer: &str, title: &str) -> Result<Option<ArtifactFile>> {
        let digest = crate::Digest::of(b"");
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "config": { "mediaType": config, "digest": digest.to_string(), "size": 0 },
            "layers": [{ "mediaType": layer, "digest": digest.to_string(), "size": 0, "annotations": { TITLE: title } }],
        });
        ArtifactFile::of(&parse("test", manifest.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn what_is_a_file_is_told_from_images() {
        let kind = |config, layer| of(config, layer, "a").unwrap().map(|file| file.kind);
        assert_eq!(kind(DISK_CONFIG, DISK_LAYER), Some(Kind::Disk));
        assert_eq!(kind(DISK_CONFIG, ANY_BYTES), Some(Kind::Disk));
        assert_eq!(kind(WASM_CONFIG, WASM_LAYER), Some(Kind::Wasm));
        assert_eq!(kind("application/x", ANY_BYTES), Some(Kind::Other));
        let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
        assert_eq!(
            kind("application/vnd.oci.image.config.v1+json", layer),
            None
        );
        assert!(of(DISK_CONFIG, layer, "a").is_err());
    }

    #[test]
    fn a_path_is_no_name() {
        for title in ["../a", "/etc/passwd", "a/b", "..", "", "a\nb"] {
            assert!(of(DISK_CONFIG, DISK_LAYER, title).is_err(), "{title:?}");
        }
    }
}
