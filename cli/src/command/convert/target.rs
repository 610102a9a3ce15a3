//! What `convert` makes: a format and its options, and how it is written.

use std::error::Error;
use std::sync::Arc;

use forger_block::BlockRead;
use forger_disk::{copy, qcow2, vhd, vhdx, vmdk};

use crate::exit::Failure;
use crate::output::Output;
use crate::progress::Console;
use crate::remedy;

/// A format that is made, with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Raw,
    Qcow2(qcow2::Options, Option<(qcow2::Codec, i32)>),
    VhdFixed,
    VhdDynamic,
    Vhdx(vhdx::Options),
    /// With the file's name, and the level of its compression.
    Vmdk(String, Option<u32>),
}

impl Target {
    /// How the format is called.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2(..) => "qcow2",
            Self::VhdFixed => "vhd-fixed",
            Self::VhdDynamic => "vhd",
            Self::Vhdx(_) => "vhdx",
            Self::Vmdk(..) => "vmdk",
        }
    }

    /// Writes the image of a disk, calls `check` before it is published, and returns how long the
    /// file is.
    ///
    /// # Errors
    /// When the disk cannot be read or the image not be written; nothing is published then.
    pub(crate) fn write(
        &self,
        disk: Arc<dyn BlockRead>,
        output: &Output,
        threads: usize,
        console: &mut Console,
        check: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let what = || format!("cannot make {}", output.product());
        let fail = |error: Refused| error.failure(what());
        let block = |error| remedy::block(what(), error);
        if let Self::Qcow2(options, Some((codec, level))) = self {
            let compression = qcow2::Compression {
                codec: *codec,
                level: *level,
                threads,
            };
            let mut sink = output.open_placed(console.signals())?;
            console.start_phase("convert");
            let len = qcow2::write_compressed(&disk, options, &compression, &mut *sink, console)
                .map_err(|error| fail(error.into()))?;
            check()?;
            console.finishing();
            sink.finish(len).map_err(block)?;
            return Ok(len);
        }
        let mut sink;
        if let Self::Vmdk(name, Some(level)) = self {
            sink = output.open_forward(console.signals())?;
            console.start_phase("convert");
            vmdk::write_stream(&disk, name, *level, threads, &mut *sink, console)
                .map_err(|error| fail(error.into()))?;
        } else {
            if *self != Self::Raw && *self != Self::VhdFixed {
                console.start_phase("look for zeros");
            }
            let image = self.plan(disk, threads, console).map_err(fail)?;
            sink = output.open_forward(console.signals())?;
            console.start_phase("convert");
            copy(&image, &mut *sink, threads, console).map_err(block)?;
        }
        let len = sink.position();
        check()?;
        console.finishing();
        sink.finish().map_err(block)?;
        Ok(len)
    }

    /// Plans an image that is not compressed.
    fn plan(
        &self,
        disk: Arc<dyn BlockRead>,
        threads: usize,
        console: &mut Console,
    ) -> Result<Arc<dyn BlockRead>, Refused> {
        let image = match self {
            Self::Raw => return Ok(disk),
            Self::Qcow2(options, _) => qcow2::plan(&disk, options, threads, console)?,
            Self::VhdFixed => vhd::plan_fixed(&disk)?,
            Self::VhdDynamic => vhd::plan_dynamic(&disk, threads, console)?,
            Self::Vhdx(options) => vhdx::plan(&disk, options, threads, console)?,
            Self::Vmdk(name, _) => vmdk::plan(&disk, name, threads, console)?,
        };
        Ok(Arc::new(image))
    }
}

/// Writes the qcow2 image that a disk has over a backing file, as [`Target::write`] does.
///
/// # Errors
/// As there.
pub(super) fn write_over(
    disk: &Arc<dyn BlockRead>,
    backing: &qcow2::Backing,
    options: &qcow2::Options,
    output: &Output,
    threads: usize,
    console: &mut Console,
    check: impl FnOnce() -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let what = || format!("cannot make {}", output.product());
    let block = |error| remedy::block(what(), error);
    console.start_phase("look for differences");
    let image = qcow2::plan_over(disk, backing, options, threads, console)
        .map_err(|error| Refused::from(error).failure(what()))?;
    let mut sink = output.open_forward(console.signals())?;
    console.start_phase("convert");
    copy(&image, &mut *sink, threads, console).map_err(block)?;
    let len = sink.position();
    check()?;
    console.finishing();
    sink.finish().map_err(block)?;
    Ok(len)
}

/// Why an image cannot be made.
enum Refused {
    Block(forger_block::Error),
    Format(Box<dyn Error + Send + Sync>, Option<&'static str>),
}

impl Refused {
    fn failure(self, what: String) -> Failure {
        match self {
            Self::Block(error) => remedy::block(what, error),
            Self::Format(error, help) => Failure::failed(what)
                .because(error)
                .help_if(help.map(str::to_owned)),
        }
    }
}

impl From<qcow2::WriteError> for Refused {
    fn from(error: qcow2::WriteError) -> Self {
        match error {
            qcow2::WriteError::Block(error) => Self::Block(error),
            error @ qcow2::WriteError::TooLarge { .. } => {
                Self::Format(Box::new(error), Some("--cluster-size makes them larger"))
            }
            error => Self::Format(Box::new(error), None),
        }
    }
}

impl From<vhd::WriteError> for Refused {
    fn from(error: vhd::WriteError) -> Self {
        match error {
            vhd::WriteError::Block(error) => Self::Block(error),
            error => Self::Format(Box::new(error), Some("vhdx holds more")),
        }
    }
}

impl From<vhdx::WriteError> for Refused {
    fn from(error: vhdx::WriteError) -> Self {
        match error {
            vhdx::WriteError::Block(error) => Self::Block(error),
            error => Self::Format(Box::new(error), None),
        }
    }
}

impl From<vmdk::WriteError> for Refused {
    fn from(error: vmdk::WriteError) -> Self {
        match error {
            vmdk::WriteError::Block(error) => Self::Block(error),
            error => Self::Format(Box::new(error), None),
        }
    }
}
