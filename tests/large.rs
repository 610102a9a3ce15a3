//! What takes long: run by `cargo xtask full`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use forger_tests::archive::{Archive, BLOCK, Member};
use forger_tests::forger::{binary, forger};
use forger_tests::gnutar::Extracted;
use forger_tests::judge::{self, assert_clean};
use forger_tests::mount::Mount;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::walk::Listing;
use forger_tests::{need, rootfs};

/// The peak of memory that promise 6 allows for the large archive, in KiB: 93 MB.
const PEAK: u64 = 93_000_000 / 1024;

/// Makes an image with 15 minutes of time.
fn mkfs(scratch: &Scratch, tar: &Path) -> PathBuf {
    let image = scratch.path("large.ext4");
    forger().arg("mkfs").arg(tar).arg(&image).limit(900).ok();
    image
}

/// Runs a script in which `$F` is forger, and returns its peak of memory in KiB.
fn peak(script: &str, dir: &Path) -> u64 {
    let run = Run::new("bash")
        .args(["-euc", script])
        .env("F", binary())
        .dir(dir)
        .limit(900);
    let output = run.under("time", &["-f", "%M"]).ok();
    output.errors().lines().last().unwrap().parse().unwrap()
}

#[test]
#[ignore = "long: cargo xtask full"]
fn large_debian_is_clean_and_equals_what_gnu_tar_extracts() {
    need!("loop", "e2fsck", "mkfs.ext4", "tar", "mmdebstrap");
    let packages = "--include=linux-image-cloud-amd64,systemd-sysv,openssh-server,\
                    build-essential,python3-pip,git,nodejs,npm,golang-go";
    let tar = match std::env::var_os("FORGER_BENCH_TAR") {
        Some(tar) => PathBuf::from(tar),
        None => {
            let args = ["--variant=important", packages, "bookworm"];
            rootfs::made("large-bookworm.tar", &args).unwrap()
        }
    };
    let scratch = Scratch::new();
    let image = mkfs(&scratch, &tar);
    assert_clean(&image);
    let extracted = Extracted::of(&tar, tar.metadata().unwrap().len(), 150_000);
    let mount = Mount::read_only(&image);
    Listing::of(mount.path(), &[]).assert_same(&extracted.listing(&[]));
}

#[test]
#[ignore = "long: cargo xtask full"]
fn folder_of_200_000_files_is_clean_and_every_file_is_found() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let mut archive = Archive::new();
    for i in 0..200_000 {
        archive.push(&Member::file(format!("many/file-{i}"), ""));
    }
    let image = mkfs(&scratch, &scratch.file("many.tar", archive.finish()));
    assert_clean(&image);
    let mount = Mount::read_only(&image);
    for i in 0..200_000 {
        let path = mount.join(format!("many/file-{i}"));
        assert!(path.symlink_metadata().is_ok(), "{i} is not found");
    }
}

#[test]
#[ignore = "long: cargo xtask full"]
fn folder_of_70_000_folders_is_clean_and_has_one_link() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let mut archive = Archive::new();
    for i in 0..70_000 {
        archive.push(&Member::dir(format!("many/folder-{i}")));
    }
    let image = mkfs(&scratch, &scratch.file("many.tar", archive.finish()));
    assert_clean(&image);
    let mount = Mount::read_only(&image);
    let many = mount.join("many");
    assert_eq!(
        fs::metadata(&many).unwrap().nlink(),
        1,
        "dir_nlink: too many to count"
    );
    assert_eq!(fs::read_dir(&many).unwrap().count(), 70_000);
}

#[test]
#[ignore = "long: cargo xtask full"]
fn file_with_65_000_names_is_clean_and_with_one_more_refused() {
    need!("e2fsck");
    let scratch = Scratch::new();
    let named = |count: usize| {
        let mut archive = Archive::new();
        archive.push(&Member::file("first", "content"));
        for i in 1..count {
            archive.push(&Member::hardlink(format!("links/link-{i}"), "first"));
        }
        scratch.file("named.tar", archive.finish())
    };
    assert_clean(&mkfs(&scratch, &named(65_000)));
    let run = forger()
        .arg("mkfs")
        .arg(named(65_001))
        .arg(scratch.path("out.ext4"));
    let output = run.limit(900).output();
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.errors().contains("65"), "{output}");
    assert!(!scratch.path("out.ext4").exists());
}

#[test]
#[ignore = "long: cargo xtask full"]
fn file_of_500_000_pieces_has_a_deep_extent_tree_and_is_clean() {
    need!("loop", "e2fsck", "debugfs");
    let scratch = Scratch::new();
    let pieces: u64 = 500_000;
    let map: Vec<(u64, u64)> = (0..pieces).map(|i| (i * 8192, 512)).collect();
    let body: Vec<u8> = (0..pieces)
        .flat_map(|i| [i.to_le_bytes()[0] | 1; 512])
        .collect();
    let mut archive = Archive::new();
    archive.push(&Member::pax_sparse(b"pieces", &map, &body, pieces * 8192));
    let image = mkfs(&scratch, &scratch.file("pieces.tar", archive.finish()));
    assert_clean(&image);
    let extents = judge::debugfs(&image, "ex pieces");
    assert!(
        extents.lines().nth(1).unwrap().contains("0/ 2"),
        "two levels below the inode"
    );
    let mount = Mount::read_only(&image);
    let content = fs::read(mount.join("pieces")).unwrap();
    for (i, piece) in (0..pieces).zip(content.chunks(8192)) {
        assert_eq!(piece[0], i.to_le_bytes()[0] | 1, "piece {i}");
        assert!(piece[512..].iter().all(|byte| *byte == 0), "piece {i}");
    }
}

#[test]
#[ignore = "long: cargo xtask full"]
fn memory_does_not_grow_with_a_content_of_20_gib() {
    need!("bash", "time", "e2fsck");
    let scratch = Scratch::new();
    let mut archive = Archive::new();
    archive.push(&Member::file("zeros", "").stated_size(20 << 30));
    let _ = scratch.file("head", archive.open());
    let _ = scratch.file("end", [0; 2 * BLOCK]);
    let input = "< <(cat head; head -c 20G /dev/zero; cat end)";
    let kib = peak(
        &format!("exec \"$F\" mkfs - zeros.ext4 {input}"),
        scratch.root(),
    );
    assert!(kib < PEAK, "{kib} KiB");
    assert_clean(&scratch.path("zeros.ext4"));
    assert!(scratch.path("zeros.ext4").metadata().unwrap().blocks() * 512 < 50 << 20);
}
