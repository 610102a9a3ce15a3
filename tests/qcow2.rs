//! Every kind of qcow2 that qemu-img makes is read as qemu-img reads it, and as imago does.

use std::fs;
use std::path::Path;

use forger_tests::disks::qemu_convert;
use forger_tests::forger::forger;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use imago::file::File;
use imago::qcow2::Qcow2;
use imago::{FormatAccess, FormatDriverBuilder, PermissiveImplicitOpenGate};

use crate::disk::{convert, json};

/// Runs qemu-img in a folder.
fn qemu_img(scratch: &Scratch, args: &str) {
    let run = Run::new("qemu-img").args(args.split(' '));
    run.dir(scratch.root()).ok();
}

/// Writes to an image as a guest would.
fn write(image: &Path, commands: &[&str]) {
    let commands = commands.iter().flat_map(|command| ["-c", command]);
    Run::new("qemu-io").args(commands).arg(image).ok();
}

/// Asserts that forger reads of an image what qemu-img does, and returns it.
fn assert_read(scratch: &Scratch, image: &Path, args: &[&str]) -> Vec<u8> {
    let (theirs, ours) = (scratch.path("theirs.raw"), scratch.path("ours.raw"));
    qemu_convert(image, &theirs, &["-O", "raw"]);
    convert(image, &ours, &[&["--force"], args].concat());
    let bytes = fs::read(&ours).unwrap();
    assert!(bytes == fs::read(&theirs).unwrap(), "{}", image.display());
    bytes
}

/// What imago reads of an image.
fn second_opinion(image: &Path) -> Vec<u8> {
    let gate = PermissiveImplicitOpenGate::default();
    let image = Qcow2::<File>::builder_path(image).open(gate).unwrap();
    let image = FormatAccess::new(image);
    let mut bytes = vec![0; usize::try_from(image.size()).unwrap()];
    image.read(&mut bytes[..], 0).unwrap();
    bytes
}

#[test]
fn images_of_every_kind_are_read_as_qemu_img_and_imago_read_them() {
    need!("qemu-img", "qemu-io");
    let scratch = Scratch::new();
    // Parts of clusters and of subclusters, zeros over data, and what was given back.
    let guest = [
        "write -P 1 0 100k",
        "write -P 2 1M 70k",
        "write -P 3 1234k 2k",
        "write -z 1100k 20k",
        "write -z 8k 64k",
        "discard 32k 64k",
        "write -P 4 2000k 700k",
        "write -P 5 6143k 1k",
    ];
    let mut number = 0;
    for (options, compressed) in [
        ("compat=1.1", true),
        ("compat=0.10", true),
        ("compat=0.10,cluster_size=512", false),
        ("cluster_size=512", true),
        ("cluster_size=2M", true),
        ("refcount_bits=1", false),
        ("refcount_bits=2,cluster_size=4k", true),
        ("refcount_bits=4", false),
        ("refcount_bits=8", false),
        ("refcount_bits=32", false),
        ("refcount_bits=64", true),
        ("lazy_refcounts=on", false),
        ("preallocation=metadata", false),
        ("preallocation=falloc,compat=0.10", false),
        ("compression_type=zstd", true),
        ("extended_l2=on", true),
        ("extended_l2=on,cluster_size=16k", false),
        ("extended_l2=on,cluster_size=2M,compression_type=zstd", true),
    ] {
        number += 1;
        let name = format!("{number}.qcow2");
        let image = scratch.path(&name);
        qemu_img(
            &scratch,
            &format!("create -q -f qcow2 -o {options} {name} 8M"),
        );
        write(&image, &guest);
        if compressed {
            write(&image, &["write -c -P 6 6M 2M", "write -P 7 7M 3k"]);
        }
        let bytes = assert_read(&scratch, &image, &[]);
        let known = !options.contains("extended_l2") && !options.contains("zstd");
        if known {
            assert!(second_opinion(&image) == bytes, "{options}");
        }
        let checked = forger().arg("check").arg(&image).ok();
        assert!(checked.text().starts_with("qcow2: clean\n"), "{checked}");
    }
}

#[test]
fn chains_with_shorter_files_below_and_parts_of_clusters_are_read() {
    need!("qemu-img", "qemu-io");
    let scratch = Scratch::new();
    let base = scratch.file("base.raw", vec![9; 1_000_448]);
    qemu_img(
        &scratch,
        "create -q -f qcow2 -b base.raw -F raw mid.qcow2 2M",
    );
    let mid = scratch.path("mid.qcow2");
    write(
        &mid,
        &[
            "write -P 1 100k 70k",
            "write -z 900k 200k",
            "write -P 2 1500k 1k",
        ],
    );
    let new = "create -q -f qcow2 -o extended_l2=on -b mid.qcow2 -F qcow2 top.qcow2 5M";
    qemu_img(&scratch, new);
    let top = scratch.path("top.qcow2");
    write(
        &top,
        &["write -P 3 130k 3k", "write -z 160k 4k", "write -P 4 3M 1k"],
    );
    let leave = |path: &Path| format!("--allow-backing={}", path.display());
    let leave = [leave(&base), leave(&mid)];
    let leave: Vec<&str> = leave.iter().map(String::as_str).collect();
    let bytes = assert_read(&scratch, &top, &leave);
    assert_eq!(bytes[(3 << 20) + 5], 4);
    assert!(second_opinion(&mid) == assert_read(&scratch, &mid, &leave));
}

#[test]
fn data_in_other_files_is_read_with_leave() {
    need!("qemu-img", "qemu-io");
    let scratch = Scratch::new();
    for (number, raw) in ["off", "on"].into_iter().enumerate() {
        let (name, data) = (format!("{number}.qcow2"), format!("{number}.data"));
        // Relative ones QEMU looks up in the current folder.
        let path = scratch.path(&data);
        let options = format!("data_file={},data_file_raw={raw}", path.display());
        qemu_img(
            &scratch,
            &format!("create -q -f qcow2 -o {options} {name} 3M"),
        );
        let image = scratch.path(&name);
        write(
            &image,
            &[
                "write -P 1 0 70k",
                "write -P 2 1M 1k",
                "write -z 1100k 100k",
            ],
        );
        let leave = format!("--allow-backing={}", scratch.path(&data).display());
        let bytes = assert_read(&scratch, &image, &[&leave]);
        assert_eq!((bytes[0], bytes[1 << 20]), (1, 2));
        let checked = forger().arg("check").arg(&image).ok();
        assert!(checked.text().starts_with("qcow2: clean\n"), "{checked}");
    }
}

#[test]
fn snapshots_are_read_by_name_and_number() {
    need!("qemu-img", "qemu-io");
    let scratch = Scratch::new();
    qemu_img(
        &scratch,
        "create -q -f qcow2 -o cluster_size=4k disk.qcow2 3M",
    );
    let image = scratch.path("disk.qcow2");
    for (name, pattern) in [("first", 1), ("second", 2)] {
        write(&image, &[&format!("write -P {pattern} 100k 300k")]);
        qemu_img(&scratch, &format!("snapshot -c {name} disk.qcow2"));
    }
    write(&image, &["write -P 3 200k 100k"]);
    qemu_img(&scratch, "resize -q disk.qcow2 4M");
    write(&image, &["write -P 4 3500k 10k"]);
    let bytes = assert_read(&scratch, &image, &[]);
    assert_eq!(
        (bytes.len(), bytes[100 << 10], bytes[200 << 10]),
        (4 << 20, 2, 3)
    );
    for (snapshot, pattern) in [("first", 1), ("2", 2), ("second", 2)] {
        let back = scratch.path("back.raw");
        convert(&image, &back, &["--force", "--snapshot", snapshot]);
        let bytes = fs::read(&back).unwrap();
        assert_eq!(bytes.len(), 3 << 20);
        assert_eq!((bytes[100 << 10], bytes[200 << 10]), (pattern, pattern));
    }
    let absent = forger().args(["info", "--snapshot", "third"]);
    let absent = absent.arg(&image).output();
    assert_eq!(absent.status.code(), Some(1), "{absent}");
    assert!(absent.errors().contains("second"), "{absent}");
}

#[test]
fn marks_and_bitmaps_do_not_hinder_reading_and_are_said() {
    need!("qemu-img", "qemu-io");
    let scratch = Scratch::new();
    qemu_img(&scratch, "create -q -f qcow2 disk.qcow2 3M");
    qemu_img(&scratch, "bitmap --add disk.qcow2 changes");
    let image = scratch.path("disk.qcow2");
    write(&image, &["write -P 1 0 100k"]);
    let bytes = assert_read(&scratch, &image, &[]);
    let checked = forger().arg("check").arg(&image).ok();
    assert!(checked.text().starts_with("qcow2: clean\n"), "{checked}");
    let mut file = fs::read(&image).unwrap();
    for (bit, field, word) in [(1, "dirty", "not closed"), (2, "corrupt", "corrupt")] {
        file[79] = bit;
        let marked = scratch.file("marked.qcow2", &file);
        let back = scratch.path("back.raw");
        convert(&marked, &back, &["--force"]);
        assert!(fs::read(&back).unwrap() == bytes);
        let facts = forger().args(["info", "--output", "json"]).arg(&marked);
        assert_eq!(json(&facts.ok())["qcow2"][field], true);
        let checked = forger().arg("check").arg(&marked).ok();
        let said = checked.text();
        assert!(
            said.starts_with("advice: qcow2: header: ") && said.contains(word),
            "{said}"
        );
    }
}
