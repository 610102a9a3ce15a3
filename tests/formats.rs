//! Formats beside those of `disk`, pipes, and what a conversion would take.

use std::fs;
use std::path::{Path, PathBuf};

use forger_tests::disks::{assert_equal, qemu_convert, raw};
use forger_tests::forger::forger;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

use crate::disk::{convert, json};

/// Every way to write a disk: what `--format` and `--compress` say, and the file's name.
const KINDS: [(&str, &[&str]); 15] = [
    ("a.raw", &[]),
    ("b.raw.zst", &[]),
    ("c.img.gz", &["--compress", "zlib:1"]),
    ("d.qcow2", &[]),
    ("e.qcow2", &["--compress", "zstd:1"]),
    ("f.qcow2", &["--compress", "zlib:1"]),
    ("g.vhd", &[]),
    ("h.vhd", &["--format", "vhd-fixed"]),
    ("i.vhdx", &[]),
    ("j.vhdx", &["--format", "vhdx-fixed"]),
    ("k.vmdk", &[]),
    ("l.vmdk", &["--compress", "zlib:1"]),
    ("m.simg", &[]),
    ("n.ova", &["--compress", "zlib:1"]),
    ("o.raw.xz", &["--compress", "xz:1"]),
];

/// A small disk of all kinds of contents, whose size every format can hold.
fn disk(scratch: &Scratch) -> PathBuf {
    let mut bytes = vec![0; 2 << 20];
    bytes[..5000].fill(7);
    for (at, byte) in (0_u32..).zip(&mut bytes[100_000..400_000]) {
        *byte = at.wrapping_mul(at).to_le_bytes()[1];
    }
    bytes[1 << 20..(1 << 20) + 65_536].copy_from_slice(&b"text".repeat(16_384));
    let end = bytes.len() - 1;
    bytes[end] = 1;
    scratch.file("disk.raw", bytes)
}

fn assert_same(one: &Path, other: &Path) {
    forger()
        .arg("compare")
        .arg("--strict")
        .arg(one)
        .arg(other)
        .ok();
}

#[test]
fn every_format_becomes_every_other() {
    need!("qemu-img");
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let expected = fs::read(&disk).unwrap();
    for (from, args) in KINDS {
        let image = scratch.path(from);
        convert(&disk, &image, args);
        assert_same(&disk, &image);
        let judged = ["raw", "qcow2", "vhd", "vhdx", "vmdk"];
        if judged.iter().any(|kind| from.ends_with(kind)) {
            assert_equal(&disk, &image);
        }
    }
    for (from, _) in KINDS {
        for (to, args) in KINDS {
            let (image, made) = (scratch.path(from), scratch.path(&format!("to.{to}")));
            convert(&image, &made, &[args, &["--force"]].concat());
            // What is made depends on the disk alone, but for the name in a VMDK or OVA.
            if to.ends_with("vmdk") || to.ends_with("ova") {
                assert_same(&disk, &made);
            } else {
                let same = fs::read(&made).unwrap() == fs::read(scratch.path(to)).unwrap();
                assert!(same, "{from} to {to}");
            }
        }
    }
    assert!(fs::read(scratch.path("a.raw")).unwrap() == expected);
}

#[test]
fn android_sparse_images_are_what_simg2img_reads_and_img2simg_makes() {
    need!("simg2img", "img2simg");
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    for (name, args) in [("fill.simg", &[][..]), ("skip.simg", &["--dont-care"])] {
        let image = scratch.path(name);
        convert(&disk, &image, args);
        let back = scratch.path("back.raw");
        let _ = fs::remove_file(&back);
        Run::new("simg2img").arg(&image).arg(&back).ok();
        assert!(
            fs::read(&back).unwrap() == fs::read(&disk).unwrap(),
            "{name}"
        );
    }
    let theirs = scratch.path("theirs.simg");
    Run::new("img2simg").arg(&disk).arg(&theirs).ok();
    assert_same(&disk, &theirs);
    let facts = json(
        &forger()
            .args(["info", "--output", "json"])
            .arg(&theirs)
            .ok(),
    );
    assert_eq!(facts["format"], "android-sparse");
    assert_eq!(facts["android_sparse"]["block_size"], 4096);
}

#[test]
fn what_is_streamed_needs_no_temporary_file() {
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    for (name, args) in KINDS {
        convert(&disk, &scratch.path(name), args);
    }
    let none = || {
        forger()
            .env("TMPDIR", scratch.path("absent"))
            .arg("convert")
    };
    // To standard output.
    for (name, args) in KINDS {
        let packed =
            args.first() == Some(&"--compress") && name.ends_with("qcow2") || name.ends_with("ova");
        let format = match name.split_once('.') {
            _ if args.first() == Some(&"--format") => args[1],
            Some((_, "simg")) => "android-sparse",
            Some((_, "raw.zst" | "img.gz" | "raw.xz")) => "raw",
            Some((_, format)) => format,
            None => unreachable!("every name has an extension"),
        };
        let compress = match name.rsplit_once('.') {
            Some((_, "zst")) => "--compress=zstd",
            Some((_, "xz")) => "--compress=xz:1",
            _ if args.first() == Some(&"--compress") => "--compress=zlib:1",
            _ => "--quiet",
        };
        let run = none().arg(&disk).args(["-", "-q", "--format", format]);
        let output = match compress {
            "--quiet" => run.output(),
            compress => run.arg(compress).output(),
        };
        if packed {
            assert_eq!(output.status.code(), Some(1), "{name}");
            assert!(output.errors().contains("absent"), "{output}");
        } else if name.ends_with("vmdk") {
            let made = scratch.file("made.vmdk", output.stdout);
            assert_same(&disk, &made);
        } else {
            let expected = fs::read(scratch.path(name)).unwrap();
            assert!(output.stdout == expected, "{name}: {}", output.errors());
        }
    }
    // From standard input.
    for from in [
        "a.raw",
        "b.raw.zst",
        "c.img.gz",
        "o.raw.xz",
        "h.vhd",
        "l.vmdk",
    ] {
        for to in ["to.raw", "to.vhd", "to.qcow2", "to.raw.zst", "to.vmdk"] {
            let args = match to {
                "to.vhd" => &["--format", "vhd-fixed"][..],
                "to.qcow2" => &["--compress", "zstd:1"],
                "to.vmdk" => &["--compress", "zlib:1"],
                _ => &[],
            };
            let made = scratch.path(to);
            let run = none().args(["-", "--force", "--no-sync"]).arg(&made);
            let run = run.args(args.iter().copied());
            let output = run.stdin_piped(scratch.path(from)).output();
            // The length of the disk stands in the header of a VMDK.
            if to == "to.vmdk" && from != "l.vmdk" {
                assert_eq!(output.status.code(), Some(1), "{from} to {to}");
                continue;
            }
            assert!(output.status.success(), "{from} to {to}: {output}");
            assert_same(&disk, &made);
        }
    }
    // All else is kept in a temporary file.
    let output = none().args(["-", "-", "--format", "raw"]);
    let output = output.stdin_piped(scratch.path("d.qcow2")).output();
    assert_eq!(output.status.code(), Some(1));
    let made = forger().args(["convert", "-", "-", "--format", "raw", "-q"]);
    let made = made.stdin_piped(scratch.path("d.qcow2")).ok().stdout;
    assert!(made == fs::read(&disk).unwrap());
}

#[test]
fn compressed_disks_are_compared_and_looked_into() {
    need!("xz");
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let image = scratch.path("disk.qcow2");
    convert(&disk, &image, &[]);
    Run::new("xz").args(["-k", "-0"]).arg(&image).ok();
    let squeezed = scratch.path("disk.qcow2.xz");
    assert_same(&disk, &squeezed);
    let facts = json(
        &forger()
            .args(["info", "--output", "json"])
            .arg(&squeezed)
            .ok(),
    );
    assert_eq!(facts["format"], "qcow2, xz");
    assert_eq!(facts["size"], 2 << 20);
    let back = scratch.path("back.raw");
    convert(&squeezed, &back, &[]);
    assert!(fs::read(back).unwrap() == fs::read(&disk).unwrap());
    // What is inside is checked as well.
    let checked = forger().arg("check").arg(&squeezed).output();
    assert!(
        checked.text().starts_with("qcow2, xz: clean\n"),
        "{checked}"
    );
    let mut bytes = fs::read(&image).unwrap();
    // A refcount of the first block, which the header names by way of the table.
    bytes[0x20001] ^= 2;
    let damaged = scratch.file("damaged.qcow2", bytes);
    let check = |image: &Path| forger().arg("check").arg(image).output();
    let plain = check(&damaged);
    assert!(matches!(plain.status.code(), Some(3 | 4)), "{plain}");
    Run::new("xz").args(["-k", "-0"]).arg(&damaged).ok();
    let packed = check(&scratch.path("damaged.qcow2.xz"));
    assert_eq!(packed.status.code(), plain.status.code(), "{packed}");
    assert_eq!(
        packed.text(),
        plain.text().replace("qcow2: ", "qcow2, xz: ")
    );
    let mut bytes = fs::read(&squeezed).unwrap();
    bytes.truncate(bytes.len() / 2);
    let cut = scratch.file("cut.xz", bytes);
    let output = forger().arg("compare").arg(&disk).arg(&cut).output();
    assert_eq!(output.status.code(), Some(2), "{output}");
    assert!(output.errors().contains("cut short"), "{output}");
}

#[test]
fn what_is_compressed_with_xz_is_what_xz_reads_and_as_small() {
    need!("xz");
    let scratch = Scratch::new();
    // Longer than a block, so that threads have something to share.
    let mut bytes = vec![0; 5 << 20];
    for (at, byte) in (0_u32..).zip(&mut bytes[..4 << 20]) {
        *byte = at.wrapping_mul(at >> 7).to_le_bytes()[1] & 0x1f;
    }
    let disk = scratch.file("disk.raw", &bytes);
    let image = scratch.path("disk.raw.xz");
    convert(&disk, &image, &["--compress", "xz:1"]);
    Run::new("xz").arg("-t").arg(&image).ok();
    let back = Run::new("xz").arg("-dc").arg(&image).ok().stdout;
    assert!(back == bytes);
    let one = scratch.path("one.raw.xz");
    convert(&disk, &one, &["--compress", "xz:1", "--threads", "1"]);
    assert!(fs::read(&one).unwrap() == fs::read(&image).unwrap());
    let usual = scratch.path("usual.raw.xz");
    convert(&disk, &usual, &[]);
    let theirs = Run::new("xz").args(["-T1", "-c"]).arg(&disk).ok().stdout;
    let (ours, theirs) = (fs::read(&usual).unwrap().len(), theirs.len());
    assert!(ours * 100 <= theirs * 102, "{ours} of {theirs}");
}

#[test]
fn images_of_formats_that_are_not_read_are_not_taken_for_raw_disks() {
    need!("qemu-img");
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    for (name, args) in [
        ("a.vdi", &["-O", "vdi"][..]),
        ("b.qed", &["-O", "qed"]),
        ("c.hdd", &["-O", "parallels"]),
        ("d.vmdk", &["-O", "vmdk", "-o", "subformat=monolithicFlat"]),
        ("e.qcow", &["-O", "qcow"]),
    ] {
        let image = scratch.path(name);
        qemu_convert(&disk, &image, args);
        let never = scratch.path("never.raw");
        for verb in ["convert", "mkfs"] {
            let refused = forger().arg(verb).arg(&image).arg(&never).output();
            assert_eq!(refused.status.code(), Some(1), "{verb}: {refused}");
            let said = refused.errors();
            let why = if name == "e.qcow" {
                "version 1"
            } else {
                "is not read"
            };
            assert!(said.contains(why) && !never.exists(), "{verb}: {said}");
        }
        // Whoever means the bytes of the file says so.
        let back = scratch.path("back.raw");
        convert(&image, &back, &["--input-format", "raw", "--force"]);
        assert!(fs::read(&back).unwrap() == fs::read(&image).unwrap());
    }
}

#[test]
fn measure_says_how_large_images_become() {
    need!("qemu-img");
    let scratch = Scratch::new();
    let disk = raw(&scratch, "disk.raw");
    let measured = |args: &[&str], of: &[&str]| {
        let run = forger().args(["measure", "--output", "json"]);
        let facts = json(&run.args(of.iter().copied()).args(args.iter().copied()).ok());
        let length = |name: &str| facts[name].as_u64().unwrap();
        (length("required"), length("fully-allocated"))
    };
    let path = disk.to_str().unwrap();
    for (format, options) in [
        ("raw", &[][..]),
        ("raw", &["--compress", "zstd"]),
        ("qcow2", &[]),
        ("qcow2", &["--cluster-size", "512"]),
        ("qcow2", &["--compress", "zlib:1"]),
        ("vhd", &[]),
        ("vhd-fixed", &[]),
        ("vhdx", &[]),
        ("vhdx-fixed", &["--sector-size", "4096"]),
        ("vmdk", &[]),
        ("vmdk", &["--compress", "zlib:1"]),
        ("android-sparse", &[]),
        ("ova", &[]),
    ] {
        let args = [&["--format", format], options].concat();
        let (required, full) = measured(&args, &[path]);
        // As long as the name that measure takes.
        let made = scratch.path("disk");
        convert(&disk, &made, &[&args[..], &["--force"]].concat());
        let len = fs::metadata(&made).unwrap().len();
        assert_eq!(required, len, "{args:?}");
        assert!(full >= required, "{args:?}");
    }
    // QEMU counts tables for what is not there, too: never less than ours, and the same when full.
    for size in ["1M", "100M", "1G", "20G"] {
        for format in ["raw", "qcow2"] {
            let (required, full) = measured(&["--format", format], &["--size", size]);
            let run = Run::new("qemu-img").args(["measure", "--output", "json", "-O", format]);
            let theirs = json(&run.args(["--size", size]).ok());
            assert_eq!(theirs["fully-allocated"], full, "{format} of {size}");
            let most = theirs["required"].as_u64().unwrap();
            assert!(required <= most || format == "raw", "{format} of {size}");
        }
    }
    let all = forger().args(["measure", "--size", "3T"]).ok();
    assert!(all.text().lines().count() > 4, "{all}");
    assert!(all.errors().contains("too large for vhd"), "{all}");
}

#[test]
fn a_block_map_is_what_bmaptool_takes_and_makes() {
    need!("bmaptool");
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let qcow2 = scratch.path("disk.qcow2");
    convert(&disk, &qcow2, &[]);
    let (image, map) = (scratch.path("made.raw.gz"), scratch.path("made.bmap"));
    let map_option = format!("--bmap={}", map.display());
    convert(&qcow2, &image, &[&map_option]);
    let copied = scratch.path("copied.raw");
    let bmaptool = |args: &[&str]| Run::new("bmaptool").args(args.iter().copied());
    let copy = bmaptool(&["copy", "--bmap"]).arg(&map).arg(&image);
    copy.arg(&copied).ok();
    assert!(fs::read(&copied).unwrap() == fs::read(&disk).unwrap());

    // Theirs, and a disk that is not zeros where it is not mapped.
    let (sparse, theirs) = (scratch.path("sparse.raw"), scratch.path("theirs.bmap"));
    convert(&disk, &sparse, &[]);
    bmaptool(&["create", "-o"]).arg(&theirs).arg(&sparse).ok();
    let map_option = format!("--input-bmap={}", theirs.display());
    let back = scratch.path("back.raw");
    convert(&sparse, &back, &[&map_option]);
    assert!(fs::read(&back).unwrap() == fs::read(&disk).unwrap());
    let mut bytes = fs::read(&disk).unwrap();
    bytes[700_000] = 9;
    let dirty = scratch.file("dirty.raw", &bytes);
    convert(&dirty, &back, &[&map_option, "--force"]);
    assert!(fs::read(&back).unwrap() == fs::read(&disk).unwrap());
    bytes[200_000] ^= 1;
    let wrong = scratch.file("wrong.raw", &bytes);
    let never = scratch.path("never.raw");
    let run = forger()
        .args(["convert", &map_option])
        .arg(&wrong)
        .arg(&never);
    let output = run.output();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        output.errors().contains("checksum") && !never.exists(),
        "{output}"
    );
    let output = forger().args(["convert", "--bmap=x.bmap"]).arg(&disk);
    let output = output.arg(scratch.path("x.qcow2")).output();
    assert_eq!(output.status.code(), Some(2), "{output}");
}

#[test]
fn a_machine_is_an_archive_that_tar_and_sha256sum_and_qemu_img_read() {
    need!("qemu-img", "tar", "sha256sum");
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let image = scratch.path("a <b> & c.ova");
    convert(&disk, &image, &["--cpus", "4", "--memory", "1G"]);
    let again = scratch.path("again.ova");
    convert(&disk, &again, &["--threads", "1"]);
    let folder = scratch.path("machine");
    fs::create_dir(&folder).unwrap();
    let listed = Run::new("tar")
        .arg("-xvf")
        .arg(&image)
        .dir(&folder)
        .ok()
        .text();
    let names: Vec<&str> = listed.lines().collect();
    assert_eq!(
        names,
        ["a--b----c.ovf", "a--b----c-disk1.vmdk", "a--b----c.mf"]
    );
    // The manifest as sha256sum writes it.
    let manifest = fs::read_to_string(folder.join(names[2])).unwrap();
    let lines = manifest
        .lines()
        .map(|line| line.replace(")= ", ") = ").replacen('(', " (", 1));
    let sums = scratch.file("sums", lines.collect::<Vec<_>>().join("\n") + "\n");
    Run::new("sha256sum").arg("-c").arg(&sums).dir(&folder).ok();
    let vmdk = folder.join(names[1]);
    Run::new("qemu-img").arg("check").arg(&vmdk).ok();
    assert_equal(&disk, &vmdk);
    let descriptor = fs::read_to_string(folder.join(names[0])).unwrap();
    assert!(
        descriptor.contains("<Name>a &lt;b&gt; &amp; c</Name>"),
        "{descriptor}"
    );
    assert!(descriptor.contains(&format!(
        "ovf:size=\"{}\"",
        fs::metadata(&vmdk).unwrap().len()
    )));

    assert_same(&disk, &image);
    let back = scratch.path("back.raw");
    convert(&image, &back, &[]);
    assert!(fs::read(&back).unwrap() == fs::read(&disk).unwrap());
    let facts = json(&forger().args(["info", "--output", "json"]).arg(&image).ok());
    assert_eq!(
        (&facts["format"], &facts["size"]),
        (&"ova".into(), &(2 << 20).into())
    );
    let streamed = forger()
        .args(["convert", "-q", "--format=ova"])
        .arg(&disk)
        .arg("-")
        .ok();
    assert_same(&disk, &scratch.file("streamed.ova", streamed.stdout));
    let mut bytes = fs::read(&image).unwrap();
    bytes[100] ^= 1;
    let damaged = scratch.file("damaged.ova", &bytes);
    let output = forger().arg("compare").arg(&disk).arg(&damaged).output();
    assert_ne!(output.status.code(), Some(0));
}

#[test]
fn descriptors_are_well_formed_for_another_parser() {
    need!("python3");
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let image = scratch.path("é\"'<&.ova");
    convert(&disk, &image, &[]);
    let map = scratch.path("disk.bmap");
    let option = format!("--bmap={}", map.display());
    convert(&disk, &scratch.path("copy.raw"), &[&option]);
    let script = "import sys, tarfile, xml.etree.ElementTree as tree\n\
        archive = tarfile.open(sys.argv[1])\n\
        root = tree.parse(archive.extractfile(archive.getmembers()[0])).getroot()\n\
        ovf = '{http://schemas.dmtf.org/ovf/envelope/1}'\n\
        assert root.tag == ovf + 'Envelope', root.tag\n\
        assert [part.tag[len(ovf):] for part in root] == ['References', 'DiskSection', \
        'NetworkSection', 'VirtualSystem']\n\
        disk = root.find(ovf + 'DiskSection').find(ovf + 'Disk')\n\
        assert disk.get(ovf + 'capacity') == str(2 << 20)\n\
        print(root.find(ovf + 'VirtualSystem').find(ovf + 'Name').text)\n\
        assert tree.parse(sys.argv[2]).getroot().get('version') == '2.0'\n";
    let run = Run::new("python3")
        .args(["-c", script])
        .arg(&image)
        .arg(&map);
    assert_eq!(run.ok().text().trim(), "é\"'<&");
}
