//! Filesystems in partitions changed and resized, disks and partition tables that grow: in raw files in
//! place, in other images by way of a copy.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger_block::{BlockRead, FileReader, ForwardFile, Publish};
use forger_disk::partition::{self, Kind, Layout, Part, Size};
use forger_disk::{Unwatched, copy};
use forger_tests::forger::forger;
use forger_tests::judge::{assert_clean, number, superblock};
use forger_tests::need;
use forger_tests::process::{Output, Run};
use forger_tests::scratch::Scratch;

const MIB: u64 = 1 << 20;

/// Makes a disk with an ext4 between two other partitions, or at its end.
fn disk(scratch: &Scratch, name: &str, sector_size: u64, last: bool) -> PathBuf {
    let image = scratch.path("content.ext4");
    let mke2fs = Run::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-b", "4096"]);
    mke2fs.arg(&image).arg("48M").ok();
    let content: Arc<dyn BlockRead> = Arc::new(FileReader::open(&image).unwrap());
    let filler: Arc<dyn BlockRead> = Arc::new(vec![0xA5_u8; 3 << 20]);
    let part = |kind: &str, name: &str, content: &Arc<dyn BlockRead>| Part {
        kind: Kind::guid_named(kind).unwrap(),
        name: name.to_owned(),
        size: Size::Content,
        content: Some(Arc::clone(content)),
        attributes: partition::ATTRIBUTE_GROW_FILESYSTEM,
        ..Part::default()
    };
    let mut parts = vec![
        part("linux-generic", "front", &filler),
        part("root-x86-64", "system", &content),
        part("linux-generic", "behind", &filler),
    ];
    if last {
        parts.truncate(2);
    }
    let layout = Layout {
        sector_size,
        seed: b"tests".to_vec(),
        parts,
        ..Layout::default()
    };
    let planned = layout.plan().unwrap();
    let path = scratch.path(name);
    let publish = Publish {
        force: true,
        sync: false,
    };
    let mut sink = Box::new(ForwardFile::create(&path, publish).unwrap());
    copy(&planned.image, &mut *sink, 1, &mut Unwatched).unwrap();
    forger_block::BlockSink::finish(sink).unwrap();
    path
}

/// Takes the second partition out, to a file that e2fsck finds clean; returns all bytes around it.
fn take_out(scratch: &Scratch, disk: &Path) -> (PathBuf, Vec<u8>) {
    let file: Arc<dyn BlockRead> = Arc::new(FileReader::open(disk).unwrap());
    let table = partition::read(&file, None).unwrap().unwrap();
    assert!(table.notes.is_empty(), "{:?}", table.notes);
    let part = &table.partitions[1];
    assert_eq!((part.number, part.name.as_str()), (2, "system"));
    assert_eq!(part.attributes, partition::ATTRIBUTE_GROW_FILESYSTEM);
    let mut inside = vec![0; usize::try_from(part.len).unwrap()];
    file.read_at(part.start, &mut inside).unwrap();
    let mut around = fs::read(disk).unwrap();
    let (start, end) = (part.start, part.end());
    around.drain(usize::try_from(start).unwrap()..usize::try_from(end).unwrap());
    let out = scratch.file("taken-out.ext4", inside);
    assert_clean(&out);
    (out, around)
}

fn change(verb: &str, image: &str, args: &[&str]) -> Output {
    forger().arg(verb).arg(image).args(args).output()
}

fn cat(image: &str) -> Output {
    forger().arg("cat").arg(image).output()
}

#[test]
fn an_ext4_in_a_partition_is_edited_in_place() {
    need!("mke2fs", "e2fsck", "sgdisk", "fdisk");
    for sector_size in [512, 4096] {
        let scratch = Scratch::new();
        let disk = disk(&scratch, "disk.raw", sector_size, false);
        let inode = fs::metadata(&disk).unwrap().ino();
        let (_, around) = take_out(&scratch, &disk);
        let name = format!("{}#system", disk.display());
        let source = scratch.file("motd", "hello\n");
        let put = ["put", source.to_str().unwrap(), "/motd"];
        let done = change("edit", &name, &put);
        assert!(
            done.status.success() && done.text().contains("journal"),
            "{done}"
        );
        assert_eq!(cat(&format!("{name}:/motd")).text(), "hello\n");
        assert_eq!(fs::metadata(&disk).unwrap().ino(), inode);
        assert!(take_out(&scratch, &disk).1 == around, "neighbours");

        let refused = change("edit", disk.to_str().unwrap(), &put);
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert!(
            refused.errors().contains("disk with partitions"),
            "{refused}"
        );
        assert!(refused.errors().contains("#2 root-x86-64"), "{refused}");
        let refused = change("edit", &format!("{name}:/etc"), &put);
        assert_eq!(refused.status.code(), Some(2), "{refused}");
    }
}

#[test]
fn a_partition_without_a_journal_is_edited_on_a_copy_of_the_disk() {
    need!("mke2fs", "e2fsck", "tune2fs");
    let scratch = Scratch::new();
    let disk = disk(&scratch, "disk.raw", 512, false);
    let (part, around) = take_out(&scratch, &disk);
    Run::new("tune2fs")
        .args(["-O", "^has_journal"])
        .arg(&part)
        .ok();
    let file = File::options().write(true).open(&disk).unwrap();
    file.write_all_at(&fs::read(&part).unwrap(), 4 * MIB)
        .unwrap();
    let done = change("edit", &format!("{}#2", disk.display()), &["mkdir", "/a"]);
    assert!(
        done.status.success() && done.text().contains("copy"),
        "{done}"
    );
    assert!(take_out(&scratch, &disk).1 == around, "neighbours");
    let listed = forger().arg("ls").arg(format!("{}#2", disk.display())).ok();
    assert!(listed.text().lines().any(|name| name == "a"), "{listed}");
}

#[test]
fn a_fat_is_not_edited() {
    let scratch = Scratch::new();
    let folder = scratch.path("folder");
    fs::create_dir(&folder).unwrap();
    let image = scratch.path("seed.img");
    let mkfs = forger().args(["mkfs", "--type", "vfat"]).arg(&folder);
    mkfs.arg(&image).ok();
    let refused = change("edit", image.to_str().unwrap(), &["mkdir", "/a"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.errors().contains("it is a FAT"), "{refused}");
}

#[test]
fn other_images_are_edited_on_a_copy_in_their_format() {
    need!("mke2fs", "e2fsck", "qemu-img");
    let scratch = Scratch::new();
    let raw = disk(&scratch, "disk.raw", 512, false);
    let (_, around) = take_out(&scratch, &raw);
    let forms: [(&str, &str, &[&str]); 4] = [
        (
            "zstd.qcow2",
            "qcow2",
            &["-c", "-o", "compression_type=zstd,cluster_size=32k"],
        ),
        ("old.qcow2", "qcow2", &["-o", "compat=0.10"]),
        ("disk.vhdx", "vhdx", &[]),
        ("disk.vmdk", "vmdk", &["-o", "subformat=streamOptimized"]),
    ];
    for (name, format, options) in forms {
        let image = scratch.path(name);
        let convert = Run::new("qemu-img")
            .args(["convert", "-O", format])
            .args(options);
        convert.arg(&raw).arg(&image).ok();
        fs::set_permissions(&image, fs::Permissions::from_mode(0o640)).unwrap();
        let facts = |path: &Path| {
            forger()
                .args(["info", "--output", "json"])
                .arg(path)
                .ok()
                .text()
        };
        let shape = |text: &str| {
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            [
                json["qcow2"].clone(),
                json["vmdk"].clone(),
                json["vhdx"].clone(),
            ]
        };
        let before = shape(&facts(&image));
        let part = format!("{}#root", image.display());
        let tried = change("edit", &part, &["--dry-run", "mkdir", "/a"]);
        assert!(tried.status.success(), "{tried}");
        let done = change("edit", &part, &["mkdir", "/a"]);
        assert!(
            done.status.success() && done.text().contains("copy"),
            "{name}: {done}"
        );
        assert_eq!(shape(&facts(&image)), before, "{name}");
        assert_eq!(
            fs::metadata(&image).unwrap().permissions().mode() & 0o777,
            0o640
        );
        if format == "qcow2" {
            Run::new("qemu-img").args(["check", "-q"]).arg(&image).ok();
        }
        let back = scratch.path("back.raw");
        let convert = Run::new("qemu-img").args(["convert", "-f", format, "-O", "raw"]);
        convert.arg(&image).arg(&back).ok();
        assert!(
            take_out(&scratch, &back).1[..] == around[..],
            "{name}: neighbours"
        );
        let listed = forger().arg("ls").arg(&part).ok();
        assert!(
            listed.text().lines().any(|line| line == "a"),
            "{name}: {listed}"
        );
    }
    let backed = scratch.path("backed.qcow2");
    let create = Run::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
    create.arg(&raw).arg(&backed).ok();
    let refused = change("edit", &format!("{}#2", backed.display()), &["mkdir", "/a"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(
        refused.errors().contains("builds on another image"),
        "{refused}"
    );
    Run::new("qemu-img")
        .args(["snapshot", "-c", "one"])
        .arg(scratch.path("old.qcow2"))
        .ok();
    let old = format!("{}#2", scratch.path("old.qcow2").display());
    let refused = change("resize", &old, &["min"]);
    assert!(refused.errors().contains("snapshots"), "{refused}");
}

#[test]
fn an_android_sparse_image_is_edited_on_a_copy_and_an_ova_is_not() {
    need!("mke2fs", "e2fsck", "simg2img");
    let scratch = Scratch::new();
    let raw = disk(&scratch, "disk.raw", 512, false);
    let (_, around) = take_out(&scratch, &raw);
    let convert = |args: &[&str], image: &Path| {
        let run = forger().args(["convert", "-q"]).arg(&raw).arg(image);
        run.args(args).ok();
    };
    for (name, args) in [("all.simg", &[][..]), ("less.simg", &["--dont-care"])] {
        let image = scratch.path(name);
        convert(args, &image);
        let facts = || {
            let run = forger().args(["info", "--output", "json"]).arg(&image);
            let facts: serde_json::Value = serde_json::from_slice(&run.ok().stdout).unwrap();
            facts["android_sparse"].clone()
        };
        let before = facts();
        assert_eq!(before["dont_care"], !args.is_empty());
        let part = format!("{}#root", image.display());
        let done = change("edit", &part, &["mkdir", "/a"]);
        assert!(
            done.status.success() && done.text().contains("copy"),
            "{done}"
        );
        assert_eq!(facts(), before, "{name}");
        let back = scratch.path(&format!("{name}.raw"));
        Run::new("simg2img").arg(&image).arg(&back).ok();
        assert!(take_out(&scratch, &back).1 == around, "{name}: neighbours");
        let listed = forger().arg("ls").arg(&part).ok();
        assert!(listed.text().lines().any(|line| line == "a"), "{listed}");
    }
    let image = scratch.path("machine.ova");
    convert(&["--compress", "zlib:1"], &image);
    let before = fs::read(&image).unwrap();
    let refused = change(
        "edit",
        &format!("{}#root", image.display()),
        &["mkdir", "/a"],
    );
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.errors().contains("forger convert"), "{refused}");
    assert!(fs::read(&image).unwrap() == before);
}

fn assert_table(disk: &Path, sector_size: u64) {
    if sector_size == 512 {
        let verdict = Run::new("sgdisk").arg("-v").arg(disk).ok().text();
        assert!(verdict.contains("No problems found."), "{verdict}");
    }
    let size = sector_size.to_string();
    let verdict = Run::new("fdisk").args(["-b", &size, "-l"]).arg(disk).ok();
    assert!(verdict.text().contains("Disklabel type: gpt"), "{verdict}");
    assert!(verdict.errors().is_empty(), "{verdict}");
}

#[test]
fn a_filesystem_grows_with_its_partition_and_disk() {
    need!("mke2fs", "e2fsck", "sgdisk", "fdisk");
    for sector_size in [512, 4096] {
        let scratch = Scratch::new();
        let disk = disk(&scratch, "disk.raw", sector_size, true);
        let before = fs::read(&disk).unwrap();
        let name = format!("{}#root", disk.display());
        let tried = change("resize", &name, &["--dry-run", "+100M"]);
        assert!(tried.status.success(), "{tried}");
        assert!(
            fs::read(&disk).unwrap() == before,
            "a trial changes nothing"
        );
        let done = change("resize", &name, &["+100M"]);
        assert!(
            done.status.success() && done.text().contains("disk    "),
            "{done}"
        );
        assert_table(&disk, sector_size);
        let (part, _) = take_out(&scratch, &disk);
        assert!(fs::metadata(&part).unwrap().len() >= 148 * MIB);
        let blocks = number(&superblock(&part), "Block count");
        assert_eq!(blocks * 4096, 148 * MIB);

        let done = change("resize", disk.to_str().unwrap(), &["1G"]);
        assert!(done.status.success(), "{done}");
        assert_eq!(fs::metadata(&disk).unwrap().len(), 1 << 30);
        assert_table(&disk, sector_size);
        let done = change("resize", &name, &["-20M"]);
        assert!(done.status.success(), "{done}");
        take_out(&scratch, &disk);
        let refused = change("resize", disk.to_str().unwrap(), &["100M"]);
        assert_eq!(refused.status.code(), Some(1), "{refused}");
    }
}

#[test]
fn only_the_last_partition_grows_and_a_moved_end_is_found() {
    need!("mke2fs", "e2fsck", "sgdisk", "fdisk", "qemu-img");
    let scratch = Scratch::new();
    let inner = disk(&scratch, "inner.raw", 512, false);
    let before = fs::read(&inner).unwrap();
    let refused = change("resize", &format!("{}#2", inner.display()), &["+100M"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(
        refused.errors().contains("only the last partition"),
        "{refused}"
    );
    assert!(fs::read(&inner).unwrap() == before);

    let disk = disk(&scratch, "disk.raw", 512, true);
    let qcow2 = scratch.path("disk.qcow2");
    let convert = Run::new("qemu-img").args(["convert", "-c", "-O", "qcow2"]);
    convert.arg(&disk).arg(&qcow2).ok();
    let file = File::options().write(true).open(&disk).unwrap();
    file.set_len(700 * MIB).unwrap();
    for image in [&disk, &qcow2] {
        let done = change("resize", &format!("{}#2", image.display()), &["300M"]);
        assert!(done.status.success(), "{done}");
    }
    assert_table(&disk, 512);
    assert_eq!(fs::metadata(&disk).unwrap().len(), 700 * MIB);
    take_out(&scratch, &disk);
    let back = scratch.path("back.raw");
    let convert = Run::new("qemu-img").args(["convert", "-O", "raw"]);
    convert.arg(&qcow2).arg(&back).ok();
    assert_table(&back, 512);
    take_out(&scratch, &back);
    Run::new("qemu-img").args(["check", "-q"]).arg(&qcow2).ok();
}

#[test]
fn partitions_of_an_mbr_grow_primary_and_logical() {
    need!("mke2fs", "e2fsck", "sfdisk");
    for (script, number, start) in [
        (
            "start=2048, size=20480, type=82\nstart=22528, size=81920, type=83\n",
            2,
            22_528,
        ),
        (
            "start=2048, size=2048, type=83\nstart=4096, size=200000, type=5\n\
             start=6144, size=10240, type=82\nstart=20480, size=81920, type=83\n",
            6,
            20_480,
        ),
    ] {
        let scratch = Scratch::new();
        let disk = scratch.path("disk.raw");
        File::create(&disk).unwrap().set_len(100 * MIB).unwrap();
        let sfdisk = || Run::new("sfdisk").arg("--quiet").arg(&disk);
        sfdisk().stdin(format!("label: dos\n{script}")).ok();
        let fs = [
            "-q",
            "-F",
            "-b",
            "4096",
            "-E",
            &format!("offset={}", start * 512),
        ];
        let run = Run::new("mke2fs").args(["-t", "ext4"]).args(fs);
        run.arg(&disk).arg("40M").ok();
        let name = format!("{}#{number}", disk.display());
        let done = change("resize", &name, &["+100M"]);
        assert!(done.status.success(), "{done}");
        let dump = Run::new("sfdisk").arg("--json").arg(&disk).ok();
        assert!(dump.errors().is_empty(), "{dump}");
        let verified = Run::new("sfdisk").arg("--verify").arg(&disk).ok();
        assert!(verified.errors().is_empty(), "{verified}");
        let dump: serde_json::Value = serde_json::from_slice(&dump.stdout).unwrap();
        let parts = dump["partitiontable"]["partitions"].as_array().unwrap();
        let part = parts.last().unwrap();
        assert_eq!(part["start"], start, "{dump}");
        assert!(part["size"].as_u64().unwrap() * 512 >= 140 * MIB, "{dump}");
        let out = scratch.path("part");
        let run = forger().args(["convert", "--format", "raw", &name]);
        run.arg(&out).ok();
        assert_clean(&out);
        assert_eq!(number_of_blocks(&out) * 4096, 140 * MIB);
    }
}

fn number_of_blocks(image: &Path) -> u64 {
    number(&superblock(image), "Block count")
}
