//! The images that e2fsprogs tests its own e2fsck with, from Debian's source package.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::process::Run;
use crate::{cache, tools};

/// Returns a folder of damaged images, `f_*.img`, fetched and unpacked once; `None`, as a reported
/// skip, when they cannot be had.
///
/// # Panics
/// When they cannot be had and nothing may be skipped.
#[must_use]
pub fn damaged_images() -> Option<PathBuf> {
    if !tools::present(&["apt-get", "dpkg-query", "tar", "gzip"]) {
        return None;
    }
    cache::made("e2fsprogs-images", unpack)
        .map_err(|error| tools::skip(&error))
        .ok()
}

/// Fetches the source archive and unpacks every image into `to`.
fn unpack(to: &Path) -> Result<(), String> {
    let text = |error: std::io::Error| format!("{}: {error}", to.display());
    fs::create_dir(to).map_err(text)?;
    let archive = to.join("source.tar.gz");
    fetch(&archive)?;
    Run::new("tar")
        .args(["--extract", "--wildcards", "--strip-components=2", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(to)
        .arg("*/tests/f_*/image.gz")
        .try_output()?;
    fs::remove_file(&archive).map_err(text)?;
    for entry in fs::read_dir(to).map_err(text)? {
        let folder = entry.map_err(text)?.path();
        let packed = folder.join("image.gz");
        let unpacked = Run::new("gzip").args(["-dc"]).arg(&packed).try_output()?;
        if !unpacked.status.success() {
            return Err(unpacked.to_string());
        }
        fs::remove_dir_all(&folder).map_err(text)?;
        fs::write(folder.with_extension("img"), &unpacked.stdout).map_err(text)?;
    }
    Ok(())
}

/// Fetches the archive that lies beside the package on the mirror apt uses.
fn fetch(archive: &Path) -> Result<(), String> {
    let version = Run::new("dpkg-query")
        .args(["-W", "-f", "${source:Upstream-Version}", "e2fsprogs"])
        .try_output()?;
    let uris = Run::new("apt-get")
        .args(["download", "--print-uris", "e2fsprogs"])
        .limit(60)
        .try_output()?;
    let (version, uris) = (version.text(), uris.text());
    let folder = uris
        .strip_prefix('\'')
        .and_then(|uri| uri.split('\'').next()?.rsplit_once('/'))
        .map(|(folder, _)| folder)
        .ok_or_else(|| format!("apt knows no mirror of e2fsprogs: {uris}"))?;
    let uri = format!("{folder}/e2fsprogs_{}.orig.tar.gz", version.trim());
    let fetched = Run::new("/usr/lib/apt/apt-helper")
        .args(["download-file", &uri])
        .arg(archive)
        .limit(300)
        .try_output()?;
    match File::open(archive) {
        Ok(_) if fetched.status.success() => Ok(()),
        _ => Err(format!("cannot fetch {uri}: {fetched}")),
    }
}
