//! A kernel that is coming to be in the store: whole, or not at all.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use forger::catalog::is_name;
use forger_vm::kernel::{Control, Folder, Format, Image, Modules, Piece, Place};

use super::store::{FACTS, KERNEL, Kernels, MODULES, clear, plain};
use super::{Facts, Stored};
use crate::config;
use crate::exit::Failure;
use crate::signals::Signals;

/// The list without which modules' own words are taken.
const DEP: &str = "modules.dep";

/// How a kernel is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keep {
    /// What it is called [its release otherwise].
    pub(crate) name: Option<String>,
    /// Whether it takes the place of one of that name.
    pub(crate) force: bool,
    /// Whether it is the one to take where none is named.
    pub(crate) default: bool,
    /// Whether to wait until it is on the disk.
    pub(crate) sync: bool,
}

/// A kernel that is not complete yet; it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Adding {
    kernels: Kernels,
    signals: Signals,
    folder: PathBuf,
    image: Option<Image>,
    facts: Facts,
    /// Packages that only name others, and these.
    needs: Vec<(String, Vec<String>)>,
    _lock: File,
}

impl Adding {
    /// Begins one.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(crate) fn begin(kernels: &Kernels, signals: &Signals) -> Result<Self, Failure> {
        let lock = kernels.lock()?;
        let folder = kernels.folder().join(".adding");
        // Whoever was killed while adding left it behind.
        clear(&folder)
            .and_then(|()| fs::create_dir(&folder))
            .map_err(|error| kernels.failed(error))?;
        Ok(Self {
            kernels: kernels.clone(),
            signals: signals.clone(),
            folder,
            image: None,
            facts: Facts::default(),
            needs: Vec::new(),
            _lock: lock,
        })
    }

    /// Takes a file that belongs to the kernel.
    ///
    /// # Errors
    /// What is no kernel, and a second one; a signal.
    pub(crate) fn piece(&mut self, piece: Piece, from: &str) -> Result<(), Failure> {
        if self.signals.caught().is_some() {
            return Err(Failure::failed(format!("cannot take a kernel from {from}")));
        }
        match piece.place {
            Place::Kernel(release) => self.kernel(&piece.bytes, release, from),
            Place::Facts => {
                // Somebody else's text: what is known by itself is not taken from it.
                if let Ok(facts) = serde_json::from_slice::<Facts>(&piece.bytes) {
                    self.facts.name = facts.name;
                    self.facts.package = self.facts.package.take().or(facts.package);
                    self.facts.version = self.facts.version.take().or(facts.version);
                }
                Ok(())
            }
            Place::List(name) => self.write(&format!("{MODULES}/{name}"), &piece.bytes),
            Place::Module(path) => self.write(&format!("{MODULES}/{path}"), &piece.bytes),
            _ => Ok(()),
        }
    }

    fn kernel(&mut self, bytes: &[u8], release: Option<String>, from: &str) -> Result<(), Failure> {
        let image = Image::read(bytes)
            .map_err(|error| Failure::failed(format!("cannot take {from}")).because(error))?;
        if let Some(before) = &self.image {
            let name = |image: &Image| image.release.clone().unwrap_or_else(|| "one".to_owned());
            return Err(Failure::failed("there are two kernels")
                .because(format!("{} and {}", name(before), name(&image)))
                .help("add one at a time"));
        }
        self.write(KERNEL, bytes)?;
        if image.format == Format::Uml {
            // It is a program.
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(self.folder.join(KERNEL), mode)
                .map_err(|error| self.kernels.failed(error))?;
        }
        self.facts.release = image.release.clone().or(release);
        self.facts.source = Some(from.to_owned());
        self.image = Some(image);
        Ok(())
    }

    /// Notes the package that is taken, and whether anything in it belongs to a kernel.
    pub(crate) fn package(&mut self, control: &Control, taken: bool) {
        if !taken {
            let names = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
            self.needs
                .push((control.package.clone(), names(control.kernels())));
        } else if self.facts.package.is_none() {
            self.facts.package = Some(control.package.clone());
            self.facts.version = Some(control.version.clone());
        }
    }

    /// Keeps the kernel.
    ///
    /// # Errors
    /// No kernel among what was taken, a name that is taken, modules that cannot be understood.
    pub(crate) fn finish(mut self, keep: &Keep) -> Result<Stored, Failure> {
        let Some(image) = self.image.take() else {
            return Err(self.nothing());
        };
        let name = self.name(&image, keep)?;
        if !keep.force && self.kernels.folder().join(&name).exists() {
            return Err(Failure::failed(format!("there is a kernel {name} already"))
                .help("--force replaces it, --name gives this one another name"));
        }
        self.facts = Facts {
            name: name.clone(),
            format: image.format.to_string(),
            architecture: image.architecture.to_string(),
            modules: self.list_modules()?,
            added: config::seconds(),
            ..std::mem::take(&mut self.facts)
        };
        let facts = serde_json::to_vec_pretty(&self.facts);
        let facts = facts.map_err(|error| self.kernels.failed(error))?;
        self.write(FACTS, &facts)?;
        self.publish(&name, keep.sync)?;
        let kernels = self.kernels.clone();
        // Ends the hold on the lock, which choosing takes.
        drop(self);
        let stored = kernels.named(&name)?;
        if keep.default {
            kernels.choose(&stored)?;
        }
        Ok(stored)
    }

    /// Decides what it is called.
    fn name(&self, image: &Image, keep: &Keep) -> Result<String, Failure> {
        if let Some(name) = &keep.name {
            return match is_name(name) {
                true => Ok(name.clone()),
                false => Err(Failure::usage(format!("--name: {name:?} is no name"))
                    .help("letters, digits, dots, hyphens and underscores")),
            };
        }
        let told = Some(&self.facts.name).filter(|name| is_name(name)).cloned();
        let release = self.facts.release.as_deref().unwrap_or("kernel");
        let plain = plain(release);
        Ok(told.unwrap_or_else(|| match image.format {
            Format::Uml => format!("uml-{plain}"),
            _ => plain,
        }))
    }

    /// Makes the lists of modules where they did not come along; returns how many modules there are.
    fn list_modules(&self) -> Result<usize, Failure> {
        let folder = self.folder.join(MODULES);
        if !folder.is_dir() {
            return Ok(0);
        }
        let modules = Modules::read(&Folder(folder.clone())).map_err(|error| {
            Failure::failed("cannot understand the kernel's modules").because(error)
        })?;
        if !folder.join(DEP).exists() {
            for (name, text) in modules.to_lists() {
                self.write(&format!("{MODULES}/{name}"), text.as_bytes())?;
            }
        }
        Ok(modules.count())
    }

    /// Gives the kernel its name.
    fn publish(&self, name: &str, sync: bool) -> Result<(), Failure> {
        let (folder, path) = (self.kernels.folder(), self.kernels.folder().join(name));
        let replaced = folder.join(".replaced");
        let publish = || -> std::io::Result<()> {
            clear(&replaced)?;
            if sync {
                // One call for all of the files.
                rustix::fs::syncfs(File::open(&self.folder)?)?;
            }
            if path.exists() {
                fs::rename(&path, &replaced)?;
            }
            fs::rename(&self.folder, &path)?;
            if sync {
                File::open(folder)?.sync_all()?;
            }
            clear(&replaced)
        };
        publish().map_err(|error| self.kernels.failed(error))
    }

    /// Explains that no kernel was among what was taken.
    fn nothing(&self) -> Failure {
        let Some((package, needs)) = self.needs.first() else {
            return Failure::failed("there is no kernel in it")
                .because("neither boot/vmlinuz-VERSION nor a kernel by itself was found");
        };
        let failure = Failure::failed(format!("{package} holds no kernel"));
        match needs.first() {
            Some(kernel) => failure
                .because(format!("it is a metapackage, which needs {kernel}"))
                .help(format!(
                    "apt-get download {kernel} && forger kernel add {kernel}_*.deb"
                )),
            None => failure.help("packages with kernels are called linux-image-VERSION"),
        }
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.folder.join(path);
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            fs::write(&path, bytes)
        };
        write().map_err(|error| self.kernels.failed(error))
    }
}

impl Drop for Adding {
    fn drop(&mut self) {
        // What cannot be removed now is removed by who adds next.
        let _ = clear(&self.folder);
    }
}
