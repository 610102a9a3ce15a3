//! Packages of the distribution this runs on, fetched once per machine.

use std::fs;
use std::path::PathBuf;

use crate::process::Run;
use crate::{cache, tools};

/// Returns a package's file, fetched by `apt-get download`; `None`, as a reported skip, when it cannot be.
///
/// # Panics
/// When it cannot be fetched and nothing may be skipped.
#[must_use]
pub fn package(name: &str) -> Option<PathBuf> {
    if !tools::present(&["apt-get"]) {
        return None;
    }
    let made = cache::made(&format!("{name}.deb"), |part| {
        let folder = part.with_extension("folder");
        let text = |error: std::io::Error| format!("{}: {error}", folder.display());
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).map_err(text)?;
        let fetch = || {
            let run = Run::new("apt-get").args(["--quiet=2", "download", name]);
            run.dir(&folder).limit(300).try_output()
        };
        let mut fetched = fetch()?;
        if !fetched.status.success() && tools::is_root() {
            // Nobody may have asked yet what there is.
            let update = Run::new("apt-get").args(["--quiet=2", "update"]);
            update.limit(300).try_output()?;
            fetched = fetch()?;
        }
        if !fetched.status.success() {
            return Err(fetched.to_string());
        }
        let mut files = fs::read_dir(&folder).map_err(text)?.flatten();
        let file = files.next().ok_or("apt-get fetched nothing")?;
        fs::rename(file.path(), part).map_err(text)?;
        fs::remove_dir_all(&folder).map_err(text)
    });
    made.map_err(|error| tools::skip(&error)).ok()
}

/// Returns the package of the kernel that Debian has for virtual machines, as [`package`] does.
///
/// # Panics
/// As [`kernel`].
#[must_use]
pub fn cloud_kernel() -> Option<PathBuf> {
    kernel("linux-image-cloud-amd64")
}

/// Returns the package of the kernel that another package only names, as [`package`] does.
///
/// # Panics
/// As there, and when `meta` names none.
#[must_use]
pub fn kernel(meta: &str) -> Option<PathBuf> {
    if !tools::present(&["dpkg-deb"]) {
        return None;
    }
    let run = Run::new("dpkg-deb").arg("--field").arg(package(meta)?);
    let depends = run.arg("Depends").ok().text();
    let mut names = depends.split([' ', ',']);
    let name = names.find(|name| name.starts_with("linux-image-"));
    package(name.expect("it depends on the kernel").trim())
}
