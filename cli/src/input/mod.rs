//! Opens what the command line names as sources, whatever it is: a tar, a stream, a folder.

pub(crate) mod compared;
pub(crate) mod disk;
mod init;
pub(crate) mod kept;
mod labelled;
mod opener;
mod owned;
mod recognize;
mod rootless;
pub(crate) mod stream;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use forger::assemble::{Sealed, machine_id};
use forger_block::FileReader;
use forger_fs::ext4::{Ignore, Layer};
use forger_fs::source::Source;
use forger_fs::tree::{CollectError, Content, INLINE_LIMIT, Meta, Policy, Tree, TreeSource};
use forger_oci::ImageConfiguration;

use crate::args::source::{Named, SourceArgs};
use crate::config::Environment;
use crate::exit::Failure;
use crate::progress::Console;
pub(crate) use labelled::InSource;
use labelled::Labelled;
pub(crate) use opener::Way;
use opener::{Again, Opener, inject};
pub(crate) use recognize::is_image;

/// All sources of one filesystem, open, in the order in which they are laid over each other.
pub(crate) struct Inputs {
    /// Each with whether a folder in it keeps a symlink that it finds in its place.
    sources: Vec<(Box<dyn Source>, bool)>,
    /// How many of them are SOURCE: the layers of a container image are several.
    base: usize,
    again: Again,
    folders: Vec<PathBuf>,
    /// What a container image says how it is run.
    config: Option<ImageConfiguration>,
}

impl Inputs {
    /// Opens the source and everything that is laid over it.
    ///
    /// # Errors
    /// What cannot be opened, or is not what it is said to be.
    pub(crate) fn open(
        named: &Named,
        args: &SourceArgs,
        ignore: Ignore,
        environment: &Environment,
        console: &mut Console,
    ) -> Result<Self, Failure> {
        Self::open_as(Way::Once, named, args, ignore, environment, console)
    }

    /// As [`open`](Self::open), where it is said how contents are read.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_as(
        way: Way,
        named: &Named,
        args: &SourceArgs,
        ignore: Ignore,
        environment: &Environment,
        console: &mut Console,
    ) -> Result<Self, Failure> {
        let mut opener = Opener {
            way,
            args,
            ignore,
            environment,
            console,
            again: Again::default(),
            folders: Vec::new(),
            config: None,
        };
        let base = opener.named(named)?;
        let mut sources: Vec<_> = base
            .into_iter()
            .map(|source| (opener.selected(source), args.keep_directory_symlink))
            .collect();
        let base = sources.len();
        let config = opener.config.take();
        if args.init_from_config {
            let Some(config) = &config else {
                return Err(Failure::usage(format!(
                    "--init-from-config: {} is no container image, and has no configuration",
                    named.shown()
                )));
            };
            opener.again.once = true;
            sources = init::add(sources, config)?;
        }
        for path in &args.overlay {
            let label = format!("--overlay {}", path.display());
            let overlay = Labelled::new(opener.overlay(path, &label)?, label);
            sources.push((Box::new(overlay), true));
        }
        for file in &args.inject {
            opener.again.once = true;
            sources.push((inject(file)?, true));
        }
        let (again, folders) = (opener.again, opener.folders);
        Ok(Self {
            sources,
            base,
            again,
            folders,
            config,
        })
    }

    /// Opens nothing: the sources of an empty filesystem.
    pub(crate) fn none() -> Self {
        Self {
            sources: Vec::new(),
            base: 0,
            again: Again::default(),
            folders: Vec::new(),
            config: None,
        }
    }

    /// Leaves out of SOURCE what belongs to one installation, and empties its machine-id; returns where
    /// the names of what was left out gather. What is laid over SOURCE stays.
    pub(crate) fn seal(&mut self) -> Rc<RefCell<Vec<String>>> {
        let dropped = Rc::default();
        if self.base > 0 {
            let above = self.sources.split_off(self.base);
            let base = std::mem::take(&mut self.sources);
            for (source, overlay) in base {
                let sealed = Sealed::new(source, Rc::clone(&dropped));
                self.sources.push((Box::new(sealed), overlay));
            }
            // The source borrows the tree, and both live until the command ends.
            let empty = TreeSource::new(Box::leak(Box::new(machine_id())));
            self.sources.push((Box::new(empty), true));
            self.sources.extend(above);
        }
        dropped
    }

    /// Takes all sources as one tree, of contents that are read where they stand or held in memory.
    ///
    /// # Errors
    /// Whatever is wrong with the sources.
    pub(crate) fn tree(&mut self) -> Result<Tree<Content>, CollectError> {
        let mut tree = Tree::new(Meta {
            mode: 0o755,
            ..Meta::default()
        });
        for layer in self.layers() {
            let policy = Policy {
                keep_directory_symlink: layer.overlay,
            };
            tree.add(layer.source, policy, INLINE_LIMIT)?;
        }
        tree.settle().map_err(CollectError::Links)?;
        Ok(tree)
    }

    /// Says it when the output will stand in a folder that is read: a second run would take it in.
    pub(crate) fn warn_of(&self, output: Option<&Path>, console: &mut Console) {
        let Some(output) = output.and_then(|folder| folder.canonicalize().ok()) else {
            return;
        };
        for folder in &self.folders {
            if folder
                .canonicalize()
                .is_ok_and(|folder| output.starts_with(folder))
            {
                console.say(&format!(
                    "the output appears inside {}, where the next run reads it as well (--exclude leaves it out)",
                    folder.display()
                ));
            }
        }
    }

    /// Returns how the container image says it is run, where the source is one.
    pub(crate) fn config(&self) -> Option<&ImageConfiguration> {
        self.config.as_ref()
    }

    /// Tells whether every content can be read again where it stands: an image can be planned from
    /// these sources without keeping anything.
    pub(crate) fn are_seekable(&self) -> bool {
        !self.again.once
    }

    /// Checks that no file changed since it was opened.
    ///
    /// # Errors
    /// The file that did.
    pub(crate) fn check_unchanged(&self) -> forger_block::Result<()> {
        self.again
            .files
            .iter()
            .try_for_each(|file| file.check_unchanged())
    }

    /// Returns the files in which contents stand.
    pub(crate) fn into_files(self) -> Vec<Arc<FileReader>> {
        self.again.files
    }

    /// Returns the layers as the ext4 writer takes them.
    pub(crate) fn layers(&mut self) -> Vec<Layer<'_>> {
        self.sources
            .iter_mut()
            .map(|(source, overlay)| Layer {
                source: &mut **source,
                overlay: *overlay,
            })
            .collect()
    }
}
