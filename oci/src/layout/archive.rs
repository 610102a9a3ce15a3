//! Writing a layout as a tar: in one go, published when it is whole.
//!
//! What docker takes is a layout with one file more, `manifest.json`: so does `docker save` from version 25 on.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use forger_block::{BlockSink, ForwardFile, Publish, check_target};
use forger_fs::source::{Entry, EntryKind};
use forger_fs::tar::{WriteError, Writer};
use forger_fs::tree::{Content, Meta, Time};
use serde_json::json;

use super::{INDEX, MARK, MARK_TEXT, blob_path, index};
use crate::blob::{self, BlobSink, Blobs, ImageSink};
use crate::manifest::{Manifest, canonical};
use crate::{Descriptor, Digest, Error, Reference, Result};

/// A tar that is being written.
#[derive(Debug)]
pub struct ArchiveSink {
    place: String,
    name: Option<String>,
    docker: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once it is published, and after an error.
    writer: Option<Writer<Pending>>,
    blobs: BTreeSet<Digest>,
}

impl ArchiveSink {
    /// Begins an archive; `docker` makes it one that docker takes. An image in it has the name, where there is one.
    ///
    /// # Errors
    /// What stands there may not be replaced; whatever is wrong with the place.
    pub fn create(
        path: &Path,
        name: Option<String>,
        docker: bool,
        publish: Publish,
    ) -> Result<Self> {
        check_target(path, publish.force)?;
        let file = Pending(ForwardFile::create(path, publish)?);
        let sink = Self {
            place: path.display().to_string(),
            name,
            docker,
            state: Mutex::new(State {
                writer: Some(Writer::new(file)),
                blobs: BTreeSet::new(),
            }),
        };
        sink.add(MARK, MARK_TEXT.as_bytes())?;
        Ok(sink)
    }

    fn add(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut bytes = bytes;
        let size = bytes.len() as u64;
        self.stream(name, size, &mut bytes)
    }

    fn stream(&self, name: &str, size: u64, content: &mut dyn io::Read) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out, so that nothing more is written after an error.
        let mut writer = state.writer.take().ok_or_else(|| self.failed())?;
        let entry = entry(name, EntryKind::File { size });
        let written = writer.append_stream(&entry, content);
        written.map_err(cause)?;
        state.writer = Some(writer);
        Ok(())
    }

    fn failed(&self) -> Error {
        Error::Failed {
            place: self.place.clone(),
        }
    }

    /// What docker wants to know: which blob is the configuration, which are the layers.
    fn docker_list(&self, root: &Descriptor, from: &dyn Blobs) -> Result<Vec<u8>> {
        let Manifest::Image(image) = Manifest::read(from, root)? else {
            let reason = "docker's archives hold one platform only; choose it by --platform";
            return Err(Error::invalid(format!("index {}", root.digest()), reason));
        };
        let path =
            |blob: &Descriptor| Digest::try_from(blob.digest()).map(|digest| blob_path(&digest));
        let layers = image
            .layers()
            .iter()
            .map(path)
            .collect::<Result<Vec<_>>>()?;
        let tags: Vec<String> = self.name.iter().map(|name| tag(name)).collect();
        Ok(canonical(&json!([{
            "Config": path(image.config())?,
            "RepoTags": tags,
            "Layers": layers,
        }])))
    }
}

/// What is wrong with a blob says more than that its file could not be completed.
fn cause(error: WriteError) -> Error {
    match error {
        WriteError::Content {
            source: forger_block::Error::Io { source, .. },
            ..
        } if source.get_ref().is_some_and(|inner| inner.is::<Error>()) => {
            Error::read("a blob", source)
        }
        error => Error::Other(Box::new(error)),
    }
}

/// A name as docker writes it: with a tag, and without Docker Hub's host.
fn tag(name: &str) -> String {
    let Ok(reference) = name.parse::<Reference>() else {
        return name.to_owned();
    };
    let whole = reference.to_string();
    let short = whole
        .strip_prefix("docker.io/library/")
        .or_else(|| whole.strip_prefix("docker.io/"));
    short.unwrap_or(&whole).to_owned()
}

fn entry(name: &str, kind: EntryKind) -> Entry {
    let mode = if kind == EntryKind::Directory {
        0o755
    } else {
        0o644
    };
    Entry {
        path: name.as_bytes().to_vec(),
        kind,
        meta: Meta {
            mode,
            mtime: Some(Time::from_sec(0)),
            ..Meta::default()
        },
        offset: None,
    }
}

impl BlobSink for ArchiveSink {
    fn has(&self, wanted: &Descriptor) -> Result<bool> {
        let digest = Digest::try_from(wanted.digest())?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.blobs.contains(&digest))
    }

    fn put(&self, wanted: &Descriptor, from: &dyn Blobs) -> Result<()> {
        let digest = Digest::try_from(wanted.digest())?;
        if self.has(wanted)? {
            return Ok(());
        }
        let mut reader = blob::open(from, wanted)?;
        self.stream(&blob_path(&digest), wanted.size(), &mut reader)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.blobs.insert(digest);
        Ok(())
    }
}

impl ImageSink for ArchiveSink {
    fn publish(&self, root: &Descriptor, from: &dyn Blobs) -> Result<()> {
        if self.docker {
            self.add("manifest.json", &self.docker_list(root, from)?)?;
        }
        let mut list = index::empty();
        index::list(&mut list, root, self.name.as_deref())?;
        self.add(INDEX, &canonical(&list))?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = state.writer.take().ok_or_else(|| self.failed())?;
        let failed = |error| Error::Other(Box::new(error));
        // Some readers want the folders too; they may come last.
        for folder in ["blobs", "blobs/sha256"] {
            let written = writer.append(&entry(folder, EntryKind::Directory), &Content::new());
            written.map_err(failed)?;
        }
        let file = writer.finish().map_err(failed)?;
        Ok(Box::new(file.0).finish()?)
    }
}

/// A file that appears when it is finished.
#[derive(Debug)]
struct Pending(ForwardFile);

impl Write for Pending {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf).map_err(io::Error::other)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
