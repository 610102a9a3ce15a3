//! `--initrd`, and the initial RAM disk that is built where the root filesystem has none.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use forger::boot::{Architecture, Kernel, MakeInitrd, OwnInitrd};
use forger_fs::ext4::Image;
use forger_fs::tree::Content;
use forger_vm::kernel::{self, Inside, Modules};
use forger_vm::{GUEST_INIT, initramfs};

use crate::exit::Failure;

/// What reads the root filesystem.
const NEEDED: [&str; 1] = ["ext4"];

/// Drivers of the disks that usual machines have, virtual ones first, and of what these stand behind.
const WISHED: [&str; 24] = [
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_scsi",
    "nvme",
    "xen_blkfront",
    "hv_vmbus",
    "hv_storvsc",
    "vmw_pvscsi",
    "mptspi",
    "mptsas",
    "megaraid_sas",
    "mpt3sas",
    "ahci",
    "ata_piix",
    "sd_mod",
    "sdhci_pci",
    "sdhci_acpi",
    "mmc_block",
    "xhci_pci",
    "ehci_pci",
    "usb_storage",
    "uas",
    "crc32c",
];

/// Tells which initial RAM disk kernels get, and which files go before it.
///
/// # Errors
/// Words that contradict each other, and one that is built where only systemd finds the root.
pub(super) fn choose(
    typed: &[OsString],
    needs_systemd: bool,
) -> Result<(OwnInitrd, Vec<&OsStr>), Failure> {
    let mut chosen: Option<(&str, OwnInitrd)> = None;
    let mut files = Vec::new();
    for value in typed {
        let (word, own) = match value.to_str() {
            Some("auto") => ("auto", automatic(needs_systemd)),
            Some("image") => ("image", OwnInitrd::Found),
            Some("none") => ("none", OwnInitrd::None),
            Some("built") if needs_systemd => {
                let what = "--initrd built does not find a root by its type or root hash";
                return Err(Failure::usage(what)
                    .help("leave out --root discoverable and --verity, or take SOURCE's"));
            }
            Some("built") => ("built", OwnInitrd::Built(Arc::new(Small { must: true }))),
            _ => {
                files.push(value.as_os_str());
                continue;
            }
        };
        if let Some((before, _)) = chosen.replace((word, own))
            && before != word
        {
            return Err(Failure::usage(format!(
                "--initrd {before} and --initrd {word} contradict each other"
            ))
            .help("a file of that name is ./NAME"));
        }
    }
    let own = chosen.map_or_else(|| automatic(needs_systemd), |(_, own)| own);
    Ok((own, files))
}

fn automatic(needs_systemd: bool) -> OwnInitrd {
    match needs_systemd {
        true => OwnInitrd::Found,
        false => OwnInitrd::FoundOrBuilt(Arc::new(Small { must: false })),
    }
}

/// Makes initial RAM disks of forger's own program and the modules of the kernel that it is for.
#[derive(Debug)]
struct Small {
    /// Whether there has to be one, even if the kernel needs none.
    must: bool,
}

impl MakeInitrd for Small {
    fn make(
        &self,
        image: &Image,
        kernel: &Kernel,
    ) -> Result<Option<Content>, Box<dyn Error + Send + Sync>> {
        let folder = format!("usr/lib/modules/{}", kernel.version);
        let folder = match image.lookup(folder.as_bytes(), true) {
            Ok(_) => folder,
            Err(_) => format!("lib/modules/{}", kernel.version),
        };
        let files = Inside { image, folder };
        let modules = Modules::read(&files)?;
        let mut loaded = Vec::new();
        // A kernel that has no modules at all has everything inside, or nothing helps.
        if modules.count() > 0 {
            loaded = match modules.load(&files, &NEEDED, &WISHED) {
                // Not every kernel lists what it has inside.
                Err(kernel::Error::NoModule { by: None, .. }) if !self.must => return Ok(None),
                loaded => loaded?,
            };
        }
        if loaded.is_empty() && !self.must {
            return Ok(None);
        }
        check_machine(image)?;
        let archive = initramfs(GUEST_INIT, &loaded)?;
        Ok(Some(Content::inline(archive)))
    }
}

/// The program inside is for the machine that this one is.
fn check_machine(image: &Image) -> Result<(), String> {
    let ours = Architecture::named(std::env::consts::ARCH);
    match Architecture::of(image) {
        Ok(theirs) if Some(theirs) != ours => Err(format!(
            "its program is for {}, as this forger is, and SOURCE is for another machine",
            std::env::consts::ARCH
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(typed: &[&str], needs_systemd: bool) -> Option<(String, usize)> {
        let typed: Vec<OsString> = typed.iter().map(OsString::from).collect();
        let (own, files) = choose(&typed, needs_systemd).ok()?;
        let own = match own {
            OwnInitrd::Found => "image",
            OwnInitrd::FoundOrBuilt(_) => "auto",
            OwnInitrd::Built(_) => "built",
            OwnInitrd::None => "none",
        };
        Some((own.to_owned(), files.len()))
    }

    #[test]
    fn words_are_told_from_files() {
        let some = |own: &str, files| Some((own.to_owned(), files));
        assert_eq!(chosen(&[], false), some("auto", 0));
        assert_eq!(chosen(&[], true), some("image", 0));
        assert_eq!(
            chosen(&["a.img", "none", "./built"], false),
            some("none", 2)
        );
        assert_eq!(chosen(&["built", "built"], false), some("built", 0));
        assert_eq!(chosen(&["built"], true), None);
        assert_eq!(chosen(&["built", "image"], false), None);
    }
}
