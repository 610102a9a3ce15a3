//! Kernels for guests: what one is, where it comes from, and the modules that belong to it.
//!
//! ```text
//!  image      a kernel by its bytes: bzImage, vmlinux, arm64's Image, User-Mode Linux
//!  deb, ar    a Debian package: an ar archive with two tars
//!  contents   kernels and modules in a tar: a package's, a kernel bundle's
//!  place      what a file is by its path, in packages, bundles and root filesystems
//!  modinfo    what a module says of itself
//!  modules    all modules of a kernel, and what has to be loaded for some of them
//!  texts      modules.dep, modules.softdep, modules.alias, modules.builtin
//!  files      the folder lib/modules/RELEASE, on this machine or in an image
//! ```
//!
//! Nothing here downloads: it is handed files.

mod ar;
mod contents;
mod deb;
mod elf;
mod error;
mod files;
mod image;
mod modinfo;
mod modules;
mod place;
mod texts;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::initramfs::Module;
use crate::scratch;

pub use self::contents::{Contents, Piece};
pub use self::deb::{Control, Package};
pub use self::error::Error;
pub use self::files::{Folder, Inside, ModuleFiles};
pub use self::image::{Architecture, Format, Image, is_release};
pub use self::modules::{Closure, Modules};
pub use self::place::Place;

/// The largest kernel, and the largest module as it is packed, in bytes.
pub const MAX_FILE: u64 = 512 << 20;

/// A kernel that guests can be started with, and the modules that belong to it.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub image: Image,
    /// Its modules; none where it needs none, or nobody knows them.
    pub modules: Option<Arc<dyn ModuleFiles>>,
    /// Keeps a file that has no name.
    _held: Option<Arc<File>>,
}

impl Kernel {
    /// Opens a kernel without modules.
    ///
    /// # Errors
    /// A file that cannot be read or is none.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::file(path.display(), error);
        let file = File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        let head = (&file).take(image::HEAD).read_to_end(&mut bytes);
        head.map_err(failed)?;
        // As a rule there is no need to look at all of it.
        if !image::is_known_by_head(&bytes) {
            bytes.append(&mut bounded(file, &path.display().to_string())?);
        }
        Ok(Self {
            path: path.to_owned(),
            image: Image::read(&bytes)?,
            modules: None,
            _held: None,
        })
    }

    /// Keeps a kernel's bytes in an unnamed file below `scratch`, which is there as long as this is.
    ///
    /// # Errors
    /// Bytes that are no kernel; a folder that cannot be written.
    pub fn of_bytes(bytes: &[u8], scratch: &Path) -> Result<Self, Error> {
        let image = Image::read(bytes)?;
        let file = scratch::file(scratch).map_err(|error| Error::file(scratch.display(), error))?;
        let mut writer = &file;
        let written = writer.write_all(bytes);
        written.map_err(|error| Error::file(scratch.display(), error))?;
        Ok(Self {
            path: scratch::path_of(&file),
            image,
            modules: None,
            _held: Some(Arc::new(file)),
        })
    }

    /// Says where its modules are.
    #[must_use]
    pub fn with_modules(mut self, files: Arc<dyn ModuleFiles>) -> Self {
        self.modules = Some(files);
        self
    }

    /// Returns modules with all that they need, unpacked, in the order in which they can be loaded; what is part
    /// of the kernel is left out.
    ///
    /// A kernel whose modules nobody knows is taken to have all that is needed inside.
    ///
    /// # Errors
    /// Files that cannot be read, and one of `needed` that is not there; what is `wished` may be absent.
    pub fn load(&self, needed: &[&str], wished: &[&str]) -> Result<Vec<Module>, Error> {
        match &self.modules {
            Some(files) => Modules::read(&**files)?.load(&**files, needed, wished),
            None => Ok(Vec::new()),
        }
    }
}

/// Reads a whole file of bounded length.
fn bounded(input: impl Read, what: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = input.take(MAX_FILE + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::file(what, error))?;
    match bytes.len() as u64 > MAX_FILE {
        true => Err(Error::TooLarge {
            what: what.to_owned(),
            limit: MAX_FILE,
        }),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests;
