//! Partition tables, judged by sgdisk, fdisk and sfdisk, and what is reached through them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger_block::{BlockRead, FileReader, ForwardFile, Publish};
use forger_disk::partition::{self, Kind, Layout, Part, Size};
use forger_disk::{Guid, Unwatched, copy};
use forger_tests::forger::forger;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{need, workspace};

use crate::disk::{convert, json};

/// Plans a disk with an ESP, swap and a root partition that holds `content`.
fn disk(scratch: &Scratch, name: &str, sector_size: u64, content: &Path) -> PathBuf {
    let part = |kind: &str, name: &str, size| Part {
        kind: Kind::guid_named(kind).unwrap(),
        name: name.to_owned(),
        size,
        ..Part::default()
    };
    let root: Arc<dyn BlockRead> = Arc::new(FileReader::open(content).unwrap());
    let layout = Layout {
        sector_size,
        seed: b"tests".to_vec(),
        size: Some(256 << 20),
        parts: vec![
            part("esp", "EFI system", Size::Bytes(33 << 20)),
            part("swap", "swap", Size::Share(500)),
            Part {
                content: Some(root),
                attributes: partition::ATTRIBUTE_GROW_FILESYSTEM,
                ..part("root-x86-64", "root", Size::Rest)
            },
        ],
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

fn sample(scratch: &Scratch) -> PathBuf {
    scratch.mkfs(
        &workspace().join("testdata/sample-rootfs.tar.zst"),
        "sample.ext4",
        &[],
    )
}

#[test]
fn planned_tables_are_what_sgdisk_and_fdisk_want() {
    need!("sgdisk", "sfdisk", "fdisk");
    let scratch = Scratch::new();
    let content = scratch.file("content", vec![7; 3 << 20]);
    let small = disk(&scratch, "512.img", 512, &content);
    let verdict = Run::new("sgdisk").arg("-v").arg(&small).ok().text();
    assert!(verdict.contains("No problems found."), "{verdict}");
    let large = disk(&scratch, "4096.img", 4096, &content);
    let verdict = Run::new("fdisk")
        .args(["-b", "4096", "-l"])
        .arg(&large)
        .ok();
    let text = verdict.text();
    assert!(text.contains("Disklabel type: gpt"), "{verdict}");
    assert!(
        text.contains("Linux root (x86-64)") && verdict.errors().is_empty(),
        "{verdict}"
    );

    let judged = json(&Run::new("sfdisk").arg("--json").arg(&small).ok());
    let facts = json(&forger().args(["info", "--output", "json"]).arg(&small).ok());
    let table = &judged["partitiontable"];
    let ours = &facts["partition_table"];
    let same = |one: &serde_json::Value, other: &serde_json::Value| {
        let lower = |value: &serde_json::Value| value.as_str().unwrap().to_lowercase();
        assert_eq!(lower(one), lower(other));
    };
    same(&table["id"], &ours["id"]);
    for (number, theirs) in table["partitions"].as_array().unwrap().iter().enumerate() {
        let ours = &ours["partitions"][number];
        same(&theirs["uuid"], &ours["guid"]);
        same(&theirs["type"], &ours["type"]);
        same(&theirs["name"], &ours["name"]);
        let sectors = |field| theirs[field].as_u64().unwrap() * 512;
        assert_eq!(sectors("start"), ours["start"].as_u64().unwrap());
        assert_eq!(sectors("size"), ours["size"].as_u64().unwrap());
    }
}

/// The types of every architecture, against a list that others keep.
#[test]
fn types_of_every_architecture_are_those_that_sfdisk_lists() {
    need!("sfdisk");
    let list = Run::new("sfdisk").args(["--label", "gpt", "--list-types"]);
    let list = list.ok().text();
    let plain = |text: &str| text.to_lowercase().replace(['-', ' ', '/', '(', ')'], "");
    let mut known = 0;
    for line in list.lines() {
        let Some((guid, described)) = line.split_once("  ") else {
            continue;
        };
        let Some((role, architecture)) = described.split_once(" (") else {
            continue;
        };
        let role = match role {
            "Linux root" | "Linux /usr" => "",
            "Linux root verity" | "Linux /usr verity" => "verity",
            "Linux root verity sign." | "Linux /usr verity sign." => "veritysig",
            _ => continue,
        };
        let tree = if described.contains("/usr") {
            "usr"
        } else {
            "root"
        };
        // Little-endian MIPS has no width in its name where it has 32 bits.
        let architecture = plain(architecture).replace("mips32le", "mipsle");
        let guid: Guid = guid.parse().unwrap();
        let ours = Kind::Gpt(guid).name();
        let ours = ours.unwrap_or_else(|| panic!("{line} is not known"));
        assert_eq!(
            plain(&ours),
            format!("{tree}{architecture}{role}"),
            "{line}"
        );
        assert_eq!(Kind::guid_named(&ours), Some(guid));
        known += 1;
    }
    assert!(known >= 6 * 18, "{known}: {list}");
}

#[test]
fn tables_that_others_make_are_read() {
    need!("sfdisk");
    let scratch = Scratch::new();
    let script = |name: &str, text: &str| {
        let path = scratch.file(name, "");
        Run::new("truncate").args(["-s", "64M"]).arg(&path).ok();
        Run::new("sfdisk").arg(&path).stdin(text).ok();
        json(&forger().args(["info", "--output", "json"]).arg(&path).ok())
    };
    let gpt = "label: gpt\nsize=8M, type=uefi\nsize=8M, type=linux, name=\"data é\"\nsize=8M, type=swap\n";
    let facts = script("gpt.img", gpt);
    let partitions = &facts["partition_table"]["partitions"];
    assert_eq!(partitions[0]["type_name"], "esp");
    assert_eq!(partitions[1]["name"], "data é");
    assert_eq!(partitions[2]["start"], 17 << 20);
    let mbr =
        "label: dos\nsize=8M, type=83, bootable\ntype=5\nsize=8M, type=82\nsize=8M, type=83\n";
    let facts = script("mbr.img", mbr);
    let numbers: Vec<u64> = facts["partition_table"]["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|partition| partition["number"].as_u64())
        .collect();
    assert_eq!(numbers, [1, 2, 5, 6]);
    assert_eq!(facts["partition_table"]["scheme"], "mbr");
}

#[test]
fn commands_reach_into_partitions_of_every_format() {
    need!("e2fsck");
    let scratch = Scratch::new();
    let root = sample(&scratch);
    let disk = disk(&scratch, "disk.img", 512, &root);
    let packed = scratch.path("disk.qcow2");
    convert(&disk, &packed, &["--compress", "zstd"]);
    let plain = forger()
        .arg("cat")
        .arg(format!("{}:/etc/os-release", root.display()))
        .ok()
        .stdout;
    for image in [&disk, &packed] {
        for part in ["3", "root", "root-x86-64"] {
            let address = format!("{}#{part}:/etc/os-release", image.display());
            assert_eq!(forger().arg("cat").arg(address).ok().stdout, plain);
        }
        let whole = format!("{}#root", image.display());
        assert_eq!(forger().arg("check").arg(&whole).ok().text(), "clean\n");
        let missing = forger().arg("ls").arg(image).output();
        assert_eq!(missing.status.code(), Some(1));
        assert!(missing.errors().contains("#3 root-x86-64"), "{missing}");
    }
    // A partition as a disk, and as the source of a filesystem.
    let taken = scratch.path("taken.raw");
    let address = format!("{}#root", packed.display());
    convert(Path::new(&address), &taken, &[]);
    let len = fs::metadata(&root).unwrap().len();
    let bytes = fs::read(&taken).unwrap();
    assert!(bytes[..usize::try_from(len).unwrap()] == fs::read(&root).unwrap());
    let copy = scratch.mkfs(Path::new(&address), "copy.ext4", &[]);
    let direct = scratch.mkfs(&root, "direct.ext4", &[]);
    assert!(fs::read(copy).unwrap() == fs::read(direct).unwrap());
    let absent = forger()
        .arg("ls")
        .arg(format!("{}#home", disk.display()))
        .output();
    assert!(absent.errors().contains("home"), "{absent}");
}
