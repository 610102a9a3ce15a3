//! A table that grows is one of the two at every moment.

use std::sync::Mutex;

use forger_block::{BlockRead, BlockStore, Result};

use super::*;

/// A disk that remembers what it was after every sector that was written to it.
#[derive(Debug)]
struct Recorded {
    disk: Mutex<Vec<u8>>,
    moments: Mutex<Vec<Vec<u8>>>,
    sector: usize,
}

impl BlockRead for Recorded {
    fn len(&self) -> u64 {
        self.disk.lock().unwrap().len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.disk.lock().unwrap().read_at(offset, buf)
    }
}

impl BlockStore for Recorded {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut disk = self.disk.lock().unwrap();
        let mut at = usize::try_from(offset).unwrap();
        for piece in data.chunks(self.sector) {
            disk[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
            self.moments.lock().unwrap().push(disk.clone());
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

fn planned(sector_size: u64) -> (Table, Vec<u8>) {
    let part = |name: &str, mib: u64| Part {
        kind: Kind::guid_named("linux-generic").unwrap(),
        name: name.to_owned(),
        attributes: ATTRIBUTE_NO_AUTO | ATTRIBUTE_READ_ONLY,
        size: Size::Bytes(mib << 20),
        ..Part::default()
    };
    let layout = Layout {
        sector_size,
        parts: vec![part("one", 1), part("two", 2)],
        ..Layout::default()
    };
    let planned = layout.plan().unwrap();
    let mut disk = vec![0; usize::try_from(planned.image.len()).unwrap()];
    planned.image.read_at(0, &mut disk).unwrap();
    (planned.table, disk)
}

#[test]
fn a_table_that_grows_is_before_or_after_at_every_moment() {
    for sector in [512, 4096] {
        let (before, disk) = planned(sector);
        // By less than the backup takes, and by more.
        for more in [0, sector, 4 * sector, 1 << 20] {
            let size = disk.len() as u64 + more;
            let part = &before.partitions[1];
            let room = size - 33 * sector.max(512) - part.end();
            let end = part.end()
                + (room / 2)
                    .next_multiple_of(sector)
                    .min(more / 2 / sector * sector);
            let wanted = Wanted {
                size,
                end: Some((2, end)),
            };
            let growth = grow(&disk, wanted).unwrap();
            let mut longer = disk.clone();
            longer.resize(usize::try_from(size).unwrap(), 0);
            // A disk that has its new length already comes to the same.
            let again = grow(&longer, wanted).unwrap();
            let store = Recorded {
                disk: Mutex::new(longer),
                moments: Mutex::default(),
                sector: usize::try_from(sector).unwrap(),
            };
            again.apply(&store).unwrap();
            let mut after = before.clone();
            after.partitions[1].len = end - part.start;
            for (moment, disk) in store.moments.lock().unwrap().iter().enumerate() {
                let table = read(disk, None).unwrap().unwrap();
                let known = [&before.partitions, &after.partitions];
                assert!(
                    known.contains(&&table.partitions),
                    "{sector} {more} moment {moment}"
                );
            }
            let last = store.disk.into_inner().unwrap();
            assert_eq!(
                read(&last, None).unwrap().unwrap(),
                after,
                "{sector} {more}"
            );
            growth
                .apply(&Recorded {
                    disk: Mutex::new(last),
                    moments: Mutex::default(),
                    sector: 512,
                })
                .unwrap();
        }
    }
}

#[test]
fn what_cannot_grow_is_refused() {
    let (table, disk) = planned(512);
    let size = disk.len() as u64;
    let wanted = |size, end| grow(&disk, Wanted { size, end });
    assert!(matches!(
        wanted(size - 512, None),
        Err(GrowError::Size { .. })
    ));
    assert!(matches!(
        wanted(size + 1, None),
        Err(GrowError::Size { .. })
    ));
    let end = table.partitions[0].end();
    let number = |number, end| wanted(size + (1 << 20), Some((number, end)));
    assert!(number(1, end).is_ok());
    assert!(matches!(
        number(1, end + 512),
        Err(GrowError::NoRoom { number: 1, .. })
    ));
    assert!(matches!(
        number(2, size + (1 << 20)),
        Err(GrowError::NoRoom { number: 2, .. })
    ));
    assert!(matches!(
        number(3, end),
        Err(GrowError::NoPartition { number: 3 })
    ));
    let none = vec![0; 1 << 20];
    let wanted = Wanted {
        size: 2 << 20,
        end: None,
    };
    assert!(matches!(grow(&none, wanted), Err(GrowError::NoTable)));
}
