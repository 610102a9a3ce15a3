//! All modules of a kernel, and what has to be loaded for some of them.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Error;
use super::files::ModuleFiles;
use super::modinfo::{ModInfo, name_of, plain, unpacked};
use super::{MAX_FILE, texts};
use crate::initramfs::Module;

/// The longest list of modules, in bytes.
const MAX_LIST: u64 = 64 << 20;

/// How many modules may stand in a chain of needs.
const MAX_DEPTH: usize = 200;

/// Most bytes that are loaded together, unpacked.
const MAX_LOADED: usize = 512 << 20;

/// The modules of a kernel: which there are, and what they need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modules {
    /// By name.
    pub(super) known: BTreeMap<String, Known>,
    /// Modules by the other names that they have.
    pub(super) aliases: BTreeMap<String, Vec<String>>,
    /// Names of those that are part of the kernel.
    pub(super) built_in: BTreeSet<String>,
}

/// What is known of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Its path below the folder of modules.
    pub(super) path: String,
    /// Names of those that must be loaded before.
    pub(super) needs: Vec<String>,
    /// Those that should be, if they are there.
    pub(super) wants: Vec<String>,
}

/// What has to be loaded, and what is there anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// Names of modules, each behind all that it needs.
    pub load: Vec<String>,
    /// Of the modules that were asked for, those that are part of the kernel itself.
    pub built_in: Vec<String>,
    /// Of those that were wished for, the ones that the kernel does not have.
    pub absent: Vec<String>,
}

impl Modules {
    /// Reads the lists that depmod made; where there are none, what every module says of itself.
    ///
    /// # Errors
    /// Files that cannot be read or understood.
    pub fn read(files: &dyn ModuleFiles) -> Result<Self, Error> {
        let list = |name: &str| -> Result<Option<String>, Error> {
            let bytes = files.read(name, MAX_LIST)?;
            Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        };
        let mut modules = Self::default();
        if let Some(text) = list(texts::BUILTIN)? {
            modules.read_builtin(&text);
        }
        let Some(text) = list(texts::DEP)? else {
            for path in files.list()? {
                if let Some(bytes) = files.read(&path, MAX_FILE)? {
                    modules.add(&path, bytes)?;
                }
            }
            return Ok(modules);
        };
        modules.read_dep(&text)?;
        modules.read_softdep(&list(texts::SOFTDEP)?.unwrap_or_default());
        modules.read_alias(&list(texts::ALIAS)?.unwrap_or_default());
        Ok(modules)
    }

    /// Adds a module by what it says of itself, as depmod does; `bytes` may be packed.
    ///
    /// # Errors
    /// What is no module.
    pub fn add(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let name = name_of(path).ok_or_else(|| Error::Path {
            path: path.to_owned(),
        })?;
        let info = ModInfo::read(path, &unpacked(path, bytes)?)?;
        for alias in &info.aliases {
            self.name_also(alias, &name);
        }
        let known = Known {
            path: path.to_owned(),
            needs: info.needs,
            wants: info.wants,
        };
        self.known.insert(name, known);
        Ok(())
    }

    /// Returns how many modules there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// Notes a further name of a module.
    pub(super) fn name_also(&mut self, alias: &str, name: &str) {
        let names = self.aliases.entry(plain(alias)).or_default();
        let name = plain(name);
        if !names.contains(&name) {
            names.push(name);
        }
    }

    /// Puts together what has to be loaded for some modules.
    ///
    /// # Errors
    /// One of `needed`, or what a module needs, that is not there; modules that need each other.
    pub fn closure(&self, needed: &[&str], wished: &[&str]) -> Result<Closure, Error> {
        let mut walk = Walk {
            modules: self,
            open: Vec::new(),
            done: BTreeSet::new(),
            closure: Closure::default(),
        };
        let wanted = needed.iter().map(|name| (name, true));
        for (name, must) in wanted.chain(wished.iter().map(|name| (name, false))) {
            let name = plain(name);
            match self.find(&name) {
                Found::Module(name) => walk.visit(name)?,
                Found::BuiltIn => walk.closure.built_in.push(name),
                Found::Nothing if must => return Err(Error::NoModule { name, by: None }),
                Found::Nothing => walk.closure.absent.push(name),
            }
        }
        Ok(walk.closure)
    }

    /// Reads what has to be loaded for some modules, unpacked, in order.
    ///
    /// # Errors
    /// As [`closure`](Self::closure); modules that cannot be read.
    pub fn load(
        &self,
        files: &dyn ModuleFiles,
        needed: &[&str],
        wished: &[&str],
    ) -> Result<Vec<Module>, Error> {
        let mut loaded = Vec::new();
        let mut total = 0_usize;
        for name in self.closure(needed, wished)?.load {
            let known = self.known.get(&name).map(|known| known.path.as_str());
            let packed = match known {
                Some(path) => files.read(path, MAX_FILE)?.map(|bytes| (path, bytes)),
                None => None,
            };
            let Some((path, packed)) = packed else {
                return Err(Error::NoModule { name, by: None });
            };
            let bytes = unpacked(path, packed)?;
            total = total.saturating_add(bytes.len());
            if total > MAX_LOADED {
                return Err(Error::TooLarge {
                    what: "all modules to load together".to_owned(),
                    limit: MAX_LOADED as u64,
                });
            }
            let name = format!("{name}.ko");
            loaded.push(Module { name, bytes });
        }
        Ok(loaded)
    }

    /// Finds a module by its name, or by another one that it has.
    fn find(&self, name: &str) -> Found<'_> {
        if self.built_in.contains(name) {
            return Found::BuiltIn;
        }
        if let Some((name, _)) = self.known.get_key_value(name) {
            return Found::Module(name);
        }
        let also = self
            .aliases
            .get(name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if also.iter().any(|name| self.built_in.contains(name)) {
            return Found::BuiltIn;
        }
        let mut there = also.iter().filter(|name| self.known.contains_key(*name));
        // What works on every processor, where several do the same.
        let generic = there.clone().find(|name| name.ends_with("_generic"));
        match generic.or_else(|| there.next()) {
            Some(name) => Found::Module(name),
            None => Found::Nothing,
        }
    }
}

enum Found<'a> {
    Module(&'a str),
    BuiltIn,
    Nothing,
}

/// A closure that is being put together.
struct Walk<'a> {
    modules: &'a Modules,
    /// Those whose needs are being looked at, the outermost first.
    open: Vec<String>,
    done: BTreeSet<String>,
    closure: Closure,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str) -> Result<(), Error> {
        if self.done.contains(name) {
            return Ok(());
        }
        let modules = self.modules;
        let Some(known) = modules.known.get(name) else {
            return Err(Error::NoModule {
                name: name.to_owned(),
                by: self.open.last().cloned(),
            });
        };
        if self.open.len() >= MAX_DEPTH || self.open.iter().any(|open| open == name) {
            return Err(Error::Circle {
                name: name.to_owned(),
            });
        }
        self.open.push(name.to_owned());
        for need in &known.needs {
            if !modules.built_in.contains(need) {
                self.visit(need)?;
            }
        }
        for want in &known.wants {
            // A wish may lead back to where it came from, or nowhere.
            if let Found::Module(want) = modules.find(want)
                && !self.open.iter().any(|open| open == want)
            {
                self.visit(want)?;
            }
        }
        self.open.pop();
        self.done.insert(name.to_owned());
        self.closure.load.push(name.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/fs/ext4/ext4.ko.xz: kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc16.ko
kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/crc16.ko
kernel/fs/mbcache.ko:
kernel/lib/crc16.ko:
kernel/crypto/crc32c_generic.ko:
kernel/arch/x86/crypto/crc32c-intel.ko:
";

    fn modules() -> Modules {
        let mut modules = Modules::default();
        modules.read_dep(DEP).unwrap();
        modules.read_softdep("# softdeps\nsoftdep ext4 pre: crc32c\n");
        modules.read_alias(
            "alias crc32c crc32c_intel\nalias crc32c crc32c_generic\nalias pci:v*d* ext4\n",
        );
        modules.read_builtin("kernel/drivers/block/virtio_blk.ko\n");
        modules
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let found = modules()
            .closure(&["ext4", "virtio-blk", "jbd2"], &["nvme"])
            .unwrap();
        let order = ["mbcache", "crc16", "jbd2", "crc32c_generic", "ext4"];
        assert_eq!(found.load, order);
        assert_eq!(found.built_in, ["virtio_blk"]);
        assert_eq!(found.absent, ["nvme"]);
    }

    #[test]
    fn lists_that_are_written_are_read_again() {
        let modules = modules();
        let mut again = Modules::default();
        let [(_, dep), (_, softdep), (_, alias)] = modules.to_lists();
        again.read_dep(&dep).unwrap();
        again.read_softdep(&softdep);
        again.read_alias(&alias);
        again.built_in.clone_from(&modules.built_in);
        assert_eq!(again, modules);
    }

    #[test]
    fn missing_modules_and_circles_are_errors() {
        let mut modules = Modules::default();
        let dep = "a.ko: b.ko\nb.ko: a.ko\nc.ko: d.ko\n";
        modules.read_dep(dep).unwrap();
        let said = |name| modules.closure(&[name], &[]).unwrap_err().to_string();
        assert_eq!(said("a"), "the module a needs itself, or too many others");
        assert_eq!(said("c"), "the kernel has no module d, which c needs");
        assert_eq!(said("e"), "the kernel has no module e");
    }

    #[test]
    fn wishes_that_lead_in_circles_are_no_error() {
        let mut modules = Modules::default();
        modules.read_dep("a.ko:\nb.ko:\n").unwrap();
        modules.read_softdep("softdep a pre: b\nsoftdep b pre: a x\n");
        assert_eq!(modules.closure(&["a"], &[]).unwrap().load, ["b", "a"]);
    }

    #[test]
    fn a_chain_without_end_is_refused() {
        let chain: String = (0..100_000)
            .map(|number| format!("m{number}.ko: m{}.ko\n", number + 1))
            .collect();
        let mut modules = Modules::default();
        modules.read_dep(&chain).unwrap();
        assert!(modules.closure(&["m0"], &[]).is_err());
        for text in ["a.ko", "../a.ko: b.ko", "a.ko: b", "a b.ko: c.ko", ": a.ko"] {
            assert!(Modules::default().read_dep(text).is_err(), "{text}");
        }
    }
}
