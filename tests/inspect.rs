//! Reading images with the commands: `ls`, `cat`, `info`, `extract`, and an image as a source.

use std::fs;
use std::path::Path;

use forger_tests::forger::forger;
use forger_tests::judge::{assert_clean, debugfs, superblock};
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{need, workspace};

fn sample(scratch: &Scratch) -> std::path::PathBuf {
    scratch.mkfs(
        &workspace().join("testdata/sample-rootfs.tar.zst"),
        "sample.ext4",
        &[],
    )
}

fn at(image: &Path, path: &str) -> String {
    format!("{}:{path}", image.display())
}

/// Extracts a whole image into an archive.
fn extracted(scratch: &Scratch, image: &Path, name: &str) -> Vec<u8> {
    let tar = scratch.path(name);
    forger()
        .arg("extract")
        .arg(image)
        .arg("--to-tar")
        .arg(&tar)
        .ok();
    fs::read(tar).unwrap()
}

#[test]
fn ls_and_cat_show_what_debugfs_shows() {
    need!("debugfs");
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let listed = forger().arg("ls").arg(at(&image, "/etc")).ok().text();
    let judged = debugfs(&image, "ls -p /etc");
    let mut names: Vec<&str> = judged
        .lines()
        .filter_map(|line| line.split('/').nth(5))
        .filter(|name| !matches!(*name, "." | ".." | ""))
        .collect();
    names.sort_unstable();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
    let name = at(&image, "/etc/os-release");
    let shown = forger().arg("cat").arg(name).ok().text();
    assert_eq!(shown, debugfs(&image, "cat /etc/os-release"));
}

#[test]
fn info_agrees_with_dumpe2fs() {
    need!("dumpe2fs");
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let text = forger()
        .args(["info", "--output", "json"])
        .arg(&image)
        .ok()
        .text();
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    let judged = superblock(&image);
    assert_eq!(facts["uuid"], judged["Filesystem UUID"].as_str());
    assert_eq!(facts["blocks"].to_string(), judged["Block count"]);
    assert_eq!(facts["free_inodes"].to_string(), judged["Free inodes"]);
    let features: Vec<&str> = facts["features"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|word| word.as_str())
        .collect();
    assert_eq!(features.join(" "), judged["Filesystem features"]);
}

#[test]
fn a_deterministic_tar_comes_back_from_an_image_byte_for_byte() {
    need!("e2fsck");
    let scratch = Scratch::new();
    let first = extracted(&scratch, &sample(&scratch), "first.tar");
    let again = scratch.mkfs(&scratch.path("first.tar"), "again.ext4", &[]);
    assert_clean(&again);
    assert!(extracted(&scratch, &again, "second.tar") == first);
}

#[test]
fn an_image_of_an_image_holds_the_same() {
    need!("e2fsck");
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let copy = scratch.mkfs(&image, "copy.ext4", &["--size", "64M"]);
    assert_clean(&copy);
    let first = extracted(&scratch, &image, "first.tar");
    assert!(extracted(&scratch, &copy, "second.tar") == first);
}

#[test]
fn check_passes_what_e2fsck_passes_and_flags_what_it_flags() {
    need!("e2fsck", "debugfs");
    let scratch = Scratch::new();
    let image = sample(&scratch);
    assert_clean(&image);
    assert_eq!(forger().arg("check").arg(&image).ok().text(), "clean\n");
    // A link count that is wrong, with checksums that are right.
    debugfs_write(&image, "sif /etc/os-release links_count 7");
    let output = forger().arg("check").arg(&image).output();
    assert_eq!(output.status.code(), Some(4));
    assert!(output.text().contains("inode"), "{}", output.text());
    let judged = Run::new("e2fsck").args(["-fn"]).arg(&image).output();
    assert_eq!(judged.status.code(), Some(4));
    // The superblock's checksum: nothing else can be looked at.
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[1024 + 0x3fc] ^= 1;
    std::fs::write(&image, bytes).unwrap();
    assert_eq!(
        forger().arg("check").arg(&image).output().status.code(),
        Some(4)
    );
}

#[test]
fn a_folder_of_an_image_is_a_source() {
    need!("e2fsck");
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let part = Path::new(&at(&image, "/srv")).to_owned();
    let made = scratch.mkfs(&part, "srv.ext4", &[]);
    assert_clean(&made);
    let output = forger().arg("diff").arg(&part).arg(&made).ok();
    assert_eq!(output.text(), "");
    for path in ["/etc/hostname", "/absent"] {
        let output = forger()
            .arg("mkfs")
            .arg(at(&image, path))
            .arg(scratch.path("none.ext4"))
            .output();
        assert_eq!(output.status.code(), Some(1), "{output}");
        assert!(output.errors().contains(path), "{output}");
    }
}

#[test]
fn a_folder_inside_itself_ends_every_walk() {
    need!("debugfs");
    let scratch = Scratch::new();
    let image = sample(&scratch);
    debugfs_write(&image, "ln /srv/implied /srv/implied/deep/again");
    for args in [&["ls", "-R"][..], &["ls", "-lR"], &["find"], &["du"]] {
        let output = forger().args(args).arg(&image).limit(60).output();
        assert_eq!(output.status.code(), Some(1), "{output}");
        assert!(
            output.errors().contains("/srv/implied/deep/again"),
            "{output}"
        );
    }
    let out = scratch.path("out");
    let output = forger().arg("extract").arg(&image).arg(&out).output();
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(!out.exists());
}

#[test]
fn an_empty_lost_found_is_left_out_unless_it_is_asked_for() {
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let inside = at(&image, "/lost+found");
    let out = scratch.path("out");
    forger().arg("extract").arg(&inside).arg(&out).ok();
    assert!(out.is_dir());
    forger()
        .args(["extract", &inside, "--to-tar"])
        .arg(scratch.path("out.tar"))
        .ok();
    let output = forger().arg("diff").args([&inside, &inside]).ok();
    assert_eq!(output.text(), "");
}

fn debugfs_write(image: &Path, request: &str) {
    Run::new("debugfs")
        .args(["-w", "-R", request])
        .arg(image)
        .ok();
}

#[test]
fn what_cannot_be_read_is_named() {
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let fails = |verb: &str, address: &str| {
        let output = forger().arg(verb).arg(address).output();
        assert_eq!(output.status.code(), Some(1), "{verb} {address}");
        output.errors()
    };
    let errors = fails("cat", &at(&image, "/etc/absent"));
    assert!(errors.contains("/etc/absent"), "{errors}");
    fails("cat", &at(&image, "/etc"));
    let odd = scratch.file("odd", vec![0; 100_000]);
    fails("ls", &odd.display().to_string());
}

#[test]
fn what_is_encrypted_is_listed_as_such_and_refused_by_name() {
    need!("mke2fs", "debugfs");
    let scratch = Scratch::new();
    let folder = scratch.path("folder");
    std::fs::create_dir(&folder).unwrap();
    let _ = scratch.file("folder/secret", "text");
    let _ = scratch.file("folder/open", "text");
    let image = scratch.path("image");
    let run = Run::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-O", "encrypt", "-d"]);
    run.arg(&folder).arg(&image).arg("16M").ok();
    debugfs_write(&image, "sif /secret flags 0x80800");
    let listed = forger().args(["ls", "-l"]).arg(&image).ok().text();
    let marked = |name: &str| {
        listed
            .lines()
            .find(|line| line.contains(name))
            .unwrap()
            .ends_with("(encrypted)")
    };
    assert!(marked("secret") && !marked("open"), "{listed}");
    let json = forger()
        .args(["ls", "--output", "json"])
        .arg(&image)
        .ok()
        .text();
    assert!(json.contains("\"encrypted\":true"), "{json}");
    let at = |name: &str| format!("{}:/{name}", image.display());
    assert_eq!(forger().arg("cat").arg(at("open")).ok().text(), "text");
    let refused = forger().arg("cat").arg(at("secret")).output();
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.errors().contains("encrypted"), "{refused}");
}
