//! `cargo xtask test-kvm`: forger's own monitor on a KVM that works, wherever this runs.
//!
//! ```text
//!  this machine    QEMU without KVM (TCG), which emulates a processor with SVM
//!   outer guest    Debian's kernel with kvm-amd; its disk is made by forger
//!    test          the tests of `tests/kvm.rs`, with forger as the monitor
//!     inner guest  Debian's kernels, one after the other
//! ```
//!
//! The outer guest's disk has the very program that `cargo xtask test` runs, with the libraries that it is linked
//! with, kernels, and a root. It says what came of the tests on its serial line: QEMU's own status
//! means nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use forger_tests::process::Run;
use forger_tests::{packages, rootfs, tools};

use crate::Outcome;
use crate::step::{self, cargo};
use crate::suite::{self, TARGETS, target_dir};

/// How long the outer guest may take in seconds.
const LIMIT: u64 = 900;

/// The line that says how the tests ended.
const VERDICT: &str = "forger-verdict ";

/// What the outer guest does.
const SCRIPT: &str = "#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t tmpfs tmp /tmp
$b mkdir -p /dev/shm
$b mount -t tmpfs shm /dev/shm
for module in /host/*.ko; do $b insmod $module; done
export FORGER_TEST_KERNELS=/kernels FORGER_TEST_ROOT=/root.ext4 REQUIRE_TOOLS=0 PATH=/bin
$b cat /command
$b sh /command
$b echo \"forger-verdict $?\"
$b poweroff -f
";

/// What the outer kernel is told: clocks need not be measured, and whatever goes wrong ends the machine.
const LINE: &str = "root=/dev/nvme0n1 rw init=/init console=ttyS0 quiet panic=-1 \
     tsc_early_khz=2500000 lpj=5000000 mitigations=off no_timer_check";

/// What the outer kernel loads, in this order.
const HOST: [&str; 3] = [
    "virt/lib/irqbypass.ko",
    "arch/x86/kvm/kvm.ko",
    "arch/x86/kvm/kvm-amd.ko",
];

/// Further kernels: packages that name the newest of their kind.
const PACKAGES: [&str; 1] = ["linux-image-6.12-cloud-amd64"];

/// Parts of a kernel's modules that guests may need.
const PARTS: [&str; 8] = [
    "kernel/drivers/virtio",
    "kernel/drivers/block",
    "kernel/drivers/char",
    "kernel/fs/ext4",
    "kernel/fs/jbd2",
    "kernel/fs/mbcache.ko",
    "kernel/crypto",
    "kernel/lib",
];

/// Runs the tests of machines on KVM, or those that are named.
pub(crate) fn run(filter: &[String]) -> Outcome {
    suite::install_tools()?;
    step::run("build", cargo(&["build"]).args(TARGETS))?;
    let test = program()?;
    let filter = match filter {
        [] => "kvm::".to_owned(),
        named => named.join(" "),
    };
    let command = format!("/test/integration --test-threads=1 --nocapture {filter}\n");
    machine(&test, &command)
}

/// Returns the program with the integration tests.
fn program() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let build = cargo(&["test", "--no-run", "--message-format", "json"]).args(TARGETS);
    let said = build.dir(forger_tests::workspace()).try_output()?;
    let text = String::from_utf8_lossy(&said.stdout);
    let found = text.lines().find_map(|line| {
        let artifact: serde_json::Value = serde_json::from_str(line).ok()?;
        let wanted = artifact["target"]["name"] == "integration";
        let path = artifact["executable"].as_str().filter(|_| wanted)?;
        Some(PathBuf::from(path))
    });
    found.ok_or_else(|| format!("cargo names no program with the integration tests: {said}").into())
}

/// Makes the outer guest's disk and runs it.
fn machine(test: &Path, command: &str) -> Outcome {
    let folder = target_dir().join("tmp/test-kvm");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let root = folder.join("root");
    let kernel = fill(&root, test)?;
    fs::write(root.join("command"), command)?;
    let disk = folder.join("outer.ext4");
    let forger = target_dir().join("debug/forger");
    let mkfs = Run::new(&forger).args(["mkfs", "--size", "4G"]);
    step::run("the outer disk", mkfs.arg(&root).arg(&disk).limit(600))?;
    let drive = format!("if=none,id=disk,format=raw,file={}", disk.display());
    eprintln!("=== machines on KVM");
    let outer = Run::new("qemu-system-x86_64")
        .args(["-accel", "tcg", "-cpu", "EPYC,+svm", "-M", "q35"])
        .args([
            "-smp",
            "2",
            "-m",
            "2560",
            "-nographic",
            "-no-reboot",
            "-nic",
            "none",
        ])
        .arg("-kernel")
        .arg(kernel)
        .args(["-append", LINE, "-drive", &drive])
        .args(["-device", "nvme,drive=disk,serial=1"])
        .limit(LIMIT)
        .try_output()?;
    let said = outer.text();
    println!("{said}");
    fs::remove_dir_all(&folder)?;
    eprintln!("    {:.1} s", outer.elapsed.as_secs_f64());
    let verdict = said
        .lines()
        .find_map(|line| line.trim().strip_prefix(VERDICT));
    match verdict {
        Some("0") => Ok(()),
        Some(status) => Err(format!("the tests failed with status {status}").into()),
        None => Err("the outer machine ended before the tests".into()),
    }
}

/// Fills the outer guest's root; returns its kernel.
fn fill(root: &Path, test: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    for dir in [
        "bin", "dev", "proc", "sys", "tmp", "test", "host", "kernels",
    ] {
        fs::create_dir_all(root.join(dir))?;
    }
    let missing = "Debian's kernel cannot be fetched here";
    let package = packages::cloud_kernel().ok_or(missing)?;
    let first = root.join("kernels/cloud");
    fs::create_dir_all(&first)?;
    unpack(&package, &first)?;
    let kernel = thin(&first)?;
    let release = kernel
        .file_name()
        .ok_or(missing)?
        .to_string_lossy()
        .into_owned();
    let release = release.trim_start_matches("vmlinuz-");
    let modules = first.join("usr/lib/modules").join(release).join("kernel");
    for (number, path) in HOST.iter().enumerate() {
        let name = path.rsplit('/').next().unwrap_or(path);
        fs::copy(
            modules.join(path),
            root.join(format!("host/{number}-{name}")),
        )?;
    }
    for meta in PACKAGES {
        let package = packages::kernel(meta).ok_or(missing)?;
        further(&package, &root.join("kernels").join(meta))?;
    }
    let outer = root.with_file_name("vmlinuz");
    fs::copy(&kernel, &outer)?;
    let init = root.join("init");
    fs::write(&init, SCRIPT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let busybox = tools::find("busybox").ok_or("busybox is missing")?;
    fs::copy(busybox, root.join("bin/busybox"))?;
    symlink("busybox", root.join("bin/sh"))?;
    Run::new("strip")
        .arg("-o")
        .arg(root.join("test/integration"))
        .arg(test)
        .ok();
    libraries(test, root)?;
    let image = root.join("root.ext4");
    let minbase = rootfs::minbase().ok_or("Debian's smallest cannot be fetched here")?;
    let forger = target_dir().join("debug/forger");
    let mkfs = Run::new(forger).args(["mkfs", "-q", "--size", "1G"]);
    mkfs.arg(minbase).arg(&image).limit(300).ok();
    Ok(outer)
}

/// Takes away of a kernel's files what no guest needs; returns the kernel.
fn thin(folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let mut kernel = None;
    for entry in fs::read_dir(folder.join("boot"))? {
        let path = entry?.path();
        match path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
        {
            true => kernel = Some(path),
            false => fs::remove_file(path)?,
        }
    }
    Ok(kernel.ok_or("there is no kernel")?)
}

/// Unpacks of a kernel's package what guests need.
fn further(package: &Path, to: &Path) -> Outcome {
    fs::create_dir_all(to)?;
    unpack(package, to)?;
    for release in fs::read_dir(to.join("usr/lib/modules"))?.flatten() {
        keep(&release.path())?;
    }
    thin(to)?;
    Ok(())
}

/// Unpacks a package; modules come below /usr, as in a root filesystem.
fn unpack(deb: &Path, to: &Path) -> Result<(), String> {
    let unpack = Run::new("dpkg-deb").arg("-x").arg(deb).arg(to);
    done(unpack.limit(300))?;
    let (old, new) = (to.join("lib/modules"), to.join("usr/lib/modules"));
    if !old.exists() {
        return Ok(());
    }
    let moved = fs::create_dir_all(to.join("usr/lib")).and_then(|()| fs::rename(old, new));
    moved.map_err(|error| error.to_string())
}

/// Removes what of a kernel's modules no guest needs.
fn keep(release: &Path) -> std::io::Result<()> {
    let kept = release.with_file_name("kept");
    for part in PARTS {
        let (from, to) = (release.join(part), kept.join(part));
        fs::create_dir_all(to.parent().unwrap_or(&kept))?;
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
    }
    fs::remove_dir_all(release.join("kernel"))?;
    fs::rename(kept.join("kernel"), release.join("kernel"))?;
    fs::remove_dir_all(kept)
}

fn done(run: Run) -> Result<(), String> {
    let output = run.try_output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(output.to_string()),
    }
}

/// Copies the libraries that a program is linked with to where it looks for them.
fn libraries(program: &Path, root: &Path) -> Outcome {
    let listed = Run::new("ldd").arg(program).ok().text();
    for word in listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let to = root.join(word.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap_or(root))?;
        fs::copy(word, to)?;
    }
    Ok(())
}
