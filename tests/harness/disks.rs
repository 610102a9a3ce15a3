//! Disks to convert, and what other programs say about them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::process::Run;
use crate::scratch::Scratch;

/// Makes a raw disk with holes, zeros that are written, noise and text, which ends inside a
/// cluster.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn raw(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.path(name);
    let file = File::create(&path).expect("the scratch folder takes files");
    let put = |at: u64, bytes: &[u8]| file.write_all_at(bytes, at).expect("there is room");
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    })
    .take(1_000_000)
    .collect();
    put(0, &[0xab; 1000]);
    put(2 << 20, &noise);
    put(
        6 << 20,
        "some text that repeats itself. ".repeat(50_000).as_bytes(),
    );
    put(9 << 20, &vec![0; 1 << 20]);
    put((12 << 20) + 500, b"the end here");
    path
}

/// Asserts that `qemu-img check` finds nothing to say.
///
/// # Panics
/// When it does.
pub fn assert_consistent(image: &Path) {
    let output = Run::new("qemu-img").arg("check").arg(image).output();
    let text = output.text();
    let sound = text.starts_with("No errors were found on the image.");
    assert!(output.status.success() && sound, "{output}");
}

/// Asserts that `qemu-img compare` finds two disks equal; formats are told by their names.
///
/// # Panics
/// When it does not.
pub fn assert_equal(one: &Path, other: &Path) {
    let format = |path: &Path| match path.extension().and_then(|word| word.to_str()) {
        Some("vhd") => "vpc".to_owned(),
        Some(word @ ("qcow2" | "vhdx" | "vmdk")) => word.to_owned(),
        _ => "raw".to_owned(),
    };
    let run = Run::new("qemu-img").arg("compare");
    let run = run.args(["-f", &format(one), "-F", &format(other)]);
    run.arg(one).arg(other).ok();
}

/// Converts with qemu-img, from raw or qcow2.
///
/// # Panics
/// When it fails.
pub fn qemu_convert(from: &Path, to: &Path, args: &[&str]) {
    Run::new("qemu-img")
        .arg("convert")
        .args(args)
        .arg(from)
        .arg(to)
        .ok();
}
