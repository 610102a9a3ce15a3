use std::sync::Arc;

use forger_block::{BlockRead, BlockSink, Forward, MemorySink, Run, conformance};

use super::*;
use crate::{Unwatched, receive};

fn disk() -> Vec<u8> {
    let mut disk = vec![0; (70 << 20) + 512];
    disk[..1000].fill(1);
    let mut state = 1_u32;
    for byte in &mut disk[(4 << 20) + 100_000..(4 << 20) + 400_000] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = state.to_le_bytes()[3];
    }
    let end = disk.len() - 1;
    disk[end] = 3;
    disk
}

/// The disk as it comes back: rounded up.
fn expected() -> Vec<u8> {
    let mut disk = disk();
    disk.resize(disk.len().next_multiple_of(65_536), 0);
    disk
}

fn planned() -> Vec<u8> {
    let source: Arc<dyn BlockRead> = Arc::new(disk());
    let image = plan(&source, "disk.vmdk", 2, &mut Unwatched).unwrap();
    let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

fn streamed(threads: usize) -> Vec<u8> {
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Box::new(Forward::new(memory));
    let source = disk();
    write_stream(&source, "disk.vmdk", 6, threads, &mut *sink, &mut Unwatched).unwrap();
    sink.finish().unwrap();
    output.bytes().unwrap().to_vec()
}

fn open(file: &[u8]) -> Result<Image, ReadError> {
    Image::open(Arc::new(file.to_vec()))
}

#[test]
fn images_read_back_rounded_up_to_a_grain() {
    let image = open(&planned()).unwrap();
    assert!(!image.is_compressed());
    conformance::reader(&image, &expected());
    assert_eq!(image.run_at(65_536).unwrap(), Run::Hole(4 << 20));
    let file = streamed(3);
    assert!(file == streamed(1));
    let image = open(&file).unwrap();
    assert!(image.is_compressed());
    conformance::reader(&image, &expected());
}

#[test]
fn an_empty_disk_is_an_image() {
    let empty: Arc<dyn BlockRead> = Arc::new(Vec::<u8>::new());
    let image = plan(&empty, "a", 1, &mut Unwatched).unwrap();
    conformance::reader(&Image::open(Arc::new(image)).unwrap(), &[]);
}

#[test]
fn names_that_would_end_the_descriptors_line_are_refused() {
    let source: Arc<dyn BlockRead> = Arc::new(vec![1_u8; 512]);
    for name in ["", "a\"b", "a\nRW 1 FLAT \"/etc/shadow\""] {
        let error = plan(&source, name, 1, &mut Unwatched).unwrap_err();
        assert!(matches!(error, WriteError::Name { .. }), "{name}");
    }
}

#[test]
fn damage_and_other_files_are_refused() {
    let file = planned();
    assert!(matches!(open(&[0; 5000]), Err(ReadError::NotVmdk)));
    let changes: [(usize, &[u8]); 8] = [
        (4, &9_u32.to_le_bytes()),
        (12, &u64::MAX.to_le_bytes()),
        (20, &0_u64.to_le_bytes()),
        (20, &3_u64.to_le_bytes()),
        (36, &(1_u64 << 40).to_le_bytes()),
        (44, &0_u32.to_le_bytes()),
        (56, &(1_u64 << 40).to_le_bytes()),
        (73, b"\n \n\n"),
    ];
    for (at, bytes) in changes {
        let mut bad = file.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        assert!(open(&bad).is_err(), "{at}");
    }
    let rewrite = |from: &str, to: &str| {
        let text = String::from_utf8_lossy(&file[512..11 * 1024]).replace(from, to);
        let mut bad = file.clone();
        let text = &text.as_bytes()[..11 * 1024 - 512 - 64];
        bad[512..512 + text.len()].copy_from_slice(text);
        open(&bad).unwrap_err().to_string()
    };
    let parent = rewrite("parentCID=ffffffff", "parentCID=12345678");
    assert!(parent.contains("builds on"), "{parent}");
    let extents = rewrite("# The Disk", "RW 1 FLAT \"/etc/shadow\" 0\n# Disk");
    assert!(extents.contains("2 files"), "{extents}");
}

#[test]
fn a_stream_that_was_cut_or_changed_is_refused() {
    let file = streamed(1);
    assert!(open(&file[..file.len() - 512]).is_err());
    // The first grain stands behind 64 KiB; its number, its length and its bytes.
    for at in [65_536, 65_536 + 10, 65_536 + 20] {
        let mut bad = file.clone();
        bad[at] ^= 0xff;
        assert!(open(&bad).unwrap().read_at(0, &mut [0]).is_err(), "{at}");
    }
}

#[test]
fn the_check_finds_damage_and_says_where() {
    let found = |bytes: &[u8]| {
        let file: Arc<dyn BlockRead> = Arc::new(bytes.to_vec());
        let report = check(&file).unwrap();
        let words: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        words.join("; ")
    };
    let (plain, stream) = (planned(), streamed(1));
    assert_eq!(found(&plain), "");
    assert_eq!(found(&stream), "");
    let with = |file: &[u8], at: usize, word: u32| {
        let mut changed = file.to_vec();
        changed[at..at + 4].copy_from_slice(&word.to_le_bytes());
        found(&changed)
    };
    // Header and descriptor take 21 sectors; copy of the directory, copies of the tables, directory,
    // tables, grains.
    let tables = |copy: usize| (21 + copy * 13 + 1) * 512;
    assert!(with(&plain, tables(0), 1).starts_with("grain table 0: its copy differs"));
    let beyond = with(&plain, tables(1), 1 << 30);
    assert!(beyond.contains("the grain of guest offset 0: "), "{beyond}");
    let shared = with(&plain, tables(1), 5);
    assert!(
        shared.contains("shares bytes with header and descriptor"),
        "{shared}"
    );
    // The first grain's marker, and the end of the stream.
    let marker = with(&stream, 65_536, 7);
    assert_eq!(
        marker,
        "the grain of guest offset 0: its marker names sector 7"
    );
    let cut = with(&stream, stream.len() - 4, 7);
    assert!(cut.starts_with("end of the stream: "), "{cut}");
}

#[test]
fn lengths_are_known_before() {
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    })
    .take((33 << 20) + 70_000)
    .collect();
    for len in [0, 1, 65_536, 65_537, noise.len()] {
        let source: Arc<dyn BlockRead> = Arc::new(noise[..len].to_vec());
        let image = plan(&source, "a", 1, &mut Unwatched).unwrap();
        assert_eq!(image.len(), full_len(len as u64).unwrap(), "{len}");
        for level in [1, 6, 9] {
            let memory = MemorySink::new();
            let mut sink = Forward::new(memory);
            write_stream(&source, "a", level, 2, &mut sink, &mut Unwatched).unwrap();
            let most = full_stream_len(len as u64).unwrap();
            assert!(sink.position() <= most, "{len} {level}");
        }
    }
}

#[test]
fn a_stream_that_arrives_is_received_and_made_again() {
    let file = streamed(1);
    assert!(is_stream(&file) && !is_stream(&planned()));
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Box::new(Forward::new(memory));
    let mut disk = StreamArriving::open(&file[..], "memory").unwrap();
    receive(&mut disk, &mut *sink, &mut Unwatched).unwrap();
    sink.finish().unwrap();
    assert!(output.bytes().unwrap() == expected());

    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Box::new(Forward::new(memory));
    let mut disk = StreamArriving::open(&file[..], "memory").unwrap();
    restream(&mut disk, "disk.vmdk", 6, 2, &mut *sink, &mut Unwatched).unwrap();
    sink.finish().unwrap();
    assert!(output.bytes().unwrap() == file);
}

#[test]
fn a_damaged_stream_is_refused() {
    let file = streamed(1);
    let receive = |file: &[u8]| {
        let mut disk = StreamArriving::open(file, "memory")?;
        let mut sink = Forward::new(MemorySink::new());
        receive(&mut disk, &mut sink, &mut Unwatched)
    };
    assert!(receive(&file).is_ok());
    assert!(receive(&planned()).is_err());
    for cut in [100, 512, 60_000, 66_000, file.len() - 512] {
        assert!(receive(&file[..cut]).is_err(), "{cut}");
    }
    // The first grain: its place, its length, its contents.
    for (at, byte) in [(65_536, 1), (65_538, 9), (65_546, 0xff), (65_560, 0x55)] {
        let mut bad = file.clone();
        bad[at] ^= byte;
        assert!(receive(&bad).is_err(), "{at}");
    }
}
