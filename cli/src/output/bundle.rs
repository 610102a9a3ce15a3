//! Where a bundle goes: a file, a folder in which its digest names it, or whatever takes bytes
//! forward.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use forger::bundle::Made;
use forger_block::{BlockRead, FileReader, PIECE, PendingFile, Publish, stream};

use super::Output;
use crate::args::run::WriteArgs;
use crate::config;
use crate::exit::Failure;
use crate::print::Stream;
use crate::progress::Console;
use crate::remedy;

/// The output of a bundle, not yet begun.
#[derive(Debug)]
pub(crate) enum BundleOutput {
    /// A file of this name, or a stream.
    Named(Output),
    /// A file in a folder, named by its content.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// How the file gets its name.
        publish: Publish,
    },
}

impl BundleOutput {
    /// Looks at what a path is as the output of a bundle, before any work is done.
    ///
    /// # Errors
    /// What is there already, or cannot be written.
    pub(crate) fn check(path: &OsStr, write: WriteArgs) -> Result<Self, Failure> {
        let folder = PathBuf::from(path);
        if folder.is_dir() {
            let publish = super::publish(write);
            return Ok(Self::Folder { folder, publish });
        }
        super::refuse_missing_folder(path)?;
        let output = Output::check(path, write)?;
        if output.is_device() {
            return Err(Failure::failed(format!(
                "{} is a block device; a bundle is a file",
                path.display()
            )));
        }
        Ok(Self::Named(output))
    }

    /// Returns the folder in which the bundle appears, if it is a regular file.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Named(output) => output.folder(),
            Self::Folder { folder, .. } => Some(folder),
        }
    }

    /// Where the result goes: standard output, unless that is the output itself.
    pub(crate) fn result_stream(&self) -> Stream {
        match self {
            Self::Named(output) => output.result_stream(),
            Self::Folder { .. } => Stream::Stdout,
        }
    }

    /// Begins the bundle, in a file that nobody sees yet.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(crate) fn open(&self) -> Result<PendingFile, Failure> {
        let (file, shown) = match self {
            Self::Folder { folder, .. } => {
                (PendingFile::in_folder(folder), folder.display().to_string())
            }
            Self::Named(output) => match output.file_path() {
                Some(path) => (PendingFile::for_target(path), path.display().to_string()),
                None => {
                    let scratch = config::scratch_folder();
                    (
                        PendingFile::in_folder(&scratch),
                        scratch.display().to_string(),
                    )
                }
            },
        };
        file.map_err(|error| remedy::block(format!("cannot write {shown}"), error))
    }

    /// Publishes a finished bundle and returns its path.
    ///
    /// # Errors
    /// When it cannot be given its name, or nobody takes its bytes.
    pub(crate) fn publish(
        &self,
        file: PendingFile,
        made: &Made,
        console: &mut Console,
    ) -> Result<String, Failure> {
        match self {
            Self::Folder { folder, publish } => {
                publish_as(file, folder, &made.file_name(), *publish, console)
            }
            Self::Named(output) if output.file_path().is_some() => {
                let what = || format!("cannot write {}", output.shown());
                file.publish(output.publish)
                    .map_err(|error| remedy::block(what(), error))?;
                Ok(output.path().to_owned())
            }
            Self::Named(output) => {
                send(&file, output, console).map_err(|error| {
                    remedy::block(format!("cannot write {}", output.shown()), error)
                })?;
                Ok(output.path().to_owned())
            }
        }
    }
}

/// Gives a bundle its name in a folder. The same bundle may stand there already: it is named by its
/// content.
fn publish_as(
    file: PendingFile,
    folder: &Path,
    name: &str,
    publish: Publish,
    console: &mut Console,
) -> Result<String, Failure> {
    let path = folder.join(name);
    let shown = path.display().to_string();
    if !publish.force && same(&file, &path, console) {
        console.say(&format!("{shown} is there already, with the same bytes"));
        return Ok(shown);
    }
    file.publish_as(name, publish)
        .map(|path| path.display().to_string())
        .map_err(|error| remedy::block(format!("cannot write {shown}"), error))
}

/// Tells whether a file holds the same bytes. One that cannot be read is another one.
fn same(file: &PendingFile, path: &Path, console: &Console) -> bool {
    let compare = || -> forger_block::Result<bool> {
        let (new, old) = (file.reader()?, FileReader::open(path)?);
        if new.len() != old.len() {
            return Ok(false);
        }
        let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
        let mut at = 0;
        while at < new.len() && console.signals().caught().is_none() {
            let len = usize::try_from(new.len() - at).map_or(PIECE, |rest| rest.min(PIECE));
            new.read_at(at, &mut left[..len])?;
            old.read_at(at, &mut right[..len])?;
            if left[..len] != right[..len] {
                return Ok(false);
            }
            at += u64::try_from(len).unwrap_or(u64::MAX);
        }
        Ok(at == new.len())
    };
    compare().unwrap_or(false)
}

/// Sends a finished bundle to whoever takes it.
fn send(file: &PendingFile, output: &Output, console: &Console) -> forger_block::Result<()> {
    let signals = console.signals();
    let Some(mut sink) = output.outlet(signals)? else {
        return Ok(());
    };
    stream(&file.reader()?, &mut *sink, &mut || {
        signals.caught().is_some()
    })?;
    sink.finish()
}
