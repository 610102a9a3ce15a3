//! Machines whose disks are forger's: the kernel's own driver judges the virtio block device.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use forger_tests::forger::forger;
use forger_tests::initramfs::initramfs;
use forger_tests::judge::assert_clean;
use forger_tests::process::{Output, Run};
use forger_tests::scratch::Scratch;
use forger_tests::{need, tools, workspace};
use forger_vm::uml::PRELOAD;

use crate::serve::Server;

/// What the machine does: read the whole disk, change the filesystem on it, go.
const SCRIPT: &str = "#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /dev /proc /mnt
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b insmod /virtio_blk.ko
echo \"whole $($b sha256sum < /dev/vda)\"
$b mount -t ext4 /dev/vda /mnt && echo mounted
$b dd if=/dev/urandom of=/mnt/new bs=1M count=20 conv=fsync 2> /dev/null
$b rm /mnt/etc/passwd
echo \"new $($b sha256sum < /mnt/new)\"
$b fstrim /mnt && echo trimmed
$b umount /mnt && echo unmounted
$b poweroff -f
";

/// Finds the module for block devices of User-Mode Linux.
fn module() -> Option<Vec<u8>> {
    let versions = fs::read_dir("/usr/lib/uml/modules").ok()?;
    versions.flatten().find_map(|version| {
        fs::read(version.path().join("kernel/drivers/block/virtio_blk.ko")).ok()
    })
}

/// Runs a machine with the script and one disk; returns its console.
fn user_mode_linux(scratch: &Scratch, socket: &Path, wrapped: impl Fn(Run) -> Run) -> Output {
    let busybox = fs::read(tools::find("busybox").expect("it was asked for")).unwrap();
    let module = module().expect("the package of linux.uml has it");
    let initrd = initramfs(&[
        ("bin", 0o040_755, b""),
        ("bin/busybox", 0o100_755, &busybox),
        ("virtio_blk.ko", 0o100_644, &module),
        ("init", 0o100_755, SCRIPT.as_bytes()),
    ]);
    let initrd = scratch.file("initrd", initrd);
    // Debian's kernel has no room for the registers that AMX adds; this stands between.
    let preload = scratch.file("preload.so", PRELOAD);
    let run = Run::new("env")
        .arg(format!("LD_PRELOAD={}", preload.display()))
        .arg(tools::find("linux.uml").expect("it was asked for"))
        .args([
            "mem=192M",
            "con0=null,fd:1",
            "con=null",
            "ssl=null",
            "quiet",
            "panic=-1",
        ])
        .arg(format!("initrd={}", initrd.display()))
        .arg(format!("uml_dir={}", scratch.root().display()))
        .arg(format!("virtio_uml.device={}:2", socket.display()))
        .env("TMPDIR", scratch.root())
        .env("HOME", scratch.root())
        .limit(120);
    wrapped(run).output()
}

fn sample(scratch: &Scratch) -> PathBuf {
    let tar = workspace().join("testdata/sample-rootfs.tar.zst");
    scratch.mkfs(&tar, "root.ext4", &["--size", "64M"])
}

#[test]
fn user_mode_linux_reads_and_changes_a_disk_that_an_ordinary_user_serves() {
    need!("root", "setpriv", "linux.uml", "busybox", "e2fsck");
    let scratch = Scratch::new();
    fs::set_permissions(scratch.root(), fs::Permissions::from_mode(0o777)).unwrap();
    let image = sample(&scratch);
    let saved = scratch.path("saved.raw");
    let nobody = [
        "--reuid",
        "65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ];
    let as_nobody = |run: Run| run.under("setpriv", &nobody);
    let socket = scratch.path("disk.sock");
    let run = forger()
        .arg("serve")
        .arg(&image)
        .args([
            "--protocol",
            "vhost-user-blk",
            "--overlay",
            "file",
            "--once",
            "--socket",
        ])
        .arg(&socket)
        .arg("--save")
        .arg(&saved)
        .env("TMPDIR", scratch.root());
    let server = Server::of(as_nobody(run), socket.clone());
    let machine = user_mode_linux(&scratch, &socket, as_nobody);
    let said = machine.text();
    // The machine has gone, and the server goes by itself.
    server.ended();
    let digest = |path: &Path| {
        let sum = Run::new("sha256sum").arg(path).ok().text();
        sum.split(' ').next().unwrap().to_owned()
    };
    assert!(
        said.contains(&format!("whole {}", digest(&image))),
        "{machine}"
    );
    for step in ["mounted", "trimmed", "unmounted"] {
        assert!(
            said.lines().any(|line| line.trim() == step),
            "{step}: {machine}"
        );
    }
    assert_clean(&saved);
    let new = forger()
        .arg("cat")
        .arg(format!("{}:/new", saved.display()))
        .ok()
        .stdout;
    let new = scratch.file("new", new);
    assert!(said.contains(&format!("new {}", digest(&new))), "{machine}");
    let gone = forger()
        .arg("cat")
        .arg(format!("{}:/etc/passwd", saved.display()))
        .output();
    assert_eq!(gone.status.code(), Some(1), "{gone}");
    assert_clean(&image);
}
