//! Machines on KVM, run by forger's own monitor: on this machine where its KVM runs guests, and inside of
//! an emulated one with `cargo xtask test-kvm`.

mod disks;
mod ends;
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forger_vm::canary::{self, Verdict};
use forger_vm::kernel::Kernel;
use forger_vm::kvm::Kvm;
use forger_vm::{Ended, Guest, Options};

use forger_tests::machines;
use forger_tests::scratch::Scratch;

use crate::guest_contract::{Root, assert_contract, debian_kernel, kernel_below, shell};

/// The variable that names a folder with kernels, as an unpacked package has them, one folder each.
const KERNELS: &str = "FORGER_TEST_KERNELS";

/// The most output of a job that is kept, in bytes.
const LIMIT: usize = 1 << 20;

/// How long a kernel may take to start: an emulated machine on a busy one takes its time.
const PATIENCE: Duration = Duration::from_secs(400);

/// How often KVM is tried where it has to work: an emulated machine can have to wait for its turn each time.
const TRIES: usize = 20;

/// Returns a folder that keeps the verdict that guests can run; nothing, as a reported skip, where they cannot.
fn works(scratch: &Scratch) -> Option<PathBuf> {
    let needed = std::env::var_os(KERNELS).is_some();
    if needed {
        machines::keep();
    }
    let mut reasons = Vec::new();
    for number in 0..if needed { TRIES } else { 1 } {
        // A verdict is kept, whatever it is: each has a folder of its own.
        let folder = scratch.path(&format!("verdict-{number}"));
        fs::create_dir_all(&folder).unwrap();
        match canary::verdict(Path::new("/dev/kvm"), Some(&folder)) {
            Verdict::Works => return Some(folder),
            Verdict::Fails(reason) => reasons.push(reason),
        }
    }
    assert!(!needed, "KVM has to work here: {reasons:?}");
    eprintln!("skipped: KVM runs no guests here: {reasons:?}");
    None
}

/// Returns the kernels to test with, or nothing where guests cannot run.
fn kernels(scratch: &Scratch) -> Vec<Kvm> {
    if works(scratch).is_none() {
        return Vec::new();
    }
    let kernels: Vec<Kernel> = match std::env::var_os(KERNELS) {
        Some(folder) => {
            let folders = fs::read_dir(folder).unwrap();
            let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
            folders.sort();
            folders.iter().map(|folder| kernel_below(folder)).collect()
        }
        None => debian_kernel(scratch).into_iter().collect(),
    };
    let backend = |kernel| Kvm {
        device: "/dev/kvm".into(),
        kernel,
        entropy: "/dev/urandom".into(),
    };
    kernels.into_iter().map(backend).collect()
}

/// Runs a script and returns what it says.
fn said(guest: &Guest, script: &str) -> String {
    let (ended, out, err) = guest.run(&shell(script)).unwrap().output(LIMIT).unwrap();
    let err = String::from_utf8_lossy(&err);
    assert_eq!(ended, Ended::Code(0), "{script}: {err}");
    String::from_utf8(out).unwrap()
}

#[test]
fn a_machine_on_kvm_keeps_the_contract() {
    let scratch = Scratch::new();
    let Some(backend) = kernels(&scratch).into_iter().next() else {
        return;
    };
    let Some(root) = Root::make() else { return };
    assert_contract(&backend, &root, 20);
}

#[test]
fn every_kernel_runs_on_one_and_on_two_processors() {
    let scratch = Scratch::new();
    let backends = kernels(&scratch);
    if backends.is_empty() {
        return;
    }
    let Some(root) = Root::make() else { return };
    for backend in backends {
        for cpus in [1, 2] {
            let options = Options {
                cpus,
                boot_limit: PATIENCE,
                ..root.options()
            };
            let guest = Guest::boot(&backend, options).unwrap();
            eprintln!("{} on {cpus}: {:?}", guest.kernel(), guest.timings());
            assert_eq!(said(&guest, "nproc"), format!("{cpus}\n"));
            let clocks = "cat /sys/devices/system/clocksource/clocksource0/available_clocksource";
            let clocks = said(&guest, clocks);
            assert!(clocks.contains("kvm-clock"), "{clocks}");
            let random = said(&guest, "head -c 16 /dev/hwrng | wc -c");
            assert_eq!(random, "16\n");
            // As far ahead as the disk says is best.
            let ahead = said(&guest, "cat /sys/block/vda/queue/read_ahead_kb");
            assert_eq!(ahead, "2048\n");
            said(&guest, "head -c 3000000 /dev/urandom > /x && sync && rm /x");
            guest.shut_down().unwrap();
        }
    }
}
