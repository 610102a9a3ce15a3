//! A machine in which KVM works, wherever this runs.
//!
//! ```text
//!  this machine    QEMU without KVM (TCG), which emulates a processor with SVM
//!   outer guest    Debian's kernel with kvm-amd; its disk is made by forger
//!    command       what the caller wants to run there
//!     inner guest  a machine on KVM
//! ```
//!
//! The outer guest says what came of the command on its serial line: QEMU's own status means nothing.

mod kernels;

use std::error::Error;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use forger_tests::process::Run;
use forger_tests::{packages, rootfs, tools};

use crate::Outcome;
use crate::step;
use crate::suite::target_dir;

/// Why there is no such machine here.
const NO_KERNEL: &str = "Debian's kernel cannot be fetched here";

/// The line that says how the command ended.
const VERDICT: &str = "forger-verdict ";

/// What the outer guest does. Its kernel says no more than emergencies once it runs: what KVM has to say of every
/// guest would stand amid the command's lines.
const SCRIPT: &str = "#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t tmpfs tmp /tmp
$b mkdir -p /dev/shm
$b mount -t tmpfs shm /dev/shm
for module in /host/*.ko; do $b insmod $module; done
$b dmesg -n 1
export PATH=/bin HOME=/tmp
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

/// Folders that the outer guest's root has from the start.
const FOLDERS: [&str; 8] = [
    "bin", "dev", "proc", "sys", "tmp", "test", "host", "kernels",
];

/// An outer guest that is being made.
pub(crate) struct Nested {
    folder: PathBuf,
    /// How long it may take in seconds.
    pub(crate) limit: u64,
    /// Its memory in MiB.
    pub(crate) memory: u32,
    /// What makes its disk.
    pub(crate) forger: PathBuf,
    /// Its network, as QEMU's arguments.
    pub(crate) network: &'static [&'static str],
}

impl Nested {
    /// Lays out its root in a folder of this name: busybox as `/bin/sh`, KVM's modules, and as `/kernels/cloud` its
    /// own kernel.
    pub(crate) fn lay_out(name: &str) -> Result<Self, Box<dyn Error>> {
        let folder = target_dir().join("tmp").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let nested = Self {
            folder,
            limit: 1200,
            memory: 2560,
            forger: target_dir().join("debug/forger"),
            network: &["-nic", "none"],
        };
        let root = nested.root();
        for dir in FOLDERS {
            fs::create_dir_all(root.join(dir))?;
        }
        let package = packages::cloud_kernel().ok_or(NO_KERNEL)?;
        let cloud = kernels::unpack(&package, &root.join("kernels/cloud"))?;
        fs::copy(cloud.image, nested.kernel())?;
        for (number, path) in HOST.iter().enumerate() {
            let name = path.rsplit('/').next().unwrap_or(path);
            let to = root.join(format!("host/{number}-{name}"));
            fs::copy(cloud.modules.join("kernel").join(path), to)?;
        }
        let init = root.join("init");
        fs::write(&init, SCRIPT)?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        let busybox = tools::find("busybox").ok_or("busybox is missing")?;
        fs::copy(busybox, root.join("bin/busybox"))?;
        symlink("busybox", root.join("bin/sh"))?;
        Ok(nested)
    }

    /// Returns the folder whose contents its disk will have.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn kernel(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// Adds a program without what debuggers need, and the libraries that it is linked with.
    pub(crate) fn add_program(&self, program: &Path, to: &str) -> Outcome {
        let root = self.root();
        let strip = Run::new("strip").arg("-o").arg(root.join(to));
        done(strip.arg(program))?;
        let listed = Run::new("ldd").arg(program).try_output()?;
        // What is linked statically needs none, and ldd fails.
        let text = listed.text();
        for word in text.split_whitespace().filter(|word| word.starts_with('/')) {
            let to = root.join(word.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap_or(&root))?;
            fs::copy(word, to)?;
        }
        Ok(())
    }

    /// Adds the kernel that a package names, with such modules as guests need, as `/kernels/PACKAGE`.
    pub(crate) fn add_kernel(&self, meta: &str) -> Outcome {
        let package = packages::kernel(meta).ok_or(NO_KERNEL)?;
        kernels::unpack(&package, &self.root().join("kernels").join(meta))?;
        Ok(())
    }

    /// Adds a kernel that was added before a second time, out of its compressed image, as `/kernels/PACKAGE-elf`.
    pub(crate) fn add_uncompressed(&self, meta: &str) -> Outcome {
        let kernels = self.root().join("kernels");
        kernels::uncompressed(&kernels.join(meta), &kernels.join(format!("{meta}-elf")))
    }

    /// Adds Debian's smallest as an image, `/root.ext4`.
    pub(crate) fn add_debian(&self) -> Outcome {
        let minbase = rootfs::minbase().ok_or("Debian's smallest cannot be fetched here")?;
        let mkfs = Run::new(&self.forger).args(["mkfs", "-q", "--no-sync", "--size", "1G"]);
        let mkfs = mkfs.arg(minbase).arg(self.root().join("root.ext4"));
        done(mkfs.limit(300))
    }

    /// Makes its disk and has its shell run a command; returns what it said, if the command succeeded. Either way it is
    /// shown.
    pub(crate) fn run(self, command: &str) -> Result<String, Box<dyn Error>> {
        fs::write(self.root().join("command"), command)?;
        let disk = self.folder.join("outer.ext4");
        let mkfs = Run::new(&self.forger).args(["mkfs", "-q", "--no-sync", "--size", "6G"]);
        let mkfs = mkfs.arg(self.root()).arg(&disk);
        step::run("the outer disk", mkfs.limit(600))?;
        eprintln!("=== the outer machine");
        let drive = format!("if=none,id=disk,format=raw,file={}", disk.display());
        let memory = self.memory.to_string();
        let console = self.folder.join("console");
        let serial = format!("file:{}", console.display());
        let outer = Run::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-cpu", "EPYC,+svm", "-M", "q35"])
            .args(["-smp", "2", "-m", &memory, "-no-reboot"])
            .args(["-display", "none", "-monitor", "none", "-serial", &serial])
            .arg("-kernel")
            .arg(self.kernel())
            .args(["-append", LINE, "-drive", &drive])
            .args(["-device", "nvme,drive=disk,serial=1"])
            .args(self.network)
            .limit(self.limit)
            .try_output();
        // Whatever became of it: what it said tells most.
        let said = String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
        println!("{said}");
        let outer = outer?;
        fs::remove_dir_all(&self.folder)?;
        eprintln!("    {:.1} s", outer.elapsed.as_secs_f64());
        let verdict = said
            .lines()
            .find_map(|line| line.trim().strip_prefix(VERDICT));
        match verdict {
            Some("0") => Ok(said),
            Some(status) => Err(format!("the command failed with status {status}").into()),
            None => Err(format!("the outer machine ended before its command: {outer}").into()),
        }
    }
}

fn done(run: Run) -> Outcome {
    let output = run.try_output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(output.to_string().into()),
    }
}
