//! Rootless and alone: no rights, no environment, no other program.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{forger, need, sample};

/// The user nobody, who owns nothing.
const NOBODY: u32 = 65534;

/// A folder that belongs to nobody, with forger and the sample in it.
struct Nobodys {
    scratch: Scratch,
    forger: PathBuf,
    tar: PathBuf,
}

impl Nobodys {
    fn new() -> Self {
        let scratch = Scratch::new();
        chown(scratch.root(), Some(NOBODY), Some(NOBODY)).unwrap();
        // The checkout may lie where nobody may look.
        let forger = scratch.path("forger");
        fs::copy(forger::binary(), &forger).unwrap();
        let tar = scratch.file("sample.tar", sample::rootfs());
        Self {
            scratch,
            forger,
            tar,
        }
    }

    /// Prepares to run forger as uid 65534 without capabilities and with an empty `PATH`, its
    /// system calls that could start or change anything written to `log`.
    fn traced(&self, log: &Path) -> Run {
        Run::new("strace")
            .args(["-f", "-qq", "-e", "signal=none", "-e"])
            .arg("trace=execve,execveat,fork,vfork,clone,clone3,unshare,setns,mount,open_tree")
            .arg("-o")
            .arg(log)
            .arg(forger_tests::tools::find("setpriv").unwrap())
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--no-new-privs",
            ])
            .args(["--inh-caps=-all", "--bounding-set=-all", "--"])
            .arg(&self.forger)
            .env_clear()
            .env("PATH", "")
    }
}

/// Asserts that after `setpriv` became forger no further process and no namespace was made.
fn assert_single_process(log: &Path) {
    let log = fs::read_to_string(log).unwrap();
    let started = |line: &&str| line.contains("execve(") || line.contains("execveat(");
    let programs: Vec<&str> = log.lines().filter(started).collect();
    assert_eq!(
        programs.len(),
        2,
        "setpriv, then forger, and no other program\n{log}"
    );
    assert!(programs[1].contains("/forger\""), "{log}");
    let forbidden = ["fork(", "unshare(", "setns(", "mount(", "open_tree("];
    for line in log.lines() {
        assert!(!forbidden.iter().any(|call| line.contains(call)), "{line}");
        let clones = line.contains("clone(") || line.contains("clone3(");
        assert!(
            !clones || line.contains("CLONE_THREAD"),
            "no thread: {line}"
        );
    }
}

#[test]
fn mkfs_runs_as_nobody_alone_and_gives_the_bytes_root_gets() {
    need!("root", "setpriv", "strace", "cmp");
    let nobodys = Nobodys::new();
    let (log, image) = (
        nobodys.scratch.path("log"),
        nobodys.scratch.path("nobody.ext4"),
    );
    nobodys
        .traced(&log)
        .arg("mkfs")
        .arg(&nobodys.tar)
        .arg(&image)
        .ok();
    assert_single_process(&log);
    let root = nobodys.scratch.mkfs(&nobodys.tar, "root.ext4", &[]);
    Run::new("cmp").arg(&image).arg(&root).ok();
}

#[test]
fn disk_and_convert_run_as_nobody_alone_and_give_the_bytes_root_gets() {
    need!("root", "setpriv", "strace", "cmp");
    let nobodys = Nobodys::new();
    let log = nobodys.scratch.path("log");
    let make = |prepare: &dyn Fn() -> Run, name: &str| {
        let (image, disk) = (
            nobodys.scratch.path(&format!("{name}.qcow2")),
            nobodys.scratch.path(&format!("{name}.vhdx")),
        );
        let run = prepare()
            .arg("disk")
            .arg(&nobodys.tar)
            .arg("-o")
            .arg(&image);
        run.args(["--compress", "zstd", "--boot", "none", "--arch", "x86_64"])
            .ok();
        prepare().arg("convert").arg(&image).arg(&disk).ok();
        [image, disk]
    };
    let theirs = make(&|| nobodys.traced(&log), "nobody");
    assert_single_process(&log);
    let roots = make(&forger::forger, "root");
    for (theirs, roots) in theirs.iter().zip(&roots) {
        Run::new("cmp").arg(theirs).arg(roots).ok();
    }
}

#[test]
fn make_bundle_from_a_pipe_runs_as_nobody_alone_and_gives_the_bytes_root_gets() {
    need!("root", "setpriv", "strace", "cmp");
    let nobodys = Nobodys::new();
    let (log, bundle) = (
        nobodys.scratch.path("log"),
        nobodys.scratch.path("nobody.tar.zst"),
    );
    let make = |run: Run, out: &Path| {
        run.args([
            "make-bundle",
            "--name",
            "sample",
            "--distro",
            "none",
            "--arch",
            "x86_64",
        ])
        .arg("--out")
        .arg(out)
        .stdin(sample::rootfs())
        .ok();
    };
    make(nobodys.traced(&log), &bundle);
    assert_single_process(&log);
    let root = nobodys.scratch.path("root.tar.zst");
    make(forger::forger(), &root);
    Run::new("cmp").arg(&bundle).arg(&root).ok();
    nobodys
        .traced(&log)
        .args(["bundle", "verify"])
        .arg(&bundle)
        .ok();
    assert_single_process(&log);
}
