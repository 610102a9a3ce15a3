//! Whatever a disk holds, every format gives it back.
//!
//! Oracle: a disk that the input describes (its length, and what stands where) goes through the
//! writer of each format and comes back from its reader the same, what is longer being zeros; its check
//! finds nothing; two
//! runs with other numbers of threads write the same bytes.
#![no_main]

use std::sync::Arc;

use forger_block::{BlockRead, BlockSink, Checked, Forward, MemorySink, PlacedSink, SparseImage};
use forger_disk::{Container, Unwatched, check, copy, qcow2, vhd, vhdx, vmdk};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(([size, how, level], rest)) = input.split_first_chunk() else {
        return;
    };
    let disk = disk(*size, rest);
    let source: Arc<dyn BlockRead> = Arc::new(disk.clone());
    let options = qcow2::Options {
        version: 2 + u32::from(how & 1),
        cluster_size: 512 << (how >> 1) % 13,
        ..qcow2::Options::default()
    };
    let watch = &mut Unwatched;
    let plan = |image: SparseImage| copied(&image);
    same(
        &plan(qcow2::plan(&source, &options, 1, watch).unwrap()),
        &disk,
    );
    same(&plan(vhd::plan_fixed(&source).unwrap()), &disk);
    same(&plan(vhd::plan_dynamic(&source, 1, watch).unwrap()), &disk);
    let sector_size = if how & 1 == 0 { 512 } else { 4096 };
    let sectors = vhdx::Options { sector_size };
    same(
        &plan(vhdx::plan(&source, &sectors, 1, watch).unwrap()),
        &disk,
    );
    same(
        &plan(vmdk::plan(&source, "a.vmdk", 1, watch).unwrap()),
        &disk,
    );
    let level = u32::from(level % 9) + 1;
    let stream = streamed(&disk, level, 1);
    same(&stream, &disk);
    assert!(stream == streamed(&disk, level, 2));
    let codec = match options.version {
        3 if how & 2 == 0 => qcow2::Codec::Zstd,
        _ => qcow2::Codec::Zlib,
    };
    let file = packed(&disk, &options, codec, level, 1);
    same(&file, &disk);
    assert!(file == packed(&disk, &options, codec, level, 2));
});

/// Makes the disk: up to 4 MiB, in pieces of a place, a length and a kind of content.
fn disk(size: u8, input: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; usize::from(size) * 16_384 + usize::from(size % 3)];
    for piece in input.chunks_exact(5) {
        let [a, b, c, d, kind] = [0, 1, 2, 3, 4].map(|at| piece[at]);
        let at = (usize::from(a) | usize::from(b) << 8) * 64;
        let len = (usize::from(c) | usize::from(d % 16) << 8) * 16;
        let end = (at + len).min(disk.len());
        let mut state = u32::from(kind) + 1;
        for byte in disk.get_mut(at..end).unwrap_or_default() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = match kind % 3 {
                0 => kind,
                1 => (state >> 24) as u8,
                _ => b"text"[(state >> 30) as usize],
            };
        }
    }
    disk
}

fn copied(image: &SparseImage) -> Vec<u8> {
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Box::new(Forward::new(memory));
    copy(image, &mut *sink, 1, &mut Unwatched).unwrap();
    sink.finish().unwrap();
    output.bytes().unwrap().to_vec()
}

fn packed(
    disk: &Vec<u8>,
    options: &qcow2::Options,
    codec: qcow2::Codec,
    level: u32,
    threads: usize,
) -> Vec<u8> {
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Box::new(Checked::new(memory));
    let compression = qcow2::Compression {
        codec,
        level: level as i32,
        threads,
    };
    let len =
        qcow2::write_compressed(disk, options, &compression, &mut *sink, &mut Unwatched).unwrap();
    sink.finish(len).unwrap();
    output.bytes().unwrap().to_vec()
}

fn streamed(disk: &Vec<u8>, level: u32, threads: usize) -> Vec<u8> {
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Box::new(Forward::new(memory));
    vmdk::write_stream(disk, "a.vmdk", level, threads, &mut *sink, &mut Unwatched).unwrap();
    sink.finish().unwrap();
    output.bytes().unwrap().to_vec()
}

fn same(file: &[u8], disk: &[u8]) {
    let file: Arc<dyn BlockRead> = Arc::new(file.to_vec());
    let container = Container::open(Arc::clone(&file), None).expect("it was just made");
    let report = check(&file, container.format()).expect("it was just made");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let back = container.disk();
    let mut bytes = vec![0xa5; back.len() as usize];
    back.read_at(0, &mut bytes).expect("it was just made");
    assert!(bytes.len() >= disk.len());
    let (start, rest) = bytes.split_at(disk.len());
    assert!(
        start == disk && forger_block::is_zero(rest),
        "{}",
        container.format()
    );
}
