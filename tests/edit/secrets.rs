//! What an edit removes or replaces is nowhere in the image afterwards.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use forger_tests::forger::forger;
use forger_tests::judge::{assert_clean, debugfs};
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

/// Text that only removed and replaced things hold.
const SECRET: &str = "T0P-S3CR3T-e9a1";

fn secrets_in(image: &Path) -> usize {
    let bytes = fs::read(image).unwrap();
    let windows = bytes.windows(SECRET.len());
    windows.filter(|part| *part == SECRET.as_bytes()).count()
}

/// Makes an image with secrets in all places, the log of the journal among them.
fn image(scratch: &Scratch, form: &[&str]) -> PathBuf {
    let image = scratch.path("image.ext4");
    Run::new("mke2fs")
        .args(["-q", "-F", "-b", "1024", "-I", "256"])
        .args(form)
        .arg(&image)
        .arg("32M")
        .ok();
    let large = scratch.file("large", SECRET.repeat(30_000));
    let small = scratch.file("small", SECRET);
    let script = format!(
        "put {large} /large\nput {large} /replaced\nput {small} /small\nmkdir -p /folder/below\n\
         put {large} /folder/below/{SECRET}\nput {small} /names-{SECRET}\nput {small} /stays\n\
         ln -s {SECRET} /fast\nln -s {long} /slow\nmkdir /inode\nsetxattr /inode user.x {SECRET}\n\
         mkdir /block\nsetxattr /block user.x {value}\nsetxattr /stays user.x {value}\n\
         put {small} /moved-over\n",
        large = large.display(),
        small = small.display(),
        long = SECRET.repeat(20),
        value = SECRET.repeat(20),
    );
    let script = scratch.file("make", script);
    let run = forger().args(["edit", "--script"]);
    run.arg(&script).arg(&image).ok();
    image
}

/// Puts what an earlier transaction could have left there into the log of the journal.
fn soil_journal(image: &Path) {
    let blocks = debugfs(image, "blocks <8>");
    let file = fs::OpenOptions::new().write(true).open(image).unwrap();
    let numbers: Vec<u64> = blocks
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    for number in numbers.iter().skip(1).step_by(50) {
        file.write_all_at(SECRET.repeat(3).as_bytes(), number * 1024)
            .unwrap();
    }
}

fn remove_all(scratch: &Scratch, image: &Path, way: &str) {
    assert!(secrets_in(image) > 60_000);
    let script = format!(
        "rm /large /small /names-{SECRET} /fast /slow\nput {empty} /replaced\nrm -r /folder /block\n\
         rmxattr /inode user.x\nput {empty} /stays\nput {empty} /new\nmv /new /moved-over\n",
        empty = scratch.file("empty", "").display(),
    );
    let script = scratch.file("remove", script);
    let out = forger()
        .args(["edit", "--script"])
        .arg(&script)
        .arg(image)
        .ok();
    assert!(out.text().contains(way), "{out}");
    assert_clean(image);
    assert_eq!(secrets_in(image), 0);
}

#[test]
fn what_goes_through_the_journal_leaves_no_secrets() {
    need!("mke2fs", "e2fsck", "debugfs");
    for form in [
        &["-t", "ext4"][..],
        &["-t", "ext4", "-O", "^metadata_csum,^dir_index"],
        &["-t", "ext3"],
    ] {
        let scratch = Scratch::new();
        let image = image(&scratch, form);
        soil_journal(&image);
        remove_all(&scratch, &image, "way     journal");
    }
}

#[test]
fn what_is_done_on_a_copy_leaves_no_secrets() {
    need!("mke2fs", "e2fsck", "debugfs");
    for form in [&["-t", "ext2"][..], &["-t", "ext4", "-O", "^has_journal"]] {
        let scratch = Scratch::new();
        let image = image(&scratch, form);
        remove_all(&scratch, &image, "way     copy");
    }
}

#[test]
fn without_erasing_it_stays_and_the_image_is_clean() {
    need!("mke2fs", "e2fsck");
    let scratch = Scratch::new();
    for form in [&["-t", "ext4"][..], &["-t", "ext2"]] {
        let image = image(&scratch, form);
        let before = secrets_in(&image);
        let run = forger().args(["edit", "--no-erase"]).arg(&image);
        run.args(["rm", "/large", "/small"]).ok();
        assert_clean(&image);
        assert!(secrets_in(&image) >= before - 10, "{form:?}");
        assert!(before > 60_000);
        fs::remove_file(image).unwrap();
    }
}
