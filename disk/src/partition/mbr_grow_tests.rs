use super::mbr_grow::grow;
use super::{GrowError, Kind, Table, Wanted, read};

/// A disk of 4 MiB: a primary partition, and an extended one with two logical ones.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 4 << 20];
    let mut entry = |sector: usize, index: usize, kind: u8, first: u32, sectors: u32| {
        let at = sector * 512 + 0x1be + index * 16;
        disk[at + 4] = kind;
        disk[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        disk[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
        disk[sector * 512 + 510..sector * 512 + 512].copy_from_slice(&[0x55, 0xaa]);
    };
    entry(0, 0, 0x83, 64, 936);
    entry(0, 1, 0x05, 1000, 3000);
    entry(1000, 0, 0x83, 8, 492);
    entry(1000, 1, 0x05, 500, 1500);
    entry(1500, 0, 0x82, 8, 1492);
    disk
}

fn grown(number: u32, end: u64, size: u64) -> Result<Vec<u64>, GrowError> {
    let mut disk = disk();
    let end = Some((number, end * 512));
    let steps = grow(&disk, Wanted { size, end })?.expect("there is a table");
    disk.resize(usize::try_from(size).unwrap(), 0);
    let before = read(&disk, None).unwrap().unwrap();
    for step in steps {
        for (offset, bytes) in step {
            let at = usize::try_from(offset).unwrap();
            disk[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        // Readable at every moment.
        let table = read(&disk, None).unwrap().unwrap();
        let starts = |table: &Table| -> Vec<u64> {
            table.partitions.iter().map(|part| part.start).collect()
        };
        assert_eq!(starts(&table), starts(&before));
    }
    let table = read(&disk, None).unwrap().unwrap();
    Ok(table
        .partitions
        .iter()
        .map(|part| part.end() / 512)
        .collect())
}

#[test]
fn primary_and_last_logical_partitions_grow() {
    let size = 8 << 20;
    let before = read(&disk(), None).unwrap().unwrap();
    let numbers: Vec<u32> = before.partitions.iter().map(|part| part.number).collect();
    assert_eq!(numbers, [1, 2, 5, 6]);
    assert_eq!(before.partitions[1].kind, Kind::Mbr(5));
    assert_eq!(grown(1, 1000, size).unwrap(), [1000, 4000, 1500, 3000]);
    assert_eq!(grown(2, 9000, size).unwrap(), [1000, 9000, 1500, 3000]);
    // Inside the extended one, and with it.
    assert_eq!(grown(6, 3500, size).unwrap(), [1000, 4000, 1500, 3500]);
    assert_eq!(
        grown(6, 16_384, size).unwrap(),
        [1000, 16_384, 1500, 16_384]
    );
}

#[test]
fn what_has_no_room_is_refused() {
    let size = 8 << 20;
    assert!(grown(5, 1500, size).is_ok());
    // Not over the record of the next one, either.
    for (number, end) in [(1, 1001), (5, 1509), (5, 1501), (6, 16_385), (2, 1000)] {
        let refused = grown(number, end, size);
        assert!(matches!(refused, Err(GrowError::NoRoom { .. })), "{number}");
    }
    assert!(matches!(
        grown(3, 9000, size),
        Err(GrowError::NoPartition { .. })
    ));
    assert!(matches!(
        grown(1, 900, 1 << 20),
        Err(GrowError::Size { .. })
    ));
    let none = vec![0; 1 << 20];
    let wanted = Wanted { size, end: None };
    assert!(grow(&none, wanted).unwrap().is_none());
}
