use std::sync::Arc;

use forger_block::{BlockRead, Run, SparseImage, conformance};

use super::*;
use crate::Unwatched;

fn disk() -> Vec<u8> {
    let mut disk = vec![0; (7 << 20) + 4096];
    disk[..1000].fill(1);
    disk[(4 << 20) + 100_000..(5 << 20) + 300_000].fill(2);
    let end = disk.len() - 1;
    disk[end] = 3;
    disk
}

fn planned(sector_size: u64) -> Vec<u8> {
    let source: Arc<dyn BlockRead> = Arc::new(disk());
    let options = Options {
        sector_size,
        ..Options::default()
    };
    let image = plan(&source, &options, 2, &mut Unwatched).unwrap();
    let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

fn open(file: &[u8]) -> Result<Image, ReadError> {
    Image::open(Arc::new(file.to_vec()))
}

#[test]
fn images_read_back() {
    for sector_size in [512, 4096] {
        let image = open(&planned(sector_size)).unwrap();
        assert_eq!(image.sector_size(), sector_size);
        conformance::reader(&image, &disk());
        assert_eq!(image.run_at(1 << 20).unwrap(), Run::Hole(3 << 20));
    }
    let empty: Arc<dyn BlockRead> = Arc::new(Vec::<u8>::new());
    let image = plan(&empty, &Options::default(), 1, &mut Unwatched).unwrap();
    conformance::reader(&Image::open(Arc::new(image)).unwrap(), &[]);
}

#[test]
fn a_fixed_image_has_a_place_for_every_block_and_the_length_of_a_full_one() {
    let source: Arc<dyn BlockRead> = Arc::new(disk());
    let options = Options {
        fixed: true,
        ..Options::default()
    };
    let file = plan(&source, &options, 1, &mut Unwatched).unwrap();
    assert_eq!(file.len(), full_len(source.len(), &options).unwrap());
    assert_eq!(file.len(), (4 << 20) + (8 << 20));
    let image = Image::open(Arc::new(file)).unwrap();
    assert!(image.is_fixed() && !open(&planned(512)).unwrap().is_fixed());
    conformance::reader(&image, &disk());
    let full: Arc<dyn BlockRead> = Arc::new(vec![1; (7 << 20) + 512]);
    let dynamic = plan(&full, &Options::default(), 1, &mut Unwatched).unwrap();
    let expected = full_len(full.len(), &Options::default()).unwrap();
    // The last block of a dynamic image ends where it ends on the disk, rounded up.
    assert_eq!(dynamic.len(), expected);
    let empty: Arc<dyn BlockRead> = Arc::new(Vec::new());
    let image = plan(&empty, &options, 1, &mut Unwatched).unwrap();
    conformance::reader(&Image::open(Arc::new(image)).unwrap(), &[]);
}

#[test]
fn entries_of_sector_bitmaps_are_passed_over() {
    let mut builder = SparseImage::builder();
    for block in [4095_u64, 4096, 9000] {
        builder.bytes(block << 20, vec![7; 10].into()).unwrap();
    }
    let source: Arc<dyn BlockRead> = Arc::new(builder.finish(10_000 << 20).unwrap());
    let file = plan(&source, &Options::default(), 2, &mut Unwatched).unwrap();
    let image = Image::open(Arc::new(file)).unwrap();
    let mut byte = [0];
    for block in [4095_u64, 4096, 9000] {
        image.read_at((block << 20) + 9, &mut byte).unwrap();
        assert_eq!(byte, [7], "{block}");
        image.read_at((block << 20) + 10, &mut byte).unwrap();
        assert_eq!(byte, [0], "{block}");
    }
    assert_eq!(image.run_at(4097 << 20).unwrap(), Run::Hole(4903 << 20));
}

#[test]
fn one_copy_of_header_and_region_table_suffices() {
    let file = planned(512);
    for damaged in [[64 << 10, 192 << 10], [128 << 10, 256 << 10]] {
        let mut bad = file.clone();
        for at in damaged {
            bad[at + 20] ^= 1;
        }
        conformance::reader(&open(&bad).unwrap(), &disk());
    }
    for both in [[64 << 10, 128 << 10], [192 << 10, 256 << 10]] {
        let mut bad = file.clone();
        for at in both {
            bad[at + 20] ^= 1;
        }
        assert!(matches!(open(&bad), Err(ReadError::Damaged { .. })));
    }
}

#[test]
fn damage_is_refused() {
    let file = planned(512);
    assert!(matches!(open(&[0; 100]), Err(ReadError::NotVhdx)));
    assert!(matches!(open(&vec![0; 2 << 20]), Err(ReadError::NotVhdx)));
    assert!(open(&file[..2 << 20]).is_err());
    let metadata = 3 << 20;
    for (at, value) in [(0, 3_u64 << 20), (8, 1 << 62), (8, 513), (4, 2)] {
        let mut bad = file.clone();
        let at = metadata + (64 << 10) + at;
        bad[at..at + 8].copy_from_slice(&value.to_le_bytes());
        assert!(open(&bad).is_err(), "{at} {value}");
    }
    let bat = 2 << 20;
    for entry in [(1_u64 << 40) | 6, 6, 7, 5] {
        let mut bad = file.clone();
        bad[bat..bat + 8].copy_from_slice(&entry.to_le_bytes());
        assert!(open(&bad).unwrap().read_at(0, &mut [0]).is_err(), "{entry}");
    }
}

#[test]
fn the_check_finds_damage_and_says_where() {
    let file = planned(512);
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = file.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        let file: Arc<dyn BlockRead> = Arc::new(changed);
        let report = check(&file).unwrap();
        let words: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        (report.is_sound(), words.join("; "))
    };
    assert_eq!(with(0, b"vhdxfile"), (true, String::new()));
    // One header may be out of date, region tables may not.
    assert!(with(65_600, &[7]).0);
    let (sound, words) = with((256 << 10) + 20, &[7]);
    assert!(!sound && words.starts_with("the region table at offset 262144"));
    let bat = 2 << 20;
    let entry = |value: u64| with(bat, &value.to_le_bytes()).1;
    assert!(entry((1 << 40) | 6).starts_with("block 0: "));
    assert!(entry(5).starts_with("block 0: "));
    // Over the block allocation table, which stands at 2 MiB, and over another block.
    assert!(entry((2 << 20) | 6).contains("shares bytes with the block allocation table"));
    assert!(entry((5 << 20) | 6).contains("shares bytes with block"));
    let metadata = with((3 << 20) + (64 << 10), &(3_u64 << 20).to_le_bytes()).1;
    assert!(metadata.starts_with("image: BlockSize"), "{metadata}");
}
