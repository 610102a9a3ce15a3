//! Whether firmware and kernel take what was made: boots in an emulated machine.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use forger_tests::forger::forger;
use forger_tests::initramfs::initramfs;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{need, rootfs};

use super::{cat, disk};

/// What a kernel in an emulated machine needs beside its root.
pub(super) const CMDLINE: &str = "console=ttyS0 tsc_early_khz=2500000 lpj=5000000";
/// How long a boot may take: 25 s on a quiet machine, many times that where others work beside it.
const BOOT_LIMIT: Duration = Duration::from_secs(520);
/// A disk with sectors of 4096 bytes, for the machine.
const LARGE_SECTORS: &str = ",logical_block_size=4096,physical_block_size=4096";

/// Boots a disk in an emulated machine until it asks for a login; returns its console.
pub(super) fn boot(scratch: &Scratch, disk: &Path, format: &str, device: &str) -> String {
    let console = scratch.path("console");
    // What an earlier machine said counts for nothing.
    let _ = fs::remove_file(&console);
    let vars = scratch.path("vars");
    fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &vars).expect("ovmf is installed");
    let firmware = "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd";
    let run = Run::new("qemu-system-x86_64")
        .args([
            "-accel", "tcg", "-cpu", "max", "-M", "q35", "-smp", "1", "-m", "1024",
        ])
        .args([
            "-display",
            "none",
            "-no-reboot",
            "-nic",
            "none",
            "-monitor",
            "none",
        ])
        .args(["-drive", firmware, "-drive"])
        .arg(format!("if=pflash,format=raw,file={}", vars.display()))
        .arg("-drive")
        .arg(format!(
            "if=none,id=d,format={format},file={}",
            disk.display()
        ))
        .args([
            "-device",
            &format!("virtio-blk-pci,drive=d{device}"),
            "-serial",
        ])
        .arg(format!("file:{}", console.display()))
        .limit(BOOT_LIMIT.as_secs() + 20);
    let started = Instant::now();
    let mut machine = run.start().unwrap();
    let read = || String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
    while machine.runs() && started.elapsed() < BOOT_LIMIT && !read().contains("login:") {
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(machine);
    let said = read();
    assert!(
        said.contains("login:"),
        "no login after {:?}: {said}",
        started.elapsed()
    );
    for bad in ["FAILED", "Failed to start"] {
        assert!(!said.contains(bad), "{said}");
    }
    eprintln!("{}: login after {:?}", disk.display(), started.elapsed());
    said
}

#[test]
fn debian_boots_from_entries_on_a_compressed_qcow2() {
    need!("qemu-system-x86_64", "qemu-img");
    let Some(tar) = rootfs::bootable() else {
        return;
    };
    let scratch = Scratch::new();
    let out = scratch.path("vm.qcow2");
    let made = disk(&tar, &out, &["--compress", "zstd", "--cmdline", CMDLINE]);
    assert!(made.status.success(), "{made}");
    Run::new("qemu-img").arg("check").arg(&out).ok();
    boot(&scratch, &out, "qcow2", "");
}

#[test]
fn debian_boots_from_a_unified_kernel_image_in_sectors_of_4096() {
    need!(
        "qemu-system-x86_64",
        "objdump",
        "sbsign",
        "sbverify",
        "openssl"
    );
    let Some(tar) = rootfs::bootable() else {
        return;
    };
    let scratch = Scratch::new();
    let out = scratch.path("vm.vhdx");
    // A second initial RAM disk, before that of the root filesystem.
    let first = initramfs(&[("forger", 0o100_644, b"first")]);
    let first = scratch.file("first.cpio", &first[..first.len() - 1]);
    let args = [
        "--boot",
        "uki",
        "--sector-size",
        "4096",
        "--initrd",
        first.to_str().unwrap(),
        "--cmdline",
        CMDLINE,
    ];
    let made = disk(&tar, &out, &args);
    assert!(made.status.success(), "{made}");
    let listed = forger()
        .arg("find")
        .arg(format!("{}#esp:/EFI/Linux", out.display()))
        .arg("*.efi")
        .ok();
    let name = listed.text().lines().next().unwrap().to_owned();
    let uki = scratch.file("uki.efi", cat(&out, &format!("esp:{name}")));
    let stub = cat(&out, "root:/usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    assert_unified(&scratch, &uki, &scratch.file("stub", stub));
    // QEMU takes no VHDX with such sectors, but such disks.
    let raw = scratch.path("vm.raw");
    forger().arg("convert").arg(&out).arg(&raw).ok();
    boot(&scratch, &raw, "raw", LARGE_SECTORS);
}

/// A section as objdump lists it.
#[derive(Debug)]
struct Section {
    name: String,
    len: u64,
    address: u64,
    offset: u64,
}

fn sections(file: &Path) -> Vec<Section> {
    let listed = Run::new("objdump").arg("-h").arg(file).ok().text();
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let section = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.first()?.parse::<u32>().ok()?;
        Some(Section {
            name: (*words.get(1)?).to_owned(),
            len: hex(words.get(2)?)?,
            address: hex(words.get(3)?)?,
            offset: hex(words.get(5)?)?,
        })
    };
    listed.lines().filter_map(section).collect()
}

/// Asserts that a unified kernel image is whole: sections above the stub's, none over another, its SBAT
/// kept, and fit to be signed.
fn assert_unified(scratch: &Scratch, uki: &Path, stub: &Path) {
    let (made, before) = (sections(uki), sections(stub));
    let added = made[before.len()..].iter().map(|section| &*section.name);
    let expected = [".osrel", ".cmdline", ".uname", ".linux", ".initrd"];
    assert_eq!(added.collect::<Vec<_>>(), expected, "{made:?}");
    for pair in made[before.len() - 1..].windows(2) {
        assert!(pair[0].address + pair[0].len <= pair[1].address, "{pair:?}");
        assert!(pair[0].offset + pair[0].len <= pair[1].offset, "{pair:?}");
    }
    let read = |file: &Path, section: &Section| {
        let from = usize::try_from(section.offset).unwrap();
        let len = usize::try_from(section.len).unwrap();
        fs::read(file).unwrap()[from..from + len].to_vec()
    };
    let sbat = |sections: &[Section], file| {
        let found = sections.iter().find(|section| section.name == ".sbat");
        read(file, found.expect("stubs have one"))
    };
    assert_eq!(sbat(&made, uki), sbat(&before, stub));
    let (key, certificate) = (scratch.path("key"), scratch.path("certificate"));
    Run::new("openssl")
        .args(["req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes"])
        .args(["-subj", "/CN=forger", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .ok();
    let signed = scratch.path("signed.efi");
    let run = Run::new("sbsign").arg("--key").arg(&key).arg("--cert");
    let said = run
        .arg(&certificate)
        .arg("--output")
        .arg(&signed)
        .arg(uki)
        .ok();
    // It warns of gaps between sections, of a wrong checksum and of data behind them.
    assert!(!said.errors().to_lowercase().contains("warning"), "{said}");
    let verify = Run::new("sbverify").arg("--cert").arg(&certificate);
    verify.arg(&signed).ok();
}

/// Boots a disk that is made with these arguments; `device` describes it to the machine.
fn made_boots(name: &str, format: &str, device: &str, args: &[&str]) {
    need!("qemu-system-x86_64", "qemu-img");
    let Some(tar) = rootfs::bootable() else {
        return;
    };
    let scratch = Scratch::new();
    let out = scratch.path(name);
    let made = disk(&tar, &out, &[args, &["--cmdline", CMDLINE]].concat());
    assert!(made.status.success(), "{made}");
    boot(&scratch, &out, format, device);
}

/// Boots what every format and loader makes, each in a test of its own.
macro_rules! boots {
    ($($test:ident: $file:literal, $format:literal, $device:expr, [$($arg:literal),*];)*) => {$(
        #[test]
        #[ignore = "takes half a minute, as each of these; cargo xtask full runs it"]
        fn $test() {
            made_boots($file, $format, $device, &[$($arg),*]);
        }
    )*};
}

boots! {
    debian_boots_from_entries_on_a_raw_disk: "entries.raw", "raw", "", [];
    debian_boots_from_a_uki_on_a_raw_disk: "uki.raw", "raw", "", ["--boot", "uki"];
    debian_boots_from_a_plain_qcow2: "plain.qcow2", "qcow2", "", ["--boot", "uki"];
    debian_boots_from_a_zlib_qcow2: "zlib.qcow2", "qcow2", "", ["--compress", "zlib"];
    debian_boots_from_a_uki_on_a_zstd_qcow2: "zstd.qcow2", "qcow2", "", ["--compress", "zstd", "--boot", "uki"];
    debian_boots_from_a_dynamic_vhd: "dynamic.vhd", "vpc", "", [];
    debian_boots_from_a_fixed_vhd: "fixed.vhd", "vpc", "", ["--format", "vhd-fixed", "--boot", "uki"];
    debian_boots_from_a_vhdx: "image.vhdx", "vhdx", "", [];
    debian_boots_from_a_sparse_vmdk: "sparse.vmdk", "vmdk", "", [];
    // QEMU cannot write to compressed grains: what the machine writes is kept beside them.
    debian_boots_from_a_streamed_vmdk: "stream.vmdk", "vmdk,snapshot=on", "", ["--compress", "zlib", "--boot", "uki"];
    debian_boots_from_entries_in_sectors_of_4096: "entries4k.raw", "raw", LARGE_SECTORS, ["--sector-size", "4096"];
    debian_boots_from_a_uki_on_a_qcow2_in_sectors_of_4096: "uki4k.qcow2", "qcow2", LARGE_SECTORS,
        ["--sector-size", "4096", "--boot", "uki", "--compress", "zstd"];
    debian_boots_from_an_mbr: "mbr.raw", "raw", "", ["--table", "mbr"];
    debian_boots_beside_a_hybrid_mbr: "hybrid.raw", "raw", "", ["--hybrid-mbr", "esp,root"];
}

#[test]
#[ignore = "takes a minute; cargo xtask full runs it"]
fn debian_boots_with_swap_and_home() {
    need!("qemu-system-x86_64");
    let Some(tar) = rootfs::bootable() else {
        return;
    };
    let scratch = Scratch::new();
    let out = scratch.path("parts.raw");
    let args = [
        "--size",
        "2G",
        "--swap",
        "64M",
        "--partition",
        "home:size=200M",
    ];
    let made = disk(&tar, &out, &[&args[..], &["--cmdline", CMDLINE]].concat());
    assert!(made.status.success(), "{made}");
    let said = boot(&scratch, &out, "raw", "");
    // systemd finds both by their types.
    assert!(said.contains("Adding 65532k swap"), "{said}");
    assert_home_mounted(&said);
}

fn assert_home_mounted(said: &str) {
    let mounted = |line: &str| line.contains("Mounted") && line.contains("home.mount");
    assert!(said.lines().any(mounted), "{said}");
}

#[test]
#[ignore = "takes a minute; cargo xtask full runs it"]
fn debian_boots_from_a_disk_laid_out_by_definitions() {
    need!("qemu-system-x86_64");
    let Some(tar) = rootfs::bootable() else {
        return;
    };
    let scratch = Scratch::new();
    let folder = super::layouts::definitions(&scratch);
    let layout = folder.display().to_string();
    let out = scratch.path("defined.raw");
    let args = ["--size", "3G", "--layout", &layout, "--cmdline", CMDLINE];
    let made = disk(&tar, &out, &args);
    assert!(made.status.success(), "{made}");
    let said = boot(&scratch, &out, "raw", "");
    assert_home_mounted(&said);
    // Its definition says NoAuto=.
    assert!(!said.contains("Adding "), "{said}");
}

/// What dracut puts into the initial RAM disk, so that it opens a root by its root hash and lays a memory
/// over it.
const DRACUT: &str = r#"mkdir -p "$1/etc/dracut.conf.d"; cat > "$1/etc/dracut.conf.d/verity.conf" << 'END'
hostonly="no"
add_dracutmodules+=" systemd systemd-initrd systemd-veritysetup dm rootfs-block "
add_drivers+=" dm-verity overlay virtio_blk virtio_pci ext4 "
install_items+=" /lib/systemd/systemd-volatile-root /lib/systemd/system/systemd-volatile-root.service "
END"#;

/// A root with a hash tree, found by its root hash: the kernel reads nothing that does not match it.
#[test]
#[ignore = "takes two minutes; cargo xtask full runs it"]
fn debian_boots_from_a_root_that_is_verified() {
    need!("qemu-system-x86_64");
    let hook = format!("--setup-hook={DRACUT}");
    let packages = "--include=linux-image-cloud-amd64,systemd-sysv,systemd-boot-efi,udev,login,dracut,zstd,\
                    cryptsetup-bin";
    let Some(tar) = rootfs::prepared("boot-verity-bookworm.tar", &[&hook, packages]) else {
        return;
    };
    let scratch = Scratch::new();
    let out = scratch.path("verity.raw");
    let cmdline = format!("{CMDLINE} systemd.volatile=overlay");
    let args = ["--verity", "--boot", "uki", "--cmdline", &cmdline];
    let made = disk(&tar, &out, &args);
    assert!(made.status.success(), "{made}");
    boot(&scratch, &out, "raw", "");
}

#[test]
#[ignore = "takes a minute; cargo xtask full runs it"]
fn debian_grows_its_root_on_a_larger_disk() {
    need!("qemu-system-x86_64", "qemu-img");
    let Some(tar) = rootfs::bootable() else {
        return;
    };
    let scratch = Scratch::new();
    let out = scratch.path("vm.qcow2");
    let made = disk(&tar, &out, &["--cmdline", CMDLINE]);
    assert!(made.status.success(), "{made}");
    Run::new("qemu-img").arg("resize").arg(&out).arg("+2G").ok();
    let said = boot(&scratch, &out, "qcow2", "");
    let blocks = said
        .split("resized filesystem to ")
        .nth(1)
        .expect("it was grown");
    let blocks: u64 = blocks.split_whitespace().next().unwrap().parse().unwrap();
    assert!(blocks * 4096 > 2 << 30, "{blocks}");
}
