//! Image layouts: a folder, or a tar of one
//! ([image-spec, image-layout.md](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)).
//!
//! ```text
//! oci-layout                 {"imageLayoutVersion":"1.0.0"}
//! index.json                 which manifests there are, and their names
//! blobs/sha256/<hex>         manifests, configurations, layers
//! ```

mod archive;
mod files;
mod folder;
mod index;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use forger_block::BlockRead;

use crate::blob::{Blobs, Images};
use crate::manifest::Manifest;
use crate::media_type::is_index;
use crate::{Descriptor, Digest, Error, Name, Result};

pub use archive::ArchiveSink;
pub(crate) use files::{Archive, Files, small};
pub use folder::LayoutFolder;
pub(crate) use index::same_reference;
pub use index::{REF_NAME, name_of};

/// The file that says that a folder is a layout.
const MARK: &str = "oci-layout";
/// What stands in it.
const MARK_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The file that lists the manifests.
const INDEX: &str = "index.json";
/// The most bytes that it may have: a layout may list many images.
const INDEX_LIMIT: u64 = 32 << 20;

/// A layout that is read.
#[derive(Debug)]
pub struct Layout {
    files: Box<dyn Files>,
    name: Name,
}

impl Layout {
    /// Opens a folder.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Invalid`] when it is no layout.
    pub fn open(folder: &Path, name: Name) -> Result<Self> {
        Self::new(Box::new(files::Folder::new(folder)), name)
    }

    /// Opens a tar of a layout; a compressed one is decompressed into an unnamed file in `scratch`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_archive(file: &Path, name: Name, scratch: &Path) -> Result<Self> {
        Self::new(Box::new(Archive::open(file, scratch)?), name)
    }

    fn new(files: Box<dyn Files>, name: Name) -> Result<Self> {
        let layout = Self { files, name };
        let what = format!("{MARK} of {}", layout.files.place());
        let bytes = small(&*layout.files, MARK, 4096)?.ok_or_else(|| {
            Error::invalid(
                layout.files.place(),
                format!("it is no image layout: there is no {MARK}"),
            )
        })?;
        let mark: Mark = crate::manifest::parse(&what, &bytes)?;
        if !mark.image_layout_version.starts_with("1.") {
            let reason = format!("its version is {:?}, known is 1", mark.image_layout_version);
            return Err(Error::invalid(what, reason));
        }
        Ok(layout)
    }

    /// Returns all manifests that the layout lists, in its order.
    ///
    /// # Errors
    /// [`Error::Json`], whatever is wrong with the file.
    pub fn manifests(&self) -> Result<Vec<Descriptor>> {
        let place = self.files.place();
        let bytes = small(&*self.files, INDEX, INDEX_LIMIT)?
            .ok_or_else(|| Error::invalid(place.clone(), format!("there is no {INDEX}")))?;
        let index: crate::ImageIndex =
            crate::manifest::parse(&format!("{INDEX} of {place}"), &bytes)?;
        Ok(index.manifests().clone())
    }

    /// Finds a manifest by its digest, also inside indexes.
    fn find(&self, digest: &Digest) -> Result<Descriptor> {
        let mut rest = self.manifests()?;
        let mut seen = BTreeSet::new();
        while let Some(descriptor) = rest.pop() {
            let found = Digest::try_from(descriptor.digest())?;
            if found == *digest {
                return Ok(descriptor);
            }
            if seen.insert(found) && is_index(descriptor.media_type()) && seen.len() < 4096 {
                rest.extend(
                    Manifest::read(self, &descriptor)?
                        .children()
                        .into_iter()
                        .cloned(),
                );
            }
        }
        Err(self.missing(format!("image {digest}")))
    }

    fn missing(&self, what: String) -> Error {
        Error::Missing {
            what,
            place: self.files.place(),
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mark {
    image_layout_version: String,
}

/// Returns a blob's path in a layout.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

impl Blobs for Layout {
    fn open_raw(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        self.open_raw_at(blob, 0)?
            .ok_or_else(|| self.missing(format!("blob {}", blob.digest())))
    }

    fn open_raw_at(&self, blob: &Descriptor, offset: u64) -> Result<Option<Box<dyn Read + Send>>> {
        let digest = Digest::try_from(blob.digest())?;
        match self.files.open_at(&blob_path(&digest), offset)? {
            Some((reader, _)) => Ok(Some(reader)),
            None => Err(self.missing(format!("blob {digest}"))),
        }
    }

    fn standing(&self, blob: &Descriptor) -> Result<Option<Arc<dyn BlockRead>>> {
        let digest = Digest::try_from(blob.digest())?;
        self.files.open(&blob_path(&digest))
    }

    fn place(&self) -> String {
        self.files.place()
    }
}

impl Images for Layout {
    fn root(&self) -> Result<Descriptor> {
        let manifests = self.manifests()?;
        match &self.name {
            Name::Digest(digest) => self.find(digest),
            Name::Named(name) => {
                let found = manifests
                    .iter()
                    .find(|manifest| index::is_named(manifest, name));
                found
                    .cloned()
                    .ok_or_else(|| self.missing(format!("image {name:?}")))
            }
            Name::Only => {
                let digests: BTreeSet<&str> = manifests
                    .iter()
                    .map(|manifest| manifest.digest().as_ref())
                    .collect();
                match (manifests.first(), digests.len()) {
                    (Some(only), 1) => Ok(only.clone()),
                    (None, _) => Err(self.missing("image".to_owned())),
                    (Some(_), count) => Err(Error::Ambiguous {
                        place: self.files.place(),
                        count,
                        names: manifests.iter().map(index::shown).collect(),
                    }),
                }
            }
        }
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let mut found = Vec::new();
        let mut rest = self.manifests()?;
        rest.reverse();
        let mut seen = BTreeSet::new();
        while let Some(descriptor) = rest.pop() {
            if !seen.insert(Digest::try_from(descriptor.digest())?) || seen.len() > 4096 {
                continue;
            }
            let manifest = Manifest::read(self, &descriptor)?;
            if let Some(of) = manifest.subject()
                && Digest::try_from(of.digest())? == *subject
            {
                found.push(index::as_referrer(&descriptor, &manifest));
            }
            if let Manifest::Index(index) = &manifest {
                rest.extend(index.manifests().iter().rev().cloned());
            }
        }
        Ok(found)
    }
}
