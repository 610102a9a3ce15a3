//! The layers of an image, of which the next ones are decompressed while one is read.

use std::io::Read;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use forger_block::BlockRead;
use forger_fs::{decompress, tar};

use super::hashing::{Expected, Verified};
use super::source::LayerSource;
use crate::blob::Blobs;
use crate::media_type::layer_type;
use crate::{Descriptor, Digest, Error, ImageManifest, Result, foreign};

/// How layers are read.
#[derive(Clone, Debug)]
pub struct LayerOptions {
    /// How many layers are decompressed at once, the one that is read included; at least 1.
    ///
    /// Each holds up to 5 MiB, and the window of its decompressor.
    pub threads: usize,
    /// The most bytes that a layer may have, decompressed. Contents are never held, so that this bounds time:
    /// 1 TiB by default.
    pub max_size: u64,
    /// How archives are read.
    pub tar: tar::Options,
    /// Lets contents be read where they stand, after all entries were delivered, where a layer is not compressed
    /// and stands in a file of this machine: that is the origin of its source then. It is verified once.
    pub in_place: bool,
}

impl Default for LayerOptions {
    fn default() -> Self {
        Self {
            threads: 2,
            max_size: 1 << 40,
            tar: tar::Options::default(),
            in_place: false,
        }
    }
}

/// Returns the layers of an image, the lowest first, each as a source that is to be read before the next.
///
/// Digest and length of each blob, and the digest of what is in it, are verified on the way: the end of a source is an error
/// unless both are right.
///
/// # Errors
/// [`Error::Invalid`] for layers that are no file trees, or do not fit the diff_ids.
pub fn open(
    blobs: &Arc<dyn Blobs>,
    image: &ImageManifest,
    diff_ids: &[Digest],
    options: &LayerOptions,
) -> Result<Vec<LayerSource>> {
    let layers = image.layers();
    if layers.len() != diff_ids.len() {
        let reason = format!("{} layers and {} diff_ids", layers.len(), diff_ids.len());
        return Err(Error::invalid("the image", reason));
    }
    for layer in layers {
        if layer_type(layer.media_type()).is_none() {
            let what = format!("layer {}", layer.digest());
            let reason = format!(
                "it is of type {}, which is no tree of files",
                layer.media_type()
            );
            return Err(Error::invalid(what, reason));
        }
    }
    let pairs = layers.iter().cloned().zip(diff_ids.iter().copied());
    let ahead = Arc::new(Ahead {
        blobs: Arc::clone(blobs),
        layers: pairs
            .map(|(layer, id)| (layer, id, Mutex::new(None)))
            .collect(),
        options: options.clone(),
    });
    Ok((0..layers.len())
        .map(|index| LayerSource::new(Arc::clone(&ahead), index))
        .collect())
}

/// The layers that are opened, ahead of their turn.
#[derive(Debug)]
pub(super) struct Ahead {
    blobs: Arc<dyn Blobs>,
    layers: Vec<(Descriptor, Digest, Mutex<Option<Opened>>)>,
    options: LayerOptions,
}

/// A layer whose decompression has begun.
pub(super) struct Opened {
    /// What is in it.
    pub(super) stream: Box<dyn Read + Send>,
    /// What is set when blob and content are verified.
    pub(super) verdicts: Vec<Arc<AtomicBool>>,
    /// Where the same stands, if that is to be read again.
    pub(super) standing: Option<Arc<dyn BlockRead>>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl Ahead {
    /// Takes a layer, and opens those that come next.
    pub(super) fn take(&self, index: usize) -> Result<Opened> {
        let opened = self.opened(index)?;
        for next in (index..self.layers.len())
            .take(self.options.threads.max(1))
            .skip(1)
        {
            // What is wrong with a later layer is said when it has its turn.
            if let Ok(opened) = self.opened(next)
                && let Some((_, _, slot)) = self.layers.get(next)
            {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
            }
        }
        Ok(opened)
    }

    /// Returns how archives are read.
    pub(super) fn tar(&self) -> tar::Options {
        tar::Options {
            // Some programs leave the end marker out; the digest tells whether anything is missing.
            allow_missing_eof: true,
            ..self.options.tar.clone()
        }
    }

    /// Returns how a layer is called in messages.
    pub(super) fn label(&self, index: usize) -> String {
        let digest = self
            .layers
            .get(index)
            .map(|(layer, _, _)| layer.digest().to_string());
        format!(
            "layer {} of {} ({})",
            index + 1,
            self.layers.len(),
            digest.unwrap_or_default()
        )
    }

    fn opened(&self, index: usize) -> Result<Opened> {
        let Some((layer, diff_id, slot)) = self.layers.get(index) else {
            return Err(Error::invalid("the image", "there is no such layer"));
        };
        let ready = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match ready {
            Some(opened) => Ok(opened),
            None => self.start(layer, *diff_id),
        }
    }

    fn start(&self, layer: &Descriptor, diff_id: Digest) -> Result<Opened> {
        let what = || format!("layer {}", layer.digest());
        let failed = |error| Error::read(what(), error);
        let digest = Digest::try_from(layer.digest())?;
        let raw = self
            .blobs
            .open_raw(layer)
            .map_err(|error| elsewhere(error, layer))?;
        let expected = Expected {
            digest,
            size: Some(layer.size()),
            limit: u64::MAX,
            what: "blob",
        };
        let blob = Verified::start(raw, expected).map_err(failed)?;
        let mut verdicts = vec![blob.verdict()];
        let stream = decompress::open(blob, &decompress::Options::default()).map_err(failed)?;
        if stream.format() == decompress::Format::Plain && digest == diff_id {
            let standing = match self.options.in_place {
                true => self.blobs.standing(layer)?,
                false => None,
            };
            return Ok(Opened {
                stream: Box::new(stream),
                verdicts,
                standing,
            });
        }
        let expected = Expected {
            digest: diff_id,
            size: None,
            limit: self.options.max_size,
            what: "the content of the layer with diff_id",
        };
        let content = Verified::start(stream, expected).map_err(failed)?;
        verdicts.push(content.verdict());
        Ok(Opened {
            stream: Box::new(content),
            verdicts,
            standing: None,
        })
    }
}

/// Says where a layer could be had that its place does not have.
fn elsewhere(error: Error, layer: &Descriptor) -> Error {
    match (error, foreign::urls(layer)) {
        (Error::Missing { place, .. }, Some(urls)) => Error::Foreign {
            digest: layer.digest().to_string(),
            place,
            urls: urls.to_vec(),
        },
        (error, _) => error,
    }
}
