use std::sync::Arc;

use flate2::Crc;
use forger_block::{BlockRead, Run, SparseImage, conformance};

use super::*;
use crate::Unwatched;

fn disk() -> Vec<u8> {
    let mut disk = vec![0; (3 << 20) + 5000];
    disk[..1000].fill(1);
    disk[100_000..700_000].fill(2);
    for (at, byte) in (0..).zip(&mut disk[1 << 20..2 << 20]) {
        *byte = [b'a', b'b', b'c', b'd', b'e'][at % 5];
    }
    disk[2 << 20..(2 << 20) + 8192].copy_from_slice(&b"abcd".repeat(2048));
    let end = disk.len() - 1;
    disk[end] = 3;
    disk
}

fn bytes(image: &SparseImage) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

fn planned(disk: Vec<u8>, options: &Options) -> Vec<u8> {
    let source: Arc<dyn BlockRead> = Arc::new(disk);
    bytes(&plan(&source, options, 2, &mut Unwatched).unwrap())
}

#[test]
fn images_read_back_rounded_up_to_whole_blocks() {
    for block_size in [4096, 65_536, 1 << 20] {
        for zeros in [Zeros::Fill, Zeros::DontCare] {
            let options = Options { block_size, zeros };
            let image = Image::open(Arc::new(planned(disk(), &options))).unwrap();
            let mut expected = disk();
            let unit = usize::try_from(block_size).unwrap();
            expected.resize(expected.len().next_multiple_of(unit), 0);
            conformance::reader(&image, &expected);
            assert_eq!(image.block_size(), block_size);
        }
    }
    for len in [
        0,
        1,
        4095,
        4096,
        4097,
        (1 << 20) - 1,
        1 << 20,
        (1 << 20) + 1,
    ] {
        let mut expected: Vec<u8> = (1..=250).cycle().take(len).collect();
        let file = planned(expected.clone(), &Options::default());
        assert_eq!(
            file.len() as u64,
            full_len(len as u64, &Options::default()).unwrap()
        );
        expected.resize(len.next_multiple_of(4096), 0);
        conformance::reader(&Image::open(Arc::new(file)).unwrap(), &expected);
    }
}

#[test]
fn what_repeats_takes_sixteen_bytes_and_zeros_twelve_at_least() {
    let len = |zeros, disk: Vec<u8>| {
        let options = Options {
            zeros,
            ..Options::default()
        };
        planned(disk, &options).len()
    };
    assert_eq!(len(Zeros::Fill, vec![0; 9 << 20]), 28 + 16);
    assert_eq!(len(Zeros::DontCare, vec![0; 9 << 20]), 28 + 12);
    assert_eq!(len(Zeros::DontCare, b"abcd".repeat(4096)), 28 + 16);
    let file = planned(disk(), &Options::default());
    let image = Image::open(Arc::new(file)).unwrap();
    assert_eq!(image.run_at(4096).unwrap(), Run::Hole(98_304 - 4096));
}

#[test]
fn checksums_are_compared_and_chunks_of_any_header_length_read() {
    // Headers of 32 and 16 bytes, a raw block, a checksum, a fill, and a checksum of all.
    let mut disk = vec![7; 4096];
    let sum = |bytes: &[u8]| {
        let mut crc = Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    let mut file = Vec::new();
    file.extend(header::MAGIC);
    file.extend([1, 0, 0, 0, 32, 0, 16, 0]);
    for word in [4096_u32, 3, 4, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    let chunk = |file: &mut Vec<u8>, kind: u16, blocks: u32, body: &[u8]| {
        file.extend(kind.to_le_bytes());
        file.extend([0; 2]);
        file.extend(blocks.to_le_bytes());
        file.extend(u32::try_from(16 + body.len()).unwrap().to_le_bytes());
        file.extend([0; 4]);
        file.extend(body);
    };
    chunk(&mut file, 0xcac1, 1, &disk);
    chunk(&mut file, 0xcac4, 0, &sum(&disk));
    chunk(&mut file, 0xcac2, 2, b"wxyz");
    disk.extend(b"wxyz".repeat(2048));
    chunk(&mut file, 0xcac4, 0, &sum(&disk));
    let image = Image::open(Arc::new(file.clone())).unwrap();
    conformance::reader(&image, &disk);
    assert!(image.has_checksums());
    image.verify(&mut Unwatched).unwrap();
    let found = |file: &[u8]| {
        let file: Arc<dyn BlockRead> = Arc::new(file.to_vec());
        check(&file).map(|report| report.findings)
    };
    assert!(found(&file).unwrap().is_empty());
    file[48] ^= 1;
    assert_eq!(found(&file).unwrap()[0].location, "checksum");
    assert!(matches!(found(&[0; 40]), Err(ReadError::NotSparse)));
    assert_eq!(found(&file[..100]).unwrap()[0].location, "image");
    let image = Image::open(Arc::new(file)).unwrap();
    let wrong = image.verify(&mut Unwatched);
    assert!(matches!(wrong, Err(ReadError::Sum { len: 4096, .. })));
}

#[test]
fn checksums_of_terabytes_that_are_not_there_take_no_time() {
    // Two chunks of 8 TiB less a block each, and a checksum after each of 1000 more blocks.
    let mut file = Vec::new();
    file.extend(header::MAGIC);
    file.extend([1, 0, 0, 0, 28, 0, 12, 0]);
    let half = (1_u32 << 31) - 1;
    for word in [4096_u32, half * 2 + 1, 2002, 0] {
        file.extend(word.to_le_bytes());
    }
    let mut sum = crc32::Sum::new();
    let mut chunk = |kind: u16, blocks: u32, word: Option<[u8; 4]>| {
        let body = match kind {
            0xcac4 => Some(sum.value().to_le_bytes()),
            _ => word,
        };
        sum.repeat(word.unwrap_or_default(), u64::from(blocks) * 1024);
        file.extend(u32::from(kind).to_le_bytes());
        file.extend(blocks.to_le_bytes());
        file.extend((if body.is_some() { 16_u32 } else { 12 }).to_le_bytes());
        file.extend(
            body.unwrap_or_default()
                .iter()
                .take(if body.is_some() { 4 } else { 0 }),
        );
    };
    chunk(0xcac3, half, None);
    chunk(0xcac2, half - 999, Some(*b"abcd"));
    for number in 0..1000_u32 {
        chunk(0xcac2, 1, Some(number.to_le_bytes()));
        chunk(0xcac4, 0, None);
    }
    let image = Image::open(Arc::new(file.clone())).unwrap();
    image.verify(&mut Unwatched).unwrap();
    let last = file.len() - 1;
    file[last] ^= 1;
    let image = Image::open(Arc::new(file)).unwrap();
    let wrong = image.verify(&mut Unwatched);
    assert!(matches!(wrong, Err(ReadError::Sum { .. })), "{wrong:?}");
}

#[test]
fn damage_is_refused() {
    let file = planned(disk(), &Options::default());
    let open = |file: Vec<u8>| Image::open(Arc::new(file));
    assert!(matches!(open(vec![0; 10]), Err(ReadError::NotSparse)));
    for (at, byte) in [
        (4, 2),  // version
        (8, 27), // length of the header
        (10, 0), // of a chunk's
        (12, 1), // size of a block
        (16, 0), // blocks
        (20, 0), // chunks
        (28, 0), // kind
        (32, 9), // blocks of a chunk
        (36, 1), // its length
    ] {
        let mut bad = file.clone();
        bad[at] = byte;
        assert!(open(bad).is_err(), "{at}");
    }
    let mut cut = file;
    cut.pop();
    assert!(matches!(open(cut), Err(ReadError::Beyond { .. })));
    let options = Options {
        block_size: 1000,
        ..Options::default()
    };
    assert!(options.validate().is_err());
    let huge = SparseImage::builder().finish(16 << 40).unwrap();
    let huge: Arc<dyn BlockRead> = Arc::new(huge);
    let large = plan(&huge, &Options::default(), 1, &mut Unwatched);
    assert!(matches!(large, Err(WriteError::TooLarge { .. })));
}
