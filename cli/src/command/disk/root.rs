//! The root filesystem: planned where its contents can be read again, or with its contents in the output
//! already, at the place where they stay.

use std::sync::Arc;

use forger_block::{BlockRead, PlacedFile, Shifted, Window};
use forger_fs::ext4;
use forger_fs::tree::{Content, Tree, TreeSource};

use crate::exit::Failure;
use crate::input::Inputs;
use crate::output::Output;
use crate::output::scratch::Scratch;
use crate::progress::Console;
use crate::remedy;

/// A filesystem that is wanted.
pub(super) struct Wanted<'a> {
    /// What is laid over its sources.
    pub(super) overlay: Option<Tree<Content>>,
    pub(super) ext4: &'a ext4::Options,
    /// What cannot be done where it cannot be made.
    pub(super) what: &'a str,
}

/// A file that takes the contents of a filesystem.
pub(super) struct Placing<'a> {
    pub(super) output: &'a Output,
    pub(super) file: PlacedFile,
    /// Where the filesystem starts in it, in bytes.
    pub(super) place: u64,
}

/// A filesystem.
pub(super) struct Made {
    pub(super) image: Arc<dyn BlockRead>,
    pub(super) summary: ext4::Summary,
    /// Its contents, where they stand in the output.
    pub(super) written: Option<Written>,
}

/// An output that has the contents of a filesystem and nothing else yet.
pub(super) struct Written {
    pub(super) file: PlacedFile,
    /// The filesystem without its contents.
    pub(super) rest: Arc<dyn BlockRead>,
}

impl Wanted<'_> {
    /// Plans the filesystem where its contents can be read again; else writes it into an unnamed file.
    ///
    /// # Errors
    /// Whatever is wrong with the sources, or with the folder of temporary files.
    pub(super) fn planned(
        &self,
        inputs: &mut Inputs,
        console: &mut Console,
    ) -> Result<Made, Failure> {
        let made = |image, summary| Made {
            image,
            summary,
            written: None,
        };
        if inputs.are_seekable() {
            let planned = self.of_layers(inputs, |layers| ext4::plan(layers, self.ext4, console));
            let (image, summary) = planned?;
            return Ok(made(Arc::new(image), summary));
        }
        let mut scratch = Scratch::create()?;
        let written =
            |layers: &mut [ext4::Layer<'_>]| ext4::write(layers, self.ext4, &mut scratch, console);
        let summary = self.of_layers(inputs, written)?;
        let reader = scratch.into_reader(summary.size);
        Ok(made(reader.map_err(|error| self.block(error))?, summary))
    }

    /// Writes the contents to their place in the output, and plans the rest.
    ///
    /// # Errors
    /// Whatever is wrong with the sources, or with the output.
    pub(super) fn placed(
        &self,
        inputs: &mut Inputs,
        placing: Placing<'_>,
        console: &mut Console,
    ) -> Result<Made, Failure> {
        let Placing {
            output,
            mut file,
            place,
        } = placing;
        let mut sink = Shifted::new(&mut file, place);
        let contents = |layers: &mut [ext4::Layer<'_>]| {
            ext4::write_contents(layers, self.ext4, &mut sink, console)
        };
        let placed = self.of_layers(inputs, contents)?;
        let summary = placed.summary();
        let end = place + summary.contents_end;
        let (file, reader) = output.read_back(file, end)?;
        let finish = || {
            let written = Window::new(Arc::new(reader), place..end)?;
            let written: Arc<dyn BlockRead> = Arc::new(written);
            Ok((placed.image(&written)?, placed.rest()?))
        };
        let (image, rest) = finish().map_err(|error| self.block(error))?;
        Ok(Made {
            image: Arc::new(image),
            summary,
            written: Some(Written {
                file,
                rest: Arc::new(rest),
            }),
        })
    }

    fn of_layers<T>(
        &self,
        inputs: &mut Inputs,
        run: impl FnOnce(&mut [ext4::Layer<'_>]) -> Result<T, ext4::Error>,
    ) -> Result<T, Failure> {
        let mut overlay = self.overlay.as_ref().map(TreeSource::new);
        let mut layers = inputs.layers();
        if let Some(source) = &mut overlay {
            layers.push(ext4::Layer {
                source,
                overlay: true,
            });
        }
        run(&mut layers).map_err(|error| remedy::ext4(self.what.to_owned(), error))
    }

    fn block(&self, error: forger_block::Error) -> Failure {
        remedy::block(self.what.to_owned(), error)
    }
}
