//! Opens what the command line names as output: a file, a device, a FIFO, standard output.

pub(crate) mod bundle;
pub(crate) mod extracted;
mod outlet;
pub(crate) mod scratch;
pub(crate) mod verified;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use forger_block::{
    BlockSink, FileReader, ForwardStream, PlacedFile, PlacedSink, Publish, Spooled, Target,
    check_target,
};

use crate::args::run::WriteArgs;
use crate::config;
use crate::exit::Failure;
use crate::print::Stream;
use crate::remedy;
use crate::signals::Signals;
use outlet::Outlet;

/// An output that may be written, not yet begun.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    target: Target,
    publish: Publish,
    shown: String,
}

impl Output {
    /// Looks at what a path is as an output, before any work is done.
    ///
    /// # Errors
    /// What is there already, or cannot be written.
    pub(crate) fn check(path: &OsStr, write: WriteArgs) -> Result<Self, Failure> {
        let target = check_target(path, write.force)
            .map_err(|error| remedy::block(format!("cannot write {}", path.display()), error))?;
        let shown = match target {
            Target::Stdout => "standard output".to_owned(),
            _ => path.display().to_string(),
        };
        Ok(Self {
            target,
            publish: publish(write),
            shown,
        })
    }

    /// The output as it was named: a path, or `-`.
    pub(crate) fn path(&self) -> &str {
        match self.target {
            Target::Stdout => "-",
            _ => &self.shown,
        }
    }

    /// How the output is called in messages.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// What the output is called in "cannot make ...".
    pub(crate) fn product(&self) -> &str {
        match self.target {
            Target::Stdout => "an image",
            _ => &self.shown,
        }
    }

    /// Where the result goes: standard output, unless that is the output itself.
    pub(crate) fn result_stream(&self) -> Stream {
        match self.target {
            Target::Stdout => Stream::Stderr,
            _ => Stream::Stdout,
        }
    }

    /// Begins the output, for bytes in any order.
    ///
    /// # Errors
    /// When it cannot be created or opened.
    pub(crate) fn open_placed(&self, signals: &Signals) -> Result<Box<dyn PlacedSink>, Failure> {
        let scratch = config::scratch_folder();
        let open = || match self.outlet(signals)? {
            Some(outlet) => Ok(Box::new(Spooled::new(&scratch, outlet)?) as Box<dyn PlacedSink>),
            None => self.target.open_placed(self.publish, &scratch),
        };
        open().map_err(|error| remedy::block(format!("cannot write {}", self.shown), error))
    }

    /// Begins an output that is a regular file; nothing of any other.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(crate) fn open_file(&self) -> Result<Option<PlacedFile>, Failure> {
        let Some(path) = self.file_path() else {
            return Ok(None);
        };
        let file = PlacedFile::create(path, self.publish);
        file.map(Some)
            .map_err(|error| remedy::block(format!("cannot write {}", self.shown), error))
    }

    /// Completes the first `len` bytes of a file, which can be read from now on while more is written.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn read_back(
        &self,
        file: PlacedFile,
        len: u64,
    ) -> Result<(PlacedFile, FileReader), Failure> {
        let read_back = || {
            let file = file.complete(len)?;
            let reader = file.reader_of(len)?;
            Ok((PlacedFile::over(file, self.publish)?, reader))
        };
        read_back().map_err(|error| remedy::block(format!("cannot write {}", self.shown), error))
    }

    /// Begins the output, for bytes in order.
    ///
    /// # Errors
    /// When it cannot be created or opened.
    pub(crate) fn open_forward(&self, signals: &Signals) -> Result<Box<dyn BlockSink>, Failure> {
        let open = || match self.outlet(signals)? {
            Some(outlet) => Ok(outlet),
            None => self.target.open_forward(self.publish),
        };
        open().map_err(|error| remedy::block(format!("cannot write {}", self.shown), error))
    }

    /// Opens what can only be written forward, such that a signal ends every wait for its reader.
    fn outlet(&self, signals: &Signals) -> forger_block::Result<Option<Box<dyn BlockSink>>> {
        let outlet = match &self.target {
            Target::Stdout => Outlet::stdout(signals.clone())?,
            Target::Fifo(path) => Outlet::fifo(path, signals.clone())?,
            _ => return Ok(None),
        };
        Ok(Some(Box::new(ForwardStream::new(
            outlet,
            self.shown.clone(),
        ))))
    }

    /// Tells whether the output can only be written from its start to its end.
    pub(crate) fn is_forward(&self) -> bool {
        matches!(self.target, Target::Stdout | Target::Fifo(_))
    }

    /// Tells whether the output is a block device.
    fn is_device(&self) -> bool {
        matches!(self.target, Target::BlockDevice(_))
    }

    /// Returns the folder in which an output that is a regular file appears.
    pub(crate) fn folder(&self) -> Option<&Path> {
        let folder = self.file_path()?.parent()?;
        Some(match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        })
    }

    /// Returns the path of an output that is a regular file.
    fn file_path(&self) -> Option<&Path> {
        match &self.target {
            Target::Regular(path) => Some(path),
            _ => None,
        }
    }
}

/// How outputs get their names.
pub(crate) fn publish(write: WriteArgs) -> Publish {
    Publish {
        force: write.force,
        sync: !write.no_sync,
    }
}

/// Refuses the name of a folder that is not there.
fn refuse_missing_folder(path: &OsStr) -> Result<(), Failure> {
    if !path.as_bytes().ends_with(b"/") {
        return Ok(());
    }
    let shown = path.display();
    Err(Failure::failed(format!("the folder {shown} is not there")).help("make it first"))
}
