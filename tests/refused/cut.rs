//! Archives that were cut or damaged on the way.

use forger_tests::archive::{Archive, BLOCK, Member};
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

use super::{flat, refusal};

/// A small archive of several members, and the offset of its end marker.
fn several() -> (Vec<u8>, usize) {
    let mut archive = Archive::new();
    archive.extend(&[
        Member::dir("folder"),
        Member::file("folder/file", vec![b'f'; 700])
            .mtime(1, 5)
            .xattr("user.a", "b"),
        Member::gnu_sparse(
            b"sparse",
            &[(0, 512), (8192, 512), (9000, 0)],
            vec![b's'; 1024],
            9000,
        ),
        Member::symlink("link", "l".repeat(200)),
        Member::file("last", "last"),
    ]);
    let end = archive.clone().open().len();
    (archive.finish(), end)
}

#[test]
fn archive_cut_anywhere_is_refused() {
    let (archive, end) = several();
    let scratch = Scratch::new();
    let run = |cut: usize, args: &[&str]| {
        let output = scratch.mkfs_piped(&archive[..cut], "out.ext4", args);
        assert!(!output.errors().contains("panicked"), "{output}");
        output
    };
    let cuts = (0..end)
        .step_by(97)
        .chain((0..=end).step_by(BLOCK))
        .chain([end - 1, end + 511]);
    for cut in cuts {
        let output = run(cut, &[]);
        assert_eq!(output.status.code(), Some(1), "cut at {cut}: {output}");
        assert!(scratch.names(".").is_empty(), "cut at {cut}: {output}");
        let said = flat(&output);
        assert!(
            cut == 0 || said.contains("byte"),
            "cut at {cut}: no offset in: {said}"
        );
    }
    // A lost end marker can be accepted, a lost part of a member cannot.
    let missing = flat(&run(end, &[]));
    assert!(missing.contains("--allow-missing-eof"), "{missing}");
    assert!(!run(end - 513, &["--allow-missing-eof"]).status.success());
    assert!(run(end, &["--allow-missing-eof"]).status.success());
}

#[test]
fn compressed_archive_cut_or_damaged_is_refused() {
    need!("gzip", "zstd", "xz", "bzip2");
    let (archive, _) = several();
    for tool in ["gzip", "zstd", "xz", "bzip2"] {
        let packed = Run::new(tool).arg("-c").stdin(&archive[..]).ok().stdout;
        for cut in [1, 5, packed.len() / 2, packed.len() - 1] {
            refusal(&packed[..cut]);
        }
        let mut damaged = packed.clone();
        let middle = packed.len() / 2;
        damaged[middle] ^= 0x55;
        refusal(&damaged);
    }
}
