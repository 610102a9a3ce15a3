use std::sync::Arc;

use forger_block::{BlockRead, Bytes};

use super::*;

const MIB: u64 = 1 << 20;

fn part(name: &str, kind: &str, size: Size) -> Part {
    Part {
        kind: Kind::guid_named(kind).unwrap(),
        name: name.into(),
        size,
        ..Part::default()
    }
}

fn layout(sector_size: u64) -> Layout {
    let content: Arc<dyn BlockRead> = Arc::new(vec![7_u8; 3 << 20]);
    let root = Part {
        content: Some(content),
        attributes: ATTRIBUTE_GROW_FILESYSTEM,
        ..part("root", "root-x86-64", Size::Rest)
    };
    Layout {
        size: Some(64 * MIB),
        sector_size,
        seed: b"seed".to_vec(),
        parts: vec![
            part("EFI system", "esp", Size::Bytes(10 * MIB)),
            part("swap", "swap", Size::Share(1000)),
            root,
        ],
        ..Layout::default()
    }
}

fn bytes(planned: &Planned) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(planned.image.len()).unwrap()];
    planned.image.read_at(0, &mut bytes).unwrap();
    bytes
}

fn sectors(bytes: &[u8], size: u64) -> u64 {
    bytes.len() as u64 / size
}

fn spoil(bytes: &mut [u8], sector: u64, size: u64) {
    let at = usize::try_from(sector * size).unwrap();
    bytes[at + 60] ^= 1;
}

#[test]
fn a_planned_table_reads_back_as_planned() {
    for sector_size in [512, 4096] {
        let planned = layout(sector_size).plan().unwrap();
        let table = read(&planned.image, None).unwrap().unwrap();
        assert_eq!(table, planned.table, "{sector_size}");
        let [esp, swap, root] = &table.partitions[..] else {
            panic!("{table:?}");
        };
        assert_eq!((esp.start, esp.len), (MIB, 10 * MIB));
        assert_eq!((swap.start, swap.len), (11 * MIB, 6 * MIB));
        assert_eq!(root.start, 17 * MIB);
        assert!(root.end() > 64 * MIB - MIB && root.end() < 64 * MIB);
        assert!(esp.kind.is_esp() && root.kind.is_root());
        let mut content = [0; 4];
        planned
            .image
            .read_at(root.start + 3 * MIB - 2, &mut content)
            .unwrap();
        assert_eq!(content, [7, 7, 0, 0]);
    }
}

#[test]
fn a_plan_depends_on_its_seed_only() {
    let first = layout(512).plan().unwrap();
    assert_eq!(bytes(&first), bytes(&layout(512).plan().unwrap()));
    let other = Layout {
        seed: b"other".to_vec(),
        ..layout(512)
    };
    assert_ne!(first.table.scheme, other.plan().unwrap().table.scheme);
}

#[test]
fn a_disk_without_a_size_is_as_small_as_its_partitions() {
    let mut layout = layout(512);
    layout.size = None;
    layout.parts.remove(1);
    let planned = layout.plan().unwrap();
    assert_eq!(planned.image.len(), 15 * MIB);
    assert_eq!(planned.table.partitions[1].len, 3 * MIB);
}

#[test]
fn partitions_stand_where_they_are_told_to() {
    let at = |start, size| Part {
        start: Some(start),
        ..part("data", "linux-generic", Size::Bytes(size))
    };
    let mut layout = Layout {
        // Not in the order of their places, not aligned; the last one follows the one before it.
        parts: vec![
            at(5 * MIB, MIB),
            at(34 * 512, 4096 + 511),
            part("behind", "linux-generic", Size::Bytes(4096)),
        ],
        ..Layout::default()
    };
    let planned = layout.plan().unwrap();
    let starts = planned.table.partitions.iter().map(|part| part.start);
    assert_eq!(starts.collect::<Vec<_>>(), [5 * MIB, 34 * 512, MIB]);
    assert_eq!(planned.table.partitions[1].len, 4096 + 512);
    assert_eq!(planned.image.len(), 7 * MIB);
    assert_eq!(read(&planned.image, None).unwrap().unwrap(), planned.table);
    layout.parts[1].start = Some(5 * MIB + 4096);
    let refused = layout.plan();
    assert!(matches!(
        refused,
        Err(LayoutError::Overlap {
            first: 1,
            second: 2
        })
    ));
    for start in [33 * 512, 34 * 512 + 1] {
        layout.parts[1].start = Some(start);
        let refused = layout.plan();
        assert!(matches!(refused, Err(LayoutError::Start { number: 2, .. })));
    }
}

#[test]
fn one_damaged_copy_is_tolerated_and_said() {
    for size in [512, 4096] {
        let good = bytes(&layout(size).plan().unwrap());
        let last = sectors(&good, size) - 1;
        let table = read(&good, None).unwrap().unwrap();

        let mut disk = good.clone();
        spoil(&mut disk, 1, size);
        let backup = read(&disk, None).unwrap().unwrap();
        assert_eq!(backup.partitions, table.partitions);
        assert_eq!(backup.notes, [Note::PrimaryDamaged(CopyDamage::HeaderSum)]);

        let mut disk = good.clone();
        spoil(&mut disk, 2, size);
        let backup = read(&disk, None).unwrap().unwrap();
        assert_eq!(backup.notes, [Note::PrimaryDamaged(CopyDamage::EntriesSum)]);

        let mut disk = good.clone();
        spoil(&mut disk, last, size);
        let primary = read(&disk, None).unwrap().unwrap();
        assert_eq!(primary.partitions, table.partitions);
        assert_eq!(primary.notes, [Note::BackupDamaged(CopyDamage::HeaderSum)]);

        spoil(&mut disk, 1, size);
        let error = read(&disk, None).unwrap_err();
        assert!(matches!(error, ReadError::BothDamaged { .. }), "{error}");
    }
}

#[test]
fn a_disk_that_has_grown_says_where_its_backup_is() {
    let mut disk = bytes(&layout(512).plan().unwrap());
    let last = sectors(&disk, 512) - 1;
    disk.resize(disk.len() + (1 << 20), 0);
    let table = read(&disk, None).unwrap().unwrap();
    let end = last + 2048;
    assert_eq!(
        table.notes,
        [Note::BackupNotAtEnd {
            lba: last,
            last: end
        }]
    );
}

#[test]
fn a_disk_that_was_cut_short_is_refused() {
    let mut disk = bytes(&layout(512).plan().unwrap());
    disk.truncate(32 << 20);
    let error = read(&disk, None).unwrap_err();
    assert!(matches!(error, ReadError::BothDamaged { .. }), "{error}");
}

#[test]
fn what_is_no_disk_has_no_table() {
    for disk in [vec![], vec![0; 100], vec![0; 1 << 20], vec![0xff; 10_000]] {
        assert_eq!(read(&disk, None).unwrap(), None);
    }
}

#[test]
fn impossible_layouts_are_refused() {
    let refused = |change: &dyn Fn(&mut Layout)| {
        let mut layout = layout(512);
        change(&mut layout);
        layout.plan().unwrap_err().to_string()
    };
    let twice = Guid::new(5);
    let cases = [
        refused(&|layout| layout.sector_size = 520),
        refused(&|layout| layout.align = 512),
        refused(&|layout| layout.size = Some(64 * MIB + 1)),
        refused(&|layout| layout.size = Some(MIB)),
        refused(&|layout| layout.size = None),
        refused(&|layout| layout.parts[1].size = Size::Share(9900)),
        refused(&|layout| layout.parts[1].size = Size::Bytes(u64::MAX)),
        refused(&|layout| layout.parts[1].size = Size::Content),
        refused(&|layout| layout.parts[2].size = Size::Bytes(MIB)),
        refused(&|layout| layout.parts[0].name = "x".repeat(37)),
        refused(&|layout| layout.parts = vec![Part::default(); 129]),
        refused(&|layout| {
            layout.parts[0].guid = Some(twice);
            layout.parts[1].guid = Some(twice);
        }),
    ];
    for (index, case) in cases.iter().enumerate() {
        assert!(!case.is_empty(), "{index}");
    }
}

/// Writes an MBR entry: status, type, first sector, sectors.
fn entry(record: &mut [u8], slot: usize, status: u8, kind: u8, first: u32, count: u32) {
    let at = 0x1be + slot * 16;
    record[at] = status;
    record[at + 4] = kind;
    record[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
    record[at + 12..at + 16].copy_from_slice(&count.to_le_bytes());
    record[510..512].copy_from_slice(&[0x55, 0xaa]);
}

fn mbr_disk() -> Vec<u8> {
    let mut disk = vec![0; 8 << 20];
    entry(&mut disk, 0, 0x80, 0x83, 2048, 2048);
    entry(&mut disk, 1, 0, 0x05, 4096, 8192);
    let record = 4096 * 512;
    entry(&mut disk[record..], 0, 0, 0x83, 63, 1000);
    entry(&mut disk[record..], 1, 0, 0x05, 2048, 2048);
    let record = (4096 + 2048) * 512;
    entry(&mut disk[record..], 0, 0, 0x82, 63, 1000);
    disk
}

#[test]
fn logical_partitions_are_followed() {
    let table = read(&mbr_disk(), None).unwrap().unwrap();
    assert_eq!(table.scheme, Scheme::Mbr(0));
    let found: Vec<(u32, u64, u64)> = table
        .partitions
        .iter()
        .map(|partition| (partition.number, partition.start / 512, partition.len / 512))
        .collect();
    assert_eq!(
        found,
        [
            (1, 2048, 2048),
            (2, 4096, 8192),
            (5, 4159, 1000),
            (6, 6207, 1000)
        ]
    );
    assert_eq!(table.partitions[0].attributes, ATTRIBUTE_LEGACY_BOOT);
}

#[test]
fn chains_that_loop_or_leave_are_refused() {
    for link in [0_u32, 9000, u32::MAX] {
        let mut disk = mbr_disk();
        let record = (4096 + 2048) * 512;
        // Back to the second record, or out of the extended partition.
        let target = if link == 0 { 2048 } else { link };
        entry(&mut disk[record..], 1, 0, 0x05, target, 1);
        let error = read(&disk, None).unwrap_err();
        assert!(matches!(error, ReadError::Chain { .. }), "{error}");
    }
}

#[test]
fn mbr_partitions_that_overlap_or_leave_the_disk_are_refused() {
    let mut disk = mbr_disk();
    entry(&mut disk, 2, 0, 0x83, 3000, 10);
    assert!(matches!(
        read(&disk, None),
        Err(ReadError::Overlap {
            first: 1,
            second: 3
        })
    ));
    entry(&mut disk, 2, 0, 0x83, 12_288, 5000);
    assert!(matches!(
        read(&disk, None),
        Err(ReadError::Outside { number: 3, .. })
    ));
}

#[test]
fn a_hybrid_mbr_is_said_and_a_boot_sector_is_no_table() {
    let mut disk = bytes(&layout(512).plan().unwrap());
    entry(&mut disk, 1, 0, 0x0c, 2048, 2048);
    let table = read(&disk, None).unwrap().unwrap();
    assert_eq!(table.notes, [Note::Hybrid { partitions: 1 }]);
    disk[..512].fill(0);
    let table = read(&disk, None).unwrap().unwrap();
    assert_eq!(table.notes, [Note::NoProtectiveMbr]);

    let mut fat = vec![0; 1 << 20];
    entry(&mut fat, 0, 0, 0x83, 1, 1);
    fat[82..87].copy_from_slice(b"FAT32");
    assert_eq!(read(&Bytes::from(fat), None).unwrap(), None);
}

#[test]
fn a_hybrid_mbr_names_partitions_of_the_gpt() {
    for sector_size in [512, 4096] {
        let mut layout = layout(sector_size);
        layout.hybrid = vec![3, 1];
        layout.parts[2].attributes |= ATTRIBUTE_LEGACY_BOOT;
        let planned = layout.plan().unwrap();
        assert_eq!(planned.table.notes, [Note::Hybrid { partitions: 2 }]);
        assert_eq!(read(&planned.image, None).unwrap().unwrap(), planned.table);
        let bytes = bytes(&planned);
        let entry = |index: usize| {
            let at = 0x1be + index * 16;
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let unit = u32::try_from(sector_size).unwrap();
            (
                bytes[at],
                bytes[at + 4],
                word(at + 8) * (unit / 512),
                word(at + 12) * (unit / 512),
            )
        };
        let skipped = u32::try_from(sector_size / 512).unwrap();
        assert_eq!(entry(0), (0, 0xee, skipped, 2048 - skipped));
        assert_eq!(entry(1), (0, 0xef, 2048, 20_480));
        let root = &planned.table.partitions[2];
        let sectors = |bytes: u64| u32::try_from(bytes / 512).unwrap();
        assert_eq!(
            entry(2),
            (0x80, 0x83, sectors(root.start), sectors(root.len))
        );
        assert_eq!(entry(3), (0, 0, 0, 0));
    }
    for (numbers, said) in [
        (vec![4], "no such partition"),
        (vec![1, 1], "named twice"),
        (vec![0], "no such partition"),
    ] {
        let mut layout = layout(512);
        layout.hybrid = numbers;
        let error = layout.plan().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
