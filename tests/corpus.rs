//! The verifier on the damaged images that e2fsprogs tests e2fsck with: a table of both verdicts.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use forger_tests::forger::forger;
use forger_tests::process::{Output, Run};
use forger_tests::scratch::Scratch;
use forger_tests::{e2fsprogs, need};

/// What e2fsck says of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    /// Exit status 0 and not a word.
    Clean,
    /// Exit status 0, and a question that was answered with no.
    Complaint,
    /// Exit status 4: errors are left.
    Damaged,
    /// It gives up, or does not come to an end.
    Beyond,
}

/// Lines that e2fsck prints for images that are well, or only had to be recovered.
fn is_harmless(line: &str) -> bool {
    let recovery = [
        "recovering journal",
        "Clearing orphaned",
        "Truncating orphaned",
        "MODIFIED",
        "count wrong",
        "Fix? yes",
    ];
    line.is_empty()
        || line.starts_with("Pass ")
        || line.starts_with("e2fsck ")
        || line.contains(" files (")
        || recovery.iter().any(|known| line.contains(known))
}

fn e2fsck(arguments: &str, image: &Path) -> Option<Output> {
    let run = Run::new("e2fsck").arg(arguments).arg(image).limit(20);
    run.try_output().ok()
}

/// Asks e2fsck: with `-fn`, and about what is there after recovery where recovery is due.
fn judged(image: &Path, scratch: &Scratch) -> Judged {
    let Some(output) = e2fsck("-fn", image) else {
        return Judged::Beyond;
    };
    let due = output.text().contains("skipping journal recovery");
    let (output, repaired) = if due {
        let copy = scratch.path("copy.img");
        fs::copy(image, &copy).unwrap();
        match e2fsck("-fy", &copy) {
            Some(output) => (output, true),
            None => return Judged::Beyond,
        }
    } else {
        (output, false)
    };
    let complains = output.text().lines().any(|line| !is_harmless(line.trim()));
    match (output.status.code(), complains) {
        (Some(0), false) => Judged::Clean,
        (Some(0), true) => Judged::Complaint,
        (Some(1..=3), false) if repaired => Judged::Clean,
        (Some(1..=7), _) => Judged::Damaged,
        _ => Judged::Beyond,
    }
}

#[test]
fn damaged_images_of_e2fsprogs_are_judged_as_e2fsck_judges_them() {
    need!("e2fsck");
    let Some(folder) = e2fsprogs::damaged_images() else {
        return;
    };
    let scratch = Scratch::new();
    let mut images: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    images.sort();
    assert!(images.len() > 150, "only {} images", images.len());
    let mut table = String::new();
    let (mut damaged, mut missed, mut wrong) = (0, Vec::new(), Vec::new());
    for image in &images {
        let name = image.file_stem().unwrap().to_string_lossy().into_owned();
        let theirs = judged(image, &scratch);
        // Neither a panic (101) nor a signal nor a time-out, whatever is in the image.
        let output = forger().arg("check").arg(image).limit(30).output();
        let ours = output.status.code().unwrap_or(-1);
        assert!([0, 1, 4].contains(&ours), "{name}: {output}");
        writeln!(table, "{name:40} e2fsck: {theirs:?}, forger check: {ours}").unwrap();
        match theirs {
            Judged::Clean if ours != 0 => wrong.push(name),
            Judged::Damaged => {
                damaged += 1;
                if ours == 0 {
                    missed.push(name);
                }
            }
            Judged::Beyond if ours == 0 => wrong.push(name),
            _ => {}
        }
    }
    eprintln!(
        "{table}{} images, {damaged} damaged, missed: {missed:?}",
        images.len()
    );
    assert_eq!(
        wrong,
        [] as [String; 0],
        "clean ones flagged, or hopeless ones passed"
    );
    assert!(
        missed.len() * 20 <= damaged,
        "more than 5% missed: {missed:?}"
    );
}
