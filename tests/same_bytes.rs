//! Equal input and options give equal bytes, however the input arrives and whoever runs forger.

use std::fs;
use std::path::Path;

use forger_tests::forger::forger;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{need, rootfs, sample};

fn assert_same(a: &Path, b: &Path) {
    let same = Run::new("cmp").arg(a).arg(b).output();
    assert!(same.status.success(), "{same}");
}

#[test]
fn file_and_pipe_and_a_second_run_give_the_same_image() {
    let scratch = Scratch::new();
    let archive = sample::rootfs();
    let tar = scratch.file("sample.tar", &archive);
    let first = scratch.mkfs(&tar, "first.ext4", &[]);
    let second = scratch.mkfs(&tar, "second.ext4", &[]);
    assert_same(&first, &second);
    let piped = scratch.mkfs_piped(&archive, "piped.ext4", &[]);
    assert!(piped.status.success(), "{piped}");
    assert_same(&first, &scratch.path("piped.ext4"));
}

#[test]
fn minbase_from_file_and_pipe_gives_the_same_image() {
    let Some(tar) = rootfs::minbase() else { return };
    let scratch = Scratch::new();
    let first = scratch.mkfs(&tar, "file.ext4", &[]);
    let piped = scratch.path("pipe.ext4");
    forger()
        .args(["mkfs", "-"])
        .arg(&piped)
        .stdin_piped(&tar)
        .ok();
    assert_same(&first, &piped);
}

#[test]
fn every_compression_gives_the_same_image() {
    need!("gzip", "zstd", "xz", "bzip2");
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let plain = scratch.mkfs(&tar, "plain.ext4", &[]);
    for tool in ["gzip", "zstd", "xz", "bzip2"] {
        let packed = Run::new(tool).args(["-c"]).arg(&tar).ok().stdout;
        // No suffix: the magic decides.
        let file = scratch.file(tool, &packed);
        assert_same(&plain, &scratch.mkfs(&file, &format!("{tool}.ext4"), &[]));
        let name = format!("{tool}-piped.ext4");
        let piped = scratch.mkfs_piped(&packed, &name, &[]);
        assert!(piped.status.success(), "{piped}");
        assert_same(&plain, &scratch.path(&name));
    }
}

#[test]
fn fifo_as_source_and_stdout_as_output_give_the_same_image() {
    need!("mkfifo", "sh");
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let plain = scratch.mkfs(&tar, "plain.ext4", &[]);
    let fifo = scratch.path("fifo");
    Run::new("mkfifo").arg(&fifo).ok();
    let writer = Run::new("sh")
        .args(["-c", "cat \"$0\" > \"$1\""])
        .arg(&tar)
        .arg(&fifo);
    let writer = writer.start().unwrap();
    let streamed = forger().arg("mkfs").arg(&fifo).arg("-").ok();
    assert!(writer.finish().unwrap().status.success());
    assert!(streamed.stdout == fs::read(&plain).unwrap());
}

/// What can be read twice needs no room for a copy: there is none here.
#[test]
fn a_plain_tar_and_an_image_go_to_stdout_without_a_temporary_file() {
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let image = scratch.mkfs(&tar, "from-tar.ext4", &[]);
    let compacted = scratch.mkfs(&image, "from-image.ext4", &[]);
    let nowhere = || forger().env("TMPDIR", scratch.path("nowhere")).arg("mkfs");
    let streamed = nowhere().arg(&tar).arg("-").ok();
    assert!(streamed.stdout == fs::read(&image).unwrap());
    let streamed = nowhere().args(["-", "-"]).stdin_file(&tar).ok();
    assert!(streamed.stdout == fs::read(&image).unwrap());
    let streamed = nowhere().arg(&image).arg("-").ok();
    assert!(streamed.stdout == fs::read(&compacted).unwrap());
    // What comes once is kept on the way, which is said if it cannot be.
    let piped = nowhere().args(["-", "-"]).stdin_piped(&tar).output();
    assert!(!piped.status.success(), "{piped}");
    assert!(piped.errors().contains("nowhere"), "{piped}");
}

#[test]
fn one_core_and_all_give_the_same_image_and_bundle() {
    need!("taskset");
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let make = |out: &str, pinned: bool| {
        let run = if pinned {
            Run::new("taskset")
                .args(["--cpu-list", "0"])
                .arg(forger_tests::forger::binary())
        } else {
            forger()
        };
        let out = scratch.path(out);
        run.arg("make-bundle")
            .arg(&tar)
            .args(["--name", "sample", "--arch", "x86_64", "--out"])
            .arg(&out)
            .ok();
        out
    };
    assert_same(&make("one.tar.zst", true), &make("all.tar.zst", false));
}

#[test]
fn another_time_or_label_or_content_gives_another_uuid() {
    need!("dumpe2fs");
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let uuid = |name: &str, args: &[&str]| {
        let image = scratch.mkfs(&tar, name, args);
        forger_tests::judge::superblock(&image)["Filesystem UUID"].clone()
    };
    let plain = uuid("plain.ext4", &[]);
    assert_ne!(plain, uuid("time.ext4", &["--time", "@1800000000"]));
    assert_ne!(plain, uuid("label.ext4", &["--label", "other"]));
    assert_ne!(plain, uuid("free.ext4", &["--free", "200M"]));
}

#[test]
fn source_date_epoch_is_the_image_time_unless_time_is_given() {
    need!("dumpe2fs");
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let created = |args: &[&str]| {
        let image = scratch.path("image.ext4");
        let run = forger()
            .arg("mkfs")
            .arg(&tar)
            .arg(&image)
            .args(args)
            .arg("--force");
        run.env("SOURCE_DATE_EPOCH", "1000000000").ok();
        forger_tests::judge::superblock(&image)["Filesystem created"].clone()
    };
    assert_eq!(created(&[]), "Sun Sep  9 01:46:40 2001");
    assert_eq!(
        created(&["--time", "@2000000000"]),
        "Wed May 18 03:33:20 2033"
    );
}
