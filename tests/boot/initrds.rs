//! Initial RAM disks that are built where the root filesystem has none.

use std::path::Path;

use forger_tests::archive::{Archive, Member};
use forger_tests::forger::forger;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{need, rootfs};

use super::machines::{CMDLINE, boot};
use super::{cat, disk, fake};

/// Lists a cpio archive.
fn members(scratch: &Scratch, archive: Vec<u8>) -> Vec<String> {
    let file = scratch.file("initrd.cpio", archive);
    let listed = Run::new("bsdtar").arg("-tf").arg(file).ok().text();
    listed.lines().map(str::to_owned).collect()
}

/// Makes a disk of a tar and returns what its summary says of initial RAM disks.
fn initrds(tar: &Path, out: &Path, args: &[&str]) -> Vec<Vec<String>> {
    let args = [args, &["--output", "json", "--force"]].concat();
    let made = disk(tar, out, &args);
    assert!(made.status.success(), "{made}");
    let summary: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let kernels = summary["kernels"].as_array().unwrap().iter();
    let names = |kernel: &serde_json::Value| {
        let initrds = kernel["initrds"].as_array().unwrap().iter();
        initrds
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    kernels.map(names).collect()
}

/// The fake root filesystem, with modules of its older kernel, which has no initial RAM disk.
fn with_modules(scratch: &Scratch) -> std::path::PathBuf {
    let folder = "usr/lib/modules/5.9.0-10";
    let dep = "kernel/ext4.ko: kernel/jbd2.ko\nkernel/jbd2.ko:\nkernel/nvme.ko:\nkernel/usb.ko:\n";
    let module = |name: &str| Member::file(format!("{folder}/kernel/{name}.ko"), b"\x7fELF");
    let mut archive = Archive::new();
    archive.extend(&[
        Member::file(format!("{folder}/modules.dep"), dep),
        Member::file(
            format!("{folder}/modules.builtin"),
            "kernel/drivers/virtio/virtio_blk.ko\n",
        ),
        module("ext4"),
        module("jbd2"),
        module("nvme"),
        module("usb"),
    ]);
    scratch.file("modules.tar", archive.finish())
}

#[test]
fn kernels_without_an_initial_ram_disk_get_one_with_what_they_need() {
    need!("bsdtar");
    let scratch = Scratch::new();
    let (tar, out) = (fake(&scratch), scratch.path("disk.raw"));
    let overlay = with_modules(&scratch).display().to_string();
    let found = vec!["boot/initrd.img-5.10.0-2".to_owned()];
    let built = vec!["(built)".to_owned()];
    let overlaid = ["--overlay", &overlay];
    let with = |args: &[&str]| initrds(&tar, &out, &[&overlaid[..], args].concat());
    assert_eq!(with(&[]), [found.clone(), built.clone()]);
    let names = members(&scratch, cat(&out, "esp:/fake/5.9.0-10/initrd"));
    let modules: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_prefix("modules/"))
        .collect();
    assert_eq!(
        modules,
        ["000-jbd2.ko", "001-ext4.ko", "002-nvme.ko"],
        "{names:?}"
    );
    assert!(names.iter().any(|name| name == "init"), "{names:?}");
    assert_eq!(with(&["--initrd", "image"]), [found.clone(), vec![]]);
    assert_eq!(with(&["--initrd", "none"]), [vec![], Vec::<String>::new()]);
    // Without modules there is nothing that would have to be loaded.
    assert_eq!(initrds(&tar, &out, &[]), [found, vec![]]);
    assert_eq!(
        initrds(&tar, &out, &["--initrd", "built"]),
        [built.clone(), built]
    );
    let refused = disk(&tar, &out, &["--force", "--initrd", "built", "--verity"]);
    assert_eq!(refused.status.code(), Some(2), "{refused}");
}

#[test]
fn a_kernel_that_lacks_a_module_is_refused_by_name() {
    let scratch = Scratch::new();
    let (tar, out) = (fake(&scratch), scratch.path("disk.raw"));
    let mut archive = Archive::new();
    let path = "usr/lib/modules/5.9.0-10/modules.dep";
    archive.push(&Member::file(path, "kernel/ext4.ko: kernel/jbd2.ko\n"));
    let overlay = scratch
        .file("broken.tar", archive.finish())
        .display()
        .to_string();
    let refused = disk(&tar, &out, &["--overlay", &overlay]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    for said in [
        "5.9.0-10",
        "no module jbd2, which ext4 needs",
        "--initrd none",
    ] {
        assert!(refused.errors().contains(said), "{said}: {refused}");
    }
    assert!(!out.exists());
}

#[test]
#[ignore = "takes a minute; cargo xtask full runs it"]
fn debian_boots_with_the_initial_ram_disk_that_was_built() {
    need!("qemu-system-x86_64", "qemu-img");
    let Some(tar) = rootfs::bootable() else {
        return;
    };
    let scratch = Scratch::new();
    let out = scratch.path("vm.qcow2");
    let args = ["--exclude", "/boot/initrd.img*", "--cmdline", CMDLINE];
    let made = disk(&tar, &out, &args);
    assert!(made.status.success(), "{made}");
    let listed = forger().arg("find").arg(format!("{}#esp", out.display()));
    assert!(listed.ok().text().contains("/initrd"));
    let said = boot(&scratch, &out, "qcow2", "");
    assert!(!said.contains("forger-guest:"), "{said}");
}
