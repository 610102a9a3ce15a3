//! What a guest does with its disks.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use forger_block::{BlockRead, BlockStore, FileReader, Overlay, Result, Run};
use forger_tests::forger::forger;
use forger_vm::{Disk, Guest, Mounted};

use super::*;

/// Half of a disk in bytes.
const HALF: usize = 4 << 20;

/// A disk that counts what it is asked for.
#[derive(Debug)]
struct Counted {
    disk: Overlay,
    written: AtomicU64,
    erased: AtomicU64,
    discarded: AtomicU64,
    flushed: AtomicU64,
}

impl BlockRead for Counted {
    fn len(&self) -> u64 {
        self.disk.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.disk.read_at(offset, out)
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        self.disk.run_at(offset)
    }
}

impl BlockStore for Counted {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.written.fetch_add(data.len() as u64, Ordering::SeqCst);
        self.disk.write_at(offset, data)
    }

    fn erase(&self, offset: u64, len: u64) -> Result<()> {
        self.erased.fetch_add(len, Ordering::SeqCst);
        self.disk.erase(offset, len)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.discarded.fetch_add(len, Ordering::SeqCst);
        self.disk.discard(offset, len)
    }

    fn sync(&self) -> Result<()> {
        self.flushed.fetch_add(1, Ordering::SeqCst);
        self.disk.sync()
    }
}

impl Counted {
    /// Makes one of an image; what is written is kept in memory.
    fn open(image: &Path) -> Arc<Self> {
        let base = FileReader::open(image).unwrap();
        Arc::new(Self {
            disk: Overlay::in_memory(Arc::new(base), 64 << 20),
            written: AtomicU64::new(0),
            erased: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
        })
    }
}

/// Returns how much of something there was.
fn count(of: &AtomicU64) -> usize {
    usize::try_from(of.load(Ordering::SeqCst)).unwrap()
}

#[test]
fn what_a_guest_writes_flushes_zeroes_and_discards_reaches_its_disk() {
    let scratch = Scratch::new();
    let Some(backend) = kernels(&scratch).into_iter().next() else {
        return;
    };
    let Some(root) = Root::make() else { return };
    let (folder, image) = (scratch.path("empty"), scratch.path("small.ext4"));
    fs::create_dir(&folder).unwrap();
    let mkfs = forger().args(["mkfs", "-q", "--size", "8M"]);
    mkfs.arg(&folder).arg(&image).ok();
    let (disk, fixed) = (Counted::open(&image), Counted::open(&image));
    let mounted = |disk: &Arc<Counted>, target: &str, read_only| Mounted {
        disk: Some(Disk {
            store: Arc::<Counted>::clone(disk),
            read_only,
        }),
        target: target.as_bytes().to_vec(),
    };
    let mut options = root.options();
    options.mounts = vec![
        mounted(&disk, "/mnt", false),
        mounted(&fixed, "/media", true),
    ];
    let guest = Guest::boot(&backend, options).unwrap();
    said(&guest, "umount /mnt");
    let (written, flushed) = (count(&disk.written), count(&disk.flushed));
    let fill = "tr '\\0' x < /dev/zero | dd of=/dev/vdb bs=1M count=8 iflag=fullblock conv=fsync";
    said(&guest, fill);
    assert!(count(&disk.written) >= written + 2 * HALF);
    assert!(count(&disk.flushed) > flushed);
    let erased = count(&disk.erased);
    said(&guest, &format!("blkdiscard -f -z -l {HALF} /dev/vdb"));
    assert_eq!(count(&disk.erased), erased + HALF);
    let discarded = count(&disk.discarded);
    let quarter = HALF / 2;
    let script = format!("blkdiscard -f -o {HALF} -l {quarter} /dev/vdb");
    said(&guest, &script);
    assert_eq!(count(&disk.discarded), discarded + quarter);
    said(&guest, "! dd if=/dev/zero of=/dev/vdc count=1 conv=fsync");
    guest.shut_down().unwrap();
    assert_eq!(count(&fixed.written), 0);
    let mut bytes = vec![1; 2 * HALF];
    guest.disk(1).unwrap().read_at(0, &mut bytes).unwrap();
    assert!(bytes[..HALF].iter().all(|byte| *byte == 0));
    assert!(bytes[HALF + quarter..].iter().all(|byte| *byte == b'x'));
}
