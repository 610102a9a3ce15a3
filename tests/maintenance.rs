//! What is done to an image later: each on a fresh copy, without an fsck before, a clean one after.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use forger_tests::archive::{Archive, Member};
use forger_tests::judge::{assert_clean, number, superblock};
use forger_tests::mount::Mount;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{need, rootfs, sample};

/// The images to maintain: the sample's, a bare one and, where it can be had, Debian's.
fn images(scratch: &Scratch) -> Vec<PathBuf> {
    let tar = scratch.file("sample.tar", sample::rootfs());
    let empty = scratch.file("empty.tar", [0; 1024]);
    let mut images = vec![
        scratch.mkfs(&tar, "sample.ext4", &[]),
        scratch.mkfs(&tar, "no-journal.ext4", &["--no-journal"]),
        scratch.mkfs(&empty, "empty.ext4", &[]),
    ];
    images.extend(rootfs::minbase().map(|tar| scratch.mkfs(&tar, "minbase.ext4", &[])));
    images
}

/// Runs a tool on a fresh copy of each image, and asserts that the result is clean.
fn on_each_copy(scratch: &Scratch, change: impl Fn(&Path)) {
    for image in images(scratch) {
        let copy = scratch.copy(&image, "copy.ext4");
        change(&copy);
        assert_clean(&copy);
        fs::remove_file(&copy).unwrap();
    }
}

#[test]
fn image_grown_to_20_times_is_clean_and_has_an_inode_per_32_kib() {
    need!("resize2fs", "dumpe2fs", "e2fsck");
    let scratch = Scratch::new();
    on_each_copy(&scratch, |image| {
        let blocks = 20 * number(&superblock(image), "Block count");
        Run::new("resize2fs")
            .arg(image)
            .arg(blocks.to_string())
            .limit(300)
            .ok();
        let after = superblock(image);
        assert_eq!(number(&after, "Block count"), blocks);
        let inodes = number(&after, "Inode count");
        assert!(
            inodes >= blocks * 4096 / 32768,
            "{inodes} inodes on {blocks} blocks"
        );
    });
}

#[test]
fn image_shrunk_to_its_minimum_is_clean() {
    need!("resize2fs", "e2fsck");
    on_each_copy(&Scratch::new(), |image| {
        Run::new("resize2fs").arg("-M").arg(image).limit(300).ok();
    });
}

#[test]
fn image_with_a_new_uuid_is_clean() {
    need!("tune2fs", "e2fsck");
    on_each_copy(&Scratch::new(), |image| {
        Run::new("tune2fs").args(["-U", "random"]).arg(image).ok();
    });
}

#[test]
fn image_with_a_checksum_seed_is_clean() {
    need!("tune2fs", "e2fsck");
    on_each_copy(&Scratch::new(), |image| {
        Run::new("tune2fs")
            .args(["-O", "metadata_csum_seed"])
            .arg(image)
            .ok();
    });
}

#[test]
fn image_with_folders_rebuilt_is_clean() {
    need!("e2fsck");
    on_each_copy(&Scratch::new(), |image| {
        let output = Run::new("e2fsck")
            .arg("-fyD")
            .arg(image)
            .limit(300)
            .output();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output}");
    });
}

#[test]
fn image_written_to_by_the_kernel_is_clean() {
    need!("loop", "e2fsck");
    on_each_copy(&Scratch::new(), |image| {
        let mount = Mount::read_write(image);
        write_everywhere(mount.path());
        Run::new("sync").arg("-f").arg(mount.path()).ok();
    });
}

/// Makes, changes and removes files in every folder that is there, and new folders.
fn write_everywhere(root: &Path) {
    let mut folders = vec![root.to_path_buf()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    for (i, folder) in folders.iter().enumerate().take(500) {
        fs::write(folder.join("written-later"), vec![b'w'; 10 * i]).unwrap();
    }
    let many = root.join("new");
    fs::create_dir(&many).unwrap();
    for i in 0..300 {
        fs::write(
            many.join(format!("{i}-{}", "n".repeat(i % 200))),
            i.to_string(),
        )
        .unwrap();
    }
    for i in (0..300).step_by(3) {
        fs::remove_file(many.join(format!("{i}-{}", "n".repeat(i % 200)))).unwrap();
    }
    for entry in fs::read_dir(&folders[folders.len() / 2]).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_file() {
            fs::remove_file(&path).unwrap();
        }
    }
    if let Ok(entries) = fs::read_dir(root.join("srv/many")) {
        for entry in entries
            .map(Result::unwrap)
            .filter(|e| e.file_name().as_bytes()[8] == b'3')
        {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[test]
fn image_grown_beyond_the_default_reserve_is_clean_with_max_size() {
    need!("resize2fs", "dumpe2fs", "e2fsck");
    let scratch = Scratch::new();
    let mut archive = Archive::new();
    archive.push(&Member::file("file", vec![b'x'; 100_000]));
    let tar = scratch.file("small.tar", archive.finish());
    // Each descriptor block serves 8 GiB: 128 blocks, the default, end at 1 TiB.
    let image = scratch.mkfs(&tar, "small.ext4", &["--max-size", "2T"]);
    assert_clean(&image);
    Run::new("resize2fs")
        .arg(&image)
        .arg("1500G")
        .limit(600)
        .ok();
    assert_eq!(number(&superblock(&image), "Block count"), 1500 << 18);
    assert_clean(&image);
}
