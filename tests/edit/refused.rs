//! Images that are not edited, and what is said of each.

use std::fs;

use forger_tests::forger::forger;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

/// What mke2fs is asked for, what debugfs does to it, why it is refused, what helps.
const REFUSED: &[(&[&str], &str, &str, &str)] = &[
    (
        &[],
        "ssv state 0",
        "was not unmounted cleanly",
        "e2fsck -fy ",
    ),
    (
        &[],
        "ssv state 3",
        "was not unmounted cleanly or has known errors",
        "e2fsck -fy ",
    ),
    (
        &[],
        "feature needs_recovery",
        "has a journal that must be replayed first",
        "e2fsck -fy ",
    ),
    (
        &[],
        "ssv last_orphan 12",
        "has orphaned files",
        "e2fsck -fy ",
    ),
    (
        &[],
        "ssv error_count 1",
        "has a record of errors",
        "e2fsck -fy ",
    ),
    (
        &["-O", "quota"],
        "",
        "cannot be edited: quota",
        "tune2fs -O ^quota ",
    ),
    (
        &["-O", "quota,project"],
        "",
        "quota, project",
        "tune2fs -O ^project ",
    ),
    (
        &["-O", "mmp"],
        "",
        "cannot be edited: mmp",
        "tune2fs -O ^mmp ",
    ),
    (
        &["-O", "bigalloc"],
        "",
        "cannot be edited: bigalloc",
        "mount it and change it there",
    ),
    (
        &[],
        "feature read-only",
        "cannot be edited: read-only",
        "tune2fs -O ^read-only ",
    ),
    (
        &[],
        "feature shared_blocks",
        "shared_blocks",
        "e2fsck -f -E unshare_blocks ",
    ),
    (&[], "feature FEATURE_C30", "compat 0x40000000", "mount it"),
    (
        &[],
        "feature FEATURE_R30",
        "ro_compat 0x40000000",
        "mount it",
    ),
    (&[], "feature FEATURE_I30", "incompat 0x40000000", ""),
    (
        &["-O", "^has_journal"],
        "feature has_journal",
        "journal on another device",
        "tune2fs -O ^has_journal ",
    ),
];

#[test]
fn what_cannot_be_kept_right_is_refused_with_a_remedy() {
    need!("mke2fs", "debugfs");
    let scratch = Scratch::new();
    let image = scratch.path("image");
    for (form, damage, why, remedy) in REFUSED {
        Run::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4"])
            .args(*form)
            .arg(&image)
            .arg("16M")
            .ok();
        if !damage.is_empty() {
            let run = Run::new("debugfs").args(["-w", "-R", damage]);
            run.arg(&image).ok();
        }
        let before = fs::read(&image).unwrap();
        let out = forger().arg("edit").arg(&image).args(["mkdir", "/a"]);
        let out = out.output();
        let message = out.errors();
        assert_eq!(out.status.code(), Some(1), "{form:?} {damage}: {out}");
        assert!(message.contains(why), "{form:?} {damage}: {message}");
        assert!(message.contains(remedy), "{form:?} {damage}: {message}");
        assert!(fs::read(&image).unwrap() == before, "{form:?} {damage}");
    }
}

#[test]
fn what_is_no_filesystem_is_refused() {
    let scratch = Scratch::new();
    for bytes in [&b""[..], b"short", &[0; 8192]] {
        let file = scratch.file("file", bytes);
        let out = forger().arg("edit").arg(&file).args(["mkdir", "/a"]);
        assert_eq!(out.output().status.code(), Some(1));
        assert_eq!(fs::read(&file).unwrap(), bytes);
    }
    let out = forger()
        .arg("edit")
        .arg(scratch.root())
        .args(["mkdir", "/a"]);
    assert_eq!(out.output().status.code(), Some(1));
}
