//! Why a kernel cannot be used.

use std::fmt;
use std::io;

/// Why a kernel, a package or a module cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading a stream failed.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is no kernel that is known.
    #[error(
        "it is no kernel: neither a bzImage, an Image of arm64 nor an ELF program with a version"
    )]
    NotAKernel,
    /// It is no Debian package.
    #[error("it is no Debian package: {why}")]
    NotAPackage {
        /// What is wrong.
        why: &'static str,
    },
    /// Something packed cannot be unpacked.
    #[error("{part} cannot be unpacked")]
    Unpack {
        /// What it is.
        part: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something is larger than anything of its kind.
    #[error("{what} has more than {limit} bytes")]
    TooLarge {
        /// What it is.
        what: String,
        /// How many it may have, in bytes.
        limit: u64,
    },
    /// A file of modules has a name that none has.
    #[error("{path:?} is no path of a module")]
    Path {
        /// The name.
        path: String,
    },
    /// An ELF file contradicts itself.
    #[error("{path}: the ELF file is damaged: {why}")]
    Elf {
        /// The file.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A list of modules cannot be understood.
    #[error("{file} cannot be understood in line {line}")]
    Text {
        /// The file.
        file: &'static str,
        /// The line, from 1.
        line: usize,
    },
    /// A module is not there.
    #[error("the kernel has no module {name}{}", ByWhom(.by.as_deref()))]
    NoModule {
        /// Its name.
        name: String,
        /// The module that needs it.
        by: Option<String>,
    },
    /// Modules need each other.
    #[error("the module {name} needs itself, or too many others")]
    Circle {
        /// Its name.
        name: String,
    },
}

impl Error {
    /// Says which file cannot be read.
    pub(super) fn file(
        path: impl fmt::Display,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::File {
            path: path.to_string(),
            source: source.into(),
        }
    }

    /// Says what cannot be unpacked.
    pub(super) fn unpack(
        part: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unpack {
            part: part.into(),
            source: source.into(),
        }
    }
}

/// Shows who needs a module.
struct ByWhom<'a>(Option<&'a str>);

impl fmt::Display for ByWhom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(by) => write!(f, ", which {by} needs"),
            None => Ok(()),
        }
    }
}
