//! What is written, byte by byte and as bsdtar reads it.

use super::Writer;
use super::header::LEN;
use crate::source::{Entry, EntryKind};
use crate::tree::{Device, Meta, Time};

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind,
        meta: Meta {
            mode: 0o755,
            uid: 7,
            gid: 8,
            mtime: Some(Time::from_sec(0x1234)),
            ..Meta::default()
        },
        offset: None,
    }
}

#[test]
fn a_member_has_the_bytes_that_the_format_says() {
    let mut writer = Writer::new(Vec::new());
    let file = entry("/a/file", EntryKind::File { size: 3 });
    writer.append(&file, b"abc").unwrap();
    let archive = writer.finish().unwrap();
    let expected = b"07070100000001000081ed00000007000000080000000100001234\
                     000000030000000000000000000000000000000000000007\
                     00000000a/file\0\0\0\0abc\0";
    assert_eq!(&archive[..expected.len()], expected);
    let trailer = &archive[expected.len()..];
    assert_eq!(&trailer[LEN..LEN + 11], b"TRAILER!!!\0");
    assert_eq!(archive.len() % 512, 0);
}

#[test]
fn what_has_no_place_is_refused_by_name() {
    let kinds = [
        EntryKind::Socket,
        EntryKind::File { size: 4 },
        EntryKind::HardLink {
            target: b"x".to_vec(),
            size: 0,
        },
    ];
    for kind in kinds {
        let refused = Writer::new(Vec::new()).append(&entry("x", kind), b"abc");
        let error = refused.unwrap_err().to_string();
        assert!(error.starts_with("x: "), "{error}");
    }
    for name in ["", "/", "TRAILER!!!", "a\0b"] {
        let entry = entry(name, EntryKind::Directory);
        assert!(Writer::new(Vec::new()).append(&entry, b"").is_err());
    }
    let mut late = entry("x", EntryKind::Directory);
    late.meta.mtime = Some(Time::from_sec(1 << 32));
    assert!(Writer::new(Vec::new()).append(&late, b"").is_err());
}

#[test]
fn bsdtar_lists_what_was_written() {
    let mut writer = Writer::new(Vec::new());
    let device = Device { major: 5, minor: 1 };
    let members = [
        entry("dev", EntryKind::Directory),
        entry("dev/console", EntryKind::CharDevice(device)),
        entry("link", EntryKind::Symlink(b"dev".to_vec())),
        entry("file", EntryKind::File { size: 5 }),
    ];
    for member in &members {
        let content: &[u8] = match member.kind {
            EntryKind::File { .. } => b"hello",
            _ => b"",
        };
        writer.append(member, content).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.cpio");
    std::fs::write(&path, writer.finish().unwrap()).unwrap();
    let listed = std::process::Command::new("bsdtar")
        .env("TZ", "UTC")
        .arg("-tvf")
        .arg(&path)
        .output();
    let Ok(listed) = listed else {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "no bsdtar");
        return;
    };
    let listed = String::from_utf8(listed.stdout).unwrap();
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 4, "{listed}");
    assert!(lines[0].starts_with("drwxr-xr-x"), "{listed}");
    assert!(
        lines[1].starts_with("crwxr-xr-x") && lines[1].contains("5,1"),
        "{listed}"
    );
    assert!(lines[2].ends_with("link -> dev"), "{listed}");
    assert!(lines[3].contains(" 5 "), "{listed}");
}
