//! FAT volumes, judged by fsck.vfat and mtools.

use std::fs;
use std::path::{Path, PathBuf};

use forger_tests::forger::forger;
use forger_tests::need;
use forger_tests::process::{Output, Run};
use forger_tests::scratch::Scratch;

/// A seed for cloud-init, and what else a FAT can be asked to hold.
fn seed(scratch: &Scratch) -> PathBuf {
    let folder = scratch.path("seed");
    fs::create_dir_all(folder.join("EFI/BOOT")).unwrap();
    fs::create_dir(folder.join("Über uns")).unwrap();
    for (name, content) in [
        ("user-data", "#cloud-config\n".to_owned()),
        ("meta-data", "instance-id: one\n".to_owned()),
        ("EFI/BOOT/BOOTX64.EFI", "MZ".repeat(40_000)),
        ("Über uns/größe.txt", "hi\n".to_owned()),
    ] {
        fs::write(folder.join(name), content).unwrap();
    }
    folder
}

fn mkfs(source: &Path, out: &Path, args: &[&str]) -> Output {
    let run = forger().args(["mkfs", "--type", "vfat"]);
    run.args(args).arg(source).arg(out).output()
}

fn mtools(program: &str, args: &[&str], image: &Path) -> Output {
    let run = Run::new(program).env("MTOOLS_SKIP_CHECK", "1");
    run.env("LC_ALL", "C.UTF-8")
        .arg("-i")
        .arg(image)
        .args(args)
        .ok()
}

#[test]
fn a_seed_is_clean_and_mtools_read_what_went_in() {
    need!("fsck.vfat", "mdir", "mcopy", "minfo");
    let scratch = Scratch::new();
    let folder = seed(&scratch);
    for (name, args) in [
        ("auto", &["--label", "CIDATA"][..]),
        (
            "fat16",
            &["--label", "CIDATA", "--fat-bits", "16", "--size", "20M"],
        ),
        (
            "fat32",
            &["--label", "CIDATA", "--fat-bits", "32", "--size", "100M"],
        ),
        (
            "4k",
            &[
                "--label",
                "CIDATA",
                "--fat-bits",
                "32",
                "--size",
                "260M",
                "--sector-size",
                "4096",
            ],
        ),
    ] {
        let image = scratch.path(name);
        let made = mkfs(&folder, &image, args);
        assert!(made.status.success(), "{made}");
        let judged = Run::new("fsck.vfat").arg("-nv").arg(&image).ok();
        assert!(!judged.text().contains("iffer"), "{judged}");
        if name == "4k" {
            // mtools take sectors of 512 bytes only.
            continue;
        }
        let listed = mtools("mdir", &["-/", "::"], &image).text();
        for expected in ["CIDATA", "user-data", "BOOTX64  EFI", "größe.txt"] {
            assert!(listed.contains(expected), "{expected}: {listed}");
        }
        let copied = mtools("mcopy", &["::EFI/BOOT/BOOTX64.EFI", "-"], &image);
        assert_eq!(
            copied.stdout,
            fs::read(folder.join("EFI/BOOT/BOOTX64.EFI")).unwrap()
        );
        assert!(mtools("minfo", &["::"], &image).text().contains("CIDATA"));
    }
}

#[test]
fn a_volume_is_listed_read_compared_and_taken_out() {
    let scratch = Scratch::new();
    let folder = seed(&scratch);
    let image = scratch.path("seed.img");
    assert!(
        mkfs(&folder, &image, &["--label", "CIDATA"])
            .status
            .success()
    );
    let at = |path: &str| format!("{}:{path}", image.display());
    let cat = forger().arg("cat").arg(at("/Über uns/größe.txt")).ok();
    assert_eq!(cat.text(), "hi\n");
    let listed = forger().args(["ls", "-R"]).arg(&image).ok();
    assert!(listed.text().contains("BOOTX64.EFI") && !listed.text().contains("lost+found"));
    let info = forger().args(["info", "--output", "json"]).arg(&image).ok();
    assert!(
        info.text().contains("\"CIDATA\"") && info.text().contains("\"vfat\""),
        "{info}"
    );
    let same = forger()
        .args(["diff", "--ignore", "times,owner,mode"])
        .arg(&image)
        .arg(&folder)
        .output();
    assert_eq!(same.status.code(), Some(0), "{same}");
    let out = scratch.path("out");
    forger().arg("extract").arg(&image).arg(&out).ok();
    Run::new("diff").arg("-r").arg(&folder).arg(&out).ok();
    // An ext4 from a volume, and back.
    let ext4 = scratch.mkfs(&image, "seed.ext4", &[]);
    forger_tests::judge::assert_clean(&ext4);
}

#[test]
fn volumes_of_others_are_read() {
    need!("mkfs.vfat", "mcopy", "mmd");
    let scratch = Scratch::new();
    let folder = seed(&scratch);
    for (name, bits, kilobytes) in [
        ("12", "12", "2000"),
        ("16", "16", "20000"),
        ("32", "32", "70000"),
    ] {
        let image = scratch.path(name);
        Run::new("mkfs.vfat")
            .args(["-F", bits, "-n", "OTHERS", "-C"])
            .arg(&image)
            .arg(kilobytes)
            .ok();
        let data = folder.join("user-data").display().to_string();
        let small = folder.join("EFI/BOOT/BOOTX64.EFI").display().to_string();
        mtools("mmd", &["::sub", "::sub/Deeper folder"], &image);
        mtools("mcopy", &[&data, "::sub/Deeper folder/"], &image);
        mtools("mcopy", &[&small, "::SHORT.EFI"], &image);
        let found = forger().arg("find").arg(&image).ok().text();
        for expected in ["/sub/Deeper folder/user-data", "/SHORT.EFI"] {
            assert!(
                found.lines().any(|line| line == expected),
                "{expected}: {found}"
            );
        }
        let read = forger()
            .arg("cat")
            .arg(format!("{}:/SHORT.EFI", image.display()))
            .ok();
        assert_eq!(read.stdout, fs::read(&small).unwrap());
        let info = forger().arg("info").arg(&image).ok();
        assert!(info.text().contains("OTHERS"), "{info}");
    }
}

#[test]
fn equal_input_gives_equal_bytes_in_a_file_and_on_standard_output() {
    let scratch = Scratch::new();
    let folder = seed(&scratch);
    let (one, two) = (scratch.path("one"), scratch.path("two"));
    assert!(mkfs(&folder, &one, &[]).status.success());
    assert!(mkfs(&folder, &two, &[]).status.success());
    let streamed = mkfs(&folder, Path::new("-"), &[]);
    let bytes = fs::read(&one).unwrap();
    assert!(bytes == fs::read(&two).unwrap() && bytes == streamed.stdout);
}

#[test]
fn id_and_times_are_those_that_were_asked_for() {
    need!("blkid", "mdir");
    let scratch = Scratch::new();
    let image = scratch.path("seed.img");
    let time = "2024-05-01T12:34:56Z";
    let args = ["--uuid", "1234-ABCD", "--time", time, "--clamp-mtime"];
    let made = mkfs(&seed(&scratch), &image, &args);
    assert!(made.status.success(), "{made}");
    let said = Run::new("blkid").args(["-p", "-o", "export"]).arg(&image);
    let said = said.ok().text();
    assert!(said.lines().any(|line| line == "UUID=1234-ABCD"), "{said}");
    let listed = mtools("mdir", &["::user-data"], &image).text();
    assert!(listed.contains("2024-05-01  12:34"), "{listed}");
}

#[test]
fn what_a_fat_cannot_hold_or_does_not_have_is_said() {
    let scratch = Scratch::new();
    let folder = seed(&scratch);
    let out = scratch.path("out");
    std::os::unix::fs::symlink("user-data", folder.join("link")).unwrap();
    let refused = mkfs(&folder, &out, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = refused.errors();
    assert!(
        said.contains("link: a symlink") && said.contains("--ignore symlinks"),
        "{said}"
    );
    assert!(!out.exists());
    let left_out = mkfs(&folder, &out, &["--ignore", "symlinks"]);
    assert!(
        left_out.status.success() && left_out.errors().contains("left out"),
        "{left_out}"
    );
    for args in [
        &["--reserved", "5"][..],
        &["--no-journal"],
        &["--sector-size", "500"],
        &["--label", "much too long"],
        &["--uuid", "123e4567-e89b-12d3-a456-426614174000"],
    ] {
        let refused = mkfs(&folder, &scratch.path("none"), args);
        assert_eq!(refused.status.code(), Some(2), "{args:?}: {refused}");
    }
    let small = mkfs(
        &folder,
        &scratch.path("none"),
        &["--ignore", "symlinks", "--size", "64K"],
    );
    assert!(small.errors().contains("is enough for it"), "{small}");
    let refused = forger()
        .args(["mkfs", "--sector-size", "512"])
        .arg(&folder)
        .arg(scratch.path("none"))
        .output();
    assert_eq!(refused.status.code(), Some(2), "{refused}");
}
