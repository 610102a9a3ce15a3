//! A file as an artifact that can be copied like any image.

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::observe::Observer;
use serde_json::{Value, json};

use super::disk::{DISK_CONFIG, DISK_LAYER, DiskFacts};
use super::wasm::{WASM_CONFIG, WASM_LAYER, WasmKind};
use super::{ANY_BYTES, TITLE};
use crate::blob::{Blobs, Images};
use crate::manifest::canonical;
use crate::range::RangeReader;
use crate::{Algorithm, Descriptor, Digest, Error, Hasher, MediaType, Result};

/// How much is read at a time, in bytes.
const PIECE: usize = 256 << 10;
/// The media type of a configuration that says nothing.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The first bytes of a qcow2 image.
const QCOW2: &[u8] = b"QFI\xfb";

/// A file with the manifest and configuration of an artifact around it.
pub struct Packed {
    file: Arc<dyn BlockRead>,
    name: String,
    layer: Descriptor,
    config: Vec<u8>,
    manifest: Vec<u8>,
    root: Descriptor,
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed")
            .field("name", &self.name)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl Packed {
    /// Packs a disk image: a qcow2 as such, any other as bytes of which the configuration says what
    /// they are.
    ///
    /// # Errors
    /// Whatever is wrong with the file, and a wish to stop.
    pub fn disk(
        file: Arc<dyn BlockRead>,
        name: &str,
        facts: &DiskFacts,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let qcow2 = start(&file, name)?.starts_with(QCOW2);
        let (kind, ending) = if qcow2 {
            (DISK_LAYER, "qcow2")
        } else {
            (ANY_BYTES, "img")
        };
        let config = canonical(facts);
        let title = format!("{}.{ending}", facts.name);
        let shape = Shape {
            config_type: DISK_CONFIG,
            layer_type: kind,
            artifact_type: None,
            title: &title,
        };
        Self::pack(file, name, &shape, config, observer)
    }

    /// Packs a WebAssembly module or component.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is neither; as [`disk`](Self::disk).
    pub fn wasm(
        file: Arc<dyn BlockRead>,
        name: &str,
        title: &str,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let Some(kind) = WasmKind::of(&start(&file, name)?) else {
            return Err(Error::invalid(
                name,
                "it is neither a WebAssembly module nor a component",
            ));
        };
        let shape = Shape {
            config_type: WASM_CONFIG,
            layer_type: WASM_LAYER,
            artifact_type: Some(kind.artifact_type()),
            title,
        };
        Self::pack(file, name, &shape, b"{}".to_vec(), observer)
    }

    /// Packs a file of any other kind, under one media type for the artifact and its file.
    ///
    /// # Errors
    /// As [`disk`](Self::disk).
    pub fn other(
        file: Arc<dyn BlockRead>,
        name: &str,
        title: &str,
        media_type: &str,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let shape = Shape {
            config_type: EMPTY,
            layer_type: media_type,
            artifact_type: Some(media_type),
            title,
        };
        Self::pack(file, name, &shape, b"{}".to_vec(), observer)
    }

    fn pack(
        file: Arc<dyn BlockRead>,
        name: &str,
        shape: &Shape<'_>,
        config: Vec<u8>,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let digest = digest(&file, name, observer)?;
        let title = [(TITLE.to_owned(), shape.title.to_owned())];
        let mut layer = Descriptor::new(MediaType::from(shape.layer_type), file.len(), digest);
        layer.set_annotations(Some(title.into_iter().collect()));
        let described = |media_type: &str, bytes: &[u8]| {
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            Descriptor::new(MediaType::from(media_type), size, Digest::of(bytes))
        };
        let mut document = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest.to_string(),
            "config": described(shape.config_type, &config),
            "layers": [layer],
        });
        if let Some(artifact_type) = shape.artifact_type {
            document["artifactType"] = Value::from(artifact_type);
        }
        let manifest = canonical(&document);
        let root = described(MediaType::ImageManifest.as_ref(), &manifest);
        Ok(Self {
            file,
            name: name.to_owned(),
            layer,
            config,
            manifest,
            root,
        })
    }
}

/// What the kinds of artifact differ in.
struct Shape<'a> {
    config_type: &'a str,
    layer_type: &'a str,
    artifact_type: Option<&'a str>,
    title: &'a str,
}

impl Blobs for Packed {
    fn open_raw(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        if blob.digest() == self.layer.digest() {
            return Ok(Box::new(RangeReader::from(&self.file, 0)));
        }
        let wanted = Digest::try_from(blob.digest())?;
        let parts = [&self.config, &self.manifest];
        match parts.into_iter().find(|bytes| Digest::of(bytes) == wanted) {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            None => Err(Error::Missing {
                what: format!("blob {wanted}"),
                place: self.place(),
            }),
        }
    }

    fn open_raw_at(&self, blob: &Descriptor, offset: u64) -> Result<Option<Box<dyn Read + Send>>> {
        let layer = blob.digest() == self.layer.digest();
        Ok(layer
            .then(|| -> Box<dyn Read + Send> { Box::new(RangeReader::from(&self.file, offset)) }))
    }

    fn place(&self) -> String {
        self.name.clone()
    }
}

impl Images for Packed {
    fn root(&self) -> Result<Descriptor> {
        Ok(self.root.clone())
    }

    fn referrers(&self, _: &Digest) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }
}

/// Returns the first bytes of a file, up to eight.
fn start(file: &Arc<dyn BlockRead>, name: &str) -> Result<Vec<u8>> {
    let mut reader = RangeReader::from(file, 0).take(8);
    let mut bytes = Vec::new();
    let read = reader.read_to_end(&mut bytes);
    read.map_err(|error| Error::read(name, error))?;
    Ok(bytes)
}

fn digest(file: &Arc<dyn BlockRead>, name: &str, observer: &mut dyn Observer) -> Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut reader = RangeReader::from(file, 0);
    let mut buffer = vec![0; PIECE];
    loop {
        let read = match observer.cancelled() {
            true => Err(io::Error::other("stopped on request")),
            false => reader.read(&mut buffer),
        };
        let count = read.map_err(|error| Error::read(name, error))?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else {
            return Ok(hasher.finish());
        };
        hasher.update(piece);
        observer.advance(u64::try_from(count).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use forger_fs::observe::Silent;

    use super::super::{ArtifactFile, Kind};
    use super::*;
    use crate::blob;
    use crate::manifest::Manifest;

    fn facts() -> DiskFacts {
        DiskFacts {
            name: "debian".into(),
            version: "12".into(),
            architecture: "amd64".into(),
            os: "linux".into(),
            description: None,
        }
    }

    /// Finds the file of an artifact, and reads it.
    fn found(packed: &Packed) -> (ArtifactFile, Vec<u8>) {
        let root = packed.root().unwrap();
        let Manifest::Image(manifest) = Manifest::read(packed, &root).unwrap() else {
            panic!("an index");
        };
        let file = ArtifactFile::of(&manifest).unwrap().unwrap();
        let bytes = blob::read(packed, &file.layer, 1 << 20).unwrap();
        (file, bytes)
    }

    #[test]
    fn a_disk_is_found_again() {
        let bytes = [QCOW2, &[7; 5000][..]].concat();
        let packed =
            Packed::disk(Arc::new(bytes.clone()), "d.qcow2", &facts(), &mut Silent).unwrap();
        let (file, read) = found(&packed);
        assert_eq!(
            (file.kind, file.title.as_deref(), read),
            (Kind::Disk, Some("debian.qcow2"), bytes)
        );
        let config = br#"{"architecture":"amd64","name":"debian","os":"linux","version":"12"}"#;
        assert_eq!(packed.config, config);
        let raw = Packed::disk(Arc::new(vec![0; 512]), "d.raw", &facts(), &mut Silent).unwrap();
        assert_eq!(found(&raw).0.title.as_deref(), Some("debian.img"));
    }

    #[test]
    fn webassembly_is_found_again_and_nothing_else_is_taken_for_it() {
        let bytes = b"\0asm\x01\0\0\0".to_vec();
        let packed = Packed::wasm(Arc::new(bytes.clone()), "a", "app.wasm", &mut Silent).unwrap();
        let (file, read) = found(&packed);
        assert_eq!(
            (file.kind, file.title.as_deref(), read),
            (Kind::Wasm, Some("app.wasm"), bytes)
        );
        for other in [b"\0asm".to_vec(), b"ELF".to_vec()] {
            assert!(Packed::wasm(Arc::new(other), "a", "a.wasm", &mut Silent).is_err());
        }
    }
}
