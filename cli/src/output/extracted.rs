//! Where the image of a bundle goes: one output, or a folder that gets the manifest as well.

use std::ffi::OsStr;
use std::path::PathBuf;

use forger_block::{BlockSink, Forward, ForwardFile, PendingFile, Publish, Spooled, check_target};

use super::Output;
use crate::args::run::WriteArgs;
use crate::config;
use crate::exit::Failure;
use crate::print::Stream;
use crate::remedy;
use crate::signals::Signals;

/// The image's name in a folder.
const IMAGE: &str = "rootfs.ext4";
/// The manifest's name in a folder.
const MANIFEST: &str = "manifest.json";

/// The output of an extraction, not yet begun.
#[derive(Debug)]
pub(crate) enum Extracted {
    /// The image alone.
    Image(Output),
    /// Image and manifest, in a folder.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// How the files get their names.
        publish: Publish,
    },
}

/// An output that is being written; dropping it leaves nothing.
pub(crate) enum Begun {
    /// The image alone.
    Image(Box<dyn BlockSink>),
    /// Image and manifest.
    Folder {
        /// The image.
        image: Box<ForwardFile>,
        /// The manifest, empty so far.
        manifest: PendingFile,
    },
}

impl Begun {
    /// Returns the sink for the image.
    pub(crate) fn image(&mut self) -> &mut dyn BlockSink {
        match self {
            Self::Image(sink) => &mut **sink,
            Self::Folder { image, .. } => &mut **image,
        }
    }
}

impl Extracted {
    /// Looks at what a path is as an output, before any work is done.
    ///
    /// # Errors
    /// What is there already, or cannot be written.
    pub(crate) fn check(path: &OsStr, write: WriteArgs) -> Result<Self, Failure> {
        let folder = PathBuf::from(path);
        if !folder.is_dir() {
            super::refuse_missing_folder(path)?;
            return Output::check(path, write).map(Self::Image);
        }
        for name in [IMAGE, MANIFEST] {
            let file = folder.join(name);
            check_target(&file, write.force).map_err(|error| {
                remedy::block(format!("cannot write {}", file.display()), error)
            })?;
        }
        let publish = super::publish(write);
        Ok(Self::Folder { folder, publish })
    }

    /// Where the result goes: standard output, unless that is the output itself.
    pub(crate) fn result_stream(&self) -> Stream {
        match self {
            Self::Image(output) => output.result_stream(),
            Self::Folder { .. } => Stream::Stdout,
        }
    }

    /// Begins the output. What can only be written forward is kept back until all is verified.
    ///
    /// # Errors
    /// When it cannot be created or opened.
    pub(crate) fn open(&self, signals: &Signals) -> Result<Begun, Failure> {
        let begun = || match self {
            Self::Image(output) => Ok(Begun::Image(match output.outlet(signals)? {
                Some(outlet) => Box::new(Forward::new(Spooled::new(
                    config::scratch_folder(),
                    outlet,
                )?)),
                None => output.target.open_forward(output.publish)?,
            })),
            Self::Folder { folder, publish } => {
                let image = PendingFile::for_target(folder.join(IMAGE))?;
                Ok(Begun::Folder {
                    image: Box::new(ForwardFile::over(image, *publish)?),
                    manifest: PendingFile::for_target(folder.join(MANIFEST))?,
                })
            }
        };
        begun().map_err(|error| remedy::block(self.what(), error))
    }

    /// Publishes the image, and the manifest in a folder; returns the image's path.
    ///
    /// # Errors
    /// When they cannot be completed; nothing is left then that was not there before.
    pub(crate) fn publish(&self, begun: Begun, manifest: &[u8]) -> Result<String, Failure> {
        let publish = || match (self, begun) {
            (
                Self::Folder { folder, publish },
                Begun::Folder {
                    image,
                    manifest: file,
                },
            ) => {
                let image = image.complete()?;
                file.write_at(0, manifest)?;
                file.publish(*publish)?;
                image.publish(*publish).inspect_err(|_| {
                    // One without the other is of no use. What was replaced is gone in any case.
                    let _ = std::fs::remove_file(folder.join(MANIFEST));
                })?;
                Ok(folder.join(IMAGE).display().to_string())
            }
            (Self::Image(output), Begun::Image(sink)) => {
                sink.finish()?;
                Ok(output.path().to_owned())
            }
            // An output begins what it is.
            (_, _) => Ok(String::new()),
        };
        publish().map_err(|error| remedy::block(self.what(), error))
    }

    fn what(&self) -> String {
        match self {
            Self::Image(output) => format!("cannot write {}", output.shown()),
            Self::Folder { folder, .. } => format!("cannot write into {}", folder.display()),
        }
    }
}
