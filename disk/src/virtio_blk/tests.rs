use std::sync::Arc;

use forger_block::{BlockRead, Overlay};
use virtio_queue::Queue;
use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::mock::MockSplitQueue;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::*;
use crate::Disk;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
/// Where headers, data and status lie in the guest's memory.
const HEAD: u64 = 0x4000;
const DATA: u64 = 0x10000;
const STATUS: u64 = 0x8000;

struct Guest {
    memory: GuestMemoryMmap,
    disk: Disk,
    overlay: Arc<Overlay>,
    faults: Faults,
}

impl Guest {
    fn new() -> Self {
        let base: Arc<dyn BlockRead> = Arc::new(vec![3_u8; 64 << 10]);
        let overlay = Arc::new(Overlay::in_memory(base, 40_000));
        let store: Arc<dyn forger_block::BlockStore> = Arc::<Overlay>::clone(&overlay);
        let ranges = [(GuestAddress(0), 1 << 20)];
        Self {
            memory: GuestMemoryMmap::from_ranges(&ranges).unwrap(),
            disk: Disk::Writable(store),
            overlay,
            faults: Faults::default(),
        }
    }

    /// Puts descriptors into a fresh queue and serves it; returns the used length.
    fn serve(&self, descriptors: &[(u64, u32, u16)]) -> Result<Option<u32>, QueueError> {
        let mock = MockSplitQueue::new(&self.memory, 16);
        let last = u16::try_from(descriptors.len()).unwrap() - 1;
        let raw: Vec<RawDescriptor> = (0..)
            .zip(descriptors)
            .map(|(at, (address, len, flags))| {
                let (next, after) = if at < last { (NEXT, at + 1) } else { (0, 0) };
                RawDescriptor::from(Descriptor::new(*address, *len, flags | next, after))
            })
            .collect();
        mock.add_desc_chains(&raw, 0).unwrap();
        let mut queue: Queue = mock.create_queue().unwrap();
        let served = process(&mut queue, &self.memory, &self.disk, &self.faults)?;
        if served == 0 {
            return Ok(None);
        }
        let used = mock.used().ring().ref_at(0).unwrap().load();
        Ok(Some(used.len()))
    }

    fn header(&self, kind: u32, sector: u64) {
        let head = [
            kind.to_le_bytes().to_vec(),
            vec![0; 4],
            sector.to_le_bytes().to_vec(),
        ];
        self.memory
            .write_slice(&head.concat(), GuestAddress(HEAD))
            .unwrap();
        self.memory.write_obj(77_u8, GuestAddress(STATUS)).unwrap();
    }

    /// Asks for something with `len` bytes of data; returns the status.
    fn ask(&self, kind: u32, sector: u64, len: u32, flags: u16) -> u8 {
        self.header(kind, sector);
        let mut chain = vec![(HEAD, 16, 0), (DATA, len, flags), (STATUS, 1, WRITE)];
        if len == 0 {
            chain.remove(1);
        }
        self.serve(&chain).unwrap().unwrap();
        self.memory.read_obj(GuestAddress(STATUS)).unwrap()
    }

    fn data(&self, len: usize) -> Vec<u8> {
        let mut data = vec![0; len];
        self.memory
            .read_slice(&mut data, GuestAddress(DATA))
            .unwrap();
        data
    }

    fn put(&self, data: &[u8]) {
        self.memory.write_slice(data, GuestAddress(DATA)).unwrap();
    }
}

#[test]
fn a_guest_reads_writes_zeroes_and_flushes() {
    let guest = Guest::new();
    assert_eq!(guest.ask(0, 1, 1024, WRITE), 0);
    assert_eq!(guest.data(1024), [3; 1024]);
    guest.put(&[5; 1024]);
    assert_eq!(guest.ask(1, 2, 1024, 0), 0);
    assert_eq!(guest.ask(0, 1, 2048, WRITE), 0);
    assert_eq!(
        guest.data(2048),
        [[3; 512], [5; 512], [5; 512], [3; 512]].concat()
    );
    guest.put(
        &[
            3_u64.to_le_bytes().to_vec(),
            1_u32.to_le_bytes().to_vec(),
            vec![1, 0, 0, 0],
        ]
        .concat(),
    );
    assert_eq!(guest.ask(13, 0, 16, 0), 0);
    assert_eq!(guest.ask(0, 2, 1024, WRITE), 0);
    assert_eq!(guest.data(1024), [[5; 512], [0; 512]].concat());
    assert_eq!(guest.ask(4, 0, 0, 0), 0);
    assert_eq!(guest.ask(8, 0, 20, WRITE), 0);
    assert_eq!(guest.data(20), [0; 20]);
    assert!(guest.faults.take().is_none());
}

#[test]
fn requests_that_cannot_be_are_errors_and_change_nothing() {
    let guest = Guest::new();
    let before = guest.overlay.changes();
    for (kind, sector, len, flags) in [
        (0, 127, 1024, WRITE),
        (0, u64::MAX, 512, WRITE),
        (0, u64::MAX / 512, 512, WRITE),
        (0, 0, 511, WRITE),
        (1, 128, 512, 0),
        (1, 0, 100, 0),
        (11, 0, 15, 0),
        (13, 0, 32, 0),
    ] {
        assert_eq!(
            guest.ask(kind, sector, len, flags),
            1,
            "{kind} {sector} {len}"
        );
    }
    assert_eq!(guest.ask(99, 0, 0, 0), 2);
    guest.put(&[0xff; 16]);
    assert_eq!(guest.ask(11, 0, 16, 0), 2);
    assert_eq!(guest.overlay.changes(), before);
    assert!(guest.faults.take().is_none());
    let read_only = Guest {
        disk: Disk::ReadOnly(Arc::new(vec![1_u8; 4096])),
        ..Guest::new()
    };
    assert_eq!(read_only.ask(1, 0, 512, 0), 1);
    assert_eq!(read_only.ask(0, 0, 512, WRITE), 0);
    assert_eq!(features(&read_only.disk) & 1 << 5, 1 << 5);
    let space = configuration(&read_only.disk);
    assert_eq!(space[..8], 8_u64.to_le_bytes());
    // Requests of a MiB are best.
    assert_eq!(features(&read_only.disk) & 1 << 10, 1 << 10);
    assert_eq!(space[0x14..0x18], 512_u32.to_le_bytes());
    assert_eq!(space[0x18..0x1c], [0; 4]);
    assert_eq!(space[0x1c..0x20], 2048_u32.to_le_bytes());
}

#[test]
fn a_full_overlay_is_an_error_for_the_guest_and_is_remembered() {
    let guest = Guest::new();
    assert_eq!(guest.ask(1, 0, 40_960, 0), 1);
    let fault = guest.faults.take().unwrap();
    assert!(
        matches!(fault, forger_block::Error::Full { .. }),
        "{fault:?}"
    );
}

#[test]
fn descriptors_outside_of_memory_come_back_without_a_status() {
    let guest = Guest::new();
    guest.header(0, 0);
    let out = 1 << 20;
    for chain in [
        &[(out, 16, 0), (DATA, 512, WRITE), (STATUS, 1, WRITE)][..],
        &[(HEAD, 16, 0), (out - 1, 512, WRITE), (STATUS, 1, WRITE)],
        &[(HEAD, 16, 0), (DATA, u32::MAX, WRITE), (STATUS, 1, WRITE)],
        &[(HEAD, 16, 0), (DATA, 512, WRITE), (u64::MAX, 1, WRITE)],
        &[(HEAD, 16, 0)],
    ] {
        assert_eq!(guest.serve(chain).unwrap(), Some(0), "{chain:?}");
        let status: u8 = guest.memory.read_obj(GuestAddress(STATUS)).unwrap();
        assert_eq!(status, 77);
    }
    // A short header has a place for the status.
    assert_eq!(
        guest.serve(&[(HEAD, 15, 0), (STATUS, 1, WRITE)]).unwrap(),
        Some(1)
    );
}
