//! What `docker save` writes, old and new, read as an image
//! ([image specification of docker, v1.2](https://github.com/moby/docker-image-spec/blob/main/v1.2.md)).
//!
//! `manifest.json` names configuration and layers by their paths. Layers are plain archives as a rule, so that the
//! configuration's diff_ids are their digests; else they are hashed first. From this a manifest is made, as others
//! would make it of the same archive.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::decompress::{self, Format};

use crate::blob::{Blobs, Images, MANIFEST_LIMIT};
use crate::layout::{Archive, Files, REF_NAME, same_reference, small};
use crate::manifest::{canonical, parse};
use crate::{
    Algorithm, Descriptor, Digest, Error, Hasher, ImageConfiguration, ImageManifest, MediaType,
    Name, Platform, Result,
};

/// The file that lists the images.
const LIST: &str = "manifest.json";
/// The most bytes that it may have.
const LIST_LIMIT: u64 = 32 << 20;

/// An archive of docker's that is read.
#[derive(Debug)]
pub struct DockerArchive {
    files: Archive,
    name: Name,
    images: Vec<Image>,
    /// Paths of blobs, and their lengths in bytes.
    paths: BTreeMap<Digest, (String, u64)>,
    manifests: BTreeMap<Digest, Vec<u8>>,
}

#[derive(Debug)]
struct Image {
    descriptor: Descriptor,
    tags: Vec<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl DockerArchive {
    /// Opens an archive; a compressed one is decompressed into an unnamed file in `scratch`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is none; whatever is wrong with it.
    pub fn open(file: &Path, name: Name, scratch: &Path) -> Result<Self> {
        let files = Archive::open(file, scratch)?;
        let place = files.place();
        let bytes = small(&files, LIST, LIST_LIMIT)?.ok_or_else(|| {
            Error::invalid(
                place.clone(),
                format!("it is no archive of docker's: there is no {LIST}"),
            )
        })?;
        let listed: Vec<Listed> = parse(&format!("{LIST} of {place}"), &bytes)?;
        let mut archive = Self {
            files,
            name,
            images: Vec::new(),
            paths: BTreeMap::new(),
            manifests: BTreeMap::new(),
        };
        for image in listed {
            archive.add(&image)?;
        }
        Ok(archive)
    }

    /// Returns all images with their tags, in the archive's order.
    pub fn manifests(&self) -> Vec<Descriptor> {
        self.images.iter().flat_map(Image::named).collect()
    }

    fn add(&mut self, listed: &Listed) -> Result<()> {
        let place = self.files.place();
        let bytes = small(&self.files, &listed.config, MANIFEST_LIMIT)?
            .ok_or_else(|| self.missing(&listed.config))?;
        let parsed: ImageConfiguration = parse(&format!("{} of {place}", listed.config), &bytes)?;
        let ids = parsed.rootfs().diff_ids();
        let layers = listed.layers.as_deref().unwrap_or_default();
        if ids.len() != layers.len() {
            let reason = format!(
                "it has {} diff_ids, the archive lists {} layers",
                ids.len(),
                layers.len()
            );
            return Err(Error::invalid(
                format!("{} of {place}", listed.config),
                reason,
            ));
        }
        let digest = Digest::of(&bytes);
        let config = Descriptor::new(MediaType::ImageConfig, bytes.len() as u64, digest);
        self.paths
            .insert(digest, (listed.config.clone(), bytes.len() as u64));
        let layers = layers
            .iter()
            .zip(ids)
            .map(|(path, id)| self.layer(path, id))
            .collect::<Result<Vec<_>>>()?;
        let manifest = manifest(config, layers);
        let text = canonical(&manifest);
        let digest = Digest::of(&text);
        let mut descriptor = Descriptor::new(MediaType::ImageManifest, text.len() as u64, digest);
        let platform = Platform::new(
            &parsed.os().to_string(),
            &parsed.architecture().to_string(),
            parsed.variant().as_deref(),
        );
        descriptor.set_platform(Some(platform.to_spec()));
        self.manifests.insert(digest, text);
        self.images.push(Image {
            descriptor,
            tags: listed.repo_tags.clone().unwrap_or_default(),
        });
        Ok(())
    }

    fn layer(&mut self, path: &str, diff_id: &str) -> Result<Descriptor> {
        let missing = || self.missing(path);
        let (mut reader, size) = self.files.open_at(path, 0)?.ok_or_else(missing)?;
        let failed = |error| Error::read(format!("{path} of {}", self.files.place()), error);
        let mut head = Vec::new();
        reader
            .by_ref()
            .take(decompress::HEAD as u64)
            .read_to_end(&mut head)
            .map_err(failed)?;
        let media_type = match decompress::detect(&head) {
            Format::Gzip => MediaType::ImageLayerGzip,
            Format::Zstd => MediaType::ImageLayerZstd,
            _ => MediaType::ImageLayer,
        };
        let digest = match media_type {
            MediaType::ImageLayer => diff_id.parse()?,
            _ => match path
                .strip_prefix("blobs/sha256/")
                .and_then(|hex| format!("sha256:{hex}").parse().ok())
            {
                Some(digest) => digest,
                None => {
                    let mut hasher = Hasher::new(Algorithm::Sha256);
                    hasher.update(&head);
                    io::copy(&mut reader, &mut Hashed(&mut hasher)).map_err(failed)?;
                    hasher.finish()
                }
            },
        };
        self.paths.insert(digest, (path.to_owned(), size));
        Ok(Descriptor::new(media_type, size, digest))
    }

    fn missing(&self, path: &str) -> Error {
        Error::Missing {
            what: path.to_owned(),
            place: self.files.place(),
        }
    }
}

struct Hashed<'a>(&'a mut Hasher);

impl io::Write for Hashed<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.update(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Image {
    /// Returns the image's descriptor, once for each of its names.
    fn named(&self) -> Vec<Descriptor> {
        let named = |tag: &String| {
            let mut descriptor = self.descriptor.clone();
            descriptor.set_annotations(Some([(REF_NAME.to_owned(), tag.clone())].into()));
            descriptor
        };
        match &self.tags[..] {
            [] => vec![self.descriptor.clone()],
            tags => tags.iter().map(named).collect(),
        }
    }
}

/// Makes the manifest of an image.
fn manifest(config: Descriptor, layers: Vec<Descriptor>) -> ImageManifest {
    oci_spec::image::ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(layers)
        .build()
        .expect("all that is required is given")
}

impl Blobs for DockerArchive {
    fn open_raw(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        let digest = Digest::try_from(blob.digest())?;
        if let Some(text) = self.manifests.get(&digest) {
            return Ok(Box::new(io::Cursor::new(text.clone())));
        }
        let opened = match self.paths.get(&digest) {
            Some((path, _)) => self.files.open_at(path, 0)?,
            None => None,
        };
        let (reader, _) = opened.ok_or_else(|| self.missing(&format!("blob {digest}")))?;
        Ok(reader)
    }

    fn standing(&self, blob: &Descriptor) -> Result<Option<Arc<dyn BlockRead>>> {
        match self.paths.get(&Digest::try_from(blob.digest())?) {
            Some((path, _)) => self.files.open(path),
            None => Ok(None),
        }
    }

    fn place(&self) -> String {
        self.files.place()
    }
}

impl Images for DockerArchive {
    fn root(&self) -> Result<Descriptor> {
        let found = match &self.name {
            Name::Only => match &self.images[..] {
                [only] => Some(only),
                [] => None,
                several => {
                    return Err(Error::Ambiguous {
                        place: self.files.place(),
                        count: several.len(),
                        names: several
                            .iter()
                            .flat_map(|image| image.tags.clone())
                            .collect(),
                    });
                }
            },
            Name::Named(name) => self.images.iter().find(|image| {
                image
                    .tags
                    .iter()
                    .any(|tag| tag == name || same_reference(tag, name))
            }),
            Name::Digest(digest) => {
                let digest = digest.to_string();
                self.images
                    .iter()
                    .find(|image| image.descriptor.digest().as_ref() == digest)
            }
        };
        let image = found.ok_or_else(|| {
            self.missing(&match &self.name {
                Name::Named(name) => format!("image {name:?}"),
                Name::Digest(digest) => format!("image {digest}"),
                Name::Only => "image".to_owned(),
            })
        })?;
        Ok(image.descriptor.clone())
    }

    fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }
}
