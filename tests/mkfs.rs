//! `forger mkfs`: images that e2fsck and the kernel agree with, equal to what GNU tar makes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use forger_tests::archive::{Archive, Member};
use forger_tests::gnutar::Extracted;
use forger_tests::judge::{self, assert_clean};
use forger_tests::mount::Mount;
use forger_tests::sample::{self, IMPLIED};
use forger_tests::scratch::Scratch;
use forger_tests::walk::Listing;
use forger_tests::{need, rootfs, workspace};

/// Asserts that the image mounts and holds what GNU tar extracts of `tar`.
fn assert_equals_gnu_tar(image: &Path, tar: &Path, bytes: u64, files: u64, implied: &[&str]) {
    let extracted = Extracted::of(tar, bytes, files);
    let mount = Mount::read_only(image);
    Listing::of(mount.path(), implied).assert_same(&extracted.listing(implied));
}

#[test]
fn image_of_sample_is_clean() {
    need!("e2fsck");
    let scratch = Scratch::new();
    let tar = workspace().join("testdata/sample-rootfs.tar.zst");
    assert_clean(&scratch.mkfs(&tar, "rootfs.ext4", &[]));
}

#[test]
fn image_of_sample_equals_what_gnu_tar_extracts() {
    need!("loop", "mkfs.ext4", "tar", "zstd");
    let scratch = Scratch::new();
    let tar = workspace().join("testdata/sample-rootfs.tar.zst");
    let image = scratch.mkfs(&tar, "rootfs.ext4", &[]);
    assert_equals_gnu_tar(&image, &tar, 32 << 20, 1000, &IMPLIED);
}

#[test]
fn image_of_minbase_is_clean_and_equals_what_gnu_tar_extracts() {
    need!("loop", "e2fsck", "mkfs.ext4", "tar");
    let Some(tar) = rootfs::minbase() else { return };
    let scratch = Scratch::new();
    let image = scratch.mkfs(&tar, "rootfs.ext4", &[]);
    assert_clean(&image);
    let bytes = tar.metadata().unwrap().len();
    assert_equals_gnu_tar(&image, &tar, bytes, 20_000, &[]);
}

#[test]
fn implied_folders_are_0755_of_root_with_the_image_time() {
    need!("loop");
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let image = scratch.mkfs(&tar, "rootfs.ext4", &["--time", "@1234567890"]);
    let mount = Mount::read_only(&image);
    for path in IMPLIED {
        let meta = fs::symlink_metadata(mount.join(path)).unwrap();
        assert_eq!(
            (meta.mode() & 0o7777, meta.uid(), meta.gid()),
            (0o755, 0, 0),
            "{path}"
        );
        assert_eq!(
            (meta.mtime(), meta.mtime_nsec()),
            (1_234_567_890, 0),
            "{path}"
        );
    }
}

#[test]
fn lost_found_is_inode_11_whether_the_archive_has_it_or_not() {
    need!("debugfs", "e2fsck");
    let scratch = Scratch::new();
    let mut with = Archive::new();
    with.push(&Member::file("first", "x"));
    with.push(&Member::dir("lost+found").mode(0o750).owner(3, 4));
    for (name, archive, mode, owner) in [
        ("without", Archive::new(), "0700", ("0", "0")),
        ("with", with, "0750", ("3", "4")),
    ] {
        let tar = scratch.file(name, archive.finish());
        let image = scratch.mkfs(&tar, &format!("{name}.ext4"), &[]);
        assert_clean(&image);
        let stat = judge::debugfs(&image, "stat lost+found");
        assert!(stat.starts_with("Inode: 11 "), "{stat}");
        assert!(stat.contains(&format!("Mode:  {mode}")), "{stat}");
        let words: Vec<&str> = stat.split_whitespace().collect();
        let after = |title: &str| words[words.iter().position(|w| *w == title).unwrap() + 1];
        assert_eq!((after("User:"), after("Group:")), owner, "{stat}");
    }
}

#[test]
fn valid_empty_archive_makes_an_empty_filesystem() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let tar = scratch.file("empty.tar", [0; 1024]);
    let image = scratch.mkfs(&tar, "empty.ext4", &[]);
    assert_clean(&image);
    let mount = Mount::read_only(&image);
    assert_eq!(Listing::of(mount.path(), &[]).len(), 1);
}

#[test]
fn holes_and_long_runs_of_zeros_take_no_blocks() {
    need!("loop");
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let blocks = |image: &Path, name: &str| {
        let mount = Mount::read_only(image);
        let meta = fs::metadata(mount.join(format!("srv/contents/{name}"))).unwrap();
        meta.blocks() * 512
    };
    let image = scratch.mkfs(&tar, "holes.ext4", &[]);
    assert_eq!(blocks(&image, "sparse-pax"), 2 * 4096);
    assert!(blocks(&image, "sparse-gnu") <= 31 * 4096);
    assert_eq!(blocks(&image, "zeros"), 0);
    let kept = scratch.mkfs(&tar, "kept.ext4", &["--keep-zeros"]);
    assert_eq!(
        blocks(&kept, "sparse-pax"),
        2 * 4096,
        "declared holes stay holes"
    );
    assert_eq!(blocks(&kept, "zeros"), 200_704);
}

#[test]
fn large_folder_has_a_hash_tree_and_every_name_is_found_through_it() {
    need!("loop", "debugfs", "e2fsck");
    let scratch = Scratch::new();
    let mut archive = Archive::new();
    for i in 0..16_000 {
        archive.push(&Member::file(
            format!("many/{}-{i}", "n".repeat(i % 240)),
            "",
        ));
    }
    let tar = scratch.file("many.tar", archive.finish());
    let image = scratch.mkfs(&tar, "many.ext4", &[]);
    assert_clean(&image);
    let htree = judge::debugfs(&image, "htree many");
    assert!(
        htree.contains("Indirect levels: 1"),
        "{}",
        &htree[..htree.len().min(600)]
    );
    let mount = Mount::read_only(&image);
    for i in 0..16_000 {
        let path = mount.join(format!("many/{}-{i}", "n".repeat(i % 240)));
        assert!(path.symlink_metadata().is_ok(), "{i} is not found");
    }
}

#[test]
fn times_of_access_and_change_come_from_pax_records() {
    need!("debugfs");
    let scratch = Scratch::new();
    let mut archive = Archive::new();
    archive.push(
        &Member::file("file", "")
            .mtime(1000, 1)
            .record("atime", "2000.000000002")
            .record("ctime", "3000.000000003")
            .record("LIBARCHIVE.creationtime", "4000.000000004"),
    );
    let tar = scratch.file("times.tar", archive.finish());
    let image = scratch.mkfs(&tar, "times.ext4", &[]);
    let stat = judge::debugfs(&image, "stat file");
    for (title, seconds, nanoseconds) in [
        ("ctime", 3000, 3),
        ("atime", 2000, 2),
        ("mtime", 1000, 1),
        ("crtime", 4000, 4),
    ] {
        // debugfs prints the extra word: nanoseconds above two bits of seconds.
        let wanted = format!("{title}: 0x{seconds:08x}:{:08x}", nanoseconds << 2);
        assert!(stat.contains(&wanted), "{wanted} is not in\n{stat}");
    }
}
