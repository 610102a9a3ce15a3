//! A full disk and a signal leave nothing behind.

use std::fs::OpenOptions;
use std::io::Write;

use rustix::process::Signal;

use forger_tests::archive::{Archive, Member};
use forger_tests::forger::forger;
use forger_tests::mount::Mount;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{need, sample};

/// An archive of 24 MiB that does not compress.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()[7]
    };
    let mut archive = Archive::new();
    for i in 0..6 {
        let body: Vec<u8> = std::iter::repeat_with(&mut next).take(4 << 20).collect();
        archive.push(&Member::file(format!("noise-{i}"), body));
    }
    archive.finish()
}

#[test]
fn full_disk_is_an_error_that_leaves_nothing() {
    need!("root", "mount");
    let scratch = Scratch::new();
    let tar = scratch.file("noise.tar", noise());
    let disk = Mount::ram(8 << 20);
    let (image, bundle) = (disk.join("out.ext4"), disk.join("out.tar.zst"));
    let make_bundle = || {
        let run = forger().args(["make-bundle", "--name", "n", "--arch", "x86_64", "--out"]);
        run.arg(&bundle)
    };
    let disk_of = |name: &str, args: &[&str]| {
        let run = forger()
            .arg("disk")
            .arg(&tar)
            .arg("-o")
            .arg(disk.join(name));
        run.args(["--boot", "none", "--arch", "x86_64"]).args(args)
    };
    let convert = |name: &str| forger().arg("convert").arg(&tar).arg(disk.join(name));
    let as_raw = ["--input-format", "raw"];
    let runs = [
        disk_of("out.raw", &[]),
        disk_of("out.qcow2", &["--compress", "zstd"]),
        convert("out.qcow2").args(as_raw),
        convert("out.qcow2")
            .args(as_raw)
            .args(["--compress", "zstd"]),
        convert("out.vhdx").args(as_raw),
        convert("out.ova").args(as_raw),
        forger().arg("mkfs").arg(&tar).arg(&image),
        forger().args(["mkfs", "-"]).arg(&image).stdin_piped(&tar),
        make_bundle().arg(&tar),
        make_bundle().stdin_piped(&tar),
    ];
    for run in runs {
        let output = run.output();
        assert_eq!(output.status.code(), Some(1), "{output}");
        assert!(output.errors().contains("space"), "{output}");
        assert_eq!(disk.path().read_dir().unwrap().count(), 0, "{output}");
        let free = Run::new("df")
            .args(["--output=used"])
            .arg(disk.path())
            .ok()
            .text();
        assert_eq!(free.lines().nth(1).unwrap().trim(), "0", "{output}");
    }
}

/// Runs forger on a FIFO that delivers the first half of the sample and then nothing, sends the
/// signal, and returns the exit status; nothing may be left.
fn signalled(signal: Signal, args: &[&str]) -> Option<i32> {
    let scratch = Scratch::new();
    let fifo = scratch.path("fifo");
    Run::new("mkfifo").arg(&fifo).ok();
    std::fs::create_dir(scratch.path("out")).unwrap();
    let run = forger().args(args).dir(scratch.path("out")).limit(60);
    let running = run.start().unwrap();
    // Opening waits for forger to open the other end; writing waits until it has read all but what
    // a pipe holds.
    let mut writer = OpenOptions::new().write(true).open(&fifo).unwrap();
    let archive = sample::rootfs();
    writer.write_all(&archive[..archive.len() / 2]).unwrap();
    running.signal(signal);
    let output = running.finish().unwrap_or_else(|error| panic!("{error}"));
    assert!(scratch.names("out").is_empty(), "{output}");
    drop(writer);
    output.status.code()
}

#[test]
fn interrupted_mkfs_leaves_nothing() {
    need!("mkfifo");
    assert_eq!(
        signalled(Signal::INT, &["mkfs", "../fifo", "out.ext4"]),
        Some(130)
    );
    assert_eq!(
        signalled(Signal::TERM, &["mkfs", "../fifo", "out.ext4"]),
        Some(143)
    );
}

#[test]
fn interrupted_disk_and_convert_leave_nothing() {
    need!("mkfifo");
    let disk = ["disk", "../fifo", "--boot", "none", "--arch", "x86_64"];
    for out in ["out.raw", "out.qcow2"] {
        let args = [&disk[..], &["-o", out]].concat();
        assert_eq!(signalled(Signal::INT, &args), Some(130), "{out}");
    }
    for out in ["out.raw", "out.vmdk"] {
        let convert = ["convert", "../fifo", out];
        assert_eq!(signalled(Signal::TERM, &convert), Some(143), "{out}");
    }
}

#[test]
fn interrupted_make_bundle_leaves_nothing() {
    need!("mkfifo");
    let args = [
        "make-bundle",
        "../fifo",
        "--name",
        "n",
        "--arch",
        "x86_64",
        "--out",
        ".",
    ];
    assert_eq!(signalled(Signal::INT, &args), Some(130));
}

#[test]
fn reader_of_stdout_that_goes_away_ends_forger_quietly() {
    need!("bash", "head");
    let scratch = Scratch::new();
    let tar = scratch.file("noise.tar", noise());
    let script = "\"$0\" mkfs \"$1\" - | head -c 100 > /dev/null; exit ${PIPESTATUS[0]}";
    let run = Run::new("bash")
        .args(["-c", script])
        .arg(forger_tests::forger::binary())
        .arg(&tar);
    let output = run.output();
    assert_eq!(output.status.code(), Some(141), "{output}");
    assert!(!output.errors().contains("panicked"), "{output}");
}
