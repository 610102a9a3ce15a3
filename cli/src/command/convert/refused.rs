//! Why an image cannot be made.

use std::error::Error;

use forger_disk::{android_sparse, ova, qcow2, vhd, vhdx, vmdk};

use crate::exit::Failure;
use crate::remedy;

/// Why an image cannot be made.
pub(crate) enum Refused {
    Block(forger_block::Error),
    Format(Box<dyn Error + Send + Sync>, Option<&'static str>),
    /// The format cannot hold so much.
    TooLarge(Box<dyn Error + Send + Sync>, Option<&'static str>),
}

impl Refused {
    /// Tells whether the disk is what is wrong: the format cannot hold so much.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge(..))
    }

    pub(crate) fn failure(self, what: String) -> Failure {
        match self {
            Self::Block(error) => remedy::block(what, error),
            Self::Format(error, help) | Self::TooLarge(error, help) => Failure::failed(what)
                .because(error)
                .help_if(help.map(str::to_owned)),
        }
    }
}

impl From<forger_block::Error> for Refused {
    fn from(error: forger_block::Error) -> Self {
        Self::Block(error)
    }
}

impl From<qcow2::WriteError> for Refused {
    fn from(error: qcow2::WriteError) -> Self {
        match error {
            qcow2::WriteError::Block(error) => Self::Block(error),
            error @ qcow2::WriteError::TooLarge { .. } => {
                Self::TooLarge(Box::new(error), Some("--cluster-size makes them larger"))
            }
            error => Self::Format(Box::new(error), None),
        }
    }
}

impl From<vhd::WriteError> for Refused {
    fn from(error: vhd::WriteError) -> Self {
        match error {
            vhd::WriteError::Block(error) => Self::Block(error),
            error => Self::TooLarge(Box::new(error), Some("vhdx holds more")),
        }
    }
}

impl From<vhdx::WriteError> for Refused {
    fn from(error: vhdx::WriteError) -> Self {
        match error {
            vhdx::WriteError::Block(error) => Self::Block(error),
            error @ vhdx::WriteError::TooLarge { .. } => Self::TooLarge(Box::new(error), None),
            error => Self::Format(Box::new(error), None),
        }
    }
}

impl From<vmdk::WriteError> for Refused {
    fn from(error: vmdk::WriteError) -> Self {
        match error {
            vmdk::WriteError::Block(error) => Self::Block(error),
            error @ vmdk::WriteError::TooLarge { .. } => Self::TooLarge(Box::new(error), None),
            error => Self::Format(Box::new(error), None),
        }
    }
}

impl From<ova::WriteError> for Refused {
    fn from(error: ova::WriteError) -> Self {
        match error {
            ova::WriteError::Block(error) => Self::Block(error),
            ova::WriteError::Disk(error) => error.into(),
            error => Self::Format(Box::new(error), None),
        }
    }
}

impl From<android_sparse::WriteError> for Refused {
    fn from(error: android_sparse::WriteError) -> Self {
        match error {
            android_sparse::WriteError::Block(error) => Self::Block(error),
            error @ android_sparse::WriteError::TooLarge { .. } => {
                Self::TooLarge(Box::new(error), None)
            }
            error => Self::Format(Box::new(error), None),
        }
    }
}
