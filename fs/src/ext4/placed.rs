//! An image whose contents are written before the rest of it is decided.

use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, PlacedSink, SparseImage, SparseImageBuilder};

use super::Error;
use super::cursor::Gap;
use super::options::Options;
use super::record::without;
use super::seal::Sealed;
use super::store::{Staged, Store};
use super::write::{Layer, Summary, make};
use crate::observe::Observer;

/// An image whose contents stand in a sink already, each at its place; the rest is planned.
pub struct Placed {
    sealed: Arc<Sealed>,
    /// What was written of the image, in bytes, in ascending order.
    written: Vec<Range<u64>>,
}

/// Writes the contents of all layers into `sink`, as [`write`](super::write) does, and plans the rest.
///
/// # Errors
/// Whatever is wrong with the sources, the options or the sink.
pub fn write_contents(
    layers: &mut [Layer<'_>],
    options: &Options,
    sink: &mut dyn PlacedSink,
    observer: &mut dyn Observer,
) -> Result<Placed, Error> {
    let mut traced = Traced::new(sink);
    let sealed = make(layers, options, &mut traced, observer)?;
    Ok(Placed {
        sealed: Arc::new(sealed),
        written: traced.finish(),
    })
}

impl std::fmt::Debug for Placed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Placed")
            .field("written", &self.written.len())
            .finish_non_exhaustive()
    }
}

impl Placed {
    /// Says what came out.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.sealed.summary()
    }

    /// Returns the image without its contents, which are holes.
    ///
    /// # Errors
    /// None, unless parts of it overlap.
    pub fn rest(&self) -> forger_block::Result<SparseImage> {
        Sealed::image(&self.sealed, SparseImageBuilder::default())
    }

    /// Returns the whole image; `written` reads as what was written into the sink.
    ///
    /// # Errors
    /// [`OutOfRange`](forger_block::Error::OutOfRange) where that ends too early.
    pub fn image(&self, written: &Arc<dyn BlockRead>) -> forger_block::Result<SparseImage> {
        let mut contents = SparseImageBuilder::default();
        for range in &self.written {
            let len = range.end - range.start;
            contents.span(range.start, len, written, range.start)?;
        }
        Sealed::image(&self.sealed, contents)
    }
}

/// Writes contents to their place and remembers where that is.
struct Traced<'a> {
    staged: Staged<'a>,
    written: Vec<Range<u64>>,
    released: Vec<Gap>,
}

impl<'a> Traced<'a> {
    fn new(sink: &'a mut dyn PlacedSink) -> Self {
        Self {
            staged: Staged::new(sink),
            written: Vec::new(),
            released: Vec::new(),
        }
    }

    fn trace(&mut self, offset: u64, len: u64) {
        match self.written.last_mut() {
            Some(last) if last.end == offset => last.end += len,
            _ => self.written.push(offset..offset + len),
        }
    }

    /// Returns what was written and not released.
    fn finish(mut self) -> Vec<Range<u64>> {
        self.released.sort_unstable();
        let written = self.written.into_iter();
        let kept = written.flat_map(|range| {
            let parts = without(range.start, range.end - range.start, &self.released);
            parts.into_iter().map(|(at, len)| at..at + len)
        });
        kept.collect()
    }
}

impl Store for Traced<'_> {
    fn data(&mut self, offset: u64, bytes: &[u8], at: Option<u64>) -> Result<(), Error> {
        self.trace(offset, bytes.len() as u64);
        self.staged.data(offset, bytes, at)
    }

    fn place(&mut self, offset: u64, len: u64, at: u64) -> Result<(), Error> {
        self.trace(offset, len);
        self.staged.place(offset, len, at)
    }

    fn zeros(&mut self, offset: u64, len: u64) -> Result<(), Error> {
        self.trace(offset, len);
        self.staged.zeros(offset, len)
    }

    fn release(&mut self, gap: Gap) -> Result<(), Error> {
        self.released.push(gap);
        self.staged.release(gap)
    }

    fn origin(&mut self, origin: Option<Arc<dyn BlockRead>>) {
        self.staged.origin(origin);
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.staged.flush()
    }
}

#[cfg(test)]
mod tests {
    use forger_block::{MemorySink, Shifted};

    use super::*;
    use crate::ext4::{plan, write};
    use crate::observe::Silent;
    use crate::tree::{Content, Kind, Meta, Policy, Tree, TreeSource};

    fn files(files: &[(&str, Vec<u8>)]) -> Tree<Content> {
        let mut tree = Tree::new(Meta::default());
        for (path, bytes) in files {
            let kind = Kind::File(Content::inline(bytes.clone()));
            tree.put(path.as_bytes(), Meta::default(), kind, Policy::default())
                .unwrap();
        }
        tree
    }

    /// Runs something with two layers, of which the second replaces a file of the first.
    fn with_layers<T>(run: impl FnOnce(&mut [Layer<'_>]) -> T) -> T {
        let large: Vec<u8> = (0..900_000_u32).map(|n| n.to_le_bytes()[1] | 1).collect();
        let lower = files(&[("a", large.clone()), ("b", vec![9; 5000]), ("c", large)]);
        let upper = files(&[("a", vec![3; 70_000])]);
        let (mut lower, mut upper) = (TreeSource::new(&lower), TreeSource::new(&upper));
        let mut layers = [&mut lower, &mut upper].map(|source| Layer {
            source,
            overlay: true,
        });
        run(&mut layers)
    }

    #[test]
    fn contents_and_rest_are_what_is_written_at_once() {
        let options = Options::default();
        let mut at_once = Box::new(MemorySink::new());
        let expected = at_once.output();
        let summary = with_layers(|layers| write(layers, &options, &mut *at_once, &mut Silent));
        let summary = summary.unwrap();
        at_once.finish(summary.size).unwrap();
        let expected = expected.bytes().unwrap();

        let by = 12_288;
        let mut apart = Box::new(MemorySink::new());
        let output = apart.output();
        let placed = with_layers(|layers| {
            let mut sink = Shifted::new(&mut *apart, by);
            write_contents(layers, &options, &mut sink, &mut Silent)
        });
        let placed = placed.unwrap();
        assert_eq!(placed.summary(), summary);
        let contents: u64 = placed
            .written
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        assert!((970_000..1_000_000).contains(&contents), "{contents}");
        let rest = placed.rest().unwrap();
        rest.place_into(&mut Shifted::new(&mut *apart, by), &mut || false)
            .unwrap();
        apart.finish(by + summary.size).unwrap();
        let output = output.bytes().unwrap();
        let start = usize::try_from(by).unwrap();
        assert!(output[start..] == expected[..]);

        let written: Arc<dyn BlockRead> = Arc::new(output.slice(start..));
        let mut whole = vec![0; expected.len()];
        placed
            .image(&written)
            .unwrap()
            .read_at(0, &mut whole)
            .unwrap();
        assert!(whole == expected[..]);
        let planned = with_layers(|layers| plan(layers, &options, &mut Silent));
        assert_eq!(planned.unwrap().1, summary);
        assert!(summary.contents_end > contents && summary.contents_end < summary.size);
    }
}
