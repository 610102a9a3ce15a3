//! `forger resize`: sizes and clean filesystems as resize2fs makes them, for every kind of filesystem.
//!
//! The variable `FORGER_RESIZES` sets how many random filesystems the long test resizes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger_block::FileReader;
use forger_fs::ext4::{EditError, Editor, Image, ResizeError, Resizer, check};
use forger_fs::tree::{Holes, Meta, Time};
use forger_tests::forger::forger;
use forger_tests::judge::{assert_clean, number, superblock};
use forger_tests::mount::Mount;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::walk::Listing;
use forger_tests::{need, sample};

/// The variable that sets how many random filesystems the long test resizes.
const VARIABLE: &str = "FORGER_RESIZES";

const TIME: Time = Time {
    sec: 1_700_000_000,
    nsec: 0,
};

const MIB: u64 = 1 << 20;

/// Kinds of filesystems: arguments of mke2fs. Groups are small, so that there are many.
const FORMS: &[&str] = &[
    "-t ext4 -b 4096 -g 2048",
    "-t ext4 -b 4096 -g 1024 -O ^resize_inode",
    "-t ext4 -b 4096 -g 2048 -O ^metadata_csum,uninit_bg",
    "-t ext4 -b 4096 -g 2048 -O ^metadata_csum",
    "-t ext4 -b 4096 -g 2048 -O ^64bit -I 128",
    "-t ext4 -b 4096 -g 2048 -O ^flex_bg",
    "-t ext4 -b 4096 -g 2048 -O ^sparse_super,^resize_inode",
    "-t ext4 -b 4096 -g 1024 -O meta_bg,^resize_inode",
    "-t ext4 -b 4096 -g 2048 -O sparse_super2",
    "-t ext4 -b 4096 -g 2048 -O sparse_super2,^resize_inode -E num_backup_sb=1",
    "-t ext4 -b 4096 -g 2048 -O ^has_journal",
    "-t ext4 -b 4096 -g 2048 -G 128",
    "-t ext4 -b 4096 -g 2048 -G 2",
    "-t ext4 -b 4096 -g 2048 -O metadata_csum_seed,ea_inode,large_dir,orphan_file",
    "-t ext4 -b 1024",
    "-t ext4 -b 1024 -O meta_bg,^resize_inode",
    "-t ext4 -b 1024 -O ^metadata_csum,^64bit,meta_bg,^resize_inode,^flex_bg",
    "-t ext4 -b 1024 -g 1024 -O ^flex_bg",
    "-t ext4 -b 2048 -g 2048",
    "-t ext4 -b 65536 -g 256",
    "-t ext4 -b 8192 -g 1024",
    "-t ext3 -b 1024",
    "-t ext3 -b 4096 -g 2048 -I 128",
    "-t ext2 -b 1024",
    "-t ext2 -b 1024 -r 1 -O none,filetype",
    "-t ext2 -b 4096 -g 4096 -O ^resize_inode",
];

/// Makes a filesystem with some content; none where mke2fs cannot.
fn make(scratch: &Scratch, form: &str, size: u64) -> Option<PathBuf> {
    let folder = scratch.path("content");
    if !folder.exists() {
        fs::create_dir_all(folder.join("sub/deep")).unwrap();
        for i in 0..20 {
            fs::write(folder.join(format!("sub/file-{i}")), vec![i; 5000]).unwrap();
        }
        fs::write(folder.join("large"), vec![7; 600_000]).unwrap();
        std::os::unix::fs::symlink("sub/file-1", folder.join("link")).unwrap();
    }
    let image = scratch.path("image");
    let _ = fs::remove_file(&image);
    let made = Run::new("mke2fs")
        .args(["-q", "-F", "-U", "01234567-89ab-cdef-0123-456789abcdef"])
        .args(form.split(' '))
        .args(["-N", &(size / 32768).max(64).to_string()])
        .arg("-d")
        .arg(&folder)
        .arg(&image)
        .arg(format!("{}k", size / 1024))
        .output();
    made.status.success().then_some(image)
}

/// Resizes by forger's library.
fn resize(image: &Path, size: u64) -> Result<u64, ResizeError> {
    let planned = Resizer::open(image, TIME)?.plan(size)?;
    let after = planned.after();
    planned.commit()?;
    Ok(after)
}

/// Everything that is in a filesystem.
fn tree(image: &Path) -> String {
    let image = Image::open(Arc::new(FileReader::open(image).unwrap())).unwrap();
    let report = check(&image).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    image.tree().unwrap().dump(Holes::Shown).unwrap()
}

/// What must be as resize2fs makes it.
fn geometry(image: &Path) -> Vec<(String, u64)> {
    let superblock = superblock(image);
    let mut titles = vec!["Block count", "Inode count", "Reserved block count"];
    if superblock.contains_key("Reserved GDT blocks") {
        titles.push("Reserved GDT blocks");
    }
    let of = |title: &str| (title.to_owned(), number(&superblock, title));
    titles.into_iter().map(of).collect()
}

/// Resizes by forger and by resize2fs, and compares.
fn step(scratch: &Scratch, image: &Path, size: u64, what: &str) {
    let before = tree(image);
    let copy = scratch.copy(image, "copy");
    match resize(image, size) {
        Ok(after) => {
            assert!(after <= size, "{what}");
            assert_clean(image);
            assert_eq!(tree(image), before, "{what}");
            let blocks = size / u64::from(block_size(&copy));
            let peer = Run::new("resize2fs")
                .arg("-f")
                .arg(&copy)
                .arg(blocks.to_string())
                .output();
            if peer.status.success() {
                let (ours, theirs) = (geometry(image), geometry(&copy));
                for ((title, ours), (_, theirs)) in ours.iter().zip(&theirs) {
                    // Shares are counted in floating point numbers there.
                    let near = title.starts_with("Reserved block") && ours.abs_diff(*theirs) <= 1;
                    assert!(ours == theirs || near, "{what}: {title} {ours} {theirs}");
                }
            }
        }
        Err(ResizeError::TooSmall { smallest, .. }) => {
            assert_eq!(fs::read(image).unwrap(), fs::read(&copy).unwrap(), "{what}");
            assert!(smallest > size, "{what}: {smallest} is possible");
            assert_eq!(resize(image, smallest).unwrap(), smallest, "{what}");
            assert_clean(image);
            assert_eq!(tree(image), before, "{what}");
        }
        Err(ResizeError::Reserve { limit, .. }) => {
            assert_eq!(fs::read(image).unwrap(), fs::read(&copy).unwrap(), "{what}");
            assert!(limit < size, "{what}: {limit} is possible");
            assert_eq!(resize(image, limit).unwrap(), limit, "{what}");
            assert_clean(image);
            assert_eq!(tree(image), before, "{what}");
        }
        Err(error) => panic!("{what}: {error}"),
    }
}

fn block_size(image: &Path) -> u32 {
    let size = number(&superblock(image), "Block size");
    u32::try_from(size).unwrap()
}

#[test]
fn every_kind_of_filesystem_becomes_what_resize2fs_makes_of_it() {
    need!("mke2fs", "resize2fs", "dumpe2fs", "e2fsck");
    let scratch = Scratch::new();
    for form in FORMS {
        // Before 1.47 mke2fs does not know orphan files.
        let Some(image) = make(&scratch, form, 24 * MIB) else {
            assert!(form.contains("orphan_file"), "mke2fs {form}");
            continue;
        };
        for size in [70, 350, 33, 0] {
            step(
                &scratch,
                &image,
                size * MIB,
                &format!("{form} to {size} MiB"),
            );
        }
        // What resize2fs does afterwards.
        let bytes = 90 * MIB / u64::from(block_size(&image));
        Run::new("resize2fs")
            .arg("-f")
            .arg(&image)
            .arg(bytes.to_string())
            .ok();
        assert_clean(&image);
    }
}

/// Numbers that look random and are the same on every machine (`splitmix64`).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        let end = u64::try_from(list.len()).unwrap();
        list[usize::try_from(self.below(end)).unwrap()]
    }
}

/// Writes a file somewhere in the free space: behind a large one, which goes again.
fn scatter(image: &Path, name: u64, numbers: &mut Numbers) {
    let free = {
        let image = Image::open(Arc::new(FileReader::open(image).unwrap())).unwrap();
        let superblock = image.superblock();
        superblock.free_blocks() * u64::from(superblock.block_size())
    };
    let large = (free / 100 * numbers.below(90)).min(48 * MIB);
    let edit = |change: &dyn Fn(&mut Editor) -> Result<(), EditError>| {
        let mut editor = Editor::open(image, TIME).unwrap();
        change(&mut editor)?;
        editor.commit().map(|_| ())
    };
    let bytes = |len: u64| Arc::new(vec![1_u8; usize::try_from(len).unwrap()]);
    let meta = Meta::default();
    let small = format!("/small-{name}").into_bytes();
    let put = edit(&|editor| {
        editor.put(b"/large", &meta, bytes(large))?;
        editor.put(&small, &meta, bytes(20_000))
    });
    // There may be no room.
    if put.is_ok() {
        edit(&|editor| editor.remove(b"/large", false)).unwrap();
    }
    assert_clean(image);
}

/// Resizes filesystems of random kinds and sizes, some steps each.
fn random(seed: u64, count: u64) {
    let scratch = Scratch::new();
    let mut numbers = Numbers(seed);
    for round in 0..count {
        let block = numbers.one_of(&["1024", "1024", "2048", "4096", "4096", "16384", "65536"]);
        let mut form = numbers.one_of(&["-t ext4", "-t ext4", "-t ext4", "-t ext3", "-t ext2"]);
        if block == "65536" || block == "16384" {
            form = "-t ext4";
        }
        let mut form = format!("{form} -b {block}");
        if numbers.below(4) != 0 {
            form += &format!(" -g {}", 8 * (32 + numbers.below(224)));
        }
        for feature in [
            "metadata_csum",
            "64bit",
            "flex_bg",
            "resize_inode",
            "sparse_super",
        ] {
            if form.contains("ext4") && numbers.below(4) == 0 {
                form += &format!(" -O ^{feature}");
            }
        }
        if form.contains("^resize_inode") && numbers.below(2) == 0 {
            form += " -O meta_bg";
        }
        if form.contains("^metadata_csum") && numbers.below(2) == 0 {
            form += " -O uninit_bg";
        }
        if form.contains("ext4") && numbers.below(6) == 0 {
            form += " -O sparse_super2";
        }
        let from = MIB * (4 + numbers.below(100)) + 1024 * numbers.below(1024);
        let Some(image) = make(&scratch, &form, from) else {
            continue;
        };
        let mut what = format!("seed {seed} round {round}: mke2fs {form} {from}");
        for _ in 0..4 {
            let most = [40, 200, 1500][usize::try_from(numbers.below(3)).unwrap()];
            let size = MIB * numbers.below(most) + 512 * numbers.below(2048);
            what += &format!(" to {size}");
            step(&scratch, &image, size, &what);
            if numbers.below(3) == 0 {
                what += " scattered";
                scatter(&image, numbers.next(), &mut numbers);
            }
        }
    }
}

#[test]
fn random_filesystems_become_what_resize2fs_makes_of_them() {
    need!("mke2fs", "resize2fs", "dumpe2fs", "e2fsck");
    random(1, 8);
}

#[test]
#[ignore = "takes minutes"]
fn many_random_filesystems_become_what_resize2fs_makes_of_them() {
    need!("mke2fs", "resize2fs", "dumpe2fs", "e2fsck");
    let count = std::env::var(VARIABLE).map_or(100, |text| text.parse().unwrap());
    random(2, count);
}

/// Makes an image of the sample by `forger mkfs`.
fn sample_image(scratch: &Scratch, args: &[&str]) -> PathBuf {
    let tar = scratch.file("sample.tar", sample::rootfs());
    scratch.mkfs(&tar, "sample.ext4", args)
}

fn resize_command(image: &Path, size: &str) -> serde_json::Value {
    let out = forger()
        .args(["resize", "--output", "json"])
        .arg(image)
        .arg(size)
        .ok();
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn growing_a_hundredfold_takes_no_space_and_the_kernel_reads_the_same() {
    need!("root", "loop", "mount", "e2fsck", "resize2fs");
    let scratch = Scratch::new();
    let image = sample_image(&scratch, &["--size", "1G"]);
    let before = Listing::of(Mount::read_only(&image).path(), &[]);
    let space = || fs::metadata(&image).unwrap().blocks() * 512;
    let small = space();
    let done = resize_command(&image, "100G");
    assert_eq!(done["before"], 1_u64 << 30);
    assert_eq!(done["size"], 100_u64 << 30);
    assert_eq!(done["way"], "journal");
    assert!(space() < small + (4 << 20), "{small} {}", space());
    assert_clean(&image);
    Listing::of(Mount::read_only(&image).path(), &[]).assert_same(&before);
    {
        let mount = Mount::read_write(&image);
        fs::write(mount.join("new"), vec![1; 50 << 20]).unwrap();
    }
    assert_clean(&image);
    Run::new("resize2fs").arg("-f").arg(&image).arg("130G").ok();
    assert_clean(&image);
    // What the kernel wrote stands wherever it liked.
    let smallest = resize_command(&image, "min")["size"].as_u64().unwrap();
    assert_eq!(fs::metadata(&image).unwrap().len(), smallest);
    assert_clean(&image);
    fs::remove_file(Mount::read_write(&image).join("new")).unwrap();
    assert_clean(&image);
}

#[test]
fn an_image_without_a_journal_is_resized_on_a_copy() {
    need!("e2fsck");
    let scratch = Scratch::new();
    let image = sample_image(&scratch, &["--no-journal"]);
    let before = tree(&image);
    for (size, len) in [
        ("+300M", None),
        ("400M", Some(400 * MIB)),
        ("-10%", None),
        ("min", None),
    ] {
        let done = resize_command(&image, size);
        assert_eq!(done["way"], "copy", "{size}");
        let after = done["size"].as_u64().unwrap();
        assert_eq!(fs::metadata(&image).unwrap().len(), after, "{size}");
        assert!(len.is_none_or(|len| len == after), "{size}");
        assert_clean(&image);
        assert_eq!(tree(&image), before, "{size}");
    }
    assert_eq!(resize_command(&image, "max")["way"], "nothing");
}

#[test]
fn a_full_disk_leaves_the_image_as_it_was() {
    need!("root", "mount", "mke2fs");
    let disk = Mount::ram(12 * MIB);
    let image = disk.join("image");
    // Without checksums every new group's bitmaps are written: 5 MiB of them.
    Run::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "1024", "-J", "size=4"])
        .args(["-O", "^metadata_csum,^uninit_bg"])
        .arg(&image)
        .arg("20M")
        .ok();
    fs::write(disk.join("filler"), vec![1; 10 << 20]).unwrap();
    let before = fs::read(&image).unwrap();
    let out = forger().arg("resize").arg(&image).arg("20G").output();
    assert_eq!(out.status.code(), Some(1), "{out}");
    assert!(out.errors().contains("make room"), "{out}");
    assert!(fs::read(&image).unwrap() == before);
}

#[test]
fn what_is_refused_is_named_with_a_remedy_and_left_alone() {
    need!("mke2fs", "debugfs");
    let scratch = Scratch::new();
    let image = sample_image(&scratch, &[]);
    let refused = |image: &Path, size: &str| {
        let before = fs::read(image).unwrap();
        let out = forger().arg("resize").arg(image).arg(size).output();
        assert_eq!(out.status.code(), Some(1), "{out}");
        assert_eq!(fs::read(image).unwrap(), before, "{size}");
        out.errors()
    };
    let message = refused(&image, "1M");
    assert!(message.contains("is the smallest size"), "{message}");
    let message = refused(&image, "2T");
    assert!(message.contains("ends at 1099511627776"), "{message}");
    assert!(message.contains("--max-size"), "{message}");
    Run::new("debugfs")
        .args(["-w", "-R", "ssv state 0"])
        .arg(&image)
        .ok();
    let message = refused(&image, "+1G");
    assert!(message.contains("e2fsck -f"), "{message}");
    for feature in ["quota", "bigalloc", "mmp"] {
        Run::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-O", feature])
            .arg(&image)
            .arg("64M")
            .ok();
        let message = refused(&image, "128M");
        assert!(message.contains(feature), "{message}");
        assert!(message.contains("forger mkfs IMAGE NEW"), "{message}");
    }
    let out = forger().arg("resize").arg(&image).arg("20%").output();
    assert_eq!(out.status.code(), Some(2), "{out}");
}

/// Ends a resize at its `sync`th flush, as a power cut would; returns whether it got so far.
fn cut_off(image: &Path, size: &str, sync: u32) -> bool {
    let trace = image.with_extension("trace");
    let inject = format!("inject=fdatasync:signal=KILL:when={sync}");
    let run = forger().arg("resize").arg(image).arg(size);
    let trace = trace.to_str().unwrap();
    let out = run
        .under("strace", &["-f", "-o", trace, "-e", &inject])
        .output();
    !out.status.success()
}

#[test]
fn the_kernel_goes_on_after_a_resize_that_was_cut_off() {
    need!("root", "loop", "mount", "strace", "mke2fs", "e2fsck");
    let scratch = Scratch::new();
    let forms = [
        "-t ext4 -b 4096 -g 1024 -J size=4",
        "-t ext4 -b 1024 -J size=4",
        "-t ext3 -b 1024 -J size=4",
    ];
    for (form, to) in forms
        .iter()
        .flat_map(|form| [(form, "350M"), (form, "30M")])
    {
        let start = make(&scratch, form, 24 * MIB).unwrap();
        resize(&start, 64 * MIB).unwrap();
        let before = Listing::of(Mount::read_only(&start).path(), &["", "lost+found"]);
        for sync in 1.. {
            let image = scratch.copy(&start, "cut");
            let cut = cut_off(&image, to, sync);
            let what = format!("{form} to {to}, flush {sync}");
            {
                let mount = Mount::read_write(&image);
                let found = Listing::of(mount.path(), &["", "lost+found"]);
                found.assert_same(&before);
                for i in 0..20 {
                    let folder = mount.join(format!("folder-{i}"));
                    fs::create_dir(&folder).unwrap();
                    fs::write(folder.join("file"), vec![7; 5000]).unwrap();
                }
            }
            let check = |mode| Run::new("e2fsck").arg(mode).arg(&image).output();
            let clean = check("-fn");
            if !clean.status.success() {
                // The moment in which descriptors stand in the reserve that the old superblock has.
                let reserve = clean.text().contains("Resize inode not valid");
                assert!(reserve && sync == 3, "{what}: {clean}");
                let mended = check("-fy");
                assert!(
                    mended.status.code().is_some_and(|code| code < 4),
                    "{mended}"
                );
            }
            assert_clean(&image);
            if !cut {
                assert!(sync > 5, "{what}");
                break;
            }
        }
    }
}
