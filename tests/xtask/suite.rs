//! `cargo xtask test`: the judges installed, then every test.

use std::path::PathBuf;

use forger_tests::process::Run;
use forger_tests::{tools, workspace};

use crate::Outcome;
use crate::step::{self, cargo};

/// The programs the tests use, and the Debian package of each.
const TOOLS: &[(&str, &str)] = &[
    ("blkid", "util-linux"),
    ("bmaptool", "bmap-tools"),
    ("bsdtar", "libarchive-tools"),
    ("busybox", "busybox-static"),
    ("bzip2", "bzip2"),
    ("debugfs", "e2fsprogs"),
    ("dpkg-deb", "dpkg"),
    ("docker-registry", "docker-registry"),
    ("e2fsck", "e2fsprogs"),
    ("fdisk", "fdisk"),
    ("fsck.vfat", "dosfstools"),
    ("g++", "g++"), // libFuzzer is C++
    ("genext2fs", "genext2fs"),
    ("getfattr", "attr"),
    ("gzip", "gzip"),
    ("img2simg", "android-sdk-libsparse-utils"),
    ("linux.uml", "user-mode-linux"),
    ("mcopy", "mtools"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mmdebstrap", "mmdebstrap"),
    ("mount", "mount"),
    ("python3", "python3"),
    ("nbdcopy", "libnbd-bin"),
    ("nbdinfo", "libnbd-bin"),
    ("qemu-img", "qemu-utils"),
    ("qemu-io", "qemu-utils"),
    ("script", "bsdutils"),
    ("setfacl", "acl"),
    ("setpriv", "util-linux"),
    ("sfdisk", "fdisk"),
    ("sgdisk", "gdisk"),
    ("simg2img", "android-sdk-libsparse-utils"),
    ("skopeo", "skopeo"),
    ("strace", "strace"),
    ("tar", "tar"),
    ("time", "time"),
    ("umoci", "umoci"),
    ("veritysetup", "cryptsetup-bin"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
    ("objdump", "binutils"),
    ("openssl", "openssl"),
    ("sbsign", "sbsigntool"),
    ("sbverify", "sbsigntool"),
    ("swaplabel", "util-linux"),
    ("qemu-system-x86_64", "qemu-system-x86 ovmf"),
];

/// What is built and tested.
const TARGETS: [&str; 3] = ["--workspace", "--all-targets", "--locked"];

/// Installs what is missing where that is possible, else says how to.
///
/// Twice, since a package can push out another one: the emulator the disk tools of another version.
pub(crate) fn install_tools() -> Outcome {
    install_missing()?;
    install_missing()
}

fn install_missing() -> Outcome {
    let missing = TOOLS
        .iter()
        .filter(|(program, _)| tools::find(program).is_none());
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let install = format!(
        "apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    );
    if tools::is_root() && tools::find("apt-get").is_some() {
        let apt = |args: &str| {
            Run::new("apt-get")
                .args(args.split(' '))
                .env("DEBIAN_FRONTEND", "noninteractive")
        };
        step::run("apt-get update", apt("update --quiet=2").limit(300))?;
        let arguments = install.trim_start_matches("apt-get ");
        return step::run(&install, apt(arguments).arg("--quiet=2").limit(600));
    }
    if tools::required() {
        return Err(format!("REQUIRE_TOOLS=1, but tools are missing; run: {install}").into());
    }
    eprintln!("some tests will be skipped; for all of them run: sudo {install}");
    Ok(())
}

/// Runs every test; `filter` goes to the runner.
pub(crate) fn run(filter: &[String]) -> Outcome {
    install_tools()?;
    // What the tidy tests look at offline is all of it, also what this machine does not build.
    step::run("fetch", cargo(&["fetch", "--locked"]))?;
    // One selection of packages and targets in all steps, so that nothing is built twice.
    step::run("build", cargo(&["build"]).args(TARGETS))?;
    if filter.is_empty() {
        step::run(
            "doc tests",
            cargo(&["test", "--doc", "--workspace", "--locked", "--quiet"]),
        )?;
    }
    step::run("tests", runner(&[], &[]).args(filter))
}

/// Runs the tests that are ignored because they take long.
pub(crate) fn run_ignored() -> Outcome {
    step::run(
        "long tests",
        runner(&["--run-ignored", "only"], &["--", "--ignored"]).limit(7200),
    )
}

/// Prepares nextest with `nextest` arguments, or cargo's own runner with `plain` ones.
fn runner(nextest: &[&str], plain: &[&str]) -> Run {
    let has_nextest = tools::find("cargo-nextest").is_some();
    let run = if has_nextest {
        cargo(&["nextest", "run"])
    } else {
        cargo(&["test"])
    };
    let run = run.args(TARGETS).arg("--no-fail-fast");
    let run = run.args(if has_nextest { nextest } else { plain });
    run.env("FORGER_BIN", target_dir().join("debug/forger"))
}

/// Returns the folder that cargo builds into.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}
