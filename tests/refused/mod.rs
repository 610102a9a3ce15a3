//! What cannot be an image is refused: the exit status, the words, and nothing left behind.

mod cut;
mod unrepresentable;

use forger_tests::archive::{Archive, BLOCK, Dialect, Member, pax_record, seal};
use forger_tests::forger::forger;
use forger_tests::judge::assert_clean;
use forger_tests::need;
use forger_tests::process::Output;
use forger_tests::scratch::Scratch;

/// One archive that must be refused, and what the message must say.
struct Case {
    archive: Vec<u8>,
    /// The entry the message names; empty where there is none.
    entry: &'static str,
    /// The offset the message names.
    offset: Option<usize>,
}

/// Returns the report without the frame around it, and with single blanks: it may be wrapped.
fn flat(output: &Output) -> String {
    let plain = |c: char| {
        if "│╰╭─▶·×┬├".contains(c) {
            ' '
        } else {
            c
        }
    };
    let text: String = output.errors().chars().map(plain).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Asserts that `archive` is refused as file, through a pipe and for a bundle, with exit status 1,
/// and that nothing stands in the folder afterwards; returns what was said.
fn refusal(archive: &[u8]) -> String {
    let scratch = Scratch::new();
    let tar = scratch.file("in.tar", archive);
    let bundle = ["--name", "n", "--arch", "x86_64", "--out", "."];
    let runs = [
        forger().arg("mkfs").arg(&tar).arg(scratch.path("out.ext4")),
        forger()
            .args(["mkfs", "-"])
            .arg(scratch.path("out.ext4"))
            .stdin(archive),
        forger()
            .arg("make-bundle")
            .args(bundle)
            .dir(scratch.root())
            .stdin(archive),
    ];
    let mut said = String::new();
    for run in runs {
        let output = run.output();
        assert_eq!(output.status.code(), Some(1), "{output}");
        said = flat(&output);
        assert!(!said.contains("panicked"), "{output}");
        assert_eq!(scratch.names("."), ["in.tar"], "{output}");
    }
    said
}

fn assert_refused(title: &str, case: &Case) {
    let said = refusal(&case.archive);
    assert!(
        said.contains(case.entry),
        "{title}: {:?} is not in: {said}",
        case.entry
    );
    if let Some(offset) = case.offset {
        assert!(
            said.contains(&format!("byte {offset}")),
            "{title}: byte {offset} not in: {said}"
        );
    }
}

/// Makes a case of one bad member after a good one; the offset is that of the first header that
/// belongs to the member, its extended header if it has one.
fn member(entry: &'static str, bad: &Member) -> Case {
    let mut archive = Archive::new();
    archive.push(&Member::file("good", "content"));
    archive.push(bad);
    Case {
        archive: archive.finish(),
        entry,
        offset: None,
    }
}

/// As [`member`], and the message must name the offset of the member's own header.
fn placed(entry: &'static str, bad: &Member) -> Case {
    let mut archive = Archive::new();
    archive.push(&Member::file("good", "content"));
    let offset = Some(archive.push(bad));
    Case {
        archive: archive.finish(),
        entry,
        offset,
    }
}

/// Makes a case of a member whose header is changed and sealed again.
fn header(entry: &'static str, change: impl Fn(&mut [u8; BLOCK])) -> Case {
    let mut archive = Archive::new();
    archive.push(&Member::file("good", "content"));
    let at = archive.push(&Member::file("bad", "content"));
    let mut bytes = archive.finish();
    let block: &mut [u8; BLOCK] = (&mut bytes[at..at + BLOCK]).try_into().unwrap();
    change(block);
    seal(block);
    Case {
        archive: bytes,
        entry,
        offset: Some(at),
    }
}

/// Makes a case of a member with this extended header.
fn extended(records: &[u8]) -> Case {
    let mut archive = Archive::new();
    archive.push(&Member::file("good", "content"));
    archive.push(&Member::new(b'x', "PaxHeaders/bad").body(records));
    archive.push(&Member::file("bad", "content"));
    Case {
        archive: archive.finish(),
        entry: "bad",
        offset: Some(2 * BLOCK + BLOCK),
    }
}

#[test]
fn damaged_headers_are_refused_with_entry_and_offset() {
    let mut checksum = header("good", |_| ());
    let at = checksum.offset.unwrap();
    checksum.archive[at + 110] ^= 1;
    assert_refused("checksum", &checksum);
    let size = |text: &'static [u8]| {
        header("bad", move |block| {
            block[124..124 + text.len()].copy_from_slice(text);
        })
    };
    assert_refused("a size that is not octal", &size(b"0000000009x\0"));
    assert_refused("a size with a sign", &size(b"-0000000001\0"));
    assert_refused("a negative size", &size(&[0xff; 12]));
    assert_refused(
        "an absurd size",
        &size(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
    );
    assert_refused(
        "a continued volume",
        &header("bad", |block| block[156] = b'M'),
    );
}

#[test]
fn extended_headers_that_lie_are_refused_with_entry_and_offset() {
    let cases: [(&str, &[u8]); 11] = [
        ("longer than the header", b"99 comment=x\n"),
        ("shorter than itself", b"5 comment=x\n"),
        ("zero", b"0 comment=x\n"),
        ("without a number", b"comment=x\n"),
        ("with a sign", b"-13 comment=x\n"),
        (
            "a number beyond all bounds",
            b"99999999999999999999999999 comment=x\n",
        ),
        ("without '='", b"12 commentx\n"),
        ("without newline", b"12 comment=x"),
        ("a size that is no number", b"13 size=many\n"),
        ("a negative size", b"11 size=-1\n"),
        ("an owner beyond 32 bits", b"18 uid=4294967296\n"),
    ];
    for (title, records) in cases {
        assert_refused(title, &extended(records));
    }
    let records = [
        pax_record(b"path", b"a"),
        b"\0\0\0".to_vec(),
        pax_record(b"gid", b"1"),
    ]
    .concat();
    let mut case = extended(&records);
    case.offset = None;
    case.entry = "";
    assert_refused("a record after padding", &case);
}

#[test]
fn bodies_of_names_and_records_beyond_the_limits_are_refused() {
    let long = vec![b'n'; 2 << 20];
    let gnu = Member::new(b'L', "././@LongLink")
        .dialect(Dialect::Gnu)
        .body(&long);
    assert_refused("a long name", &placed("", &gnu));
    let pax = Member::new(b'x', "PaxHeaders/x").body(pax_record(b"comment", &long));
    assert_refused("records", &placed("", &pax));
    // Only claimed: nothing of that size may be allocated or waited for.
    let claimed = Member::new(b'x', "PaxHeaders/x").stated_size(1 << 40);
    assert_refused("a claim", &placed("", &claimed));
}

#[test]
fn names_that_leave_the_root_or_cannot_be_names_are_refused() {
    let nul = Member::file("x", "").record("path", b"nul\0name");
    let symlink = |name: &str, target: &str| Member::symlink(name, target);
    let looped = {
        let mut archive = Archive::new();
        archive.extend(&[symlink("loop", "pool"), symlink("pool", "loop")]);
        let offset = Some(archive.push(&Member::file("loop/file", "")));
        Case {
            archive: archive.finish(),
            entry: "loop/file",
            offset,
        }
    };
    for (title, case) in [
        (
            "above the root",
            placed("../evil", &Member::file("../evil", "")),
        ),
        (
            "above, later",
            placed("a/../../evil", &Member::file("a/../../evil", "")),
        ),
        (
            "above, absolute",
            placed("/../evil", &Member::dir("/../evil")),
        ),
        (
            "link above",
            placed("link", &Member::hardlink("link", "../../etc/passwd")),
        ),
        (
            "256 bytes",
            placed("mmm", &Member::file("m".repeat(256), "")),
        ),
        ("NUL", member("nul", &nul)),
        (
            "long target",
            placed("link", &symlink("link", &"t".repeat(4096))),
        ),
        ("empty target", placed("link", &symlink("link", ""))),
        ("a loop of symlinks", looped),
        (
            "root as a file",
            placed("./", &Member::file("./", "content")),
        ),
    ] {
        assert_refused(title, &case);
    }
}

#[test]
fn hard_links_without_a_target_that_can_be_shared_are_refused() {
    let of = |members: &[Member]| {
        let mut archive = Archive::new();
        archive.extend(members);
        archive.finish()
    };
    let link = |name: &str, target: &str| Member::hardlink(name, target);
    for (title, archive) in [
        ("to nothing", of(&[link("link", "nothing")])),
        (
            "to a folder",
            of(&[Member::dir("folder"), link("link", "folder")]),
        ),
        (
            "to a folder that comes later",
            of(&[link("link", "folder"), Member::dir("folder")]),
        ),
        ("to itself", of(&[link("link", "link")])),
        (
            "in a circle",
            of(&[link("link", "knil"), link("knil", "link")]),
        ),
    ] {
        assert_refused(
            title,
            &Case {
                archive,
                entry: "link",
                offset: None,
            },
        );
    }
}

#[test]
fn files_beyond_16_tib_are_refused() {
    let size = (16 << 40) + 1;
    let bad = Member::pax_sparse(b"huge", &[(0, 1), (size, 0)], b"x", size);
    assert_refused("17 TiB", &member("huge", &bad));
}

#[test]
fn what_is_no_archive_is_refused() {
    for (title, bytes) in [
        ("nothing", Vec::new()),
        ("text", b"this is a text and no archive\n".repeat(100)),
        (
            "noise",
            (0..5000_u32)
                .map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
                .collect(),
        ),
        ("a zip", [&b"PK\x03\x04"[..], &[7; 2000]].concat()),
        ("a program", [&b"\x7fELF"[..], &[1; 2000]].concat()),
        ("one zero block", vec![0; 100]),
    ] {
        let said = refusal(&bytes);
        assert!(
            said.contains("archive") || said.contains("tar"),
            "{title}: {said}"
        );
    }
}

#[test]
fn more_after_the_end_marker_is_refused_unless_concatenated() {
    need!("e2fsck", "debugfs");
    let mut first = Archive::new();
    first.push(&Member::file("first", "1"));
    let mut second = Archive::new();
    second.push(&Member::file("second", "2"));
    let both = [first.finish(), second.finish()].concat();
    let said = refusal(&both);
    assert!(said.contains("--concatenated"), "{said}");
    let scratch = Scratch::new();
    let output = scratch.mkfs_piped(&both, "out.ext4", &["--concatenated"]);
    assert!(output.status.success(), "{output}");
    assert_clean(&scratch.path("out.ext4"));
    let names = forger_tests::judge::debugfs(&scratch.path("out.ext4"), "ls -p /");
    assert!(
        names.contains("/first/") && names.contains("/second/"),
        "{names}"
    );
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &["mkfs"][..],
        &["mkfs", "--size", "many", "a", "b"],
        &["mkfs", "--uuid", "1234", "a", "b"],
        &["mkfs", "--unknown", "a", "b"],
        &["no-such-command"],
    ] {
        let output = forger().args(args).output();
        assert_eq!(output.status.code(), Some(2), "{output}");
        assert!(output.stdout.is_empty(), "{output}");
    }
}

#[test]
fn source_that_does_not_exist_is_named() {
    let scratch = Scratch::new();
    let run = forger()
        .args(["mkfs", "no-such-file.tar"])
        .arg(scratch.path("out.ext4"));
    let output = run.output();
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.errors().contains("no-such-file.tar"), "{output}");
}
