//! How a qcow2 image is made, and what it builds on.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use forger::address::Address;
use forger_block::{BlockRead, FileReader};
use forger_disk::{Format, OpenError, detect, qcow2};

use super::read::{DiskFormat, ReadArgs};
use super::size;
use crate::exit::Failure;
use crate::medium::Medium;
use crate::remedy;

/// How a qcow2 image is made.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "qcow2")]
pub(crate) struct Qcow2Args {
    /// Size of a cluster: 512 to 2M [default: 64K]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) cluster_size: Option<u64>,

    /// Version of qcow2: 2 (compat 0.10) or 3 (compat 1.1) [default: 3]
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u32).range(2..=3))]
    pub(crate) qcow2_version: Option<u32>,

    /// Width of refcounts in bits: 1, 2, 4, 8, 16, 32 or 64 [default: 16]
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) refcount_bits: Option<u32>,

    /// Describes 32 parts of each cluster, so that less is copied from a backing file
    ///
    /// QEMU reads such images since 5.2. Clusters have 16K at least.
    #[arg(long)]
    pub(crate) extended_l2: bool,
}

impl Qcow2Args {
    /// Returns the options of the library.
    ///
    /// # Errors
    /// Wrong usage.
    pub(crate) fn options(&self) -> Result<qcow2::Options, Failure> {
        let default = qcow2::Options::default();
        let options = qcow2::Options {
            version: self.qcow2_version.unwrap_or(default.version),
            cluster_size: self.cluster_size.unwrap_or(default.cluster_size),
            refcount_bits: self.refcount_bits.unwrap_or(default.refcount_bits),
            extended_l2: self.extended_l2,
        };
        match options.validate() {
            Ok(()) => Ok(options),
            Err(error) => Err(Failure::usage(error.to_string())),
        }
    }

    /// Returns an option that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        [
            ("--cluster-size", self.cluster_size.is_some()),
            ("--qcow2-version", self.qcow2_version.is_some()),
            ("--refcount-bits", self.refcount_bits.is_some()),
            ("--extended-l2", self.extended_l2),
        ]
        .into_iter()
        .find_map(|(option, given)| given.then_some(option))
    }
}

/// What a qcow2 image builds on.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "qcow2")]
pub(crate) struct BackingArgs {
    /// Builds on this file: the image has only what differs from it [default: on none]
    ///
    /// The name stands in the image as it is typed; a relative one is looked up in the folder of
    /// the image, not in the current one.
    #[arg(long, value_name = "FILE")]
    pub(crate) backing: Option<String>,

    /// Format of the backing file: raw or qcow2 [default: told by its first bytes]
    #[arg(
        long,
        value_name = "FORMAT",
        hide_possible_values = true,
        requires = "backing"
    )]
    pub(crate) backing_format: Option<BackingFormat>,
}

/// A format of backing files, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackingFormat {
    /// The disk's bytes and nothing else
    Raw,
    /// QEMU's format
    Qcow2,
}

/// A backing file that is there.
pub(crate) struct Base {
    /// How the image names it.
    pub(crate) named: qcow2::Named,
    path: PathBuf,
    format: BackingFormat,
}

impl BackingArgs {
    /// Finds the backing file, as an image at `out` would.
    ///
    /// # Errors
    /// A file that is not there, is the image itself, or is of another format.
    pub(crate) fn find(&self, out: &OsStr) -> Result<Option<Base>, Failure> {
        let Some(name) = &self.backing else {
            return Ok(None);
        };
        let path = beside(out, name);
        let what = || format!("cannot build on {}", path.display());
        let file = FileReader::open(&path).map_err(|error| remedy::block(what(), error))?;
        let same = |path: &Path| path.canonicalize().ok();
        if same(&path).is_some_and(|real| same(Path::new(out)) == Some(real)) {
            return Err(Failure::failed(what()).because("it is the image itself"));
        }
        let format = match self.backing_format {
            Some(format) => format,
            None => match detect(&file).map_err(|error| remedy::block(what(), error))? {
                Format::Raw => BackingFormat::Raw,
                Format::Qcow2 => BackingFormat::Qcow2,
                other => {
                    return Err(Failure::failed(what())
                        .because(format!("it is a {other}, and must be raw or qcow2"))
                        .help("forger convert makes a qcow2 of it"));
                }
            },
        };
        let word = match format {
            BackingFormat::Raw => "raw",
            BackingFormat::Qcow2 => "qcow2",
        };
        let named = qcow2::Named {
            name: name.clone(),
            format: Some(word.to_owned()),
        };
        Ok(Some(Base {
            named,
            path,
            format,
        }))
    }
}

/// Returns where a file is that an image at `out` names.
pub(crate) fn beside(out: &OsStr, name: &str) -> PathBuf {
    match Path::new(out).parent() {
        Some(folder) if out != "-" => folder.join(name),
        _ => PathBuf::from(name),
    }
}

impl Base {
    /// Returns how large the disk in it is, in bytes; what it builds on itself is not opened.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn size(&self) -> Result<u64, Failure> {
        let what = || format!("cannot build on {}", self.path.display());
        let file = FileReader::open(&self.path).map_err(|error| remedy::block(what(), error))?;
        match self.format {
            BackingFormat::Raw => Ok(file.len()),
            BackingFormat::Qcow2 => match qcow2::Header::read(&file) {
                Ok(header) => Ok(header.size),
                Err(error) => Err(Failure::failed(what()).because(OpenError::from(error))),
            },
        }
    }

    /// Opens the disk in it.
    ///
    /// # Errors
    /// A file that cannot be read, or that builds on others without leave.
    pub(crate) fn open(&self, read: &ReadArgs) -> Result<Arc<dyn BlockRead>, Failure> {
        let format = match self.format {
            BackingFormat::Raw => DiskFormat::Raw,
            BackingFormat::Qcow2 => DiskFormat::Qcow2,
        };
        let args = ReadArgs {
            input_format: Some(format),
            snapshot: None,
            ..read.clone()
        };
        let address = Address {
            image: self.path.clone(),
            part: None,
            path: None,
        };
        Ok(Medium::open(&address, &args)?.reader)
    }
}
