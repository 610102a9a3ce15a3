//! Tells images from archives.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use forger_block::{BlockRead, Bytes, FileReader, SparseImage};
use forger_disk::{Format, partition};
use forger_fs::decompress;

use crate::medium::compression;

/// So much is unpacked to see what is in a compressed file, in bytes: more than the tables of a disk.
const HEAD: u64 = 64 << 10;

/// As if the disk in a compressed file was so long, in bytes: any partition lies inside.
const LONGEST: u64 = 1 << 60;

/// Tells whether a file holds an ext2, ext3 or ext4 superblock, or a FAT, or is a disk: a disk image, or
/// partitioned; perhaps compressed as a whole.
pub(crate) fn is_image(path: &Path) -> bool {
    let Ok(file) = FileReader::open(path) else {
        return false;
    };
    match compression(&file) {
        None => is_disk(&file),
        // What cannot be unpacked is refused with the reason where it is read.
        Some(_) => begun(path).is_some_and(|disk| is_disk(&disk)),
    }
}

/// Returns what a compressed file begins with, as a disk.
fn begun(path: &Path) -> Option<SparseImage> {
    let file = File::open(path).ok()?;
    let stream = decompress::open(file, &decompress::Options::default()).ok()?;
    let mut head = Vec::new();
    stream.take(HEAD).read_to_end(&mut head).ok()?;
    let mut disk = SparseImage::builder();
    disk.bytes(0, Bytes::from(head)).ok()?;
    disk.finish(LONGEST).ok()
}

fn is_disk(disk: &dyn BlockRead) -> bool {
    let len = usize::try_from(disk.len()).unwrap_or(usize::MAX);
    let mut head = vec![0; len.min(2048)];
    if disk.read_at(0, &mut head).is_err() {
        return false;
    }
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    // An archive may begin with a file that begins like a disk.
    let archive = has(257, b"ustar");
    let container = || forger_disk::detect(disk).is_ok_and(|format| format != Format::Raw);
    let partitioned = || partition::read(disk, None).is_ok_and(|table| table.is_some());
    let fat = has(510, &[0x55, 0xaa]) && (has(54, b"FAT") || has(82, b"FAT"));
    has(1024 + 0x38, &[0x53, 0xef]) || fat || !archive && (container() || partitioned())
}
