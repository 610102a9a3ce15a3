//! Copying an image from one place to another: blobs side by side, then the manifests that name them.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use forger_fs::observe::{Note, Observer};

use crate::blob::{Blobs, ImageSink, Images};
use crate::manifest::Manifest;
use crate::media_type::{is_manifest, layer_type};
use crate::{Descriptor, Error, Result, foreign};

/// How deep indexes may stand in each other, the outermost included.
const DEPTH: usize = 8;
/// How many manifests one image may have.
const MANIFESTS: usize = 4096;
/// How often progress is reported and a wish to stop looked for.
const INTERVAL: Duration = Duration::from_millis(50);

/// How an image is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// How many blobs are copied at the same time.
    pub jobs: usize,
}

impl Default for CopyOptions {
    /// Four at a time.
    fn default() -> Self {
        Self { jobs: 4 }
    }
}

impl CopyOptions {
    /// Checks that the values make sense.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn validate(&self) -> Result<()> {
        match self.jobs {
            1..=64 => Ok(()),
            _ => Err(Error::invalid("jobs", "1 to 64 blobs are copied at a time")),
        }
    }
}

/// What belongs to an image.
#[derive(Clone, Debug)]
pub struct CopyPlan {
    root: Descriptor,
    /// Without repetitions, the largest first, so that none is left alone at the end.
    blobs: Vec<Descriptor>,
    /// Each behind those it names; the root last.
    manifests: Vec<Descriptor>,
    /// Layers that are not given away, but fetched from where they say.
    elsewhere: Vec<Descriptor>,
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blobs and manifests that belong to the image.
    pub blobs: usize,
    /// Bytes that were read from the source; what was there already costs none.
    pub bytes: u64,
}

impl CopyPlan {
    /// Finds out what belongs to an image, below a manifest or an index.
    ///
    /// # Errors
    /// [`Error::Invalid`] for indexes without end; whatever is wrong with the source.
    pub fn new(source: &dyn Images, root: Descriptor) -> Result<Self> {
        let mut plan = Self {
            root: root.clone(),
            blobs: Vec::new(),
            manifests: Vec::new(),
            elsewhere: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        plan.gather(source, &root, 1, &mut seen)?;
        plan.blobs
            .sort_by_key(|blob| std::cmp::Reverse(blob.size()));
        Ok(plan)
    }

    fn gather(
        &mut self,
        source: &dyn Images,
        descriptor: &Descriptor,
        depth: usize,
        seen: &mut BTreeSet<String>,
    ) -> Result<()> {
        if !seen.insert(descriptor.digest().to_string()) {
            return Ok(());
        }
        if !is_manifest(descriptor.media_type()) {
            let is_foreign =
                layer_type(descriptor.media_type()).is_some_and(|layer| !layer.distributable);
            match is_foreign && foreign::urls(descriptor).is_some() {
                true => self.elsewhere.push(descriptor.clone()),
                false => self.blobs.push(descriptor.clone()),
            }
            return Ok(());
        }
        if depth > DEPTH || self.manifests.len() >= MANIFESTS {
            let reason = format!(
                "it has more than {MANIFESTS} manifests, or indexes more than {DEPTH} deep"
            );
            return Err(Error::invalid(
                format!("image {}", self.root.digest()),
                reason,
            ));
        }
        let manifest = Manifest::read(source, descriptor)?;
        for child in manifest.children() {
            self.gather(source, child, depth.saturating_add(1), seen)?;
        }
        self.manifests.push(descriptor.clone());
        Ok(())
    }

    /// Takes layers along that registries may not give away. The source has to have them:
    /// [`WithForeign`](crate::WithForeign) fetches them.
    #[must_use]
    pub fn with_foreign(mut self) -> Self {
        self.blobs.append(&mut self.elsewhere);
        self
    }

    /// Returns the manifest or index at the top.
    #[must_use]
    pub fn root(&self) -> &Descriptor {
        &self.root
    }

    /// Returns how much there is to copy at most, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        let sizes = self
            .blobs
            .iter()
            .chain(&self.manifests)
            .map(Descriptor::size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Copies, and gives the image its name at the end.
    ///
    /// # Errors
    /// The first thing that went wrong; the image has no name then.
    pub fn run(
        &self,
        source: &dyn Images,
        sink: &dyn ImageSink,
        options: &CopyOptions,
        observer: &mut dyn Observer,
    ) -> Result<Copied> {
        options.validate()?;
        for layer in &self.elsewhere {
            let urls = foreign::urls(layer).unwrap_or_default().join(", ");
            observer.note(Note::Other(format!(
                "layer {} may not be given away and is left out; it is to be had from {urls}",
                layer.digest()
            )));
        }
        let metered = Metered::new(source);
        self.run_blobs(&metered, sink, options.jobs, observer)?;
        for manifest in &self.manifests {
            if observer.cancelled() {
                return Err(stopped());
            }
            sink.put(manifest, &metered)?;
        }
        sink.publish(&self.root, &metered)?;
        observer.advance(metered.fresh());
        Ok(Copied {
            blobs: self.blobs.len().saturating_add(self.manifests.len()),
            bytes: metered.total.load(Ordering::Relaxed),
        })
    }

    fn run_blobs(
        &self,
        metered: &Metered<'_>,
        sink: &dyn ImageSink,
        jobs: usize,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let (report, reports) = mpsc::channel();
        let work = |report: mpsc::Sender<Result<()>>| {
            while let Some(blob) = self.blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = sink.put(blob, metered);
                let failed = result.is_err();
                if report.send(result).is_err() || failed || metered.is_stopped() {
                    break;
                }
            }
        };
        let mut first = Ok(());
        std::thread::scope(|scope| {
            for _ in 0..jobs.min(self.blobs.len()) {
                let report = report.clone();
                scope.spawn(|| work(report));
            }
            drop(report);
            loop {
                match reports.recv_timeout(INTERVAL) {
                    Ok(Ok(())) => observer.entry(),
                    Ok(Err(error)) => {
                        metered.stop();
                        // What fails after it fails because of it, whoever reports first.
                        if matches!(first, Ok(()) | Err(Error::Failed { .. })) {
                            first = Err(error);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                observer.advance(metered.fresh());
                if observer.cancelled() {
                    metered.stop();
                }
            }
        });
        observer.advance(metered.fresh());
        match first {
            Ok(()) if metered.is_stopped() => Err(stopped()),
            first => first,
        }
    }
}

fn stopped() -> Error {
    Error::read("the source", io::Error::other("stopped on request"))
}

/// Counts what is read from a place, and lets it be stopped.
#[derive(Debug)]
struct Metered<'a> {
    inner: &'a dyn Images,
    total: std::sync::Arc<AtomicU64>,
    reported: AtomicU64,
    stop: std::sync::Arc<AtomicBool>,
}

impl<'a> Metered<'a> {
    fn new(inner: &'a dyn Images) -> Self {
        Self {
            inner,
            total: Default::default(),
            reported: AtomicU64::new(0),
            stop: Default::default(),
        }
    }

    /// Returns how much was read since the last time.
    fn fresh(&self) -> u64 {
        let total = self.total.load(Ordering::Relaxed);
        total.saturating_sub(self.reported.swap(total, Ordering::Relaxed))
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn wrap(&self, inner: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        Box::new(Counted {
            inner,
            total: self.total.clone(),
            stop: self.stop.clone(),
        })
    }
}

impl Blobs for Metered<'_> {
    fn open_raw(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        Ok(self.wrap(self.inner.open_raw(blob)?))
    }

    fn open_raw_at(&self, blob: &Descriptor, offset: u64) -> Result<Option<Box<dyn Read + Send>>> {
        let inner = self.inner.open_raw_at(blob, offset)?;
        Ok(inner.map(|inner| self.wrap(inner)))
    }

    fn place(&self) -> String {
        self.inner.place()
    }
}

struct Counted {
    inner: Box<dyn Read + Send>,
    total: std::sync::Arc<AtomicU64>,
    stop: std::sync::Arc<AtomicBool>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped on request"));
        }
        let count = self.inner.read(buffer)?;
        let read = u64::try_from(count).unwrap_or(0);
        self.total.fetch_add(read, Ordering::Relaxed);
        Ok(count)
    }
}
