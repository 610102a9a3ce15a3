//! dm-verity: the trees that `forger` makes, against veritysetup.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use forger_tests::forger::forger;
use forger_tests::judge::assert_clean;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{need, sample};
use serde_json::Value;

const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// Bytes that do not repeat; every seventh block is zeros.
fn noise(blocks: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = Vec::with_capacity(blocks * 4096);
    for block in 0..blocks {
        for _ in 0..512 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let word = if block % 7 == 3 { 0 } else { state >> 7 };
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes
}

fn verity(image: &Path, args: &[&str]) -> Value {
    let out = forger()
        .args(["verity", "--output", "json"])
        .arg(image)
        .args(args)
        .ok();
    let object: Value = serde_json::from_slice(&out.stdout).unwrap();
    object["verity"].clone()
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_else(|| panic!("{object}"))
}

fn sample_image(scratch: &Scratch, name: &str, args: &[&str]) -> (PathBuf, Value) {
    let tar = scratch.file("sample.tar", sample::rootfs());
    let image = scratch.path(name);
    let out = forger()
        .args(["mkfs", "--output", "json"])
        .args([&tar, &image])
        .args(args)
        .ok();
    (image, serde_json::from_slice(&out.stdout).unwrap())
}

/// Asks both whether an image is what its root hash says.
fn verdicts(image: &Path, hashes: &Path, root: &str, offset: &str) -> (bool, bool) {
    let theirs = Run::new("veritysetup")
        .args(["verify", "--hash-offset", offset])
        .args([image, hashes])
        .arg(root)
        .output();
    let ours = forger()
        .arg("verity")
        .arg(image)
        .args(["--check", root, "--hash-offset", offset, "--hash-file"])
        .arg(hashes)
        .output();
    assert!(matches!(ours.status.code(), Some(0 | 1)), "{ours}");
    (theirs.status.success(), ours.status.success())
}

#[test]
fn trees_are_those_of_veritysetup_byte_for_byte() {
    need!("veritysetup");
    let scratch = Scratch::new();
    for blocks in [1, 2, 127, 128, 129, 1023, 2000, 16_384, 16_385] {
        let data = scratch.file("data", noise(blocks));
        for salt in ["-", "00ff", &"5a".repeat(32), &"17".repeat(256)] {
            if blocks > 2000 && salt != "00ff" {
                continue;
            }
            let (ours, theirs) = (scratch.path("ours"), scratch.path("theirs"));
            let _ = (fs::remove_file(&ours), fs::remove_file(&theirs));
            let made = verity(
                &data,
                &[
                    "--salt",
                    salt,
                    "--uuid",
                    UUID,
                    "--hash-file",
                    ours.to_str().unwrap(),
                ],
            );
            let format = Run::new("veritysetup")
                .args(["format", "--salt", salt, "--uuid", UUID])
                .args([&data, &theirs])
                .ok()
                .text();
            let root = text(&made, "root_hash");
            assert!(format.contains(root), "{blocks} {salt}: {root} {format}");
            let same = fs::read(&ours).unwrap() == fs::read(&theirs).unwrap();
            assert!(same, "{blocks} blocks, salt {salt}");
        }
    }
}

#[test]
fn an_appended_tree_is_that_of_veritysetup_and_leaves_the_filesystem_clean() {
    need!("veritysetup", "e2fsck");
    let scratch = Scratch::new();
    let (image, object) = sample_image(&scratch, "image.ext4", &["--verity"]);
    let made = &object["verity"];
    let root = text(made, "root_hash");
    let offset = made["hash_offset"].to_string();
    assert_eq!(made["hash_offset"], object["size"]);
    assert_eq!(made["hash_end"], fs::metadata(&image).unwrap().len());
    assert_eq!(verdicts(&image, &image, root, &offset), (true, true));
    assert_clean(&image);

    let dump = Run::new("veritysetup")
        .args(["dump", "--hash-offset", &offset])
        .arg(&image)
        .ok()
        .text();
    for part in [
        text(made, "salt"),
        text(made, "uuid"),
        "sha256",
        &made["data_blocks"].to_string(),
    ] {
        assert!(dump.contains(part), "{part}: {dump}");
    }

    let bare = scratch.mkfs(&scratch.path("sample.tar"), "bare.ext4", &[]);
    Run::new("veritysetup")
        .args([
            "format",
            "--salt",
            text(made, "salt"),
            "--uuid",
            text(made, "uuid"),
        ])
        .args(["--hash-offset", &offset, "--data-blocks"])
        .arg(made["data_blocks"].to_string())
        .args([&bare, &bare])
        .ok();
    assert!(fs::read(&bare).unwrap() == fs::read(&image).unwrap());

    // forger verity on the bare image comes to the same, also where a tree stands already.
    let later = scratch.mkfs(&scratch.path("sample.tar"), "later.ext4", &[]);
    assert_eq!(&verity(&later, &[]), made);
    assert!(fs::read(&later).unwrap() == fs::read(&image).unwrap());
    let again = forger().arg("verity").arg(&later).output();
    assert_eq!(again.status.code(), Some(1));
    assert!(again.errors().contains("--force"), "{again}");
    assert_eq!(&verity(&later, &["--force"]), made);
    assert!(fs::read(&later).unwrap() == fs::read(&image).unwrap());
    let checked = forger()
        .arg("verity")
        .arg(&later)
        .args(["--check", root])
        .ok();
    assert!(checked.text().starts_with("intact: "), "{checked}");
}

#[test]
fn one_flipped_byte_anywhere_is_refused_by_both() {
    need!("veritysetup");
    let scratch = Scratch::new();
    let (image, object) = sample_image(&scratch, "image.ext4", &["--verity"]);
    let made = &object["verity"];
    let root = text(made, "root_hash");
    let offset = made["hash_offset"].to_string();
    let size = object["size"].as_u64().unwrap();
    let end = made["hash_end"].as_u64().unwrap();
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(&image)
        .unwrap();
    // Data, the block of the highest level, those of the lowest.
    for at in [
        0,
        1080,
        size / 2,
        size - 1,
        size + 4096,
        size + 8191,
        end - 4096,
    ] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        assert_eq!(
            verdicts(&image, &image, root, &offset),
            (false, false),
            "{at}"
        );
        file.write_all_at(&byte, at).unwrap();
    }
    assert_eq!(verdicts(&image, &image, root, &offset), (true, true));
    let other = "00".repeat(32);
    assert_eq!(verdicts(&image, &image, &other, &offset), (false, false));
}

#[test]
fn equal_input_gives_an_equal_tree_in_every_kind_of_output() {
    need!("veritysetup");
    let scratch = Scratch::new();
    let (image, object) = sample_image(&scratch, "image.ext4", &["--verity"]);
    let bytes = fs::read(&image).unwrap();
    let out = forger()
        .args(["mkfs", "--verity"])
        .arg(scratch.path("sample.tar"))
        .arg("-")
        .ok();
    assert!(out.stdout == bytes);
    assert!(
        out.errors().contains(text(&object["verity"], "root_hash")),
        "{}",
        out.errors()
    );

    let hashes = scratch.path("hashes");
    let name = hashes.to_str().unwrap();
    let args = [
        "--verity",
        "--verity-hash-file",
        name,
        "--verity-salt",
        "ab",
        "--verity-uuid",
        UUID,
    ];
    let (apart, object) = sample_image(&scratch, "apart.ext4", &args);
    let made = &object["verity"];
    assert_eq!((text(made, "salt"), text(made, "uuid")), ("ab", UUID));
    assert_eq!(
        verdicts(&apart, &hashes, text(made, "root_hash"), "0"),
        (true, true)
    );
    assert_eq!(
        fs::metadata(&apart).unwrap().len(),
        object["size"].as_u64().unwrap()
    );
    assert!(
        text(made, "cmdline").contains("DEVICE HASH_DEVICE 4096 4096"),
        "{made}"
    );
}

#[test]
fn what_cannot_be_done_leaves_nothing() {
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let taken = scratch.file("taken", b"something");
    let image = scratch.path("image.ext4");
    let out = forger()
        .arg("mkfs")
        .args([&tar, &image])
        .args(["--verity", "--verity-hash-file"])
        .arg(&taken)
        .output();
    assert_eq!(out.status.code(), Some(1), "{out}");
    assert!(out.errors().contains("--force"), "{out}");
    assert_eq!(scratch.names(""), ["sample.tar", "taken"]);
    let out = forger().arg("verity").arg(&taken).output();
    assert_eq!(out.status.code(), Some(1), "{out}");
    assert!(out.errors().contains("truncate -s %4096"), "{out}");
    assert_eq!(fs::read(&taken).unwrap(), b"something");
    let out = forger()
        .arg("verity")
        .arg(&tar)
        .args(["--check", &"00".repeat(32), "--hash-offset", "4096"])
        .output();
    assert!(out.errors().contains("no dm-verity superblock"), "{out}");
}

#[test]
fn holes_are_not_read() {
    need!("veritysetup");
    let scratch = Scratch::new();
    let image = scratch.file("sparse", noise(3));
    fs::File::options()
        .write(true)
        .open(&image)
        .unwrap()
        .set_len(2 << 30)
        .unwrap();
    let made = verity(&image, &[]);
    let root = text(&made, "root_hash");
    let offset = made["hash_offset"].to_string();
    assert_eq!(verdicts(&image, &image, root, &offset), (true, true));
}

#[test]
fn trees_of_partitions_stand_in_partitions_and_are_checked_in_any_format() {
    need!("veritysetup", "sfdisk");
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let disk = scratch.path("disk.raw");
    let (size, tree) = ("--root-size=100M", "--partition=tree:size=8M,format=none");
    let args = ["--boot=none", "--arch=x86_64", "--no-grow-root", size, tree];
    forger()
        .arg("disk")
        .arg(&tar)
        .arg("-o")
        .arg(&disk)
        .args(args)
        .ok();
    let table = |disk: &Path| Run::new("sfdisk").arg("--dump").arg(disk).ok().text();
    let before = table(&disk);
    let root = format!("{}#root", disk.display());
    let hashes = format!("{}#tree", disk.display());
    let apart = scratch.path("apart");
    let made = verity(Path::new(&root), &["--hash-file", &hashes]);
    let again = verity(Path::new(&root), &["--hash-file", apart.to_str().unwrap()]);
    assert_eq!(text(&made, "root_hash"), text(&again, "root_hash"));
    assert_eq!(table(&disk), before);
    let hash = text(&made, "root_hash").to_owned();
    let part = |name: &str| {
        let out = scratch.path(name);
        let run = forger().args(["convert", "--force", "--format", "raw"]);
        run.arg(format!("{}#{name}", disk.display())).arg(&out).ok();
        out
    };
    let verify = Run::new("veritysetup").arg("verify");
    verify.arg(part("root")).arg(part("tree")).arg(&hash).ok();
    // The same, read from within another format.
    let image = scratch.path("disk.qcow2");
    forger().arg("convert").arg(&disk).arg(&image).ok();
    let check = |image: &Path, hash: &str| {
        let [root, hashes] = ["root", "tree"].map(|part| format!("{}#{part}", image.display()));
        let run = forger().arg("verity").arg(root).args(["--check", hash]);
        run.arg("--hash-file").arg(hashes).output()
    };
    assert!(check(&image, &hash).text().starts_with("intact: "));
    assert_eq!(check(&image, &"00".repeat(32)).status.code(), Some(1));
    // What stands there is not replaced, nor is another format changed in place.
    for (image, said) in [(&disk, "--force"), (&image, "only raw ones")] {
        let [root, hashes] = ["root", "tree"].map(|part| format!("{}#{part}", image.display()));
        let refused = forger().arg("verity").arg(root).arg("--hash-file");
        let refused = refused.arg(hashes).output();
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert!(refused.errors().contains(said), "{refused}");
    }
    // No room behind the filesystem, which fills its partition.
    let refused = forger().arg("verity").arg(&root).output();
    assert!(
        refused.errors().contains("the tree ends at byte"),
        "{refused}"
    );
    assert!(check(&disk, &hash).text().starts_with("intact: "));
}

#[test]
fn a_tree_goes_behind_the_filesystem_in_a_partition() {
    need!("veritysetup", "sfdisk");
    let scratch = Scratch::new();
    let (small, _) = sample_image(&scratch, "small.ext4", &["--size", "80M"]);
    let disk = scratch.path("disk.raw");
    fs::File::create(&disk).unwrap().set_len(120 << 20).unwrap();
    let script = "label: dos\nstart=2048, size=204800, type=83\n";
    Run::new("sfdisk")
        .arg("--quiet")
        .arg(&disk)
        .stdin(script)
        .ok();
    let file = fs::File::options().write(true).open(&disk).unwrap();
    file.write_all_at(&fs::read(&small).unwrap(), 1 << 20)
        .unwrap();
    let part = format!("{}#1", disk.display());
    let made = verity(Path::new(&part), &[]);
    assert_eq!(made["hash_offset"], 80 << 20);
    let root = text(&made, "root_hash");
    let out = scratch.path("part");
    forger()
        .args(["convert", "--format", "raw", &part])
        .arg(&out)
        .ok();
    assert_eq!(
        verdicts(&out, &out, root, &(80 << 20).to_string()),
        (true, true)
    );
    let checked = forger().args(["verity", &part, "--check", root]).ok();
    assert!(checked.text().starts_with("intact: "), "{checked}");
    assert_eq!(fs::metadata(&disk).unwrap().len(), 120 << 20);
}
