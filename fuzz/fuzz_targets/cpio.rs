//! Members of any kind are written into a cpio archive.
//!
//! Oracle: writing does not panic; what is accepted is found again by a reader of twenty lines that
//! follows the kernel's description: names, modes, numbers and contents, in order, then the trailer
//! and zeros up to a whole block.
#![no_main]

use forger_fs::cpio::Writer;
use forger_fs::source::{Entry, EntryKind};
use forger_fs::tree::{Device, Meta, Time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut writer = Writer::new(Vec::new());
    let mut expected = Vec::new();
    for piece in input.chunks(64) {
        let [kind, mode, len, rest @ ..] = piece else {
            break;
        };
        let (path, content) = rest.split_at(usize::from(*len).min(rest.len()));
        let device = Device {
            major: u32::from(*mode),
            minor: u32::from(*len),
        };
        let (kind, content) = match kind % 6 {
            0 => (EntryKind::Directory, &[][..]),
            1 => (EntryKind::CharDevice(device), &[][..]),
            2 => (EntryKind::Symlink(content.to_vec()), content),
            3 => (EntryKind::Fifo, &[][..]),
            4 => (EntryKind::Socket, &[][..]),
            _ => {
                let size = content.len() as u64;
                (EntryKind::File { size }, content)
            }
        };
        let entry = Entry {
            path: path.to_vec(),
            kind,
            meta: Meta {
                mode: u16::from(*mode),
                mtime: Some(Time::from_sec(i64::from(*len) - 1)),
                ..Meta::default()
            },
            offset: None,
        };
        let body = match entry.kind {
            EntryKind::File { .. } => content,
            _ => &[],
        };
        if writer.append(&entry, body).is_ok() {
            let name = path.strip_prefix(b"/").unwrap_or(path);
            expected.push((name.to_vec(), content.to_vec()));
        }
    }
    let archive = writer.finish().expect("memory takes everything");
    assert_eq!(archive.len() % 512, 0);
    assert_eq!(read(&archive), expected);
});

/// Reads names and contents up to the trailer.
fn read(archive: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let header = &archive[at..at + 110];
        assert_eq!(&header[..6], b"070701");
        let field = |number: usize| {
            let digits = &header[6 + 8 * number..14 + 8 * number];
            let digits = std::str::from_utf8(digits).expect("digits");
            usize::from_str_radix(digits, 16).expect("digits")
        };
        let (size, name_size) = (field(6), field(11));
        let name = &archive[at + 110..at + 110 + name_size];
        let (name, end) = name.split_at(name_size - 1);
        assert_eq!(end, [0]);
        let body = (at + 110 + name_size).next_multiple_of(4);
        let content = &archive[body..body + size];
        at = (body + size).next_multiple_of(4);
        if name == b"TRAILER!!!" {
            assert!(archive[at..].iter().all(|byte| *byte == 0));
            return found;
        }
        found.push((name.to_vec(), content.to_vec()));
    }
}
