//! The verifier against `e2fsck`: images damaged at random, by seed, are judged alike.
//!
//! The variable `FORGER_MUTATIONS` sets how many images each test damages.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use forger_block::{BlockRead, Bytes};
use forger_fs::ext4::{Image, ReadError, check};
use forger_fs::tree::{Holes, Kind};
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

/// The variable that sets how many images each test damages.
const VARIABLE: &str = "FORGER_MUTATIONS";

/// How many contents of a damaged image are read; damage can make them as large as it likes.
const CONTENT_LIMIT: u64 = 1 << 26;

/// Numbers that look random and are the same on every machine (`splitmix64`).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.next() % end).unwrap()
    }
}

/// What a judge says of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Clean,
    /// It complains, but does not count it as damage.
    Complaint,
    Damaged,
    /// It gives up.
    Beyond,
}

fn verdict_of_e2fsck(image: &Path) -> (Verdict, String) {
    let run = Run::new("e2fsck").arg("-fn").arg(image).limit(30);
    let output = match run.try_output() {
        Ok(output) => output,
        Err(error) => return (Verdict::Beyond, error),
    };
    let complains = output
        .text()
        .lines()
        .any(|line| !(line.is_empty() || line.starts_with("Pass ") || line.contains(" files (")));
    let verdict = match output.status.code() {
        Some(0) if complains => Verdict::Complaint,
        Some(0) => Verdict::Clean,
        Some(4) => Verdict::Damaged,
        _ => Verdict::Beyond,
    };
    (verdict, output.to_string())
}

/// Checks an image, and reads all of it where the check finds nothing at all.
fn our_verdict(image: &Bytes) -> (Verdict, String) {
    let read = read_everything(image.clone());
    match Image::open(Arc::new(image.clone())).and_then(|image| check(&image)) {
        Ok(report) if report.is_clean() => {
            assert!(!report.findings.is_empty() || read.is_ok(), "{read:?}");
            (Verdict::Clean, String::new())
        }
        Ok(report) => (Verdict::Damaged, format!("{:?}", report.findings)),
        Err(error) => (Verdict::Beyond, error.to_string()),
    }
}

/// Reads all that a damaged image lets be read; the only rule is to come to an end.
fn read_everything(image: Bytes) -> Result<(), ReadError> {
    let image = Image::open(Arc::new(image))?;
    let _orphans = image.orphans();
    let tree = image.tree_within(1 << 28)?;
    for (_, node) in tree.iter() {
        if let Kind::File(content) = &node.kind
            && content.size() < CONTENT_LIMIT
        {
            let mut bytes = vec![0; usize::try_from(content.size()).unwrap()];
            content.read_at(0, &mut bytes)?;
        }
    }
    Ok(())
}

/// Changes one to three fields of parts that are not zeros.
fn damage(image: &mut [u8], numbers: &mut Numbers) {
    const PART: usize = 1024;
    let used: Vec<usize> = (0..image.len())
        .step_by(PART)
        .filter(|at| image[*at..at + PART].iter().any(|byte| *byte != 0))
        .collect();
    for _ in 0..1 + numbers.below(3) {
        let part = used[numbers.below(used.len())];
        let mut at = part + numbers.below(PART);
        for _ in 0..40 {
            if image[at] != 0 {
                break;
            }
            at = part + numbers.below(PART);
        }
        let word = at & !3;
        match numbers.below(5) {
            0 => image[at] ^= 1 << numbers.below(8),
            1 => image[at] = numbers.next().to_le_bytes()[0],
            2 => {
                let values = [
                    0,
                    1,
                    0xffff_ffff,
                    u32::try_from(numbers.below(4096)).unwrap(),
                ];
                let value = values[numbers.below(values.len())];
                image[word..word + 4].copy_from_slice(&value.to_le_bytes());
            }
            3 => {
                let other = used[numbers.below(used.len())] + (numbers.below(PART) & !3);
                image.copy_within(other..other + 4, word);
            }
            _ => image[word..word + 2].copy_from_slice(&numbers.next().to_le_bytes()[..2]),
        }
    }
}

fn assert_judged_alike(base: &Path, seed: u64) {
    let count = std::env::var(VARIABLE).map_or(60, |count| count.parse().unwrap());
    let original = fs::read(base).unwrap();
    let (mut damaged, mut missed) = (0, Vec::new());
    for round in 0..count {
        let mut image = original.clone();
        damage(&mut image, &mut Numbers(seed << 32 | round));
        fs::write(base, &image).unwrap();
        let (ours, why) = our_verdict(&Bytes::from(image));
        let (theirs, text) = verdict_of_e2fsck(base);
        match theirs {
            Verdict::Clean => assert_eq!(ours, Verdict::Clean, "round {round}: {why}"),
            Verdict::Complaint => {}
            Verdict::Damaged => {
                damaged += 1;
                if ours == Verdict::Clean {
                    missed.push(round);
                }
            }
            Verdict::Beyond => assert_ne!(ours, Verdict::Clean, "round {round}: {text}"),
        }
    }
    fs::write(base, &original).unwrap();
    eprintln!("{count} images, {damaged} damaged, missed: {missed:?}");
    assert!(
        missed.len() * 20 <= damaged,
        "more than 5% missed: {missed:?}"
    );
}

/// Formats a small image with options of mke2fs, of the sample's files.
fn made(scratch: &Scratch, options: &str) -> std::path::PathBuf {
    let folder = scratch.path("folder");
    fs::create_dir_all(folder.join("d/e")).unwrap();
    fs::create_dir(folder.join("many")).unwrap();
    fs::write(folder.join("d/a"), "hello").unwrap();
    fs::hard_link(folder.join("d/a"), folder.join("d/h")).unwrap();
    std::os::unix::fs::symlink("a", folder.join("d/l")).unwrap();
    std::os::unix::fs::symlink("x".repeat(150), folder.join("d/long")).unwrap();
    for i in 0..400 {
        fs::write(folder.join(format!("many/name-{i}-abcdefghij")), "").unwrap();
    }
    let scattered = fs::File::create(folder.join("d/scattered")).unwrap();
    for i in 0..12 {
        std::os::unix::fs::FileExt::write_all_at(&scattered, b"x", i * 8192).unwrap();
    }
    let image = scratch.path("image");
    Run::new("mke2fs")
        .args(["-q", "-F", "-N", "512", "-d"])
        .arg(&folder)
        .args(options.split_whitespace())
        .arg(&image)
        .arg("16M")
        .ok();
    // Hash trees, which mke2fs does not make; exit status 1 says that it did something.
    let _status = Run::new("e2fsck").arg("-fyD").arg(&image).output();
    image
}

#[test]
fn damage_to_ext4_is_judged_as_e2fsck_judges_it() {
    need!("mke2fs", "e2fsck");
    let scratch = Scratch::new();
    assert_judged_alike(&made(&scratch, "-t ext4 -b 4096"), 1);
}

#[test]
fn damage_without_checksums_is_judged_as_e2fsck_judges_it() {
    need!("mke2fs", "e2fsck");
    let scratch = Scratch::new();
    let options = "-t ext4 -b 4096 -O ^metadata_csum,^has_journal";
    assert_judged_alike(&made(&scratch, options), 2);
}

#[test]
fn damage_to_ext2_is_judged_as_e2fsck_judges_it() {
    need!("mke2fs", "e2fsck");
    let scratch = Scratch::new();
    assert_judged_alike(&made(&scratch, "-t ext2 -b 1024"), 3);
}

#[test]
fn damage_to_our_images_is_judged_as_e2fsck_judges_it() {
    need!("e2fsck");
    let scratch = Scratch::new();
    let tar = forger_tests::workspace().join("testdata/sample-rootfs.tar.zst");
    let image = scratch.mkfs(&tar, "rootfs.ext4", &["--no-journal", "--free", "64K"]);
    assert_judged_alike(&image, 4);
}

#[test]
fn our_images_are_clean_and_read_back() {
    let scratch = Scratch::new();
    let tar = forger_tests::workspace().join("testdata/sample-rootfs.tar.zst");
    let bytes = Bytes::from(fs::read(scratch.mkfs(&tar, "rootfs.ext4", &[])).unwrap());
    let image = Image::open(Arc::new(bytes)).unwrap();
    let report = check(&image).unwrap();
    assert_eq!(report.findings, []);
    let tree = image.tree().unwrap();
    assert!(tree.dump(Holes::Shown).unwrap().lines().count() > 10);
}

#[test]
fn truncated_images_are_refused_or_damaged_and_never_panic() {
    need!("mke2fs", "e2fsck");
    let scratch = Scratch::new();
    let image = Bytes::from(fs::read(made(&scratch, "-t ext4 -b 1024")).unwrap());
    for len in (0..image.len()).step_by(image.len() / 97) {
        let cut = image.slice(..len);
        let source: Arc<dyn BlockRead> = Arc::new(cut);
        let opened = Image::open(source);
        assert!(opened.is_err(), "an image of {len} bytes");
    }
}
