//! What a file is by its path.

use super::Error;
use super::image::is_release;
use super::modinfo::name_of;

/// Names that a kernel has at the top of a bundle.
const NAMES: [&str; 5] = ["kernel", "vmlinuz", "vmlinux", "linux.uml", "Image"];

/// Names that facts have at the top of a bundle.
const FACTS: [&str; 2] = ["kernel.json", "manifest.json"];

/// Lists that belong to modules, of which more than the modules' own words is known.
const LISTS: [&str; 6] = [
    "modules.alias",
    "modules.builtin",
    "modules.builtin.modinfo",
    "modules.dep",
    "modules.order",
    "modules.softdep",
];

/// The longest path of a module, in bytes.
const MAX_PATH: usize = 512;

/// What a file of a package, a bundle or a root filesystem is to a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A kernel; of this release, where the path says it.
    Kernel(Option<String>),
    /// What is known of a kernel, in JSON.
    Facts,
    /// A list of modules, by its name in the modules' folder.
    List(&'static str),
    /// A module, by its path below the modules' folder.
    Module(String),
}

impl Place {
    /// Tells what a file is; nothing for what belongs to no kernel.
    ///
    /// # Errors
    /// A module whose path could not stand in a list of modules.
    pub fn of(path: &str) -> Result<Option<Self>, Error> {
        let path = path.trim_start_matches("./").trim_start_matches('/');
        if NAMES.contains(&path) || path == "usr/bin/linux.uml" {
            return Ok(Some(Self::Kernel(None)));
        }
        if FACTS.contains(&path) {
            return Ok(Some(Self::Facts));
        }
        let in_boot = ["boot/vmlinuz-", "boot/vmlinux-"];
        if let Some(release) = in_boot.iter().find_map(|start| path.strip_prefix(start)) {
            return Ok(kernel(release));
        }
        let Some((release, below)) = modules(path) else {
            return Ok(None);
        };
        match (release, below) {
            (Some(release), "vmlinuz") => Ok(kernel(release)),
            (_, below) => listed(below),
        }
    }
}

fn kernel(release: &str) -> Option<Place> {
    is_release(release).then(|| Place::Kernel(Some(release.to_owned())))
}

/// Splits a path into the kernel's release and what stands below the folder of its modules.
fn modules(path: &str) -> Option<(Option<&str>, &str)> {
    // At the top of a bundle there is one release.
    if let Some(below) = path.strip_prefix("modules/") {
        return Some((None, below));
    }
    let usr = path.strip_prefix("usr/").unwrap_or(path);
    let folders = ["lib/modules/", "lib/uml/modules/"];
    let rest = folders.iter().find_map(|folder| usr.strip_prefix(folder))?;
    let (release, below) = rest.split_once('/')?;
    is_release(release).then_some((Some(release), below))
}

/// Tells what a file below the modules' folder is.
fn listed(below: &str) -> Result<Option<Place>, Error> {
    if let Some(list) = LISTS.iter().find(|list| **list == below) {
        return Ok(Some(Place::List(list)));
    }
    match name_of(below) {
        Some(_) if is_module_path(below) => Ok(Some(Place::Module(below.to_owned()))),
        Some(_) => Err(Error::Path {
            path: below.chars().take(MAX_PATH).collect(),
        }),
        None => Ok(None),
    }
}

/// Tells whether a path can stand in a list of modules, and leads nowhere but below a folder.
pub(super) fn is_module_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-,@~".contains(&byte);
    let part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
    path.len() <= MAX_PATH && path.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<Place> {
        Place::of(path).unwrap()
    }

    #[test]
    fn packages_bundles_and_root_filesystems_are_understood() {
        let kernel = |release: &str| Some(Place::Kernel(Some(release.to_owned())));
        assert_eq!(of("./boot/vmlinuz-6.1.0-9-amd64"), kernel("6.1.0-9-amd64"));
        assert_eq!(of("usr/lib/modules/6.12.1/vmlinuz"), kernel("6.12.1"));
        assert_eq!(of("/usr/bin/linux.uml"), Some(Place::Kernel(None)));
        assert_eq!(of("vmlinux"), Some(Place::Kernel(None)));
        let module = Some(Place::Module("kernel/fs/a-b.ko.xz".to_owned()));
        for folder in [
            "modules",
            "lib/modules/6.1",
            "./usr/lib/modules/6.1",
            "usr/lib/uml/modules/6.1",
        ] {
            assert_eq!(of(&format!("{folder}/kernel/fs/a-b.ko.xz")), module);
            let list = of(&format!("{folder}/modules.builtin"));
            assert_eq!(list, Some(Place::List("modules.builtin")));
            assert_eq!(of(&format!("{folder}/build/Makefile")), None);
        }
        for other in [
            "boot/config-6.1",
            "boot/vmlinuz",
            "etc/passwd",
            "",
            "boot/vmlinuz-a b",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn modules_with_paths_that_lead_elsewhere_are_refused() {
        for path in [
            "../x.ko",
            "a/../../x.ko",
            "/x.ko",
            "a//x.ko",
            "a b.ko",
            "a\n.ko",
        ] {
            let path = format!("lib/modules/6.1/{path}");
            assert!(Place::of(&path).is_err(), "{path:?}");
        }
    }
}
