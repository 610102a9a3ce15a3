//! Why an OVA cannot be read or made.

use crate::vmdk;
use crate::xml::XmlError;

/// Why an OVA cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading the file's bytes failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The file is no archive of a virtual machine.
    #[error("no OVA: no archive whose first member is an OVF descriptor")]
    NotOva,
    /// The archive is damaged.
    #[error("the archive is damaged at offset {offset}")]
    Archive {
        /// Where, in bytes.
        offset: u64,
    },
    /// The descriptor is no well-formed XML.
    #[error("the OVF descriptor cannot be read")]
    Descriptor(#[from] XmlError),
    /// The descriptor names a file that is not there.
    #[error("the OVF descriptor names {name:?}, which is not in the archive")]
    Missing {
        /// The file's name.
        name: String,
    },
    /// The machine uses something that cannot be read.
    #[error("{what} cannot be read")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// The disk in it cannot be read.
    #[error("the disk {name:?} cannot be read")]
    Disk {
        /// The file's name.
        name: String,
        /// Why.
        source: vmdk::ReadError,
    },
    /// A file is not what the manifest says.
    #[error("the digest of {name:?} is {found}, the manifest says {expected}")]
    Sum {
        /// The file's name.
        name: String,
        /// What the manifest says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The manifest says what cannot be understood.
    #[error("the manifest says {line:?}")]
    Manifest {
        /// A line of it.
        line: String,
    },
}

/// Why an OVA cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Reading the source or writing the file failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The disk cannot be made.
    #[error(transparent)]
    Disk(vmdk::WriteError),
    /// The name cannot be the machine's.
    #[error("{name:?} cannot be the name of a virtual machine")]
    Name {
        /// The name.
        name: String,
    },
}

impl From<vmdk::WriteError> for WriteError {
    fn from(error: vmdk::WriteError) -> Self {
        match error {
            vmdk::WriteError::Block(error) => Self::Block(error),
            error => Self::Disk(error),
        }
    }
}
