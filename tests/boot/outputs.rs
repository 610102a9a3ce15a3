//! Disks in every format, of the size and with the names that were asked for.

use std::fs;
use std::path::Path;

use forger_tests::forger::forger;
use forger_tests::judge::{assert_clean, number, superblock};
use forger_tests::mount::Mount;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

use super::{disk, fake, partition};

#[test]
fn the_kernel_mounts_the_root_of_a_disk() {
    need!("root", "mount", "loop");
    let scratch = Scratch::new();
    let out = scratch.path("disk.raw");
    let made = disk(&fake(&scratch), &out, &["--output", "json"]);
    assert!(made.status.success(), "{made}");
    let facts = forger().args(["info", "--output", "json"]).arg(&out).ok();
    let facts: serde_json::Value = serde_json::from_slice(&facts.stdout).unwrap();
    let root = &facts["partition_table"]["partitions"][1];
    let number = |field: &str| root[field].as_u64().unwrap();
    let mount = Mount::part_read_only(&out, number("start"), number("size"));
    let read = |name: &str| fs::read(mount.join(name)).unwrap();
    assert_eq!(read("home/me"), b"my own\n");
    assert_eq!(read("boot/vmlinuz-5.10.0-2"), vec![1; 300_000]);
    assert!(mount.join("usr/lib/repart.d/50-root.conf").exists());
}

/// Whatever has its tables first goes to standard output as it goes into a file.
#[test]
fn a_disk_of_every_format_that_can_be_streamed_is_streamed() {
    let scratch = Scratch::new();
    let tar = fake(&scratch);
    let made = |args: &[&str], out: &Path| {
        let run = forger().args(["disk", "-q", "--no-sync", "--esp-size", "100M"]);
        let run = run.env("TMPDIR", "/nonexistent").args(args).arg(&tar);
        run.arg("-o").arg(out).ok().stdout
    };
    let raw = scratch.path("disk.raw");
    made(&[], &raw);
    for (name, args) in [
        ("disk.vhd", &["--format", "vhd"][..]),
        ("disk.vhdx", &["--format", "vhdx"]),
        ("disk.simg", &["--format", "android-sparse"]),
        ("disk.raw.zst", &["--format", "raw", "--compress", "zstd:1"]),
        ("disk.vmdk", &["--format", "vmdk", "--compress", "zlib:1"]),
    ] {
        let file = scratch.path(name);
        made(args, &file);
        let streamed = made(args, Path::new("-"));
        assert!(fs::read(&file).unwrap() == streamed, "{name}");
        forger().arg("compare").arg(&raw).arg(&file).ok();
    }
}

#[test]
fn what_holds_the_disk_says_how_large_its_sectors_are() {
    let scratch = Scratch::new();
    let tar = fake(&scratch);
    for format in ["vhdx", "vhdx-fixed"] {
        let out = scratch.path(&format!("{format}.image"));
        let args = ["--format", format, "--sector-size", "4096", "--no-sync"];
        let made = disk(&tar, &out, &args);
        assert!(made.status.success(), "{made}");
        let facts = forger().args(["info", "--output", "json"]).arg(&out).ok();
        let facts: serde_json::Value = serde_json::from_slice(&facts.stdout).unwrap();
        assert_eq!(facts["vhdx"]["sector_size"], 4096, "{facts}");
        assert_eq!(facts["partition_table"]["sector_size"], 4096, "{facts}");
    }
}

#[test]
fn a_root_is_called_and_has_room_as_asked() {
    need!("e2fsck", "dumpe2fs");
    let scratch = Scratch::new();
    let out = scratch.path("disk.qcow2");
    let uuid = "12345678-1234-4234-9234-123456789abc";
    let id = "abcdef01-2345-4678-9abc-def012345678";
    let names = ["--label", "system", "--uuid", uuid, "--disk-id", id];
    let made = disk(
        &fake(&scratch),
        &out,
        &[&names[..], &["--free", "200M"]].concat(),
    );
    assert!(made.status.success(), "{made}");
    let facts = forger().args(["info", "--output", "json"]).arg(&out).ok();
    let facts: serde_json::Value = serde_json::from_slice(&facts.stdout).unwrap();
    assert_eq!(facts["partition_table"]["id"], id);
    let root = scratch.path("root");
    partition(&out, "root", &root);
    assert_clean(&root);
    let facts = superblock(&root);
    assert_eq!(facts["Filesystem volume name"], "system");
    assert_eq!(facts["Filesystem UUID"], uuid);
    let free = number(&facts, "Free blocks") * 4096;
    assert!((200 << 20..232 << 20).contains(&free), "{free}");
}

#[test]
fn a_disk_has_the_size_that_was_asked_for_and_its_root_fills_it() {
    need!("sgdisk", "e2fsck");
    let scratch = Scratch::new();
    let out = scratch.path("disk.raw");
    let made = disk(
        &fake(&scratch),
        &out,
        &["--size", "1G", "--esp-size", "128M"],
    );
    assert!(made.status.success(), "{made}");
    assert_eq!(fs::metadata(&out).unwrap().len(), 1 << 30);
    let judged = Run::new("sgdisk").arg("-v").arg(&out).ok();
    assert!(judged.text().contains("No problems found"), "{judged}");
    let root = scratch.path("root");
    partition(&out, "root", &root);
    assert_clean(&root);
    assert_eq!(fs::metadata(&root).unwrap().len(), (1024 - 128 - 2) << 20);
}
