//! The options of `forger mkfs`, as dumpe2fs and the kernel see them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use forger_tests::archive::{Archive, Member};
use forger_tests::forger::forger;
use forger_tests::judge::{self, assert_clean, number};
use forger_tests::mount::Mount;
use forger_tests::scratch::Scratch;
use forger_tests::walk::Listing;
use forger_tests::{need, sample};

const MIB: u64 = 1 << 20;

/// Makes the sample's image with `args` and returns what dumpe2fs says; the image must be clean.
fn superblock(args: &[&str]) -> BTreeMap<String, String> {
    let scratch = Scratch::new();
    let image = image(&scratch, args);
    assert_clean(&image);
    judge::superblock(&image)
}

fn image(scratch: &Scratch, args: &[&str]) -> PathBuf {
    let tar = scratch.file("sample.tar", sample::rootfs());
    scratch.mkfs(&tar, "image.ext4", args)
}

#[test]
fn defaults_are_those_documented() {
    need!("dumpe2fs", "e2fsck");
    let fs = superblock(&[]);
    let features: Vec<&str> = fs["Filesystem features"].split(' ').collect();
    let wanted = [
        "has_journal",
        "ext_attr",
        "resize_inode",
        "dir_index",
        "filetype",
        "extent",
        "64bit",
        "flex_bg",
        "sparse_super",
        "large_file",
        "huge_file",
        "dir_nlink",
        "extra_isize",
        "metadata_csum",
    ];
    assert_eq!(features, wanted);
    assert_eq!(fs["Filesystem state"], "clean");
    assert_eq!(fs["Filesystem volume name"], "<none>");
    assert_eq!(fs["Default directory hash"], "half_md4");
    assert_eq!(fs["Maximum mount count"], "-1");
    assert_eq!(fs["Last mount time"], "n/a");
    assert_eq!(
        (number(&fs, "Mount count"), number(&fs, "Block size")),
        (0, 4096)
    );
    assert_eq!(
        (
            number(&fs, "Inode size"),
            number(&fs, "Reserved block count")
        ),
        (256, 0)
    );
    assert!(number(&fs, "Free blocks") * 4096 >= 16 * MIB);
    assert!(number(&fs, "Free inodes") >= 1024);
    assert!(number(&fs, "Inode count") >= number(&fs, "Block count") * 4096 / 16384);
}

#[test]
fn label_uuid_hash_seed_and_time_stand_in_the_superblock() {
    need!("dumpe2fs", "e2fsck");
    let uuid = "11111111-2222-3333-4444-555555555555";
    let seed = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
    let fs = superblock(&[
        "--label",
        "sixteen bytes ok",
        "--uuid",
        uuid,
        "--hash-seed",
        seed,
        "--time",
        "2024-05-01T12:00:00Z",
    ]);
    assert_eq!(fs["Filesystem volume name"], "sixteen bytes ok");
    assert_eq!(
        (&fs["Filesystem UUID"][..], &fs["Directory Hash Seed"][..]),
        (uuid, seed)
    );
    for title in ["Filesystem created", "Last write time", "Last checked"] {
        assert_eq!(fs[title], "Wed May  1 12:00:00 2024", "{title}");
    }
}

#[test]
fn size_is_exact() {
    need!("dumpe2fs", "e2fsck");
    for (text, bytes) in [("64M", 64 * MIB), ("129MiB", 129 * MIB), ("1G", 1024 * MIB)] {
        let scratch = Scratch::new();
        let image = image(&scratch, &["--size", text]);
        assert_clean(&image);
        assert_eq!(image.metadata().unwrap().len(), bytes);
        assert_eq!(
            number(&judge::superblock(&image), "Block count") * 4096,
            bytes
        );
    }
}

#[test]
fn size_too_small_says_how_much_is_missing() {
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let run = forger()
        .arg("mkfs")
        .arg(&tar)
        .arg(scratch.path("x.ext4"))
        .args(["--size", "1M"]);
    let output = run.output();
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(
        output.errors().contains("missing") || output.errors().contains("more"),
        "{output}"
    );
    assert_eq!(scratch.names("."), ["sample.tar"]);
}

#[test]
fn free_space_is_at_least_what_is_asked() {
    need!("dumpe2fs", "e2fsck");
    let fs = superblock(&["--free", "300M"]);
    assert!(number(&fs, "Free blocks") * 4096 >= 300 * MIB);
    let fs = superblock(&["--free", "80%"]);
    assert!(number(&fs, "Free blocks") * 100 >= number(&fs, "Block count") * 80);
}

#[test]
fn journal_is_as_asked() {
    need!("dumpe2fs", "e2fsck");
    let fs = superblock(&["--no-journal"]);
    assert!(!fs["Filesystem features"].contains("has_journal"));
    let fs = superblock(&["--journal-size", "8M"]);
    assert_eq!(number(&fs, "Total journal blocks"), 2048);
}

#[test]
fn image_below_2048_blocks_has_no_journal_and_says_so() {
    need!("dumpe2fs", "e2fsck");
    let scratch = Scratch::new();
    let tar = scratch.file("empty.tar", [0; 1024]);
    let image = scratch.path("image.ext4");
    let output = forger()
        .arg("mkfs")
        .arg(&tar)
        .arg(&image)
        .args(["--size", "7M"])
        .ok();
    assert!(output.errors().contains("journal"), "{output}");
    assert!(!judge::superblock(&image)["Filesystem features"].contains("has_journal"));
    assert_clean(&image);
}

#[test]
fn reserved_share_and_inode_counts_are_as_asked() {
    need!("dumpe2fs", "e2fsck");
    let fs = superblock(&["--reserved", "5", "--size", "400M"]);
    assert_eq!(
        number(&fs, "Reserved block count"),
        number(&fs, "Block count") / 20
    );
    let fs = superblock(&["--inodes", "50000"]);
    assert!((50_000..60_000).contains(&number(&fs, "Inode count")));
    let fs = superblock(&["--bytes-per-inode", "4096", "--size", "256M"]);
    assert!(number(&fs, "Inode count") >= 65_536);
}

#[test]
fn times_after_the_image_time_are_clamped_on_request() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let image = image(&scratch, &["--time", "@1700000000", "--clamp-mtime"]);
    assert_clean(&image);
    let mount = Mount::read_only(&image);
    let mtime = |path: &str| mount.join(path).symlink_metadata().unwrap().mtime();
    assert_eq!(mtime("etc/hostname"), 1_700_000_000);
    assert_eq!(mtime("srv/times/latest"), 1_700_000_000);
    assert_eq!(mtime("srv/times/nanoseconds"), 1_600_000_000);
}

#[test]
fn owner_of_the_root_folder_is_as_asked_where_the_archive_has_none() {
    need!("debugfs", "e2fsck");
    let scratch = Scratch::new();
    let mut archive = Archive::new();
    archive.push(&Member::file("file", ""));
    let tar = scratch.file("rootless.tar", archive.finish());
    let image = scratch.mkfs(&tar, "image.ext4", &["--root-owner", "1000:70000"]);
    assert_clean(&image);
    let stat = judge::debugfs(&image, "stat /");
    assert!(stat.contains("User:  1000   Group: 70000"), "{stat}");
}

#[test]
fn owner_maps_every_entry() {
    need!("loop");
    let scratch = Scratch::new();
    let image = image(&scratch, &["--owner", "12:34"]);
    let mount = Mount::read_only(&image);
    for path in [
        "etc/shadow",
        "srv/id-huge",
        "dev/null",
        "srv/links/fast",
        "srv/setgid",
    ] {
        let meta = mount.join(path).symlink_metadata().unwrap();
        assert_eq!((meta.uid(), meta.gid()), (12, 34), "{path}");
    }
}

#[test]
fn excluded_names_are_left_out_with_all_below_them() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let image = image(&scratch, &["--exclude", "srv/many", "--exclude", "*.so.?"]);
    assert_clean(&image);
    let mount = Mount::read_only(&image);
    let listing = Listing::of(mount.path(), &[]);
    assert!(listing.line("srv/links/one").is_some());
    assert!(listing.line("srv/many").is_none());
    assert!(listing.line("usr/lib/libsample.so.1").is_none());
}

#[test]
fn leading_parts_of_names_are_stripped_of_members_and_hard_links() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let mut archive = Archive::new();
    archive.extend(&[
        Member::dir("top/"),
        Member::file("top/a", "x"),
        Member::hardlink("top/b", "top/a"),
        Member::symlink("top/c", "top/a"),
        Member::file("short", "left out"),
    ]);
    let tar = scratch.file("top.tar", archive.finish());
    let image = scratch.mkfs(&tar, "image.ext4", &["--strip-components", "1"]);
    assert_clean(&image);
    let mount = Mount::read_only(&image);
    let listing = Listing::of(mount.path(), &[]);
    assert_eq!(listing.len(), 4);
    assert!(listing.line("b").unwrap().contains("same-as=a"));
    assert!(listing.line("c").unwrap().contains("-> top/a"));
}

#[test]
fn dry_run_tells_the_size_as_json_and_writes_nothing() {
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let image = scratch.mkfs(&tar, "image.ext4", &[]);
    let run = forger()
        .arg("mkfs")
        .arg(&tar)
        .arg(scratch.path("other.ext4"));
    let output = run.args(["--dry-run", "--output", "json"]).ok();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        json["size"].as_u64(),
        Some(image.metadata().unwrap().len()),
        "{json}"
    );
    for field in ["inodes", "free_inodes", "free"] {
        assert!(
            json[field].as_u64().is_some_and(|n| n > 0),
            "{field} of {json}"
        );
    }
    assert_eq!(scratch.names("."), ["image.ext4", "sample.tar"]);
}

#[test]
fn existing_output_is_replaced_only_with_force() {
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let out = scratch.file("image.ext4", "precious");
    let refused = forger().arg("mkfs").arg(&tar).arg(&out).output();
    assert!(!refused.status.success(), "{refused}");
    assert!(refused.errors().contains("--force"), "{refused}");
    assert_eq!(std::fs::read(&out).unwrap(), b"precious");
    let _ = scratch.mkfs(&tar, "image.ext4", &["--force"]);
    assert!(out.metadata().unwrap().len() > 1 << 20);
}

#[test]
fn symlink_as_output_is_followed_and_its_target_replaced() {
    let scratch = Scratch::new();
    let tar = scratch.file("empty.tar", [0; 1024]);
    let _ = scratch.file("target.ext4", "old");
    let link = scratch.path("link.ext4");
    std::os::unix::fs::symlink("target.ext4", &link).unwrap();
    let _ = scratch.mkfs(&tar, "link.ext4", &["--force"]);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(scratch.path("target.ext4").metadata().unwrap().len() > 1 << 20);
}
