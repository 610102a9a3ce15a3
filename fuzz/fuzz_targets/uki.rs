//! Unified kernel images of any stub and parts: refused, or whole.
//!
//! Oracle: nothing panics. What is assembled is read by a reader of its own: the stub's sections are where
//! they were, the added ones follow in order, above all others in memory and behind them in the file,
//! and hold what went in; the size of the image reaches its end, the time is the one that was asked for,
//! and the checksum comes out again.
#![no_main]

use forger::boot::{Parts, assemble};
use forger_block::BlockRead;
use forger_fs::tree::{Content, Time};
use libfuzzer_sys::fuzz_target;

/// Where the headers of the stub stand.
const PE: usize = 0x40;
const OPTIONAL: usize = PE + 24;

fuzz_target!(|input: &[u8]| {
    let Some(([sections, room, align, linux, initrds, patches], rest)) = input.split_first_chunk()
    else {
        return;
    };
    let mut stub = stub(usize::from(sections % 6), usize::from(room % 8), align % 4);
    let (patches, rest) = rest.split_at(rest.len().min(usize::from(patches % 8) * 3));
    for patch in patches.chunks_exact(3) {
        let at = usize::from(patch[0]) | usize::from(patch[1] % 2) << 8;
        stub[at] = patch[2];
    }
    let piece =
        |len: usize| Content::inline(rest.iter().copied().cycle().take(len).collect::<Vec<u8>>());
    let len = if rest.is_empty() {
        0
    } else {
        997 * usize::from(*linux)
    };
    let parts = Parts {
        linux: piece(len),
        initrds: (0..*initrds % 4)
            .map(|count| piece(usize::from(count) * 333))
            .collect(),
        cmdline: "root=LABEL=x".into(),
        release: rest.iter().copied().take(40).collect(),
        version: "6.1".into(),
        time: Time::from_sec(1_700_000_000),
    };
    let Ok(made) = assemble(&stub, &parts) else {
        return;
    };
    let mut bytes = vec![0; made.size() as usize];
    made.read_at(0, &mut bytes).expect("in memory");
    check(&stub, &bytes, &parts);
});

/// A program with sections, and room for so many further headers.
fn stub(sections: usize, room: usize, align: u8) -> Vec<u8> {
    let table = OPTIONAL + 240;
    let headers = (table + (sections + room) * 40)
        .max(512)
        .next_multiple_of(512);
    let mut bytes = vec![0; headers + sections * 512];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    let long = |value: usize| (value as u32).to_le_bytes();
    put(0, b"MZ");
    put(0x3c, &long(PE));
    put(PE, b"PE\0\0\x64\x86");
    put(PE + 6, &(sections as u16).to_le_bytes());
    put(PE + 20, &240_u16.to_le_bytes());
    put(OPTIONAL, &0x20b_u16.to_le_bytes());
    put(OPTIONAL + 32, &long(512 << align));
    put(OPTIONAL + 36, &long(512));
    put(OPTIONAL + 60, &long(headers));
    put(OPTIONAL + 108, &long(16));
    for section in 0..sections {
        let at = table + section * 40;
        put(at, &[b'.', b'a' + section as u8]);
        put(at + 8, &long(500));
        put(at + 12, &long(4096 * (section + 1)));
        put(at + 16, &long(512));
        put(at + 20, &long(headers + section * 512));
        put(headers + section * 512, &[section as u8 + 1; 512]);
    }
    bytes
}

struct Section {
    name: [u8; 8],
    len: usize,
    address: usize,
    file_len: usize,
    offset: usize,
}

fn long(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn short(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()))
}

fn sections(bytes: &[u8]) -> (usize, Vec<Section>) {
    let pe = long(bytes, 0x3c);
    let optional = pe + 24;
    let table = optional + short(bytes, pe + 20);
    let section = |index: usize| {
        let at = table + index * 40;
        Section {
            name: bytes[at..at + 8].try_into().unwrap(),
            len: long(bytes, at + 8),
            address: long(bytes, at + 12),
            file_len: long(bytes, at + 16),
            offset: long(bytes, at + 20),
        }
    };
    (optional, (0..short(bytes, pe + 6)).map(section).collect())
}

fn check(stub: &[u8], made: &[u8], parts: &Parts) {
    let ((_, before), (optional, after)) = (sections(stub), sections(made));
    let (kept, added) = after.split_at(before.len());
    for (old, new) in before.iter().zip(kept) {
        assert_eq!(
            (old.name, old.len, old.address),
            (new.name, new.len, new.address)
        );
        let range = |section: &Section| section.offset..section.offset + section.file_len;
        if old.file_len > 0 {
            assert_eq!(stub.get(range(old)), made.get(range(new)));
        }
    }
    let end = |section: &Section| section.address + section.len.max(section.file_len);
    let mut top = kept.iter().map(end).max().unwrap_or(0);
    let mut behind = kept.iter().filter(|section| section.file_len > 0);
    let mut file = behind
        .by_ref()
        .map(|section| section.offset + section.file_len)
        .max()
        .unwrap_or(0);
    for section in added {
        assert!(section.address >= top && section.offset >= file);
        (top, file) = (
            section.address + section.len,
            section.offset + section.file_len,
        );
        let bytes = &made[section.offset..section.offset + section.len];
        match section.name.split(|byte| *byte == 0).next().unwrap() {
            b".linux" => assert_eq!(bytes, whole(&parts.linux)),
            b".cmdline" => assert_eq!(bytes, b"root=LABEL=x\0"),
            b".osrel" => assert_eq!(bytes, parts.release),
            b".uname" => assert_eq!(bytes, b"6.1\0"),
            b".initrd" => {
                let mut expected: Vec<u8> = Vec::new();
                for initrd in &parts.initrds {
                    expected.resize(expected.len().next_multiple_of(4), 0);
                    expected.extend(whole(initrd));
                }
                assert_eq!(bytes, expected);
            }
            name => panic!("{name:?}"),
        }
    }
    assert!(long(made, optional + 56) >= top && file <= made.len());
    assert_eq!(long(made, optional - 16), 1_700_000_000);
    let mut zeroed = made.to_vec();
    zeroed[optional + 64..optional + 68].fill(0);
    let mut sum = 0_u32;
    for word in zeroed.chunks(2) {
        sum += u32::from(word[0]) | u32::from(*word.get(1).unwrap_or(&0)) << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    assert_eq!(long(made, optional + 64), sum as usize + made.len());
}

fn whole(content: &Content) -> Vec<u8> {
    let mut bytes = vec![0; content.size() as usize];
    content.read_at(0, &mut bytes).expect("in memory");
    bytes
}
