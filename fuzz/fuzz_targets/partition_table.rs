//! Damaged and hostile partition tables are read to an end; layouts come back.
//!
//! Oracle: reading comes to an end without a panic; partitions that are read lie on the disk and
//! share no bytes (but an extended one with its logical ones). A layout that the input describes is
//! either refused or reads back as it was planned, as a GPT, beside a hybrid MBR or as an MBR. A partition that grows ends where it
//! shall, and no other one changes. The first
//! byte chooses; headers get right checksums, so that damage gets past them.
#![no_main]

use std::sync::Arc;

use forger_block::{BlockRead, Overlay};
use forger_disk::partition::{self, Kind, Label, Layout, Part, Scheme, Size, Table, Wanted};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else {
        return;
    };
    match choice % 4 {
        0 => check(&rest.to_vec()),
        1 => check(&mbr(rest)),
        2 => check(&gpt(rest)),
        _ => round_trip(rest),
    }
});

fn check(disk: &Vec<u8>) {
    grow(disk);
    for sector_size in [None, Some(512), Some(4096)] {
        if let Ok(Some(table)) = partition::read(disk, sector_size) {
            assert_possible(&table, disk.len() as u64);
        }
    }
}

/// Lets the last partition grow along with the disk.
fn grow(disk: &[u8]) {
    let before = match partition::read(&disk.to_vec(), None) {
        Ok(Some(table)) if table.notes.is_empty() => table,
        _ => return,
    };
    let Some(last) = before.partitions.last() else {
        return;
    };
    let size = disk.len().next_multiple_of(4096) as u64 + (1 << 16);
    let end = last.end().max(disk.len() as u64 / 2).next_multiple_of(4096);
    let wanted = Wanted {
        size,
        end: Some((last.number, end)),
    };
    let Ok(growth) = partition::grow(&disk.to_vec(), wanted) else {
        return;
    };
    let store = Overlay::in_memory(Arc::new(disk.to_vec()), u64::MAX);
    let store = store.with_len(size).unwrap();
    growth.apply(&store).unwrap();
    let mut after = partition::read(&store, None).unwrap().unwrap();
    let grown = after.partitions.last().unwrap();
    assert_eq!((grown.start, grown.end()), (last.start, end));
    let others = |table: &mut Table| {
        table.partitions.pop();
        let starts = |part: &partition::Partition| (part.number, part.start);
        table.partitions.iter().map(starts).collect::<Vec<_>>()
    };
    assert_eq!(others(&mut after), others(&mut before.clone()));
}

fn assert_possible(table: &Table, len: u64) {
    let mut order: Vec<_> = table.partitions.iter().collect();
    assert!(order.iter().all(|part| part.len > 0 && part.end() <= len));
    if matches!(table.scheme, Scheme::Gpt(_)) {
        order.sort_by_key(|part| part.start);
        assert!(order.windows(2).all(|pair| pair[0].end() <= pair[1].start));
    }
}

/// An MBR and extended ones at the start of each 8 KiB.
fn mbr(input: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; 256 << 10];
    for (record, chunk) in input.chunks(20).enumerate().take(32) {
        let at = record * 8192;
        for (slot, entry) in chunk.chunks_exact(5).enumerate().take(4) {
            let place = at + 0x1be + slot * 16;
            disk[place] = entry[0] & 0x80;
            disk[place + 4] = entry[1];
            disk[place + 8] = entry[2] << 4;
            disk[place + 9] = entry[2] >> 4;
            disk[place + 12] = entry[3];
            disk[place + 13] = entry[4];
        }
        disk[at + 510] = 0x55;
        disk[at + 511] = 0xaa;
    }
    disk
}

/// A good GPT with changes, and checksums that are right again.
fn gpt(input: &[u8]) -> Vec<u8> {
    let part = |size| Part {
        size: Size::Bytes(size),
        ..Part::default()
    };
    let layout = Layout {
        size: Some(1 << 20),
        align: 4096,
        parts: vec![part(4096), part(100_000), part(8192)],
        ..Layout::default()
    };
    let image = layout.plan().unwrap().image;
    let mut disk = vec![0; 1 << 20];
    image.read_at(0, &mut disk).unwrap();
    for change in input.chunks_exact(4) {
        let place = usize::from(change[0]) | usize::from(change[1] % 64) << 8;
        // Half of them in the headers' fields.
        let place = if change[1] & 64 == 0 {
            place
        } else {
            512 + place % 92
        };
        let place = if change[1] & 128 == 0 {
            place
        } else {
            disk.len() - 512 + place % 92
        };
        disk[place] = change[2];
    }
    for at in [512, disk.len() - 512] {
        let field = |at: usize| u32::from_le_bytes(disk[at..at + 4].try_into().unwrap());
        let (lba, count, len) = (field(at + 72), field(at + 80), field(at + 84));
        let start = lba as usize * 512;
        let end = start.saturating_add((count as usize).saturating_mul(len as usize));
        if let Some(entries) = disk.get(start..end) {
            let sum = crc32(entries).to_le_bytes();
            disk[at + 88..at + 92].copy_from_slice(&sum);
        }
        disk[at + 16..at + 20].fill(0);
        let sum = crc32(&disk[at..at + 92]).to_le_bytes();
        disk[at + 16..at + 20].copy_from_slice(&sum);
    }
    disk
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}

fn round_trip(input: &[u8]) {
    let Some(([how, size, seed], rest)) = input.split_first_chunk() else {
        return;
    };
    let parts = rest.chunks_exact(3).map(|part| Part {
        size: match part[0] % 4 {
            0 => Size::Bytes(u64::from(part[1]) << (part[2] % 24)),
            1 => Size::Share(u16::from(part[1]) * 20),
            2 => Size::Rest,
            _ => Size::Content,
        },
        name: String::from_utf8_lossy(part).into_owned(),
        content: (part[2] & 1 == 1).then(|| std::sync::Arc::new(vec![1_u8; 5000]) as _),
        ..Part::default()
    });
    let layout = Layout {
        size: (how & 1 == 1).then(|| u64::from(*size) << 16),
        sector_size: if how & 2 == 0 { 512 } else { 4096 },
        align: 4096 << (how >> 2) % 10,
        seed: vec![*seed],
        label: match seed % 3 {
            0 => Label::Mbr {
                signature: (seed & 8 == 0).then_some(u32::from(*seed) + 1),
                primaries: (seed & 16 == 0).then_some(usize::from(seed >> 5)),
            },
            _ => Label::Gpt,
        },
        guid: None,
        parts: parts.collect(),
        hybrid: if how & 64 == 0 {
            Vec::new()
        } else {
            vec![u32::from(*size % 4), 1]
        },
    };
    let Ok(planned) = layout.plan() else {
        return;
    };
    assert_possible(&planned.table, planned.image.len());
    let is_gpt = layout.label == Label::Gpt;
    // An MBR does not say how large sectors are, and without partitions nobody takes it for one.
    let sector_size = (!is_gpt).then_some(layout.sector_size);
    let read = partition::read(&planned.image, sector_size).unwrap();
    let Some(read) = read else {
        assert!(!is_gpt && layout.parts.is_empty());
        return;
    };
    assert_eq!(read, planned.table);
    for (index, part) in layout.parts.iter().enumerate() {
        let found = &read.partitions[layout.index(index)];
        assert_eq!(matches!(found.kind, Kind::Gpt(_)), is_gpt);
        assert!(part.content.as_ref().is_none_or(|content| content.len() <= found.len));
    }
}
