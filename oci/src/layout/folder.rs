//! Writing into a layout's folder: blobs and the list of images appear whole or not at all, and several
//! programs can write at once.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use forger_block::{BlockSink, ForwardFile, PendingFile, Publish};
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use super::{INDEX, INDEX_LIMIT, Layout, MARK, MARK_TEXT, blob_path, index};
use crate::blob::{BlobSink, Blobs, ImageSink, Images};
use crate::manifest::{Manifest, canonical, parse_value};
use crate::workshop::{BlobWriter, Unnamed, Workshop};
use crate::{Descriptor, Digest, Error, Name, Result, blob};

/// How much is copied at a time, in bytes.
const PIECE: usize = 256 << 10;

/// A layout's folder that is written to.
#[derive(Debug)]
pub struct LayoutFolder {
    path: PathBuf,
    name: Name,
    sync: bool,
}

impl LayoutFolder {
    /// Opens a layout, or makes one in a folder that is not there or empty.
    ///
    /// `sync` makes every blob durable before it is visible.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a folder with something else in it; whatever is wrong with the place.
    pub fn create(path: &Path, name: Name, sync: bool) -> Result<Self> {
        let failed = |error| forger_block::Error::io("create", path.display().to_string(), error);
        std::fs::create_dir_all(path).map_err(failed)?;
        let layout = Self {
            path: path.to_owned(),
            name,
            sync,
        };
        if path.join(MARK).exists() {
            Layout::open(path, Name::Only)?;
            return Ok(layout);
        }
        let empty = std::fs::read_dir(path).map_err(failed)?.next().is_none();
        if !empty {
            let reason = format!("it has something in it, but no {MARK}: it is no image layout");
            return Err(Error::invalid(path.display().to_string(), reason));
        }
        std::fs::create_dir_all(path.join("blobs/sha256")).map_err(failed)?;
        let _lock = layout.lock()?;
        if !path.join(INDEX).exists() {
            layout.write(INDEX, &canonical(&index::empty()))?;
        }
        // The mark comes last: what has it is whole.
        layout.write(MARK, MARK_TEXT.as_bytes())?;
        Ok(layout)
    }

    /// Returns the layout to be read.
    ///
    /// # Errors
    /// As [`Layout::open`].
    pub fn reader(&self) -> Result<Layout> {
        Layout::open(&self.path, self.name.clone())
    }

    /// Lists a manifest under a name, in place of the one that had it.
    ///
    /// # Errors
    /// Whatever is wrong with the place.
    pub fn list(&self, root: &Descriptor, name: Option<&str>) -> Result<()> {
        self.edit(|index| index::list(index, root, name))
    }

    /// Takes an image out of the list, under all its names or under the one that this layout was opened with, and
    /// returns how many entries went. Its blobs stay until [`collect`](Self::collect).
    ///
    /// # Errors
    /// [`Error::Missing`], whatever is wrong with the place.
    pub fn unlist(&self) -> Result<usize> {
        let root = self.reader()?.root()?;
        let digest = Digest::try_from(root.digest())?;
        let name = match &self.name {
            Name::Named(_) => index::name_of(&root).map(str::to_owned),
            _ => None,
        };
        let mut count = 0;
        self.edit(|index| {
            count = index::unlist(index, name.as_deref(), &digest)?;
            Ok(())
        })?;
        Ok(count)
    }

    /// Removes the blobs that no listed image refers to, and returns how many and how many bytes they had.
    ///
    /// # Errors
    /// Whatever is wrong with the place or a manifest.
    pub fn collect(&self) -> Result<(u64, u64)> {
        let _lock = self.lock()?;
        let layout = Layout::open(&self.path, Name::Only)?;
        let mut kept = std::collections::BTreeSet::new();
        let mut rest = layout.manifests()?;
        while let Some(descriptor) = rest.pop() {
            if !kept.insert(Digest::try_from(descriptor.digest())?) {
                continue;
            }
            if crate::media_type::is_manifest(descriptor.media_type()) {
                let manifest = Manifest::read(&layout, &descriptor)?;
                rest.extend(manifest.children().into_iter().cloned());
            }
        }
        let (mut count, mut bytes) = (0, 0);
        for algorithm in ["sha256", "sha512"] {
            let folder = self.path.join("blobs").join(algorithm);
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let Ok(digest) = format!("{algorithm}:{name}").parse::<Digest>() else {
                    continue;
                };
                if kept.contains(&digest) {
                    continue;
                }
                let len = entry.metadata().map_or(0, |metadata| metadata.len());
                std::fs::remove_file(entry.path()).map_err(|error| {
                    forger_block::Error::io("remove", entry.path().display().to_string(), error)
                })?;
                (count, bytes) = (count + 1, bytes + len);
            }
        }
        Ok((count, bytes))
    }

    /// Changes the list of images, alone.
    fn edit(&self, change: impl FnOnce(&mut Value) -> Result<()>) -> Result<()> {
        let _lock = self.lock()?;
        let files = super::files::Folder::new(&self.path);
        let mut index = match super::small(&files, INDEX, INDEX_LIMIT)? {
            Some(bytes) => parse_value(INDEX, &bytes)?,
            None => index::empty(),
        };
        change(&mut index)?;
        self.write(INDEX, &canonical(&index))
    }

    /// Waits until nobody else changes the list, and keeps others from it until dropped.
    fn lock(&self) -> Result<File> {
        let failed = |error: io::Error| {
            forger_block::Error::io("lock", self.path.display().to_string(), error)
        };
        let folder = File::open(&self.path).map_err(failed)?;
        flock(&folder, FlockOperation::LockExclusive).map_err(|errno| failed(errno.into()))?;
        Ok(folder)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let file = PendingFile::for_target(self.path.join(name))?;
        file.write_at(0, bytes)?;
        Ok(file.publish(self.replacing())?)
    }

    /// How files are published: a blob that is damaged is replaced, and the list is by its next state.
    fn replacing(&self) -> Publish {
        Publish {
            force: true,
            sync: self.sync,
        }
    }
}

impl BlobSink for LayoutFolder {
    fn has(&self, wanted: &Descriptor) -> Result<bool> {
        let path = self
            .path
            .join(blob_path(&Digest::try_from(wanted.digest())?));
        if !path.is_file() {
            return Ok(false);
        }
        // A blob that is damaged is written again.
        let files = super::files::Folder::new(&self.path);
        let layout = Layout {
            files: Box::new(files),
            name: Name::Only,
        };
        let mut reader = blob::open(&layout, wanted)?;
        Ok(io::copy(&mut reader, &mut io::sink()).is_ok())
    }

    fn put(&self, wanted: &Descriptor, from: &dyn Blobs) -> Result<()> {
        if self.has(wanted)? {
            return Ok(());
        }
        let digest = Digest::try_from(wanted.digest())?;
        let path = self.path.join(blob_path(&digest));
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| {
                forger_block::Error::io("create", folder.display().to_string(), error)
            })?;
        }
        let mut file = ForwardFile::create(&path, self.replacing())?;
        let mut reader = blob::open(from, wanted)?;
        let mut buffer = vec![0; PIECE];
        loop {
            let read = reader.read(&mut buffer);
            let count = read.map_err(|error| Error::read(format!("blob {digest}"), error))?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            file.write(bytes)?;
        }
        Ok(Box::new(file).finish()?)
    }
}

impl ImageSink for LayoutFolder {
    fn publish(&self, root: &Descriptor, _from: &dyn Blobs) -> Result<()> {
        let name = match &self.name {
            Name::Named(name) => Some(name.as_str()),
            Name::Only | Name::Digest(_) => None,
        };
        self.list(root, name)
    }
}

impl Workshop for LayoutFolder {
    fn begin(&self) -> Result<BlobWriter> {
        let folder = self.path.join("blobs/sha256");
        let failed = |error| forger_block::Error::io("create", folder.display().to_string(), error);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        Ok(BlobWriter::new(Unpublished {
            file: ForwardFile::over(PendingFile::in_folder(&folder)?, self.replacing())?,
            publish: self.replacing(),
        }))
    }
}

/// A blob among others, which has no name yet.
#[derive(Debug)]
struct Unpublished {
    file: ForwardFile,
    publish: Publish,
}

impl Unnamed for Unpublished {
    fn write(&mut self, bytes: &[u8]) -> forger_block::Result<()> {
        self.file.write(bytes)
    }

    fn name(self: Box<Self>, digest: Digest) -> Result<()> {
        let file = self.file.complete()?;
        file.publish_as(digest.hex(), self.publish)?;
        Ok(())
    }
}
