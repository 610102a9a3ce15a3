//! Disks that boot: what lies in the partitions, and whether firmware and kernel take it.

mod initrds;
mod layouts;
mod machines;
mod mbr;
mod outputs;
mod partitions;
mod sealed;
mod unified;

use std::fs;
use std::path::{Path, PathBuf};

use forger_tests::archive::{Archive, Member};
use forger_tests::disks::assert_consistent;
use forger_tests::forger::forger;
use forger_tests::judge::assert_clean;
use forger_tests::process::{Output, Run};
use forger_tests::scratch::Scratch;
use forger_tests::{need, workspace};

/// A tar with what a boot partition is made from; the kernel is none.
fn fake(scratch: &Scratch) -> PathBuf {
    let mut archive = Archive::new();
    let elf = [&b"\x7fELF\x02\x01\x01"[..], &[0; 11], &[62, 0], &[0; 44]].concat();
    archive.extend(&[
        Member::dir("usr/bin"),
        Member::symlink("bin", "usr/bin"),
        Member::symlink("usr/bin/sh", "dash"),
        Member::file("usr/bin/dash", &elf).mode(0o755),
        Member::file(
            "etc/os-release",
            "ID=fake\nPRETTY_NAME=\"A fake\"\nVERSION_ID=7\n",
        ),
        Member::file("boot/vmlinuz-5.10.0-2", vec![1; 300_000]),
        Member::file("boot/initrd.img-5.10.0-2", vec![2; 500_000]),
        Member::file("boot/vmlinuz-5.9.0-10", vec![3; 100_000]),
        Member::file("boot/config-5.10.0-2", "CONFIG_X=y\n"),
        Member::dir("home"),
        Member::file("home/me", "my own\n"),
        Member::file(
            "usr/lib/systemd/boot/efi/systemd-bootx64.efi",
            vec![4; 90_000],
        ),
    ]);
    scratch.file("fake.tar", archive.finish())
}

fn disk(tar: &Path, out: &Path, args: &[&str]) -> Output {
    forger()
        .arg("disk")
        .arg(tar)
        .arg("-o")
        .arg(out)
        .args(args)
        .output()
}

/// Has sfdisk lay out a disk of 1 GiB as its script says; returns the disk, and what sfdisk dumps of it.
fn modelled(scratch: &Scratch, script: &str) -> (PathBuf, PathBuf) {
    let model = scratch.path("model.raw");
    fs::File::create(&model).unwrap().set_len(1 << 30).unwrap();
    let lay_out = Run::new("sfdisk").arg("--quiet").arg(&model);
    lay_out.stdin(script).ok();
    let json = Run::new("sfdisk").arg("--json").arg(&model).ok();
    (model, scratch.file("layout.json", json.stdout))
}

fn partition(disk: &Path, name: &str, out: &Path) {
    let part = format!("{}#{name}", disk.display());
    forger()
        .args(["convert", "--force", "--format", "raw"])
        .arg(part)
        .arg(out)
        .ok();
}

#[test]
fn partitions_of_a_disk_are_clean_and_hold_what_boots() {
    need!("sgdisk", "sfdisk", "fsck.vfat", "mtype", "e2fsck");
    let scratch = Scratch::new();
    let out = scratch.path("disk.raw");
    let made = disk(&fake(&scratch), &out, &["--cmdline", "quiet"]);
    assert!(made.status.success(), "{made}");
    let judged = Run::new("sgdisk").arg("-v").arg(&out).ok();
    assert!(judged.text().contains("No problems found"), "{judged}");
    let dump = Run::new("sfdisk").args(["--json"]).arg(&out).ok().text();
    // The types of an ESP and of a root for x86-64, and the attribute that has it grown.
    for expected in [
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
        "GUID:59",
    ] {
        assert!(dump.contains(expected), "{expected}: {dump}");
    }
    let (esp, root) = (scratch.path("esp"), scratch.path("root"));
    partition(&out, "esp", &esp);
    partition(&out, "root", &root);
    assert_clean(&root);
    Run::new("fsck.vfat").arg("-n").arg(&esp).ok();
    let text = |path: &str| {
        let run = Run::new("mtype")
            .env("MTOOLS_SKIP_CHECK", "1")
            .arg("-i")
            .arg(&esp);
        run.arg(format!("::{path}")).ok().text()
    };
    assert!(text("loader/loader.conf").contains("default fake-5.10.0-2.conf"));
    let entry = text("loader/entries/fake-5.10.0-2.conf");
    for line in [
        "title      A fake",
        "linux      /fake/5.10.0-2/linux",
        "initrd     /fake/5.10.0-2/initrd",
    ] {
        assert!(entry.contains(line), "{line}: {entry}");
    }
    let options = entry
        .lines()
        .find(|line| line.starts_with("options"))
        .unwrap();
    let guid = options
        .split("PARTUUID=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    assert!(
        dump.to_lowercase().contains(guid) && options.ends_with("rw quiet"),
        "{options}"
    );
    let older = text("loader/entries/fake-5.9.0-10.conf");
    assert!(!older.contains("initrd"), "{older}");
}

#[test]
fn equal_input_gives_equal_disks_from_file_and_pipe_and_in_sectors_of_4096() {
    need!("fdisk", "fsck.vfat");
    let scratch = Scratch::new();
    let tar = fake(&scratch);
    for args in [&[][..], &["--sector-size", "4096"]] {
        let (one, two) = (scratch.path("one.raw"), scratch.path("two.raw"));
        let made = disk(&tar, &one, args);
        assert!(made.status.success(), "{made}");
        let run = forger().args(["disk", "-", "-o"]).arg(&two).args(args);
        run.stdin_piped(&tar).ok();
        Run::new("cmp").arg(&one).arg(&two).ok();
        if !args.is_empty() {
            let listed = Run::new("fdisk")
                .args(["-b", "4096", "-l"])
                .arg(&one)
                .ok()
                .text();
            assert!(
                listed.contains("EFI System") && listed.contains("Linux root"),
                "{listed}"
            );
            partition(&one, "esp", &scratch.path("esp"));
            Run::new("fsck.vfat")
                .arg("-n")
                .arg(scratch.path("esp"))
                .ok();
        }
        for file in [one, two] {
            fs::remove_file(file).unwrap();
        }
    }
}

/// Contents go to their place in the output while the source is read, where that place is known; what is streamed
/// is planned first. A file that another one replaces leaves a hole in either.
#[test]
fn what_is_written_at_once_is_what_is_streamed_and_needs_no_temporary_file() {
    need!("e2fsck", "qemu-img");
    let scratch = Scratch::new();
    let tar = fake(&scratch);
    let mut upper = Archive::new();
    upper.push(&Member::file("boot/vmlinuz-5.9.0-10", vec![7; 100_000]));
    let upper = scratch.file("upper.tar", upper.finish());
    let overlay = upper.display().to_string();
    let args = ["--esp-size", "100M", "--overlay", &overlay, "--swap", "1M"];
    for format in ["raw", "qcow2", "vhd-fixed"] {
        let made = |input: &Path, out: &Path, stdin: bool| {
            let run = forger()
                .arg("disk")
                .args(["-q", "--format", format])
                .args(args);
            let run = run.env("TMPDIR", "/nonexistent").arg("-o").arg(out);
            match stdin {
                true => run.arg("-").stdin_piped(input).ok(),
                false => run.arg(input).ok(),
            }
        };
        let (one, two) = (scratch.path("one"), scratch.path("two"));
        made(&tar, &one, false);
        made(&tar, &two, true);
        let streamed = made(&tar, Path::new("-"), false).stdout;
        let bytes = fs::read(&one).unwrap();
        assert!(bytes == fs::read(&two).unwrap(), "{format} from a pipe");
        assert!(bytes == streamed, "{format} to a pipe");
        if format == "qcow2" {
            assert_consistent(&one);
        }
        let root = scratch.path("root");
        partition(&one, "root", &root);
        assert_clean(&root);
        assert_eq!(cat(&one, "root:/boot/vmlinuz-5.9.0-10"), vec![7; 100_000]);
        assert_eq!(cat(&one, "esp:/fake/5.9.0-10/linux"), vec![7; 100_000]);
        for file in [one, two] {
            fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn what_cannot_boot_is_refused_with_a_remedy() {
    let scratch = Scratch::new();
    let out = scratch.path("disk.raw");
    let mut empty = Archive::new();
    empty.push(&Member::dir("etc"));
    let empty = scratch.file("empty.tar", empty.finish());
    for (tar, args, said) in [
        (&empty, &[][..], "--arch"),
        (&empty, &["--arch", "x86_64"], "--boot none"),
        (&fake(&scratch), &["--boot", "uki"], "--stub"),
        (&fake(&scratch), &["--arch", "aarch64"], "--systemd-boot"),
        (&fake(&scratch), &["--esp-size", "50M"], "no FAT32"),
        (&fake(&scratch), &["--size", "200M"], "no room"),
        (
            &fake(&scratch),
            &["--initrd", "/none/such"],
            "cannot read /none/such",
        ),
    ] {
        let refused = disk(tar, &out, args);
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert!(refused.errors().contains(said), "{said}: {refused}");
        assert!(!out.exists());
    }
    let made = disk(&empty, &out, &["--boot", "none"]);
    assert!(made.status.success(), "{made}");
}

#[test]
fn compressed_images_are_sources_as_the_images_in_them() {
    need!("zstd", "gzip", "xz");
    let scratch = Scratch::new();
    let tar = fake(&scratch);
    let root = scratch.mkfs(&tar, "root.ext4", &[]);
    let whole = scratch.path("whole.raw");
    let made = disk(&tar, &whole, &[]);
    assert!(made.status.success(), "{made}");
    let image = scratch.path("whole.qcow2");
    forger().arg("convert").arg(&whole).arg(&image).ok();
    let expected = scratch.mkfs(&root, "expected.ext4", &[]);
    for (tool, file, part) in [
        ("zstd", &root, ""),
        ("gzip", &image, "#root"),
        ("xz", &whole, "#root"),
    ] {
        Run::new(tool).args(["-k", "-1"]).arg(file).ok();
        let extension = if tool == "gzip" { "gz" } else { tool };
        let extension = extension.trim_end_matches("d");
        let packed = format!("{}.{extension}{part}", file.display());
        let out = scratch.path("made.ext4");
        forger().args(["mkfs", "--force", &packed]).arg(&out).ok();
        assert_clean(&out);
        if part.is_empty() {
            Run::new("cmp").arg(&expected).arg(&out).ok();
        }
        let said = forger()
            .arg("cat")
            .arg(format!("{}:/home/me", out.display()))
            .ok();
        assert_eq!(said.text(), "my own\n");
    }
    // A disk with partitions says that one has to be named, and no archive is expected of it.
    let packed = format!("{}.gz", image.display());
    let refused = forger()
        .args(["mkfs", &packed])
        .arg(scratch.path("no.ext4"))
        .output();
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.errors().contains("name one"), "{refused}");
    let refused = forger().args(["mkfs", &format!("{}.xz", whole.display())]);
    let refused = refused.arg(scratch.path("no.ext4")).output();
    assert!(refused.errors().contains("name one"), "{refused}");
}

/// Replaces what differs from one root filesystem to another: numbers, units, words with digits, and how many
/// kernels there are.
fn masked(text: &str) -> Vec<String> {
    let mask = |word: &str| match word {
        word if word.contains(|c: char| c.is_ascii_digit()) => "#".to_owned(),
        "KiB)" | "MiB)" | "GiB)" => "unit)".to_owned(),
        "KiB," | "MiB," | "GiB," => "unit,".to_owned(),
        word => word.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(mask).collect::<Vec<_>>().join(" ");
    let mut lines: Vec<String> = text.lines().map(line).collect();
    lines.dedup();
    lines
}

#[test]
fn the_disk_in_the_readme_is_made_and_shown_as_it_says() {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let (_, example) = readme
        .split_once("$ forger disk ")
        .expect("it has the example");
    let (command, shown) = example.split_once('\n').unwrap();
    let (shown, _) = shown.split_once("\n$ ").expect("another command follows");
    let scratch = Scratch::new();
    fs::rename(fake(&scratch), scratch.path("rootfs.tar")).unwrap();
    let run = forger().arg("disk").args(command.split(' '));
    let said = run.dir(scratch.root()).ok().text();
    assert_eq!(masked(&said), masked(shown), "{said}");
    let fixed = |text: &str| -> Vec<String> {
        let parts = text.lines().filter(|line| line.starts_with("part "));
        let sized = parts
            .take(2)
            .map(|line| line.rsplit_once(", ").unwrap().0.to_owned());
        sized.collect()
    };
    assert_eq!(fixed(&said), fixed(shown), "{said}");
}

/// Reads a file of a disk.
fn cat(disk: &Path, address: &str) -> Vec<u8> {
    let run = forger().arg("cat");
    run.arg(format!("{}#{address}", disk.display())).ok().stdout
}
