//! An image with its dm-verity hash tree: both appear, or neither.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger_block::{BlockRead, PendingFile, PlacedFile, Publish, Target, check_target, stream};
use forger_fs::observe::Observer;
use forger_fs::verity::Error;

use super::Output;
use crate::args::run::WriteArgs;
use crate::config;
use crate::exit::Failure;
use crate::hash_tree::{HashTree, Wanted};
use crate::progress::Console;
use crate::remedy;

/// The output, not yet begun.
#[derive(Debug)]
pub(crate) struct Verified<'a> {
    output: &'a Output,
    hash_file: Option<PathBuf>,
    publish: Publish,
}

impl<'a> Verified<'a> {
    /// Looks at what the file for the hashes is, before any work is done; without one they go behind
    /// the image.
    ///
    /// # Errors
    /// What is there already, or is no file.
    pub(crate) fn check(
        output: &'a Output,
        hash_file: Option<&OsString>,
        write: WriteArgs,
    ) -> Result<Self, Failure> {
        let hash_file = hash_file.map(PathBuf::from);
        if let Some(path) = &hash_file {
            check_hash_file(path, write)?;
            if output.file_path() == Some(path) {
                return Err(Failure::usage("image and hash tree cannot be one file")
                    .help("without --verity-hash-file the tree goes behind the image"));
            }
        }
        Ok(Self {
            output,
            hash_file,
            publish: super::publish(write),
        })
    }

    /// Begins the image. What can only be written forward is kept back until its tree is there.
    ///
    /// # Errors
    /// When no file can be made.
    pub(crate) fn open(&self) -> Result<PlacedFile, Failure> {
        let open = || {
            let file = match self.output.file_path() {
                Some(path) => PendingFile::for_target(path)?,
                None => PendingFile::in_folder(config::scratch_folder())?,
            };
            PlacedFile::over(file, self.publish)
        };
        open().map_err(|error| remedy::block(self.what(), error))
    }

    /// Makes the tree of the image, whose length is given, and publishes both.
    ///
    /// # Errors
    /// When they cannot be completed; nothing is left then that was not there before.
    pub(crate) fn finish(
        self,
        image: PlacedFile,
        len: u64,
        wanted: &Wanted,
        console: &mut Console,
    ) -> Result<HashTree, Failure> {
        let explain = |error: Error| remedy::verity(self.what(), error);
        let block = |error: forger_block::Error| remedy::block(self.what(), error);
        let image = image.complete(len).map_err(block)?;
        let hashes = self.hash_file.as_ref().map(PendingFile::for_target);
        let hashes = hashes.transpose().map_err(block)?;
        console.phase("hash");
        let tree = self
            .tree(&image, hashes.as_ref(), len, wanted, console)
            .map_err(explain)?;
        console.finishing();
        self.publish(image, hashes, console).map_err(block)?;
        Ok(tree)
    }

    fn tree(
        &self,
        image: &PendingFile,
        hashes: Option<&PendingFile>,
        len: u64,
        wanted: &Wanted,
        console: &mut Console,
    ) -> Result<HashTree, Error> {
        let offset = if hashes.is_some() { 0 } else { len };
        let parameters = wanted.parameters(Arc::new(image.reader()?), len, offset)?;
        let holder = hashes.unwrap_or(image);
        // A reader wants a file that keeps its length.
        holder.set_len(parameters.end()?)?;
        let name = self.hash_file.as_ref();
        let name = name.map(|path| path.display().to_string());
        let reader: Arc<dyn BlockRead> = Arc::new(image.reader()?);
        HashTree::build(reader, parameters, name, console, &mut |offset, bytes| {
            holder.write_at(offset, bytes)
        })
    }

    fn publish(
        &self,
        image: PendingFile,
        hashes: Option<PendingFile>,
        console: &mut Console,
    ) -> forger_block::Result<()> {
        if let Some(hashes) = hashes {
            hashes.publish(self.publish)?;
        }
        self.publish_image(image, console).inspect_err(|_| {
            if let Some(path) = &self.hash_file {
                // One without the other is of no use. What was replaced is gone in any case.
                let _ = std::fs::remove_file(path);
            }
        })
    }

    fn publish_image(&self, image: PendingFile, console: &mut Console) -> forger_block::Result<()> {
        if self.output.file_path().is_some() {
            return image.publish(self.publish);
        }
        let mut sink = match self.output.outlet(console.signals())? {
            Some(outlet) => outlet,
            None => self.output.target.open_forward(self.publish)?,
        };
        stream(&image.reader()?, &mut *sink, &mut || console.cancelled())?;
        sink.finish()
    }

    fn what(&self) -> String {
        format!("cannot write {}", self.output.shown())
    }
}

/// Looks at what the file for the hashes is.
///
/// # Errors
/// What is there already, or is no file.
pub(crate) fn check_hash_file(path: &Path, write: WriteArgs) -> Result<(), Failure> {
    let what = || format!("cannot write {}", path.display());
    match check_target(path, write.force) {
        Ok(Target::Regular(_)) => Ok(()),
        Ok(_) => Err(Failure::failed(what()).because("a hash tree goes into a regular file")),
        Err(error) => Err(remedy::block(what(), error)),
    }
}
