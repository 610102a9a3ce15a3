//! Kernels that are kept, a folder each, beside the local store.
//!
//! ```text
//! STORE/kernels/lock        held by who adds or removes
//! STORE/kernels/defaults    which one is taken where none is named, by what takes it, in JSON
//! STORE/kernels/NAME/       kernel.json (what is known of it), kernel, modules/ (as in lib/modules/RELEASE)
//! STORE/kernels/.adding/    one that is not complete yet
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger::catalog::is_name;
use forger_vm::kernel::{self, Folder, Format, Image, Kernel};
use serde::{Deserialize, Serialize};

use crate::config;
use crate::exit::Failure;

/// What is known of a kernel.
pub(super) const FACTS: &str = "kernel.json";
/// The kernel itself.
pub(super) const KERNEL: &str = "kernel";
/// Its modules.
pub(super) const MODULES: &str = "modules";
const DEFAULTS: &str = "defaults";

/// The kernels that are kept.
#[derive(Clone, Debug)]
pub(crate) struct Kernels {
    folder: PathBuf,
}

/// What is known of a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// What it is called.
    pub(crate) name: String,
    /// Its release, as `uname -r` says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<String>,
    /// What it is, as a file.
    pub(crate) format: String,
    /// What it runs on.
    #[serde(rename = "arch")]
    pub(crate) architecture: String,
    /// How many modules there are.
    pub(crate) modules: usize,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// The package it came in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) package: Option<String>,
    /// The package's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// When it was added, in seconds since 1970.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) added: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A kernel that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) facts: Facts,
    folder: PathBuf,
}

impl Stored {
    /// Returns where the kernel itself is.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(KERNEL)
    }

    /// Returns where its modules are, if it has any.
    pub(crate) fn modules(&self) -> Option<PathBuf> {
        let folder = self.folder.join(MODULES);
        folder.is_dir().then_some(folder)
    }

    /// Opens it for a guest.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(crate) fn kernel(&self) -> Result<Kernel, kernel::Error> {
        let kernel = Kernel::open(&self.path())?;
        Ok(match self.modules() {
            Some(folder) => kernel.with_modules(Arc::new(Folder(folder))),
            None => kernel,
        })
    }

    /// Tells what takes it.
    pub(crate) fn slot(&self) -> &str {
        slot_named(&self.facts.format, &self.facts.architecture)
    }
}

/// Tells what takes a kernel: `uml`, or machines of its architecture.
pub(super) fn slot(image: &Image) -> String {
    let (format, architecture) = (image.format.to_string(), image.architecture.to_string());
    slot_named(&format, &architecture).to_owned()
}

fn slot_named<'a>(format: &'a str, architecture: &'a str) -> &'a str {
    match format == Format::Uml.to_string() {
        true => format,
        false => architecture,
    }
}

impl Kernels {
    /// Finds the folder of the user's kernels, which need not be there.
    ///
    /// # Errors
    /// No such folder in the environment.
    pub(crate) fn open() -> Result<Self, Failure> {
        let store = config::store_folder().ok_or_else(|| {
            Failure::failed("there is no folder for kernels").help("set FORGER_STORE")
        })?;
        Ok(Self {
            folder: store.join("kernels"),
        })
    }

    /// Lists the kernels, by name.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub(crate) fn list(&self) -> Result<Vec<Stored>, Failure> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| self.failed(error))?.file_name();
            if let Some(name) = name.to_str().filter(|name| is_name(name)) {
                all.extend(self.get(name)?);
            }
        }
        all.sort_by(|a, b| a.facts.name.cmp(&b.facts.name));
        Ok(all)
    }

    /// Finds a kernel by its name.
    ///
    /// # Errors
    /// One that cannot be read.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Stored>, Failure> {
        if !is_name(name) {
            // A release has characters that no name has.
            let plain = plain(name);
            let found = match is_name(&plain) {
                true => self.get(&plain)?,
                false => None,
            };
            return Ok(found.filter(|stored| stored.facts.release.as_deref() == Some(name)));
        }
        let folder = self.folder.join(name);
        match fs::read(folder.join(FACTS)) {
            Ok(bytes) => {
                let facts = serde_json::from_slice::<Facts>(&bytes).map_err(|error| {
                    self.failed(error)
                        .help(format!("forger kernel rm {name} removes it"))
                })?;
                let facts = Facts {
                    name: name.to_owned(),
                    ..facts
                };
                Ok(Some(Stored { facts, folder }))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Finds a kernel by its name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn named(&self, name: &str) -> Result<Stored, Failure> {
        self.get(name)?.ok_or_else(|| {
            Failure::failed(format!("there is no kernel {name:?}"))
                .help("forger kernel ls lists those that there are")
        })
    }

    /// Returns the kernel that is taken where none is named: the one that was chosen, else the last added.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub(crate) fn default(&self, slot: &str) -> Result<Option<Stored>, Failure> {
        if let Some(name) = self.defaults()?.get(slot)
            && let Some(stored) = self.get(name)?
            && stored.slot() == slot
        {
            return Ok(Some(stored));
        }
        let all = self.list()?.into_iter();
        let fitting = all.filter(|stored| stored.slot() == slot);
        Ok(fitting.max_by_key(|stored| stored.facts.added))
    }

    /// Chooses the kernel that is taken where none is named.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(crate) fn choose(&self, stored: &Stored) -> Result<(), Failure> {
        let _lock = self.lock()?;
        let mut defaults = self.defaults()?;
        defaults.insert(stored.slot().to_owned(), stored.facts.name.clone());
        let text = serde_json::to_vec_pretty(&defaults).map_err(|error| self.failed(error))?;
        let (new, path) = (self.folder.join(".defaults"), self.folder.join(DEFAULTS));
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| self.failed(error))
    }

    /// Removes a kernel.
    ///
    /// # Errors
    /// One that there is not, or cannot be removed.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        let _lock = self.lock()?;
        let gone = self.folder.join(".adding");
        // What cannot be understood can be removed all the same.
        let folder = match is_name(name) && self.folder.join(name).is_dir() {
            true => self.folder.join(name),
            false => self.named(name)?.folder,
        };
        let removed = clear(&gone)
            .and_then(|()| fs::rename(folder, &gone))
            .and_then(|()| clear(&gone));
        removed.map_err(|error| self.failed(error))
    }

    /// Takes the lock of who adds or removes, and makes the folder.
    pub(super) fn lock(&self) -> Result<File, Failure> {
        let lock = || -> io::Result<File> {
            fs::create_dir_all(&self.folder)?;
            let file = File::create(self.folder.join("lock"))?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|error| self.failed(error))
    }

    /// Returns the folder of all.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn defaults(&self) -> Result<BTreeMap<String, String>, Failure> {
        match fs::read(self.folder.join(DEFAULTS)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| self.failed(error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(super) fn failed(
        &self,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Failure {
        let folder = self.folder.display();
        Failure::failed(format!("cannot use the kernels in {folder}")).because(error)
    }
}

/// Makes a name of a release.
pub(super) fn plain(release: &str) -> String {
    let plain = |c| if is_name(&format!("x{c}")) { c } else { '-' };
    release.chars().map(plain).collect()
}

/// Removes a folder with all that is in it, if it is there.
pub(super) fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
