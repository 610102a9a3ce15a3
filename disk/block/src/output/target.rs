//! What a path is as an output.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{BlockDeviceSink, ForwardFile, ForwardStream, PlacedFile, Spooled};
use crate::file::kind_name;
use crate::{BlockSink, Error, Forward, PlacedSink, Publish, Result};

/// An output, by what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A regular file, or nothing yet: it appears whole or not at all.
    Regular(PathBuf),
    /// A block device: written in place.
    BlockDevice(PathBuf),
    /// A FIFO, or a device like `/dev/null` that takes anything: written forward.
    Fifo(PathBuf),
    /// Standard output, `-`: written forward.
    Stdout,
}

impl Target {
    /// Looks at what `path` is, through symlinks; `-`, `/dev/stdout` and their like are standard
    /// output.
    ///
    /// # Errors
    /// [`Error::NotAnOutput`] for a directory, a socket or another device; [`Error::Io`].
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let names_stdout = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
        if names_stdout.iter().any(|name| path == Path::new(name)) {
            return Ok(Self::Stdout);
        }
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Self::Regular(path.to_owned()));
            }
            Err(error) => return Err(Error::io("inspect", path.display().to_string(), error)),
        };
        let kind = metadata.file_type();
        if kind.is_file() {
            Ok(Self::Regular(path.to_owned()))
        } else if kind.is_block_device() {
            Ok(Self::BlockDevice(path.to_owned()))
        } else if kind.is_fifo() || (kind.is_char_device() && takes_anything(metadata.rdev())) {
            Ok(Self::Fifo(path.to_owned()))
        } else {
            Err(Error::NotAnOutput {
                path: path.display().to_string(),
                kind: kind_name(kind),
            })
        }
    }

    /// Checks before any work whether the output may be written.
    ///
    /// # Errors
    /// Without `force`, [`Error::Exists`] for a file that is there and [`Error::Device`] for a
    /// block device; [`Error::Io`] when it cannot be told, and for a folder that is not there.
    pub fn check(&self, force: bool) -> Result<()> {
        match self {
            Self::Regular(path) => {
                let shown = path.display().to_string();
                match path.try_exists() {
                    Ok(true) if force => Ok(()),
                    Ok(true) => Err(Error::Exists { path: shown }),
                    Ok(false) => check_folder(path),
                    Err(error) => Err(Error::io("inspect", shown, error)),
                }
            }
            Self::BlockDevice(path) if !force => Err(Error::Device {
                path: path.display().to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Tells whether the output can only be written forward.
    #[must_use]
    pub fn is_forward_only(&self) -> bool {
        matches!(self, Self::Fifo(_) | Self::Stdout)
    }

    /// Opens the output for bytes in any order; where it can only be written forward, they are
    /// kept in a scratch file in the folder `scratch` until the end.
    ///
    /// Opening a FIFO waits for its reader.
    ///
    /// # Errors
    /// Those of [`PlacedFile::create`], [`BlockDeviceSink::open`] and [`Spooled::new`].
    pub fn open_placed(&self, publish: Publish, scratch: &Path) -> Result<Box<dyn PlacedSink>> {
        Ok(match self {
            Self::Regular(path) => Box::new(PlacedFile::create(path, publish)?),
            Self::BlockDevice(path) => Box::new(BlockDeviceSink::open(path, publish)?),
            Self::Fifo(_) | Self::Stdout => {
                Box::new(Spooled::new(scratch, self.open_forward(publish)?)?)
            }
        })
    }

    /// Opens the output for bytes in order.
    ///
    /// Opening a FIFO waits for its reader.
    ///
    /// # Errors
    /// Those of [`ForwardFile::create`], [`BlockDeviceSink::open`] and [`ForwardStream::stdout`].
    pub fn open_forward(&self, publish: Publish) -> Result<Box<dyn BlockSink>> {
        Ok(match self {
            Self::Regular(path) => Box::new(ForwardFile::create(path, publish)?),
            Self::BlockDevice(path) => {
                Box::new(Forward::new(BlockDeviceSink::open(path, publish)?))
            }
            Self::Fifo(path) => Box::new(open_fifo(path)?),
            Self::Stdout => Box::new(ForwardStream::stdout()?),
        })
    }
}

/// Looks at what `path` is as an output and whether it may be written: the first thing to do,
/// before any work.
///
/// # Errors
/// Those of [`Target::of`] and [`Target::check`].
pub fn check_target(path: impl AsRef<Path>, force: bool) -> Result<Target> {
    let target = Target::of(path)?;
    target.check(force)?;
    Ok(target)
}

/// Checks that there is a folder to put a file in.
fn check_folder(path: &Path) -> Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match folder.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(std::io::Error::from(std::io::ErrorKind::NotADirectory)),
        Err(error) => Err(error),
    }
    .map_err(|error| Error::io("open the folder", folder.display().to_string(), error))
}

fn open_fifo(path: &Path) -> Result<ForwardStream<std::fs::File>> {
    let name = path.display().to_string();
    let error = |operation| move |error| Error::io(operation, path.display().to_string(), error);
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(error("open"))?;
    let metadata = file.metadata().map_err(error("inspect"))?;
    let kind = metadata.file_type();
    if kind.is_fifo() || takes_anything(metadata.rdev()) {
        return Ok(ForwardStream::new(file, name));
    }
    // It was something else a moment ago.
    Err(Error::NotAnOutput {
        path: name,
        kind: kind_name(kind),
    })
}

/// Tells whether a character device is `/dev/null`, `/dev/zero` or `/dev/full`, by number.
fn takes_anything(device: u64) -> bool {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    major == 1 && matches!(minor, 3 | 5 | 7)
}

#[cfg(test)]
mod tests;
