//! A folder for the guest's memory.
//!
//! User-Mode Linux keeps the machine's memory in a file and maps parts of it into the guest's
//! processes, executable ones among them.

use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statfs, statvfs};

use super::Uml;
use crate::error::Error;

/// The magic number of a filesystem in memory, `TMPFS_MAGIC`.
const TMPFS: u32 = 0x0102_1994;

/// Chooses the first folder in memory with room enough, else the first one on a disk.
pub(super) fn choose(folders: &[PathBuf], memory: u64) -> Result<PathBuf, Error> {
    let mut reasons = Vec::new();
    let mut on_disk = None;
    for folder in folders {
        match look(folder, memory) {
            Ok(true) => return Ok(folder.clone()),
            Ok(false) => on_disk = on_disk.or(Some(folder)),
            Err(reason) => reasons.push(format!("{}: {reason}", folder.display())),
        }
    }
    on_disk.cloned().ok_or_else(|| {
        let mib = memory >> 20;
        Uml::unusable(format!(
            "no folder holds {mib} MiB of executable memory ({}); set TMPDIR to one that does",
            reasons.join(", ")
        ))
    })
}

/// Tells whether a folder that will do lies in memory.
fn look(folder: &Path, memory: u64) -> Result<bool, String> {
    let text = |error: rustix::io::Errno| std::io::Error::from(error).to_string();
    let facts = statvfs(folder).map_err(text)?;
    if facts.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err("mounted noexec".to_owned());
    }
    if facts.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err("mounted read-only".to_owned());
    }
    let free = facts.f_bavail.saturating_mul(facts.f_frsize);
    if free < memory {
        return Err(format!("{} MiB free", free >> 20));
    }
    crate::scratch::file(folder).map_err(|error| match error {
        Error::Host { source, .. } => source.to_string(),
        error => error.to_string(),
    })?;
    let kind = statfs(folder).map_err(text)?.f_type;
    Ok(u32::try_from(kind).is_ok_and(|kind| kind == TMPFS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_will_not_do_are_named_with_their_reasons() {
        let folder = tempfile::tempdir().unwrap();
        let folders = ["/proc".into(), folder.path().join("none")];
        let error = choose(&folders, 1 << 20).unwrap_err().to_string();
        for part in ["/proc: ", "/none: No such file", "TMPDIR"] {
            assert!(error.contains(part), "{error}");
        }
        let error = choose(&[folder.path().into()], u64::MAX).unwrap_err();
        assert!(error.to_string().contains("MiB free"), "{error}");
        let chosen = choose(&["/proc".into(), folder.path().into()], 1 << 20);
        assert_eq!(chosen.unwrap(), folder.path());
    }
}
