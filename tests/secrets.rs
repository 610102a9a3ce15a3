//! What a later entry replaced is nowhere in the output, not even in free space.

use std::fs;
use std::path::{Path, PathBuf};

use forger_tests::archive::{Archive, Member};
use forger_tests::forger::forger;
use forger_tests::judge::assert_clean;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::sample::{self, REPLACED_SECRET};
use forger_tests::scratch::Scratch;

/// Text that only replaced things hold; it does not compress to something else that is found.
const SECRET: &str = "T0P-S3CR3T-b7e2";

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

/// Secrets of all sizes in all places, each replaced or removed later on.
fn archive() -> Vec<u8> {
    let large = SECRET.repeat(20_000);
    let mut archive = Archive::new();
    archive.extend(&[
        Member::file("small", SECRET),
        Member::file("large", &large),
        Member::file("below/folder/file", &large),
        Member::symlink("fast", SECRET),
        Member::symlink("slow", SECRET.repeat(50)),
        Member::file("attribute", "").xattr("user.secret", SECRET),
        Member::file("block", "").xattr("user.secret", SECRET.repeat(100)),
        Member::file(format!("below/{SECRET}"), "a secret name"),
        Member::file("linked", &large),
        Member::hardlink("link", "linked"),
        Member::file("between", "stays"),
        Member::hardlink("with-body", "linked")
            .record("size", "3")
            .body("new"),
        Member::file("small", "s"),
        Member::file("large", "l"),
        Member::file("below", "the folder is gone"),
        Member::symlink("fast", "f"),
        Member::symlink("slow", "s"),
        Member::file("attribute", ""),
        Member::file("block", ""),
    ]);
    archive.finish()
}

fn assert_without(path: &Path, secret: &str) {
    assert!(
        !contains(&fs::read(path).unwrap(), secret),
        "{} holds {secret}",
        path.display()
    );
}

#[test]
fn replaced_contents_names_and_attributes_are_nowhere_in_the_image() {
    need!("e2fsck");
    let scratch = Scratch::new();
    let archive = archive();
    assert!(contains(&archive, SECRET));
    let tar = scratch.file("in.tar", &archive);
    let image = scratch.mkfs(&tar, "file.ext4", &[]);
    assert_clean(&image);
    assert_without(&image, SECRET);
    let piped = scratch.mkfs_piped(&archive, "pipe.ext4", &[]);
    assert!(piped.status.success(), "{piped}");
    assert_without(&scratch.path("pipe.ext4"), SECRET);
    let streamed = forger().arg("mkfs").arg(&tar).arg("-").ok();
    assert!(!contains(&streamed.stdout, SECRET));
}

/// Makes a bundle through a pipe and returns it.
fn bundle(scratch: &Scratch, archive: &[u8], args: &[&str]) -> PathBuf {
    let bundle = scratch.path("bundle.tar.zst");
    let run = forger().args(["make-bundle", "--name", "n", "--arch", "x86_64", "--out"]);
    run.arg(&bundle).args(args).stdin(archive).ok();
    bundle
}

#[test]
fn replaced_contents_are_nowhere_in_the_bundle() {
    need!("zstd");
    let scratch = Scratch::new();
    for archive in [archive(), sample::rootfs()] {
        let bundle = bundle(&scratch, &archive, &["--force"]);
        let unpacked = Run::new("zstd")
            .args(["-dc", "--"])
            .arg(&bundle)
            .limit(300)
            .ok()
            .stdout;
        for secret in [SECRET, REPLACED_SECRET] {
            assert_without(&bundle, secret);
            assert!(
                !contains(&unpacked, secret),
                "{secret} is in the unpacked bundle"
            );
        }
    }
}

#[test]
fn what_an_overlay_replaced_is_nowhere_in_image_and_bundle() {
    need!("e2fsck", "zstd");
    let scratch = Scratch::new();
    let mut base = Archive::new();
    base.push(&Member::file("etc/key", SECRET.repeat(9000)));
    base.push(&Member::file("etc/other", "stays"));
    let base = base.finish();
    let tar = scratch.file("base.tar", &base);
    fs::create_dir_all(scratch.path("overlay/etc")).unwrap();
    let _ = scratch.file("overlay/etc/key", "harmless");
    let overlay = scratch.path("overlay");
    let args = ["--overlay", overlay.to_str().unwrap()];
    let image = scratch.mkfs(&tar, "out.ext4", &args);
    assert_clean(&image);
    assert_without(&image, SECRET);
    let bundle = bundle(&scratch, &base, &args);
    assert_without(&bundle, SECRET);
    let unpacked = Run::new("zstd")
        .args(["-dc", "--"])
        .arg(&bundle)
        .ok()
        .stdout;
    assert!(!contains(&unpacked, SECRET));
}
