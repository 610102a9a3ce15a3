//! The folder of a kernel's modules, on this machine or in an image.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use forger_block::BlockRead;
use forger_fs::ext4::{self, FileType, ReadError};

use super::error::Error;
use super::modinfo::name_of;
use super::place::is_module_path;

/// How deep folders of modules are looked through.
const MAX_DEPTH: usize = 32;

/// The folder `lib/modules/RELEASE` of a kernel, wherever it is.
pub trait ModuleFiles: fmt::Debug + Send + Sync {
    /// Reads a file of at most `limit` bytes by its path below the folder; nothing where there is none.
    ///
    /// # Errors
    /// Files that cannot be read, or are longer.
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error>;

    /// Lists the paths of all modules, in order.
    ///
    /// # Errors
    /// Folders that cannot be read.
    fn list(&self) -> Result<Vec<String>, Error>;
}

/// A folder of this machine.
#[derive(Clone, Debug)]
pub struct Folder(
    /// The folder.
    pub PathBuf,
);

impl ModuleFiles for Folder {
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        if !is_module_path(path) {
            return Err(Error::Path {
                path: path.to_owned(),
            });
        }
        let path = self.0.join(path);
        let shown = path.display();
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file(shown, error)),
        };
        let mut bytes = Vec::new();
        let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| Error::file(shown, error))?;
        within(&path.display().to_string(), bytes.len() as u64, limit)?;
        Ok(Some(bytes))
    }

    fn list(&self) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        list_below(&self.0, "", 0, &mut found)?;
        found.sort();
        Ok(found)
    }
}

/// Collects modules; links (`build`, `source`) are not followed.
fn list_below(
    folder: &Path,
    prefix: &str,
    depth: usize,
    found: &mut Vec<String>,
) -> Result<(), Error> {
    let failed = |error| Error::file(folder.display(), error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (name, kind) = (entry.file_name(), entry.file_type().map_err(failed)?);
        let Some(name) = name.to_str() else { continue };
        let path = format!("{prefix}{name}");
        if kind.is_dir() && depth < MAX_DEPTH {
            list_below(&entry.path(), &format!("{path}/"), depth + 1, found)?;
        } else if kind.is_file() && name_of(&path).is_some() && is_module_path(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// A folder in an ext2, ext3 or ext4 image, which may be borrowed or shared.
#[derive(Clone, Debug)]
pub struct Inside<I> {
    /// The image.
    pub image: I,
    /// The folder's path.
    pub folder: String,
}

impl<I> ModuleFiles for Inside<I>
where
    I: Deref<Target = ext4::Image> + fmt::Debug + Send + Sync,
{
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let path = format!("{}/{path}", self.folder);
        let failed = |error: ReadError| Error::file(&path, error);
        let inode = match self.image.lookup(path.as_bytes(), true) {
            Ok(inode) if inode.file_type() == FileType::File => inode,
            Ok(_) | Err(ReadError::NotFound { .. } | ReadError::NotADirectory { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        within(&path, inode.size(), limit)?;
        let content = self.image.content(&inode).map_err(failed)?;
        let mut bytes = vec![0; usize::try_from(content.size()).unwrap_or(0)];
        let read = content.read_at(0, &mut bytes);
        read.map_err(|error| Error::file(&path, error))?;
        Ok(Some(bytes))
    }

    fn list(&self) -> Result<Vec<String>, Error> {
        let failed = |error: ReadError| Error::file(&self.folder, error);
        let root = match self.image.lookup(self.folder.as_bytes(), true) {
            Ok(inode) => inode,
            Err(ReadError::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut found = Vec::new();
        let mut walk = self.image.walk(&root, b"").map_err(failed)?;
        while let Some(step) = walk.next() {
            let step = step.map_err(failed)?;
            if step.depth > MAX_DEPTH {
                walk.skip_below();
            }
            let path = String::from_utf8_lossy(walk.path()).into_owned();
            let path = path.trim_start_matches('/');
            if name_of(path).is_some() && is_module_path(path) {
                found.push(path.to_owned());
            }
        }
        found.sort();
        Ok(found)
    }
}

fn within(path: &str, len: u64, limit: u64) -> Result<(), Error> {
    match len > limit {
        true => Err(Error::TooLarge {
            what: path.to_owned(),
            limit,
        }),
        false => Ok(()),
    }
}
