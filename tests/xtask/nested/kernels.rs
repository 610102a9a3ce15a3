//! Kernels out of packages, with such modules as guests need.

use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use forger_tests::process::Run;

use super::done;
use crate::Outcome;

/// Parts of a kernel's modules that guests or their host may need.
const PARTS: [&str; 15] = [
    "kernel/drivers/virtio",
    "kernel/drivers/block",
    "kernel/drivers/char",
    "kernel/drivers/misc/pvpanic",
    "kernel/fs/ext4",
    "kernel/fs/jbd2",
    "kernel/fs/mbcache.ko",
    "kernel/fs/mbcache.ko.xz",
    "kernel/crypto",
    "kernel/lib",
    "kernel/arch/x86",
    "kernel/virt",
    "kernel/net/core/failover.ko",
    "kernel/drivers/net/net_failover.ko",
    "kernel/drivers/net/virtio_net.ko",
];

/// Where a bzImage says how long its setup is, in sectors less one; where its payload begins behind that; and how long
/// it is: [the boot protocol](https://docs.kernel.org/arch/x86/boot.html), 2.08 and later.
const SETUP_SECTORS: usize = 0x1f1;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// What stands behind the compressed payload: the length of what it holds.
const TRAILER: usize = 4;

/// A kernel in a folder.
pub(super) struct Unpacked {
    pub(super) image: PathBuf,
    /// As lib/modules/RELEASE.
    pub(super) modules: PathBuf,
}

/// Unpacks of a kernel's package what guests need, as the root of a filesystem has it.
pub(super) fn unpack(deb: &Path, to: &Path) -> Result<Unpacked, Box<dyn Error>> {
    fs::create_dir_all(to)?;
    let unpack = Run::new("dpkg-deb").arg("-x").arg(deb).arg(to);
    done(unpack.limit(300))?;
    let modules = to.join("usr/lib/modules");
    let old = to.join("lib/modules");
    if old.exists() {
        fs::create_dir_all(to.join("usr/lib"))?;
        fs::rename(old, &modules)?;
    }
    let modules = only(&modules, "")?;
    keep(&modules)?;
    let image = only(&to.join("boot"), "vmlinuz-")?;
    Ok(Unpacked { image, modules })
}

/// Returns what in a folder has a name that begins so.
fn only(folder: &Path, prefix: &str) -> Result<PathBuf, Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(entry.path());
        }
    }
    Err(format!("{}: nothing of a kernel's in it", folder.display()).into())
}

/// Removes what of a kernel's modules nobody needs.
fn keep(release: &Path) -> io::Result<()> {
    let kept = release.with_file_name("kept");
    for part in PARTS {
        let (from, to) = (release.join(part), kept.join(part));
        fs::create_dir_all(to.parent().unwrap_or(&kept))?;
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
    }
    fs::remove_dir_all(release.join("kernel"))?;
    fs::rename(kept.join("kernel"), release.join("kernel"))?;
    fs::remove_dir_all(kept)
}

/// Makes of an unpacked kernel one whose image is the ELF in its bzImage; the modules are the same.
pub(super) fn uncompressed(from: &Path, to: &Path) -> Outcome {
    let image = only(&from.join("boot"), "vmlinuz-")?;
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let release = name.trim_start_matches("vmlinuz-");
    let bytes = fs::read(&image)?;
    let word = |at: usize| {
        let word = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(word)).ok()
    };
    let payload = || {
        let setup = (usize::from(*bytes.get(SETUP_SECTORS)?) + 1) * 512;
        let start = setup + word(PAYLOAD_OFFSET)?;
        let end = start + word(PAYLOAD_LENGTH)? - TRAILER;
        bytes.get(start..end)
    };
    let payload = payload().ok_or("the kernel's image is no bzImage")?;
    fs::create_dir_all(to.join("boot"))?;
    let unpack = Run::new("zstd").args(["--decompress", "--stdout"]);
    let elf = unpack.stdin(payload).limit(120).try_output()?;
    if !elf.status.success() {
        return Err(elf.to_string().into());
    }
    fs::write(to.join(format!("boot/vmlinux-{release}")), elf.stdout)?;
    let modules = from.file_name().ok_or("a kernel's folder has a name")?;
    let modules = Path::new("../../..").join(modules).join("usr/lib/modules");
    fs::create_dir_all(to.join("usr/lib"))?;
    Ok(symlink(modules, to.join("usr/lib/modules"))?)
}
