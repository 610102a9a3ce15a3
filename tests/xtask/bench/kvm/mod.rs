//! Machines on KVM: forger as their monitor beside QEMU, with the same kernels and initial RAM disk, in one run inside
//! of an emulated machine (`outer`); and the set-up of a machine on this machine's own KVM.

mod entry;
pub(crate) mod inside;
mod watched;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forger_tests::initramfs::initramfs;
use forger_tests::process::Run;
use forger_tests::{packages, rootfs, tools};

use super::Bench;
use super::measure::Standing;
use super::report::Report;
use crate::Outcome;
use crate::nested::Nested;
use crate::step::{self, cargo};
use crate::suite::target_dir;

/// How long the outer machine may take for a round, and beyond all rounds, in seconds.
const ROUND: u64 = 400;
const LIMIT: u64 = 900;

/// A further kernel, which is packed otherwise: zstd, where the first one has LZ4.
const PACKAGES: [&str; 1] = ["linux-image-6.12-cloud-amd64"];

/// The first program of guests. It says a line at once; where it finds a disk, it reads that to its end.
const INIT: &str = "#!/bin/busybox sh
b=/bin/busybox
$b echo forger-first-line
$b mkdir -p /dev
$b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod $module; done 2> /dev/null
i=0
while ! test -b /dev/vda && test $i -lt 600; do $b usleep 100000; i=$((i + 1)); done
$b echo forger-reads
$b dd if=/dev/vda of=/dev/null bs=1M && $b echo forger-has-read
$b sleep 1000
";

/// The modules by which it reaches its disk, by registers in memory or by PCI, in an order in which they load.
const MODULES: [&str; 7] = [
    "virtio/virtio_ring.ko",
    "virtio/virtio.ko",
    "virtio/virtio_mmio.ko",
    "virtio/virtio_pci_modern_dev.ko",
    "virtio/virtio_pci_legacy_dev.ko",
    "virtio/virtio_pci.ko",
    "block/virtio_blk.ko",
];

/// What leads the outer machine to the network of QEMU's.
const NETWORK: [&str; 8] = [
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
];

/// The network of QEMU's for the outer machine.
const USER: [&str; 4] = [
    "-netdev",
    "user,id=net",
    "-device",
    "virtio-net-pci,netdev=net,romfile=",
];

/// Firmware of QEMU's.
const FIRMWARE: [&str; 8] = [
    "qemu/bios-microvm.bin",
    "qemu/qboot.rom",
    "qemu/linuxboot.bin",
    "qemu/linuxboot_dma.bin",
    "qemu/pvh.bin",
    "qemu/kvmvapic.bin",
    "seabios/bios-256k.bin",
    "seabios/bios-microvm.bin",
];

/// Where the outer machine has kernels; and that which it runs itself.
const KERNELS: &str = inside::KERNELS;
const FIRST: &str = "cloud";

/// Where the outer machine has the bench itself, and forger's kept kernels.
const XTASK: &str = "bench/xtask";
const STORE: &str = "bench/store";

impl Bench {
    /// Races, memory and a package's installation in the outer machine; the set-up here.
    pub(super) fn kvm(&self, report: &mut Report) -> Outcome {
        let build = ["build", "--release", "--locked"];
        let monitor = [
            "--package",
            "forger",
            "--package",
            "forger-vm",
            "--bin",
            "forger",
            "--example",
            "monitor",
        ];
        step::run("build the monitor", cargo(&build).args(monitor))?;
        let monitor = target_dir().join("release/examples/monitor");
        report.fact(
            "from the start of the monitor to the first instruction of a guest, on this machine",
            entry::measure(&monitor, &self.out("canary.elf"), self.rounds),
            "at most 30 ms",
        );
        let said = self.outer(&monitor)?;
        let results = Results(&said);
        for kernel in [FIRST, PACKAGES[0]] {
            let title = format!("start to the init's first line, {kernel}");
            report.finished(&title, Some(0.7), &results.race("start", kernel, 0));
        }
        let size = self.out("kvm.ext4").metadata()?.len();
        // At least 0.8 of the speed.
        let read = results.race("read", "disk", size);
        report.finished("sequential read of a disk", Some(1.25), &read);
        let whole = results.race("run", "whole", 0);
        report.finished("forger run, to the job's first line", None, &whole);
        for (what, of, who) in [
            ("monitor on KVM, after reading a disk", "disk", "forger"),
            ("the same of QEMU's, -M microvm", "disk", "microvm"),
            ("forger run with its own monitor", "run", "forger"),
        ] {
            let found = results.of("memory", of, who);
            let kib = found.into_iter().map(f64::ceil).fold(0.0, f64::max);
            report.memory(what, Duration::from_secs_f64(kib).as_secs());
        }
        let installed = results.of("apt", "package", "forger");
        let installed = installed.first().map(|time| format!("{time:.1} s"));
        report.fact(
            "apt-get update and install of a package through the proxy, with the guest's start",
            installed.ok_or_else(|| results.failure("apt", "package", "forger")),
            "",
        );
        Ok(())
    }

    /// Makes the outer machine and lets it measure; returns what it says.
    fn outer(&self, monitor: &Path) -> Result<String, Box<dyn std::error::Error>> {
        let mut nested = Nested::lay_out("bench-kvm")?;
        nested.forger.clone_from(&self.forger);
        nested.limit = LIMIT + ROUND * u64::try_from(self.rounds)?;
        for package in PACKAGES {
            nested.add_kernel(package)?;
        }
        let root = nested.root();
        for folder in ["bench", "usr/bin", "usr/share/qemu", "usr/share/seabios"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let minbase = rootfs::minbase().ok_or("there is no root filesystem for guests")?;
        let image = self.out("kvm.ext4");
        self.forger_ok(&["mkfs", "-q", "--force"], &[&minbase, &image])?;
        fs::copy(&minbase, root.join(inside::TAR))?;
        fs::copy(&image, root.join(inside::IMAGE))?;
        nested.add_program(monitor, inside::MONITOR)?;
        nested.add_program(&self.forger, inside::FORGER)?;
        nested.add_program(&std::env::current_exe()?, XTASK)?;
        let qemu = tools::find("qemu-system-x86_64").ok_or("there is no qemu-system-x86_64")?;
        nested.add_program(&qemu, inside::QEMU)?;
        for name in FIRMWARE {
            let name = Path::new("usr/share").join(name);
            fs::copy(Path::new("/").join(&name), root.join(name))?;
        }
        fs::write(root.join(inside::INITRD), initrd(&root)?)?;
        let package = packages::cloud_kernel().ok_or("there is no kernel")?;
        let add = Run::new(&self.forger).args(["kernel", "add", "-q", "--no-sync"]);
        let add = add.arg(package).env("FORGER_STORE", root.join(STORE));
        step::run("a kernel that is kept", add)?;
        let modules = modules(&root)?;
        for (number, path) in NETWORK.iter().enumerate() {
            let to = root.join(format!("host/network-{number}.ko"));
            fs::copy(modules.join(path), to)?;
        }
        nested.network = &USER;
        fs::create_dir_all(root.join("etc"))?;
        fs::write(root.join("etc/resolv.conf"), "nameserver 10.0.2.3\n")?;
        nested.run(&format!(
            "b=/bin/busybox\n$b ifconfig lo 127.0.0.1\n$b ifconfig eth0 10.0.2.15\n\
             $b route add default gw 10.0.2.2\n\
             export FORGER_STORE=/{STORE} XDG_RUNTIME_DIR=/tmp TMPDIR=/tmp PATH=/bin:/usr/bin\n\
             cd / && /{XTASK} {} {}\n",
            super::INSIDE,
            self.rounds
        ))
    }
}

/// Returns where the modules of the first kernel are.
fn modules(root: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let modules = root.join(KERNELS).join(FIRST).join("usr/lib/modules");
    let mut releases = fs::read_dir(modules)?;
    let release = releases.next().ok_or("there are no modules")??;
    Ok(release.path().join("kernel"))
}

/// Makes the initial RAM disk that all guests have.
fn initrd(root: &Path) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let drivers = modules(root)?.join("drivers");
    let busybox = fs::read(tools::find("busybox").ok_or("busybox is missing")?)?;
    let mut files: Vec<(String, u32, Vec<u8>)> = ["bin", "dev", "modules"]
        .into_iter()
        .map(|folder| (folder.to_owned(), 0o40_755, Vec::new()))
        .collect();
    files.push(("bin/busybox".to_owned(), 0o100_755, busybox));
    files.push(("init".to_owned(), 0o100_755, INIT.into()));
    for (number, path) in MODULES.iter().enumerate() {
        let name = PathBuf::from(path);
        let name = name.file_name().unwrap_or_default().to_string_lossy();
        let module = fs::read(drivers.join(path)).map_err(|error| format!("{path}: {error}"))?;
        files.push((format!("modules/{number}-{name}"), 0o100_644, module));
    }
    let files: Vec<(&str, u32, &[u8])> = files
        .iter()
        .map(|(name, mode, content)| (&name[..], *mode, &content[..]))
        .collect();
    Ok(initramfs(&files))
}

/// What the outer machine said.
struct Results<'a>(&'a str);

impl Results<'_> {
    /// Returns the words behind a race, what it is of and a contestant.
    fn lines(&self, race: &str, of: &str, who: &str) -> impl Iterator<Item = &str> {
        let start = format!("{} {race} {of} {who} ", inside::MEASURE);
        let lines = self.0.lines();
        lines.filter_map(move |line| Some(line.trim().strip_prefix(&start)?.trim()))
    }

    /// Returns the numbers of a contestant.
    fn of(&self, race: &str, of: &str, who: &str) -> Vec<f64> {
        let lines = self.lines(race, of, who);
        lines.filter_map(|number| number.parse().ok()).collect()
    }

    /// Returns why a contestant has no numbers.
    fn failure(&self, race: &str, of: &str, who: &str) -> String {
        let failed = |line: &str| line.strip_prefix("failed ").map(str::to_owned);
        let found = self.lines(race, of, who).find_map(failed);
        found.unwrap_or_else(|| "it did not run".to_owned())
    }

    /// Returns who took part in a race: forger first, then the best of the others.
    fn race(&self, race: &str, of: &str, size: u64) -> Vec<Standing> {
        let contestants = [
            ("forger", "forger's monitor"),
            ("microvm", "qemu -M microvm"),
            ("q35", "qemu -M q35"),
            ("kvm", "forger run --backend kvm"),
            ("qemu", "forger run --backend qemu"),
        ];
        let standing = |(key, name)| {
            self.lines(race, of, key).next()?;
            let mut times = self.of(race, of, key);
            times.sort_by(f64::total_cmp);
            Some(Standing {
                name,
                failure: times.is_empty().then(|| self.failure(race, of, key)),
                times: times.into_iter().map(Duration::from_secs_f64).collect(),
                size,
            })
        };
        let mut standings: Vec<Standing> = contestants.into_iter().filter_map(standing).collect();
        if let Some((_, others)) = standings.split_first_mut() {
            // Those without a time come last.
            others.sort_by(|a, b| a.median().total_cmp(&b.median()));
        }
        standings
    }
}
