//! `forger check` of disk image files against `qemu-img check`: images damaged at random, by seed, are
//! judged alike.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use forger_tests::disks::qemu_convert;
use forger_tests::forger::forger;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

use crate::check::Numbers;
use crate::disk::convert;

/// What a judge says of an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Clean,
    Leaks,
    /// Damaged, or not even to be opened.
    Bad,
}

fn verdict_of_qemu(image: &Path, format: &str) -> (Verdict, String) {
    let run = Run::new("qemu-img").args(["check", "-q", "-f", format]);
    let output = run.arg(image).limit(60).output();
    let verdict = match output.status.code() {
        Some(0) => Verdict::Clean,
        Some(3) => Verdict::Leaks,
        _ => Verdict::Bad,
    };
    (verdict, output.to_string())
}

fn our_verdict(image: &Path, format: &str) -> (Verdict, String) {
    let run = forger().args(["check", "--input-format", format]);
    let output = run.arg(image).limit(60).output();
    let verdict = match output.status.code() {
        Some(0) => Verdict::Clean,
        Some(3) => Verdict::Leaks,
        Some(1 | 4) => Verdict::Bad,
        _ => panic!("{output}"),
    };
    (verdict, output.to_string())
}

/// A disk of 1.5 MiB with data, zeros that are written and holes.
fn disk(scratch: &Scratch) -> PathBuf {
    let mut disk = vec![0_u8; 3 << 19];
    let mut numbers = Numbers(7);
    for byte in &mut disk[..200_000] {
        *byte = numbers.next().to_le_bytes()[0];
    }
    for (at, byte) in disk[500_000..900_000].iter_mut().enumerate() {
        *byte = b"text that repeats itself, more or less "[at % 39];
    }
    disk[(3 << 19) - 700..].fill(5);
    scratch.file("disk.raw", disk)
}

/// Makes twenty images, most of them by qemu-img, and returns them with their formats.
fn images(scratch: &Scratch) -> Vec<(PathBuf, &'static str)> {
    let disk = disk(scratch);
    let mut images = Vec::new();
    for (number, args) in [
        "-O qcow2",
        "-O qcow2 -o compat=0.10",
        "-O qcow2 -o cluster_size=512",
        "-O qcow2 -o cluster_size=4k,refcount_bits=1",
        "-O qcow2 -o cluster_size=8k,refcount_bits=64",
        "-O qcow2 -o cluster_size=2M",
        "-O qcow2 -o extended_l2=on,cluster_size=16k",
        "-O qcow2 -o lazy_refcounts=on,cluster_size=4k",
        "-O qcow2 -o preallocation=metadata,cluster_size=4k",
        "-O qcow2 -c -o cluster_size=8k",
        "-O qcow2 -c -o compression_type=zstd,cluster_size=16k",
        "-O qcow2 -c -o extended_l2=on",
        "-O qcow2 -o cluster_size=4k",  // snapshots follow
        "-O qcow2 -o cluster_size=32k", // bitmaps follow
        "-O vmdk",
        "-O vmdk -o subformat=streamOptimized",
        "-O vhdx",
    ]
    .into_iter()
    .enumerate()
    {
        let image = scratch.path(&format!("{number}.image"));
        let args: Vec<&str> = args.split(' ').collect();
        qemu_convert(&disk, &image, &args);
        let format = match args[1] {
            "vmdk" => "vmdk",
            "vhdx" => "vhdx",
            _ => "qcow2",
        };
        images.push((image, format));
    }
    let qemu = |program: &str, args: &[&str], image: &Path| {
        Run::new(program).args(args).arg(image).ok();
    };
    let snapshots = images[12].0.clone();
    qemu("qemu-img", &["snapshot", "-c", "first"], &snapshots);
    qemu("qemu-io", &["-c", "write -P 3 100k 300k"], &snapshots);
    qemu("qemu-img", &["snapshot", "-c", "second"], &snapshots);
    qemu("qemu-io", &["-c", "write -z 900k 100k"], &snapshots);
    let bitmaps = images[13].0.clone();
    let add = ["bitmap", "--add", "-f", "qcow2"];
    let run = Run::new("qemu-img").args(add).arg(&bitmaps);
    run.arg("changes").ok();
    qemu("qemu-io", &["-c", "write -P 3 100k 300k"], &bitmaps);
    for (number, args) in [
        "--cluster-size 512",
        "--compress zstd --cluster-size 4K",
        "--refcount-bits 8 --extended-l2 --cluster-size 16K",
    ]
    .into_iter()
    .enumerate()
    {
        let image = scratch.path(&format!("own-{number}.qcow2"));
        convert(&disk, &image, &args.split(' ').collect::<Vec<_>>());
        images.push((image, "qcow2"));
    }
    images
}

/// Returns where an image has its structures: those of a qcow2 as its header says, else all that is no
/// zeros at the start.
fn structures(bytes: &[u8], format: &str) -> Vec<usize> {
    let mut places = Vec::new();
    let mut take = |start: usize, len: usize| {
        let end = start.saturating_add(len).min(bytes.len());
        places.extend((start..end).filter(|at| bytes[*at] != 0 || at % 64 == 0));
    };
    if format != "qcow2" {
        take(0, 4 << 20);
        return places;
    }
    let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let short = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let number = |value: u64| usize::try_from(value).unwrap();
    let cluster = 1_usize << short(20);
    let table = |at: usize, len: usize| {
        let end = at.saturating_add(len).min(bytes.len() & !7);
        let entries: Vec<usize> = (at..end)
            .step_by(8)
            .map(|at| number(word(at) & 0x00ff_ffff_ffff_fe00))
            .filter(|offset| *offset != 0)
            .collect();
        entries
    };
    take(0, 600);
    let (l1, refcounts) = (number(word(40)), number(word(48)));
    let l1_len = 8 * number(short(36).into());
    take(l1, l1_len);
    take(refcounts, 256);
    for block in table(refcounts, cluster) {
        take(block, cluster.min(2048));
    }
    for l2 in table(l1, l1_len) {
        take(l2, cluster);
    }
    if short(60) > 0 {
        take(number(word(64)), 300);
    }
    places
}

/// Damages an image, and says how.
fn damage(bytes: &mut Vec<u8>, places: &[usize], numbers: &mut Numbers) -> String {
    let at = places[numbers.below(places.len())];
    let start = at & !7;
    let end = (start + 8).min(bytes.len());
    match numbers.below(50) {
        0 => {
            bytes.truncate(at);
            format!("cut to {at} bytes")
        }
        1..=24 => {
            let bit = numbers.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        25..=34 => {
            bytes[at] = numbers.next().to_le_bytes()[0];
            format!("byte {at} set to {}", bytes[at])
        }
        35..=42 => {
            bytes[start..end].fill(0);
            format!("word {start} filled with zeros")
        }
        _ => {
            let from = places[numbers.below(places.len())] & !7;
            let len = (end - start).min(bytes.len() - from);
            bytes.copy_within(from..from + len, start);
            format!("word {from} copied to {start}")
        }
    }
}

/// Damages each image `count` times, and asserts that both judges say the same, as a rule, and that
/// nothing that qemu-img finds corrupt is called clean.
fn compare_judges(count: usize) {
    let scratch = Scratch::new();
    let images = images(&scratch);
    let mut cases: BTreeMap<(Verdict, Verdict), Vec<String>> = BTreeMap::new();
    let damaged = scratch.path("damaged.image");
    for (number, (image, format)) in images.iter().enumerate() {
        let (theirs, text) = verdict_of_qemu(image, format);
        assert_eq!(theirs, Verdict::Clean, "{text}");
        let (ours, text) = our_verdict(image, format);
        assert_eq!(ours, Verdict::Clean, "{text}");
        let sound = fs::read(image).unwrap();
        let places = structures(&sound, format);
        let mut numbers = Numbers(number as u64);
        for _ in 0..count {
            let mut bytes = sound.clone();
            let how = damage(&mut bytes, &places, &mut numbers);
            fs::write(&damaged, &bytes).unwrap();
            let (theirs, said) = verdict_of_qemu(&damaged, format);
            let (ours, saying) = our_verdict(&damaged, format);
            let case = format!("image {number} ({format}), {how}\n{said}\n{saying}");
            cases.entry((theirs, ours)).or_default().push(case);
        }
    }
    let mut agreed = 0;
    let mut all = 0;
    for ((theirs, ours), cases) in &cases {
        eprintln!("qemu-img: {theirs:?}, forger: {ours:?}: {}", cases.len());
        all += cases.len();
        if theirs == ours {
            agreed += cases.len();
        } else if std::env::var_os("FORGER_SHOW").is_some() {
            cases.iter().for_each(|case| eprintln!("{case}\n"));
        }
    }
    eprintln!("they agree on {agreed} of {all}");
    let overlooked = cases.get(&(Verdict::Bad, Verdict::Clean));
    assert!(overlooked.is_none(), "{}", overlooked.unwrap().join("\n"));
    assert!(agreed * 100 >= all * 95, "{agreed} of {all}");
}

#[test]
fn damaged_images_are_judged_as_qemu_img_judges_them() {
    need!("qemu-img", "qemu-io");
    compare_judges(10);
}

#[test]
#[ignore = "judges 1000 images twice: half a minute and more"]
fn a_thousand_damaged_images_are_judged_as_qemu_img_judges_them() {
    need!("qemu-img", "qemu-io");
    compare_judges(50);
}
