//! The verdicts of e2fsprogs.

use std::collections::BTreeMap;
use std::path::Path;

use crate::process::Run;

/// Asserts that `e2fsck -fn` prints its five passes and the summary, nothing else, and exits 0.
///
/// # Panics
/// When it does not.
pub fn assert_clean(image: &Path) {
    let output = Run::new("e2fsck").arg("-fn").arg(image).limit(900).output();
    let text = output.text();
    let lines: Vec<&str> = text.lines().collect();
    let summary = |line: &str| {
        let Some((before, blocks)) = line.rsplit_once(", ") else {
            return false;
        };
        blocks.ends_with(" blocks") && before.contains(" files (") && before.ends_with(')')
    };
    let clean = output.status.code() == Some(0)
        && lines.len() == PASSES.len() + 1
        && lines.iter().zip(PASSES).all(|(line, pass)| *line == pass)
        && summary(lines[PASSES.len()])
        && output
            .errors()
            .lines()
            .all(|line| line.starts_with("e2fsck "));
    assert!(clean, "e2fsck does not like {}\n{output}", image.display());
}

const PASSES: [&str; 5] = [
    "Pass 1: Checking inodes, blocks, and sizes",
    "Pass 2: Checking directory structure",
    "Pass 3: Checking directory connectivity",
    "Pass 4: Checking reference counts",
    "Pass 5: Checking group summary information",
];

/// Returns the superblock as `dumpe2fs -h` prints it: title to value.
///
/// # Panics
/// When dumpe2fs fails.
#[must_use]
pub fn superblock(image: &Path) -> BTreeMap<String, String> {
    let text = Run::new("dumpe2fs").arg("-h").arg(image).ok().text();
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(title, value)| (title.to_owned(), value.trim().to_owned()))
        .collect()
}

/// Returns a number of the superblock.
///
/// # Panics
/// When there is no such title, or no number behind it.
#[must_use]
pub fn number(superblock: &BTreeMap<String, String>, title: &str) -> u64 {
    let value = superblock
        .get(title)
        .unwrap_or_else(|| panic!("no {title} in {superblock:?}"));
    let digits = value.split(' ').next().unwrap_or_default();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("{title} is {value}"))
}

/// Returns what debugfs prints for one request.
///
/// # Panics
/// When debugfs fails.
#[must_use]
pub fn debugfs(image: &Path, request: &str) -> String {
    Run::new("debugfs")
        .args(["-R", request])
        .arg(image)
        .ok()
        .text()
}
