//! A damaged or hostile image file of any format is read to an end.
//!
//! Oracle: checking, opening and reading come to an end without a panic and within the memory that the caller
//! allows; runs make progress; what is a hole reads as zeros; reading a range in pieces gives what
//! reading it at once does. The input's first byte chooses a good image, the rest changes it: a list
//! of places and bytes.
#![no_main]

use std::sync::{Arc, OnceLock};

use forger_block::{BlockRead, BlockSink, Forward, MemorySink, PlacedSink, Run, SparseImage};
use forger_disk::{
    Container, Format, Unwatched, android_sparse, check, detect, ova, qcow2, vhd, vhdx, vmdk,
};
use libfuzzer_sys::fuzz_target;

/// What is read of a disk at most, in bytes.
const READ: u64 = 4 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, changes)) = input.split_first() else {
        return;
    };
    let bases = bases();
    let base = &bases[usize::from(choice) % (bases.len() + 1) % bases.len()];
    let mut file = base.clone();
    // The inputs' own bytes, too.
    if usize::from(choice) % (bases.len() + 1) == bases.len() {
        file = changes.to_vec();
    } else {
        for change in changes.chunks(8) {
            change_file(&mut file, change);
        }
    }
    let file: Arc<dyn BlockRead> = Arc::new(file);
    let format = detect(&file).expect("memory can be read");
    // Whatever it finds, the check ends; a checksum may be of so much that it takes long.
    if format != Format::AndroidSparse {
        let _ = check(&file, format);
    }
    let neighbours = qcow2::Neighbours {
        backing: Some(Arc::new(vec![7_u8; 100_000])),
        data: Some(Arc::new(vec![9_u8; 200_000])),
    };
    let Ok(container) = Container::open_with(file, Some(format), neighbours) else {
        return;
    };
    if format != Format::Raw {
        read(&*container.disk());
    }
});

/// Changes the file: three bytes of place, of which the first 16 MiB are reachable, one for how many,
/// and up to four to put there.
fn change_file(file: &mut [u8], change: &[u8]) {
    let [a, b, c, count, bytes @ ..] = change else {
        return;
    };
    let place = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
    for (at, byte) in (place..).zip(bytes.iter().take(usize::from(*count % 5))) {
        if let Some(old) = file.get_mut(at) {
            *old = *byte;
        }
    }
}

fn read(disk: &dyn BlockRead) {
    let len = disk.len();
    let mut buffer = vec![0xa5; 256 << 10];
    for start in [0, len / 2, len.saturating_sub(READ)] {
        let mut at = start.min(len);
        let end = len.min(at.saturating_add(READ));
        while at < end {
            let Ok(run) = disk.run_at(at) else {
                return;
            };
            assert!(
                !run.is_empty() && run.len() <= len - at,
                "{run:?} at {at} of {len}"
            );
            let piece = usize::try_from(run.len().min(256 << 10)).expect("bounded");
            let piece = &mut buffer[..piece];
            if disk.read_at(at, piece).is_ok() {
                let zeros = forger_block::is_zero(piece);
                assert!(
                    zeros || matches!(run, Run::Data(_)),
                    "a hole with data at {at}"
                );
                let mut again = vec![0; piece.len()];
                let half = again.len() / 3;
                let (first, second) = again.split_at_mut(half);
                disk.read_at(at, first).expect("it could be read");
                disk.read_at(at + half as u64, second)
                    .expect("it could be read");
                assert!(again == piece, "in pieces it is different at {at}");
            }
            at += run.len().max(1);
        }
    }
}

/// Returns a good image of every kind.
fn bases() -> &'static [Vec<u8>] {
    static BASES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    BASES.get_or_init(|| {
        let disk = disk();
        let source: Arc<dyn BlockRead> = Arc::new(disk.clone());
        let options = |version, cluster_size| qcow2::Options {
            version,
            cluster_size,
            ..qcow2::Options::default()
        };
        let plan = |options| bytes(&qcow2::plan(&source, &options, 1, &mut Unwatched).unwrap());
        let mut extended = plan(options(3, 16_384));
        // The feature "extended L2", over tables that were made without.
        extended[79] |= 1 << 4;
        vec![
            plan(options(2, 512)),
            plan(options(3, 65_536)),
            extended,
            packed(&disk, qcow2::Codec::Zlib),
            packed(&disk, qcow2::Codec::Zstd),
            bytes(&vhd::plan_fixed(&source).unwrap()),
            bytes(&vhd::plan_dynamic(&source, 1, &mut Unwatched).unwrap()),
            bytes(&vhdx::plan(&source, &vhdx::Options::default(), 1, &mut Unwatched).unwrap()),
            bytes(&vmdk::plan(&source, "a.vmdk", 1, &mut Unwatched).unwrap()),
            streamed(&disk),
            bytes(&android_sparse::plan(&source, &Default::default(), 1, &mut Unwatched).unwrap()),
            machine(&disk),
        ]
    })
}

fn disk() -> Vec<u8> {
    let mut disk = vec![0; 300_000];
    for (at, byte) in disk[70_000..200_000].iter_mut().enumerate() {
        *byte = (at * at % 251) as u8;
    }
    disk
}

fn bytes(image: &SparseImage) -> Vec<u8> {
    let mut bytes = vec![0; image.len() as usize];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

fn packed(disk: &Vec<u8>, codec: qcow2::Codec) -> Vec<u8> {
    let mut sink = Box::new(MemorySink::new());
    let output = sink.output();
    let compression = qcow2::Compression {
        codec,
        level: 1,
        threads: 1,
    };
    let options = qcow2::Options::default();
    let len =
        qcow2::write_compressed(disk, &options, &compression, &mut *sink, &mut Unwatched).unwrap();
    sink.finish(len).unwrap();
    output.bytes().unwrap().to_vec()
}

fn machine(disk: &Vec<u8>) -> Vec<u8> {
    let mut sink = Box::new(MemorySink::new());
    let output = sink.output();
    let options = ova::Options::default();
    let len = ova::write(disk, &options, 1, &mut *sink, &mut Unwatched).unwrap();
    sink.finish(len).unwrap();
    output.bytes().unwrap().to_vec()
}

fn streamed(disk: &Vec<u8>) -> Vec<u8> {
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Box::new(Forward::new(memory));
    vmdk::write_stream(disk, "a.vmdk", 1, 1, &mut *sink, &mut Unwatched).unwrap();
    sink.finish().unwrap();
    output.bytes().unwrap().to_vec()
}
