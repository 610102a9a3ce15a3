//! Image formats and conversion, judged by qemu-img.

use std::fs;
use std::path::Path;

use forger_tests::disks::{assert_consistent, assert_equal, qemu_convert, raw};
use forger_tests::forger::forger;
use forger_tests::need;
use forger_tests::process::{Output, Run};
use forger_tests::scratch::Scratch;

/// Converts, without waiting for the disk.
pub(crate) fn convert(from: &Path, to: &Path, args: &[&str]) -> Output {
    let run = forger().arg("convert").arg(from).arg(to);
    run.arg("--no-sync").args(args.iter().copied()).ok()
}

/// Reads what a command printed.
pub(crate) fn json(output: &Output) -> serde_json::Value {
    serde_json::from_str(&output.text()).unwrap()
}

#[test]
fn qcow2_of_every_kind_is_what_qemu_img_reads() {
    need!("qemu-img");
    let scratch = Scratch::new();
    let disk = raw(&scratch, "disk.raw");
    for (number, args) in [
        "",
        "--qcow2-version 2",
        "--cluster-size 512",
        "--cluster-size 2M",
        "--compress zlib",
        "--compress zlib:1 --qcow2-version 2 --cluster-size 512",
        "--compress zlib:9 --cluster-size 2M",
        "--compress zstd",
        "--compress zstd:19 --cluster-size 4K",
    ]
    .into_iter()
    .enumerate()
    {
        let args: Vec<&str> = args.split_whitespace().collect();
        let image = scratch.path(&format!("{number}.qcow2"));
        convert(&disk, &image, &args);
        assert_consistent(&image);
        assert_equal(&disk, &image);
        let one = scratch.path(&format!("{number}-one.qcow2"));
        convert(&disk, &one, &[&args[..], &["--threads", "1"]].concat());
        assert!(
            fs::read(&one).unwrap() == fs::read(&image).unwrap(),
            "{args:?}"
        );
    }
}

#[test]
fn every_qcow2_that_qemu_img_makes_is_read() {
    need!("qemu-img");
    let scratch = Scratch::new();
    let disk = raw(&scratch, "disk.raw");
    let expected = fs::read(&disk).unwrap();
    for (number, options) in [
        "compat=0.10",
        "cluster_size=512",
        "cluster_size=2M",
        "refcount_bits=1",
        "refcount_bits=64",
        "lazy_refcounts=on",
        "extended_l2=on",
        "preallocation=metadata",
        "preallocation=full",
    ]
    .into_iter()
    .enumerate()
    {
        for compressed in [&[][..], &["-c"], &["-c", "-o", "compression_type=zstd"]] {
            let old = options == "compat=0.10" && compressed.len() > 1;
            if old || options.starts_with("preallocation") && !compressed.is_empty() {
                continue;
            }
            let image = scratch.path(&format!("{number}-{}.qcow2", compressed.len()));
            qemu_convert(
                &disk,
                &image,
                &[&["-O", "qcow2", "-o", options], compressed].concat(),
            );
            let back = scratch.path("back.raw");
            convert(&image, &back, &["--force"]);
            assert!(
                fs::read(&back).unwrap() == expected,
                "{options} {compressed:?}"
            );
            // Holes are kept: what was allocated is about 2.6 MB.
            let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&back).unwrap());
            assert!(blocks * 512 < 5 << 20, "{options}: {blocks}");
        }
    }
}

#[test]
fn vhd_vhdx_and_vmdk_are_what_qemu_img_reads_and_back() {
    need!("qemu-img");
    let scratch = Scratch::new();
    let disk = raw(&scratch, "disk.raw");
    let bytes = fs::read(&disk).unwrap();
    for (name, args, streamed) in [
        ("a.vhd", &[][..], Some("vhd")),
        ("b.vhd", &["--format", "vhd-fixed"], Some("vhd-fixed")),
        ("c.vhdx", &[], Some("vhdx")),
        ("d.vhdx", &["--sector-size", "4096"], None),
        ("e.vmdk", &[], None),
        ("f.vmdk", &["--compress", "zlib"], None),
    ] {
        let image = scratch.path(name);
        convert(&disk, &image, args);
        // QEMU reads no VHDX with sectors of 4096 bytes.
        let judged = !args.contains(&"--sector-size");
        if judged {
            assert_equal(&disk, &image);
        }
        if judged && !name.ends_with("vhd") {
            Run::new("qemu-img").arg("check").arg(&image).ok();
        }
        let back = scratch.path(&format!("{name}.raw"));
        convert(&image, &back, &[]);
        let back = fs::read(back).unwrap();
        assert!(back[..bytes.len()] == bytes, "{name}");
        assert!(back[bytes.len()..].iter().all(|byte| *byte == 0), "{name}");
        // Standard output gets the same, in order; a VMDK knows its file's name.
        if let Some(format) = streamed {
            let piped = forger().args(["convert", "-q", "--format", format]);
            let piped = piped.arg(&disk).arg("-").ok().stdout;
            assert!(piped == fs::read(&image).unwrap(), "{name}");
        }
    }
}

#[test]
fn every_vhd_vhdx_and_vmdk_that_qemu_img_makes_is_read() {
    need!("qemu-img");
    let scratch = Scratch::new();
    let disk = raw(&scratch, "disk.raw");
    let bytes = fs::read(&disk).unwrap();
    for (number, args) in [
        "-O vpc",
        "-O vpc -o subformat=fixed",
        "-O vpc -o force_size=on",
        "-O vhdx",
        "-O vhdx -o subformat=fixed",
        "-O vhdx -o block_size=1M",
        "-O vmdk",
        "-O vmdk -o subformat=streamOptimized",
        "-O vmdk -o zeroed_grain=on",
    ]
    .into_iter()
    .enumerate()
    {
        let args: Vec<&str> = args.split(' ').collect();
        let image = scratch.path(&format!("{number}.image"));
        qemu_convert(&disk, &image, &args);
        let back = scratch.path("back.raw");
        convert(&image, &back, &["--force"]);
        let back = fs::read(back).unwrap();
        assert!(back[..bytes.len()] == bytes, "{args:?}");
        assert!(
            back[bytes.len()..].iter().all(|byte| *byte == 0),
            "{args:?}"
        );
    }
    // What is in other files is refused.
    for subformat in ["monolithicFlat", "twoGbMaxExtentSparse"] {
        let image = scratch.path(&format!("{subformat}.vmdk"));
        let options = format!("subformat={subformat}");
        qemu_convert(&disk, &image, &["-O", "vmdk", "-o", &options]);
        let output = forger().arg("info").arg(&image).output();
        assert_eq!(output.status.code(), Some(1), "{output}");
    }
}

#[test]
fn compare_tells_what_qemu_img_compare_tells() {
    need!("qemu-img");
    let scratch = Scratch::new();
    let disk = raw(&scratch, "disk.raw");
    let same = scratch.path("same.vmdk");
    convert(&disk, &same, &["--compress", "zlib"]);
    let mut bytes = fs::read(&disk).unwrap();
    bytes[7_000_000] ^= 1;
    let changed = scratch.file("changed.raw", &bytes);
    let other = scratch.path("other.qcow2");
    convert(&changed, &other, &["--compress", "zstd"]);
    let verdict = |other: &Path, args: &[&str]| {
        let run = forger().arg("compare").arg(&disk).arg(other);
        let output = run.args(args.iter().copied()).output();
        (output.status.code(), output.text())
    };
    let (code, text) = verdict(&same, &[]);
    assert!(
        code == Some(0) && text.contains("but for their sizes"),
        "{text}"
    );
    assert_eq!(verdict(&same, &["--strict"]).0, Some(1));
    let (code, text) = verdict(&other, &[]);
    assert!(
        code == Some(1) && text.ends_with("offset 7000000\n"),
        "{text}"
    );
    let judged = Run::new("qemu-img")
        .arg("compare")
        .arg(&disk)
        .arg(&other)
        .output();
    assert_eq!(judged.status.code(), Some(1));
    assert_eq!(verdict(&scratch.path("absent"), &[]).0, Some(2));
}

#[test]
fn a_path_inside_is_refused_where_a_whole_disk_is_meant() {
    let scratch = Scratch::new();
    let disk = raw(&scratch, "disk.raw");
    let inside = format!("{}:/etc/motd", disk.display());
    let out = scratch.path("out.raw").display().to_string();
    for args in [
        &["info", &inside][..],
        &["check", &inside],
        &["measure", &inside],
        &["convert", &inside, &out],
        &["compare", &inside, &inside],
        &["serve", &inside, "--socket", &out],
        &["verity", &inside, "--hash-file", &out],
        &["resize", &inside, "+1M"],
    ] {
        let refused = forger().args(args).output();
        assert_eq!(refused.status.code(), Some(2), "{args:?}: {refused}");
        let said = refused.errors();
        assert!(said.contains("leave out :/etc/motd"), "{args:?}: {said}");
        assert!(!Path::new(&out).exists(), "{args:?}");
    }
}

#[test]
fn snapshots_are_listed_and_the_active_state_is_read() {
    need!("qemu-img");
    let scratch = Scratch::new();
    let disk = raw(&scratch, "disk.raw");
    let image = scratch.path("disk.qcow2");
    convert(&disk, &image, &[]);
    let qemu = |args: &[&str]| Run::new("qemu-img").args(args).arg(&image).ok();
    qemu(&["snapshot", "-c", "before"]);
    let facts = json(&forger().args(["info", "--output", "json"]).arg(&image).ok());
    assert_eq!(facts["qcow2"]["snapshots"][0]["name"], "before");
    assert_eq!(facts["format"], "qcow2");
    assert_equal(&disk, &image);
    let back = scratch.path("back.raw");
    convert(&image, &back, &[]);
    assert!(fs::read(&back).unwrap() == fs::read(&disk).unwrap());
}

#[test]
fn files_that_images_name_are_opened_with_leave_only() {
    need!("qemu-img");
    let scratch = Scratch::new();
    let disk = raw(&scratch, "disk.raw");
    let create = |args: &[&str]| {
        Run::new("qemu-img")
            .arg("create")
            .args(args)
            .dir(scratch.root())
            .ok()
    };
    create(&["-f", "qcow2", "-b", "disk.raw", "-F", "raw", "mid.qcow2"]);
    create(&["-f", "qcow2", "-b", "mid.qcow2", "-F", "qcow2", "top.qcow2"]);
    create(&[
        "-f",
        "qcow2",
        "-o",
        "data_file=data.raw,size=1M",
        "split.qcow2",
    ]);
    let refused = |name: &str, args: &[&str]| {
        let run = forger().arg("convert").arg(scratch.path(name));
        let run = run
            .arg(scratch.path("never.raw"))
            .args(args.iter().copied());
        let output = run.output();
        assert_eq!(output.status.code(), Some(1), "{output}");
        output.errors()
    };
    assert!(refused("top.qcow2", &[]).contains("mid.qcow2"));
    let leave = |name: &str| format!("--allow-backing={}", scratch.path(name).display());
    let (base, mid) = (leave("disk.raw"), leave("mid.qcow2"));
    assert!(refused("top.qcow2", &[&mid]).contains("disk.raw"));
    assert!(refused("split.qcow2", &[]).contains("data file"));
    let back = scratch.path("back.raw");
    convert(&scratch.path("top.qcow2"), &back, &[&base, &mid]);
    assert!(fs::read(&back).unwrap() == fs::read(&disk).unwrap());
    convert(
        &scratch.path("split.qcow2"),
        &back,
        &[&leave("data.raw"), "--force"],
    );
    assert_eq!(fs::read(&back).unwrap(), vec![0; 1 << 20]);
    // Two that name each other end.
    let loops = |base: &str, name: &str| {
        create(&["-u", "-f", "qcow2", "-b", base, "-F", "qcow2", name, "1M"]);
    };
    loops("b.qcow2", "a.qcow2");
    loops("a.qcow2", "b.qcow2");
    let error = refused("a.qcow2", &[&leave("a.qcow2"), &leave("b.qcow2")]);
    assert!(error.contains("build on each other"), "{error}");
}

#[test]
fn standard_input_and_output_take_raw_compressed_and_qcow2() {
    need!("qemu-img", "xz");
    let scratch = Scratch::new();
    let disk = raw(&scratch, "disk.raw");
    let bytes = fs::read(&disk).unwrap();
    let image = scratch.path("disk.qcow2");
    convert(&disk, &image, &[]);
    let piped = |input: &Path, args: &[&str]| {
        let run = forger()
            .args(["convert", "-", "-", "-q"])
            .stdin_piped(input);
        run.args(args.iter().copied()).ok().stdout
    };
    assert!(piped(&disk, &["--format", "raw"]) == bytes);
    assert!(piped(&disk, &["--format", "qcow2"]) == fs::read(&image).unwrap());
    assert!(piped(&image, &["--format", "raw"]) == bytes);
    let packed = piped(&disk, &["--format", "qcow2", "--compress", "zstd"]);
    let path = scratch.file("packed.qcow2", packed);
    assert_consistent(&path);
    assert_equal(&disk, &path);
    Run::new("xz").args(["-k", "-0"]).arg(&disk).ok();
    let squeezed = scratch.path("disk.raw.xz");
    let back = scratch.path("back.qcow2");
    convert(&squeezed, &back, &[]);
    assert!(fs::read(&back).unwrap() == fs::read(&image).unwrap());
    assert!(piped(&squeezed, &["--format", "raw"]) == bytes);
}

#[test]
fn what_is_damaged_or_unclear_is_refused_and_leaves_nothing() {
    let scratch = Scratch::new();
    let disk = raw(&scratch, "disk.raw");
    let image = scratch.path("disk.qcow2");
    convert(&disk, &image, &[]);
    let mut bytes = fs::read(&image).unwrap();
    bytes.truncate(bytes.len() - (1 << 20));
    let cut = scratch.file("cut.qcow2", bytes);
    let out = scratch.path("out.raw");
    let output = forger().arg("convert").arg(&cut).arg(&out).output();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.errors().contains("qcow2"), "{output}");
    assert!(!out.exists());
    let usage = |args: &[&str]| {
        let output = forger()
            .arg("convert")
            .arg(&disk)
            .args(args.iter().copied())
            .output();
        assert_eq!(output.status.code(), Some(2), "{output}");
    };
    usage(&["out"]);
    usage(&["out.vhd", "--compress", "zstd"]);
    usage(&["out.qcow2", "--compress", "lzo"]);
    usage(&["out.qcow2", "--cluster-size", "100"]);
    let exists = forger().arg("convert").arg(&disk).arg(&image).output();
    assert_eq!(exists.status.code(), Some(1));
    assert!(exists.errors().contains("--force"), "{exists}");
}
