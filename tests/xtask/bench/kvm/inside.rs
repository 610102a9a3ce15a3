//! What runs inside of the emulated machine: monitors of guests in turn, each watched from its start on.
//!
//! Every guest has the same kernel and the same initial RAM disk, whose init says a line at once and reads its disk to
//! the end where it finds one. What came of it goes out as lines, each with a race, a contestant and a number.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::watched::Watched;
use crate::Outcome;

/// What a line with a result begins with.
pub(super) const MEASURE: &str = "forger-measure";

/// What the init of guests says: at once, before it reads its disk, after that.
pub(super) const FIRST: &str = "forger-first-line";
pub(super) const READING: &str = "forger-reads";
pub(super) const READ: &str = "forger-has-read";

/// Memory of each guest in KiB.
pub(super) const MEMORY: u64 = 256 << 10;

/// What every kernel is told, as forger's monitor tells it.
const LINE: &str = "console=ttyS0 quiet panic=-1 8250.nr_uarts=1 cryptomgr.notests random.trust_cpu=on no_timer_check";

/// The machines of QEMU's, and how each has a disk.
const MACHINES: [(&str, &str); 2] = [("microvm", "virtio-blk-device"), ("q35", "virtio-blk-pci")];

/// Where everything lies below the outer machine's root, which is the working folder.
pub(super) const KERNELS: &str = "kernels";
pub(super) const MONITOR: &str = "bench/monitor";
pub(super) const FORGER: &str = "bench/forger";
pub(super) const QEMU: &str = "usr/bin/qemu-system-x86_64";
pub(super) const INITRD: &str = "bench/initrd";
pub(super) const TAR: &str = "bench/root.tar";
pub(super) const IMAGE: &str = "bench/root.ext4";

/// What installs a package that needs no other one.
const INSTALL: &str = "apt-get -qq update && \
     DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends tree > /dev/null && \
     tree --version";

/// Measures so many rounds with the kernels below [`KERNELS`], all or what is named; says it on standard output.
pub(crate) fn run(args: &[String]) -> Outcome {
    let (rounds, only) = args
        .split_first()
        .ok_or("the number of rounds is missing")?;
    let rounds: usize = rounds.parse()?;
    #[cfg(target_arch = "x86_64")]
    forger_tests::machines::keep();
    let wanted = |race: &str| only.is_empty() || only.iter().any(|name| name == race);
    let mut kernels: Vec<_> = std::fs::read_dir(KERNELS)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    kernels.sort();
    for file in [TAR, IMAGE] {
        // In the cache, as it would be after it was made.
        std::io::copy(&mut std::fs::File::open(file)?, &mut std::io::sink())?;
    }
    let first = vmlinuz(kernels.first().ok_or("there is no kernel")?)?;
    for _ in 0..rounds {
        if wanted("start") {
            for kernel in &kernels {
                let name = kernel.file_name().unwrap_or_default().to_string_lossy();
                start(&name, &vmlinuz(kernel)?);
            }
        }
        if wanted("read") {
            read("forger", forger(&first, Some(TAR)));
            for (machine, device) in MACHINES {
                read(machine, qemu(machine, &first, Some(device)));
            }
        }
        if wanted("run") {
            whole("kvm");
            whole("qemu");
        }
    }
    if wanted("apt") {
        install();
    }
    Ok(())
}

/// Says how long each monitor takes to its guest's first line.
fn start(name: &str, kernel: &str) {
    say("start", name, "forger", started(forger(kernel, None)));
    for (machine, _) in MACHINES {
        let qemu = qemu(machine, kernel, None);
        say("start", name, machine, started(qemu));
    }
}

fn vmlinuz(folder: &Path) -> Result<String, Box<dyn std::error::Error>> {
    for entry in std::fs::read_dir(folder.join("boot"))? {
        let path = entry?.path().display().to_string();
        if path.contains("vmlinuz-") {
            return Ok(path);
        }
    }
    Err(format!("{}: there is no kernel", folder.display()).into())
}

fn say(race: &str, of: &str, who: &str, result: Result<Duration, String>) {
    match result {
        Ok(time) => println!("{MEASURE} {race} {of} {who} {}", time.as_secs_f64()),
        Err(why) => println!("{MEASURE} {race} {of} {who} failed {why}"),
    }
}

fn forger(kernel: &str, disk: Option<&str>) -> Command {
    let mut command = Command::new(MONITOR);
    command.args([kernel, INITRD]).args(disk);
    command
}

fn qemu(machine: &str, kernel: &str, disk: Option<&str>) -> Command {
    let mut command = Command::new(QEMU);
    let memory = format!("{MEMORY}K");
    command
        .args(["-machine", machine, "-accel", "kvm", "-cpu", "host"])
        .args(["-smp", "1", "-m", &memory])
        .args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio"])
        .args(["-kernel", kernel, "-initrd", INITRD, "-append", LINE]);
    if let Some(device) = disk {
        let drive = format!("if=none,id=disk,format=raw,file={IMAGE}");
        command.args(["-drive", &drive, "-device", &format!("{device},drive=disk")]);
    }
    command
}

/// Returns how long it takes from the start of a monitor to the first line of its guest's init.
fn started(command: Command) -> Result<Duration, String> {
    Watched::start(command)?.until(FIRST)
}

/// Says how long a guest takes to read its disk, and how much memory its monitor takes beside the guest's.
fn read(who: &str, command: Command) {
    let measured = Watched::start(command).and_then(|watched| {
        let begin = watched.until(READING)?;
        let end = watched.until(READ)?;
        let memory = watched.memory(MEMORY)?;
        println!("{MEASURE} memory disk {who} {memory}");
        Ok(end.saturating_sub(begin))
    });
    say("read", "disk", who, measured);
}

/// Says how long forger itself takes to a job's first line by a backend, and what memory with its own monitor.
fn whole(backend: &str) {
    let script = format!("echo {FIRST}; exec sleep 1000");
    let measured = Watched::start(job(backend, &[], &script)).and_then(|watched| {
        let took = watched.until(FIRST)?;
        if backend == "kvm" {
            println!("{MEASURE} memory run forger {}", watched.memory(MEMORY)?);
        }
        Ok(took)
    });
    say("run", "whole", backend, measured);
}

/// Says how long it takes to install a package in a guest.
fn install() {
    let command = job("kvm", &["--net", "proxy"], INSTALL);
    let measured = Watched::start(command).and_then(|watched| watched.until("tree v"));
    say("apt", "package", "forger", measured);
}

fn job(backend: &str, options: &[&str], script: &str) -> Command {
    let mut command = Command::new(FORGER);
    command
        .args(["run", "-q", "--backend", backend, "--memory", "256M"])
        .args(options)
        .args([TAR, "--", "sh", "-c", script]);
    command
}
