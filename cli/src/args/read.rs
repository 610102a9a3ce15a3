//! How an image is read.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use forger_disk::Format;

/// What holds for every image that a command reads.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Image")]
pub(crate) struct ReadArgs {
    /// Lets images name this file as what they build on, or hold their data in (repeatable)
    ///
    /// A qcow2 image can name other files of this machine, as /etc/shadow: no image opens a file
    /// that was not named here.
    #[arg(long, value_name = "FILE")]
    pub(crate) allow_backing: Vec<PathBuf>,

    /// Reads the state that a snapshot in a qcow2 image keeps: its name or its number [default: the active state]
    #[arg(long, value_name = "NAME")]
    pub(crate) snapshot: Option<String>,

    /// Takes images as raw, qcow2, vhd, vhdx, vmdk, android-sparse or ova [default: told by their first bytes]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) input_format: Option<DiskFormat>,
}

/// A format of disk images, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiskFormat {
    /// The disk's bytes and nothing else
    Raw,
    /// QEMU's format
    Qcow2,
    /// Virtual PC's and Azure's format
    Vhd,
    /// Hyper-V's format
    Vhdx,
    /// VMware's format
    Vmdk,
    /// Android's format for what is flashed
    AndroidSparse,
    /// A virtual machine around a VMDK
    Ova,
}

impl From<DiskFormat> for Format {
    fn from(format: DiskFormat) -> Self {
        match format {
            DiskFormat::Raw => Self::Raw,
            DiskFormat::Qcow2 => Self::Qcow2,
            DiskFormat::Vhd => Self::Vhd,
            DiskFormat::Vhdx => Self::Vhdx,
            DiskFormat::Vmdk => Self::Vmdk,
            DiskFormat::AndroidSparse => Self::AndroidSparse,
            DiskFormat::Ova => Self::Ova,
        }
    }
}
