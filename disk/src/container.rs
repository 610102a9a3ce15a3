//! An image file of any format, and the disk in it.

use std::sync::Arc;

use forger_block::BlockRead;

use crate::detect::{Format, detect};
use crate::progress::Progress;
use crate::{android_sparse, ova, qcow2, vhd, vhdx, vmdk};

/// An open image file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Container {
    /// The file is the disk.
    Raw(Arc<dyn BlockRead>),
    /// A qcow2 image.
    Qcow2(Arc<qcow2::Image>),
    /// A VHD image.
    Vhd(Arc<vhd::Image>),
    /// A VHDX image.
    Vhdx(Arc<vhdx::Image>),
    /// A VMDK image.
    Vmdk(Arc<vmdk::Image>),
    /// An Android sparse image.
    AndroidSparse(Arc<android_sparse::Image>),
    /// A virtual machine around a VMDK image.
    Ova(Arc<ova::Image>),
}

/// Why an image file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Reading the file failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// It is a qcow2 image that cannot be read.
    #[error(transparent)]
    Qcow2(#[from] qcow2::ReadError),
    /// It is a VHD image that cannot be read.
    #[error(transparent)]
    Vhd(#[from] vhd::ReadError),
    /// It is a VHDX image that cannot be read.
    #[error(transparent)]
    Vhdx(#[from] vhdx::ReadError),
    /// It is a VMDK image that cannot be read.
    #[error(transparent)]
    Vmdk(#[from] vmdk::ReadError),
    /// It is an Android sparse image that cannot be read.
    #[error(transparent)]
    AndroidSparse(#[from] android_sparse::ReadError),
    /// It is an OVA that cannot be read.
    #[error(transparent)]
    Ova(#[from] ova::ReadError),
    /// It is of a format that is not read.
    #[error("it is a {0}, which is not read")]
    Foreign(&'static str),
}

impl Container {
    /// Opens an image file of a format, or of the one it [looks like](detect).
    ///
    /// An image that needs other files is refused; [`open_with`](Self::open_with) takes them.
    ///
    /// # Errors
    /// A damaged image, or one that needs what cannot be had.
    pub fn open(file: Arc<dyn BlockRead>, format: Option<Format>) -> Result<Self, OpenError> {
        Self::open_with(file, format, qcow2::Neighbours::default())
    }

    /// Opens an image file and gives it the other files that it names.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        file: Arc<dyn BlockRead>,
        format: Option<Format>,
        neighbours: qcow2::Neighbours,
    ) -> Result<Self, OpenError> {
        let format = match format {
            Some(format) => format,
            None => detect(&file)?,
        };
        Ok(match format {
            Format::Raw => Self::Raw(file),
            Format::Qcow2 => {
                let image = qcow2::Image::open_with(file, neighbours)?;
                Self::Qcow2(Arc::new(image))
            }
            Format::Vhd => Self::Vhd(Arc::new(vhd::Image::open(file)?)),
            Format::Vhdx => Self::Vhdx(Arc::new(vhdx::Image::open(file)?)),
            Format::Vmdk => Self::Vmdk(Arc::new(vmdk::Image::open(file)?)),
            Format::AndroidSparse => {
                Self::AndroidSparse(Arc::new(android_sparse::Image::open(file)?))
            }
            Format::Ova => Self::Ova(Arc::new(ova::Image::open(file)?)),
            Format::Foreign(name) => return Err(OpenError::Foreign(name)),
        })
    }

    /// Returns the format.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::Raw(_) => Format::Raw,
            Self::Qcow2(_) => Format::Qcow2,
            Self::Vhd(_) => Format::Vhd,
            Self::Vhdx(_) => Format::Vhdx,
            Self::Vmdk(_) => Format::Vmdk,
            Self::AndroidSparse(_) => Format::AndroidSparse,
            Self::Ova(_) => Format::Ova,
        }
    }

    /// Returns the disk.
    #[must_use]
    pub fn disk(&self) -> Arc<dyn BlockRead> {
        match self {
            Self::Raw(file) => Arc::clone(file),
            Self::Qcow2(image) => Arc::<qcow2::Image>::clone(image),
            Self::Vhd(image) => Arc::<vhd::Image>::clone(image),
            Self::Vhdx(image) => Arc::<vhdx::Image>::clone(image),
            Self::Vmdk(image) => Arc::<vmdk::Image>::clone(image),
            Self::AndroidSparse(image) => Arc::<android_sparse::Image>::clone(image),
            Self::Ova(image) => Arc::<vmdk::Image>::clone(image.disk()),
        }
    }

    /// Compares the checksums that the image has, if it has any: those of an Android sparse image,
    /// and the digests in an OVA's manifest.
    ///
    /// # Errors
    /// A checksum that does not match; [`Error::Interrupted`](forger_block::Error::Interrupted)
    /// when `progress` says so.
    pub fn verify(&self, progress: &mut dyn Progress) -> Result<(), OpenError> {
        match self {
            Self::AndroidSparse(image) => Ok(image.verify(progress)?),
            Self::Ova(image) => Ok(image.verify(progress)?),
            _ => Ok(()),
        }
    }
}
