//! Why a boot partition cannot be put together.

use forger_fs::ext4::ReadError;
use forger_fs::tree;

/// Why a boot partition cannot be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The root filesystem cannot be read.
    #[error("the root filesystem cannot be read")]
    Read(#[source] ReadError),
    /// Reading bytes failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// There is no kernel.
    #[error("there is no kernel in /boot (vmlinuz-VERSION) or /usr/lib/modules (VERSION/vmlinuz)")]
    NoKernel,
    /// There is no loader.
    #[error("there is no {what}: {path} is not in the root filesystem")]
    NoLoader {
        /// What is missing.
        what: &'static str,
        /// Where it would stand.
        path: String,
    },
    /// The architecture cannot be told.
    #[error("no program in the root filesystem tells which machine it is for")]
    NoArchitecture,
    /// No initial RAM disk can be made for a kernel.
    #[error("no initial RAM disk can be made for the kernel {version}")]
    Initrd {
        /// The kernel's version.
        version: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The machine is not known to the boot loader.
    #[error("programs are for ELF machine {machine}, for which there is no EFI boot")]
    Architecture {
        /// `e_machine` of the programs.
        machine: u16,
    },
    /// A file is larger than it can be.
    #[error("{what} has {size} bytes")]
    TooLarge {
        /// The file.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
    },
    /// A unified kernel image cannot be assembled.
    #[error("the stub {which} cannot take a kernel")]
    Stub {
        /// Its path in the root filesystem, or that it was given.
        which: String,
        /// Why.
        source: PeError,
    },
    /// A name has no place in the partition.
    #[error("{path}")]
    Path {
        /// The name.
        path: String,
        /// Why.
        source: tree::Error,
    },
}

/// Why sections cannot be added to a PE file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeError {
    /// It is no PE32+ file.
    #[error("it is no PE32+ program: {0}")]
    NotPe(&'static str),
    /// It has been signed: what is added would break that.
    #[error("it is signed")]
    Signed,
    /// It has a section of this name already.
    #[error("it has a section {0} already")]
    Taken(String),
    /// There is no room for further headers of sections.
    #[error("its headers have room for {room} further sections, {needed} are needed")]
    NoRoom {
        /// Headers that fit.
        room: usize,
        /// Headers that are needed.
        needed: usize,
    },
    /// The image would be larger than 32 bits can say.
    #[error("with its sections it would be larger than 4 GiB")]
    TooLarge,
    /// Reading a section's content failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
}
