//! New images, empty and over backing files, judged by qemu-img.

use std::fs;
use std::path::Path;

use forger_tests::disks::{assert_consistent, assert_equal, raw};
use forger_tests::forger::forger;
use forger_tests::need;
use forger_tests::process::{Output, Run};
use forger_tests::scratch::Scratch;
use serde_json::{Value, json};

use crate::disk::{convert, json};

/// Makes a new image, without waiting for the disk.
fn create(out: &Path, args: &[&str]) -> Output {
    let run = forger().args(["create", "-q", "--no-sync", "--force"]);
    run.arg(out).args(args.iter().copied()).output()
}

/// Returns what qemu-img says of an image.
fn info(image: &Path) -> Value {
    let run = Run::new("qemu-img").args(["info", "--output=json"]);
    json(&run.arg(image).ok())
}

#[test]
fn new_images_are_as_asked_for_and_whole() {
    need!("qemu-img", "qemu-io");
    let scratch = Scratch::new();
    for (number, (args, expected)) in [
        (
            "",
            json!({"compat": "1.1", "compression-type": "zlib", "refcount-bits": 16}),
        ),
        ("--qcow2-version 2", json!({"compat": "0.10"})),
        (
            "--cluster-size 512 --refcount-bits 1",
            json!({"refcount-bits": 1}),
        ),
        (
            "--cluster-size 2M --refcount-bits 64",
            json!({"refcount-bits": 64}),
        ),
        ("--extended-l2", json!({"extended-l2": true})),
        ("--lazy-refcounts", json!({"lazy-refcounts": true})),
        (
            "--compression-type zstd",
            json!({"compression-type": "zstd"}),
        ),
        ("--preallocation metadata --cluster-size 4K", json!({})),
        (
            "--preallocation metadata --refcount-bits 2 --extended-l2",
            json!({}),
        ),
        ("--preallocation full", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let image = scratch.path(&format!("{number}.qcow2"));
        let args: Vec<&str> = args.split_whitespace().chain(["12M"]).collect();
        let output = create(&image, &args);
        assert!(output.status.success(), "{output}");
        assert_consistent(&image);
        let facts = info(&image);
        assert_eq!(facts["virtual-size"], 12 << 20);
        let data = &facts["format-specific"]["data"];
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&data[name], value, "{args:?} {name}");
        }
        let again = scratch.path("again.qcow2");
        create(&again, &args);
        assert!(fs::read(&again).unwrap() == fs::read(&image).unwrap());
        // Others can write to it.
        let write = Run::new("qemu-io").args(["-c", "write -P 7 1M 3M"]);
        write.arg(&image).ok();
        assert_consistent(&image);
        let back = scratch.path("back.raw");
        convert(&image, &back, &["--force"]);
        let mut disk = vec![0; 12 << 20];
        disk[1 << 20..4 << 20].fill(7);
        assert!(fs::read(&back).unwrap() == disk, "{args:?}");
    }
}

#[test]
fn new_disks_of_other_formats_are_empty() {
    need!("qemu-img");
    let scratch = Scratch::new();
    for name in ["a.raw", "b.vhd", "c.vhdx", "d.vmdk"] {
        let image = scratch.path(name);
        let output = create(&image, &["9M"]);
        assert!(output.status.success(), "{output}");
        assert_eq!(info(&image)["virtual-size"], 9 << 20, "{name}");
        let back = scratch.path("back.raw");
        convert(&image, &back, &["--force"]);
        assert!(fs::read(&back).unwrap() == vec![0; 9 << 20], "{name}");
    }
}

#[test]
fn images_over_others_name_them_as_typed_and_take_their_size() {
    need!("qemu-img", "qemu-io");
    let scratch = Scratch::new();
    let base = raw(&scratch, "base.raw");
    fs::create_dir(scratch.path("vm")).unwrap();
    let image = scratch.path("vm/over.qcow2");
    let output = create(&image, &["--backing", "../base.raw"]);
    assert!(output.status.success(), "{output}");
    let facts = info(&image);
    assert_eq!(facts["backing-filename"], "../base.raw");
    assert_eq!(facts["backing-filename-format"], "raw");
    assert_equal(&base, &image);
    // One more over it, larger, with subclusters and their room.
    let top = scratch.path("vm/top.qcow2");
    let over = "--backing over.qcow2 --extended-l2 --preallocation metadata 20M";
    let output = create(&top, &over.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{output}");
    assert_eq!(info(&top)["virtual-size"], 20 << 20);
    assert_eq!(info(&top)["backing-filename-format"], "qcow2");
    Run::new("qemu-io")
        .args(["-c", "write -P 9 2M 2k"])
        .arg(&top)
        .ok();
    assert_consistent(&top);
    let leave = |path: &Path| format!("--allow-backing={}", path.display());
    let back = scratch.path("back.raw");
    convert(&top, &back, &[&leave(&image), &leave(&base)]);
    let mut disk = fs::read(&base).unwrap();
    disk[2 << 20..(2 << 20) + 2048].fill(9);
    disk.resize(20 << 20, 0);
    assert!(fs::read(&back).unwrap() == disk);
}

#[test]
fn converting_over_a_backing_file_stores_what_differs() {
    need!("qemu-img");
    let scratch = Scratch::new();
    let base = raw(&scratch, "base.raw");
    let mut bytes = fs::read(&base).unwrap();
    bytes[2 << 20..(2 << 20) + 131_072].fill(0);
    bytes[7_000_000..7_000_010].fill(1);
    bytes.resize(14 << 20, 0);
    bytes[(13 << 20) + 5] = 1;
    let disk = scratch.file("disk.raw", &bytes);
    let stored = |image: &Path| {
        let map = Run::new("qemu-img").args(["map", "--output=json"]);
        let map = json(&map.arg(image).ok());
        let own = map
            .as_array()
            .unwrap()
            .iter()
            .filter(|part| part["depth"] == 0 && part["data"] == true);
        own.filter_map(|part| part["length"].as_u64()).sum::<u64>()
    };
    for (number, (args, clusters)) in [
        ("", 2),
        ("--compress zstd", 2),
        ("--compress zlib:1 --threads 1 --qcow2-version 2", 4),
        ("--compress zstd:1 --extended-l2", 2),
        ("--qcow2-version 2", 4),
        ("--extended-l2", 2),
        ("--backing-format raw --threads 1", 2),
    ]
    .into_iter()
    .enumerate()
    {
        let image = scratch.path(&format!("{number}.qcow2"));
        let args: Vec<&str> = args.split_whitespace().collect();
        convert(
            &disk,
            &image,
            &[&["--backing", "base.raw"], &args[..]].concat(),
        );
        assert_consistent(&image);
        assert_equal(&disk, &image);
        assert_eq!(stored(&image), clusters * 65_536, "{args:?}");
        assert_eq!(info(&image)["backing-filename"], "base.raw");
    }
    // A qcow2 below, and the overlay as what is converted.
    let middle = scratch.path("middle.qcow2");
    convert(&base, &middle, &[]);
    let image = scratch.path("last.qcow2");
    let leave = format!("--allow-backing={}", base.display());
    convert(
        &scratch.path("1.qcow2"),
        &image,
        &["--backing", "middle.qcow2", &leave],
    );
    assert_equal(&disk, &image);
    assert_eq!(stored(&image), 2 * 65_536);
}

#[test]
fn images_keep_their_data_in_another_file_as_qemu_makes_them() {
    need!("qemu-img", "qemu-io");
    let scratch = Scratch::new();
    for (number, (args, raw)) in [
        ("", false),
        ("--data-file-raw", true),
        ("--preallocation metadata --cluster-size 4K", false),
        ("--preallocation full --extended-l2", false),
    ]
    .into_iter()
    .enumerate()
    {
        let image = scratch.path(&format!("{number}.qcow2"));
        let data = scratch.path(&format!("{number}.data"));
        let typed = data.display().to_string();
        let own: Vec<&str> = args.split_whitespace().collect();
        let output = create(&image, &[&own[..], &["--data-file", &typed, "9M"]].concat());
        assert!(output.status.success(), "{output}");
        assert_consistent(&image);
        assert_eq!(fs::metadata(&data).unwrap().len(), 9 << 20);
        let facts = &info(&image)["format-specific"]["data"];
        assert_eq!(facts["data-file"], typed.as_str(), "{facts}");
        assert_eq!(facts["data-file-raw"], raw, "{facts}");
        let write = ["-c", "write -P 7 1M 3M", "-c", "write -P 8 0 1k"];
        Run::new("qemu-io").args(write).arg(&image).ok();
        assert_consistent(&image);
        let back = scratch.path("back.raw");
        let leave = format!("--allow-backing={typed}");
        convert(&image, &back, &["--force", &leave]);
        let mut disk = vec![0; 9 << 20];
        disk[1 << 20..4 << 20].fill(7);
        disk[..1024].fill(8);
        assert!(fs::read(&back).unwrap() == disk, "{args}");
        assert!(!raw || fs::read(&data).unwrap() == disk);
        let checked = forger().arg("check").arg(&image).ok();
        assert!(checked.text().starts_with("qcow2: clean\n"), "{checked}");
    }
    // A relative one stands in the image's folder.
    fs::create_dir(scratch.path("vm")).unwrap();
    let output = create(
        &scratch.path("vm/a.qcow2"),
        &["--data-file", "a.data", "1M"],
    );
    assert!(output.status.success(), "{output}");
    assert_eq!(scratch.names("vm"), ["a.data", "a.qcow2"]);
}

#[test]
fn what_cannot_be_made_is_refused_and_leaves_nothing() {
    let scratch = Scratch::new();
    let base = scratch.file("base.raw", vec![1; 512]);
    let image = scratch.path("new.qcow2");
    let refused = |args: &str, code: i32, word: &str| {
        let args: Vec<&str> = args.split_whitespace().collect();
        let output = create(&image, &args);
        assert_eq!(output.status.code(), Some(code), "{output}");
        assert!(output.errors().contains(word), "{output}");
        assert!(!image.exists());
    };
    refused("", 2, "size");
    refused("--backing absent.raw", 1, "absent.raw");
    refused("1M --backing-format raw", 2, "--backing");
    refused("1M --format raw --cluster-size 4K", 2, "--cluster-size");
    refused("1M --format vmdk --backing base.raw", 2, "--backing");
    refused("1M --cluster-size 100", 2, "cluster size");
    refused("1M --refcount-bits 3", 2, "refcount bits");
    refused("1M --qcow2-version 2 --lazy-refcounts", 2, "lazy");
    refused("1M --extended-l2 --cluster-size 8K", 2, "16 KiB");
    refused("--backing base.raw --preallocation full", 2, "extended L2");
    refused("1M --preallocation sparse", 2, "sparse");
    refused("1M --data-file-raw", 2, "--data-file");
    refused("1M --data-file new.qcow2", 2, "one file");
    refused("1M --data-file data --qcow2-version 2", 2, "version 3");
    refused(
        "--data-file data --data-file-raw --backing base.raw",
        2,
        "backing",
    );
    assert_eq!(scratch.names(""), ["base.raw"]);
    refused("900000T", 1, "L1 table");
    let itself = forger().args(["create", "--force", "--backing", "base.raw"]);
    let itself = itself.args(["--format", "qcow2"]).arg(&base).output();
    assert_eq!(itself.status.code(), Some(1), "{itself}");
    assert!(itself.errors().contains("itself"), "{itself}");
    assert_eq!(fs::read(&base).unwrap(), [1; 512]);
}
