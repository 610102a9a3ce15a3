use std::sync::Arc;

use forger_block::BlockRead;

use super::{
    ATTRIBUTE_GROW_FILESYSTEM, ATTRIBUTE_LEGACY_BOOT, Kind, Label, Layout, LayoutError, Part,
    Planned, Scheme, Size, read,
};
use crate::Guid;

const MIB: u64 = 1 << 20;

fn part(kind: &str, size: Size) -> Part {
    Part {
        kind: Kind::guid_named(kind).unwrap(),
        size,
        ..Part::default()
    }
}

fn layout(parts: Vec<Part>) -> Layout {
    Layout {
        label: Label::Mbr {
            signature: None,
            primaries: None,
        },
        seed: b"seed".to_vec(),
        parts,
        ..Layout::default()
    }
}

/// Plans a layout, and checks that reading it gives the same table.
fn planned(layout: &Layout) -> Planned {
    let planned = layout.plan().unwrap();
    let table = read(&planned.image, Some(layout.sector_size))
        .unwrap()
        .unwrap();
    assert_eq!(table, planned.table);
    planned
}

/// Returns the partitions' numbers.
fn numbers(disk: &Planned) -> Vec<u32> {
    let partitions = disk.table.partitions.iter();
    partitions.map(|part| part.number).collect()
}

#[test]
fn up_to_four_partitions_are_primary() {
    let mut parts = vec![
        part("esp", Size::Bytes(100 * MIB)),
        part("root-x86-64", Size::Bytes(5000)),
        part("swap", Size::Bytes(MIB)),
    ];
    parts[1].attributes = ATTRIBUTE_LEGACY_BOOT;
    let content: Arc<dyn BlockRead> = Arc::new(vec![7; 5000]);
    parts[1].content = Some(content);
    parts[2].byte = Some(0x27);
    for sector_size in [512, 4096] {
        let layout = Layout {
            sector_size,
            ..layout(parts.clone())
        };
        let disk = planned(&layout);
        let found = disk.table.partitions.iter();
        let found: Vec<_> = found
            .map(|part| {
                (
                    part.number,
                    part.start,
                    part.len,
                    part.kind,
                    part.attributes,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (1, MIB, 100 * MIB, Kind::Mbr(0xef), 0),
                (2, 101 * MIB, 8192, Kind::Mbr(0x83), ATTRIBUTE_LEGACY_BOOT),
                (3, 102 * MIB, MIB, Kind::Mbr(0x27), 0),
            ]
        );
        // Nothing stands behind the last one.
        assert_eq!(disk.image.len(), 103 * MIB);
        let mut byte = [0; 2];
        disk.image.read_at(101 * MIB + 4998, &mut byte).unwrap();
        assert_eq!(byte, [7, 7]);
    }
}

#[test]
fn more_than_four_are_three_and_logical_ones() {
    let sizes = [Size::Bytes(MIB), Size::Share(1000), Size::Rest];
    let parts = sizes.iter().cycle().take(7).map(|size| part("home", *size));
    let mut layout = Layout {
        size: Some(1000 * MIB),
        ..layout(parts.collect())
    };
    let content: Arc<dyn BlockRead> = Arc::new(vec![9; 10]);
    layout.parts[4].content = Some(content);
    let disk = planned(&layout);
    assert_eq!(numbers(&disk), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(disk.table.partitions[3].kind, Kind::Mbr(0x0f));
    let at = |part: usize| &disk.table.partitions[layout.index(part)];
    assert_eq!((at(2).number, at(3).number, at(6).number), (3, 5, 8));
    // Each logical one has a record before it, and the shares are of what is left.
    assert_eq!(at(3).start, disk.table.partitions[3].start + MIB);
    assert_eq!(at(4).start, at(3).end() + MIB);
    assert_eq!(at(1).len, at(4).len);
    assert!(at(6).end() <= 1000 * MIB && at(2).len > 300 * MIB);
    let mut bytes = [0; 11];
    disk.image.read_at(at(4).start, &mut bytes).unwrap();
    assert_eq!(bytes, [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0]);

    let Scheme::Mbr(signature) = disk.table.scheme else {
        panic!("{:?}", disk.table);
    };
    let root = disk.table.partuuid(at(4)).unwrap();
    assert_eq!(root, format!("{signature:08x}-06"));
    assert_ne!(signature, 0);
    layout.label = Label::Mbr {
        signature: Some(0xdead_beef),
        primaries: Some(1),
    };
    let disk = planned(&layout);
    assert_eq!(disk.table.scheme, Scheme::Mbr(0xdead_beef));
    assert_eq!(numbers(&disk), [1, 2, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn partitions_stand_where_they_are_told_to() {
    let at = |start: u64, len: u64| Part {
        start: Some(start * 512),
        ..part("home", Size::Bytes(len * 512))
    };
    let mut layout = layout(vec![
        at(63, 937),
        at(1064, 1000),
        at(2100, 500),
        at(2601, 400),
    ]);
    layout.label = Label::Mbr {
        signature: Some(1),
        primaries: Some(1),
    };
    let disk = planned(&layout);
    let starts: Vec<u64> = disk
        .table
        .partitions
        .iter()
        .map(|part| part.start / 512)
        .collect();
    assert_eq!(starts, [63, 1000, 1064, 2100, 2601]);
    // There is no sector for the record of the second one.
    layout.parts[2].start = Some(2064 * 512);
    assert!(matches!(
        layout.plan(),
        Err(LayoutError::Start { number: 6, .. })
    ));
}

#[test]
fn what_a_record_cannot_say_is_refused() {
    let refused = |change: &dyn Fn(&mut Layout)| {
        let mut layout = layout(vec![
            part("esp", Size::Bytes(MIB)),
            part("home", Size::Bytes(MIB)),
        ]);
        change(&mut layout);
        layout.plan().unwrap_err().to_string()
    };
    for (change, said) in [
        (
            (&|layout: &mut Layout| layout.parts[1].guid = Some(Guid::new(1)))
                as &dyn Fn(&mut Layout),
            "partition 2: it has no GUID",
        ),
        (
            &|layout: &mut Layout| layout.parts[0].attributes = ATTRIBUTE_GROW_FILESYSTEM,
            "partition 1: it has no attributes",
        ),
        (
            &|layout: &mut Layout| layout.parts[0].byte = Some(0),
            "type 0",
        ),
        (
            &|layout: &mut Layout| layout.guid = Some(Guid::new(1)),
            "belong to a GPT",
        ),
        (
            &|layout: &mut Layout| layout.hybrid = vec![1],
            "belong to a GPT",
        ),
        (
            &|layout: &mut Layout| {
                layout
                    .parts
                    .iter_mut()
                    .for_each(|part| part.attributes = ATTRIBUTE_LEGACY_BOOT);
            },
            "one partition is the active one",
        ),
        (
            &|layout: &mut Layout| layout.parts[1].size = Size::Bytes((1 << 41) + 4096),
            "beyond 2^32 sectors",
        ),
        (
            &|layout: &mut Layout| {
                layout.parts = vec![part("home", Size::Bytes(MIB)); 5];
                layout.label = Label::Mbr {
                    signature: None,
                    primaries: Some(4),
                };
            },
            "four entries",
        ),
        (&|layout: &mut Layout| layout.size = Some(2 * MIB), "need"),
    ] {
        let error = refused(change);
        assert!(error.contains(said), "{said}: {error}");
    }
}
