//! A real root filesystem: Debian's smallest, made once per machine.

use std::path::PathBuf;

use crate::process::Run;
use crate::{cache, tools};

/// The variable that names a tar to use instead of one made here.
pub const VARIABLE: &str = "FORGER_TEST_ROOTFS";

/// Returns a tar of Debian's `minbase`, made by mmdebstrap when there is none yet; `None`, as a
/// reported skip, when it cannot be made.
///
/// # Panics
/// When it cannot be made and nothing may be skipped.
#[must_use]
pub fn minbase() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return Some(path.into());
    }
    if !tools::present(&["mmdebstrap"]) {
        return None;
    }
    made("minbase-bookworm.tar", &["--variant=minbase", "bookworm"])
        .map_err(|error| tools::skip(&error))
        .ok()
}

/// Returns a tar of Debian's `minbase` with further packages, as mmdebstrap's `--include` names them; `None`,
/// as a reported skip, when it cannot be made.
///
/// # Panics
/// When it cannot be made and nothing may be skipped.
#[must_use]
pub fn of_packages(name: &str, include: &str) -> Option<PathBuf> {
    prepared(name, &[include])
}

/// As [`of_packages`], with further options of mmdebstrap, such as hooks.
///
/// # Panics
/// When it cannot be made and nothing may be skipped.
#[must_use]
pub fn prepared(name: &str, options: &[&str]) -> Option<PathBuf> {
    if !tools::present(&["mmdebstrap"]) {
        return None;
    }
    made(
        name,
        &[&["--variant=minbase"], options, &["bookworm"]].concat(),
    )
    .map_err(|error| tools::skip(&error))
    .ok()
}

/// Returns a tar of a Debian that boots, made as [`of_packages`] does.
///
/// # Panics
/// As there.
#[must_use]
pub fn bootable() -> Option<PathBuf> {
    let packages = "--include=linux-image-cloud-amd64,systemd-sysv,systemd-boot-efi,udev,login";
    of_packages("boot-bookworm.tar", packages)
}

/// Returns a tar in the cache, made by mmdebstrap with `args` when it is not there yet.
///
/// # Errors
/// When mmdebstrap cannot make it, for lack of a mirror for instance.
pub fn made(name: &str, args: &[&str]) -> Result<PathBuf, String> {
    cache::made(name, |part| {
        let made = Run::new("mmdebstrap")
            .args(args)
            .arg(part)
            .limit(900)
            .try_output()?;
        match made.status.success() {
            true => Ok(()),
            false => Err(made.to_string()),
        }
    })
}
