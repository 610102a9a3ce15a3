use std::sync::Arc;

use forger_block::{BlockRead, BlockSink, Forward, MemorySink, Run, SparseImage, conformance};

use super::*;
use crate::Unwatched;

fn disk() -> Vec<u8> {
    let mut disk = vec![0; (7 << 20) + 512];
    disk[..1000].fill(1);
    disk[(4 << 20) + 100_000..(4 << 20) + 300_000].fill(2);
    let end = disk.len() - 1;
    disk[end] = 3;
    disk
}

fn bytes(image: &SparseImage) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

fn dynamic() -> Vec<u8> {
    let source: Arc<dyn BlockRead> = Arc::new(disk());
    bytes(&plan_dynamic(&source, 2, &mut Unwatched).unwrap())
}

/// The disk as it comes back: rounded up.
fn expected() -> Vec<u8> {
    let mut disk = disk();
    disk.resize(8 << 20, 0);
    disk
}

#[test]
fn images_read_back_rounded_up_to_a_mebibyte() {
    let source: Arc<dyn BlockRead> = Arc::new(disk());
    let fixed = bytes(&plan_fixed(&source).unwrap());
    let image = Image::open(Arc::new(fixed)).unwrap();
    assert!(image.is_fixed());
    conformance::reader(&image, &expected());
    let image = Image::open(Arc::new(dynamic())).unwrap();
    assert!(!image.is_fixed());
    conformance::reader(&image, &expected());
    assert_eq!(image.run_at(2 << 20).unwrap(), Run::Hole(2 << 20));
}

#[test]
fn lengths_are_known_before() {
    for len in [0, 1, (1 << 20) - 1, 1 << 20, (2 << 20) + 1, 5 << 20_u64] {
        let full = vec![1_u8; usize::try_from(len).unwrap()];
        let source: Arc<dyn BlockRead> = Arc::new(full);
        let fixed = plan_fixed(&source).unwrap();
        assert_eq!(fixed.len(), fixed_len(len).unwrap());
        let dynamic = plan_dynamic(&source, 1, &mut Unwatched).unwrap();
        assert_eq!(dynamic.len(), full_dynamic_len(len).unwrap());
        let memory = MemorySink::new();
        let output = memory.output();
        let mut sink = Box::new(Forward::new(memory));
        forger_block::stream(&source, &mut *sink, &mut || false).unwrap();
        append_fixed_footer(&mut *sink).unwrap();
        sink.finish().unwrap();
        assert!(output.bytes().unwrap() == bytes(&fixed));
    }
}

#[test]
fn a_dynamic_image_without_its_footer_is_read_by_the_copy() {
    let mut file = dynamic();
    let end = file.len();
    file[end - 512..].fill(0);
    conformance::reader(&Image::open(Arc::new(file)).unwrap(), &expected());
}

#[test]
fn sectors_that_the_bitmap_leaves_out_are_zeros() {
    let mut file = dynamic();
    let table = 512 + 1024;
    let at = u32::from_be_bytes(file[table..table + 4].try_into().unwrap());
    let bitmap = usize::try_from(at).unwrap() * 512;
    file[bitmap] = 0b1011_1111;
    let mut disk = expected();
    disk[512..1024].fill(0);
    conformance::reader(&Image::open(Arc::new(file)).unwrap(), &disk);
}

#[test]
fn damage_is_refused() {
    let file = dynamic();
    let open = |file: Vec<u8>| Image::open(Arc::new(file));
    assert!(open(vec![0; 100]).is_err());
    assert!(matches!(open(vec![0; 4096]), Err(ReadError::NotVhd)));
    let mut bad = file.clone();
    bad[512 + 40] = 1;
    assert!(open(bad).is_err());
    // A block beyond the end is an error where it is read.
    let mut bad = file;
    bad[512 + 1024..512 + 1024 + 4].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    let image = open(bad).unwrap();
    assert!(image.read_at(0, &mut [0]).is_err());
    assert!(image.read_at(2 << 20, &mut [0]).is_ok());
    let huge = SparseImage::builder().finish(3 << 40).unwrap();
    let huge: Arc<dyn BlockRead> = Arc::new(huge);
    assert!(matches!(
        plan_fixed(&huge),
        Err(WriteError::TooLarge { .. })
    ));
}

#[test]
fn the_check_finds_damage_and_says_where() {
    let found = |bytes: Vec<u8>| {
        let file: Arc<dyn BlockRead> = Arc::new(bytes);
        let report = check(&file).unwrap();
        let words: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        words.join("; ")
    };
    let source: Arc<dyn BlockRead> = Arc::new(disk());
    assert_eq!(found(bytes(&plan_fixed(&source).unwrap())), "");
    let dynamic = dynamic();
    assert_eq!(found(dynamic.clone()), "");
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = dynamic.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        found(changed)
    };
    assert_eq!(
        with(100, &[7]),
        "copy of the footer at the start: its checksum is wrong"
    );
    assert!(with(dynamic.len() - 400, &[7]).starts_with("footer: its checksum"));
    assert!(with(600, &[7]).contains("dynamic header"));
    // The table: the first block over the table itself, and beyond the end.
    assert!(with(1536, &3_u32.to_be_bytes()).contains("shares bytes"));
    assert!(with(1536, &1_000_000_u32.to_be_bytes()).starts_with("block 0: "));
}
