//! Whatever a disk holds, every format gives it back.
//!
//! Oracle: a disk that the input describes (its length, and what stands where) goes through a writer
//! that the input chooses and comes back from its reader the same, what is longer being zeros; its
//! check finds nothing (also of a qcow2 over another disk, and of a new one, which is empty); an image is no longer than a full disk's, and another number of threads, or a disk that arrives in
//! order, gives the same bytes.
#![no_main]

use std::sync::Arc;

use forger_block::{BlockRead, BlockSink, Checked, Forward, MemorySink, PlacedSink, SparseImage};
use forger_disk::bmap::{Bmap, Recorder};
use forger_disk::{
    Container, RawArriving, Unwatched, android_sparse, check, compare, copy, ova, qcow2, receive,
    vhd, vhdx, vmdk,
};
use libfuzzer_sys::fuzz_target;

/// Sizes around which disks are made, in bytes: the edges of blocks, grains and clusters.
const EDGES: [usize; 8] = [512, 4096, 65_536, 131_072, 3000, 200_000, 300_000, 1 << 20];

fuzz_target!(|input: &[u8]| {
    let Some(([kind, size, how, level], rest)) = input.split_first_chunk() else {
        return;
    };
    let disk = disk(*size, rest);
    let len = disk.len() as u64;
    let source: Arc<dyn BlockRead> = Arc::new(disk.clone());
    let watch = &mut Unwatched;
    let level = u32::from(level % 9) + 1;
    let flag = |bit: u8| how >> bit & 1 == 1;
    let (image, most): (Arc<dyn BlockRead>, u64) = match kind % 12 {
        0 => (
            planned(qcow2::plan(&source, &options(*how), 1, watch)),
            qcow2::full_len(len, &options(*how)).unwrap(),
        ),
        1 => (
            planned(vhd::plan_fixed(&source)),
            vhd::fixed_len(len).unwrap(),
        ),
        2 => (
            planned(vhd::plan_dynamic(&source, 1, watch)),
            vhd::full_dynamic_len(len).unwrap(),
        ),
        3 => {
            let options = vhdx::Options {
                sector_size: if flag(0) { 512 } else { 4096 },
                fixed: flag(1),
            };
            (
                planned(vhdx::plan(&source, &options, 1, watch)),
                vhdx::full_len(len, &options).unwrap(),
            )
        }
        4 => (
            planned(vmdk::plan(&source, "a.vmdk", 1, watch)),
            vmdk::full_len(len).unwrap(),
        ),
        5 => {
            let options = android_sparse::Options {
                block_size: 4096 << (how >> 1) % 3,
                zeros: match flag(0) {
                    true => android_sparse::Zeros::Fill,
                    false => android_sparse::Zeros::DontCare,
                },
            };
            (
                planned(android_sparse::plan(&source, &options, 1, watch)),
                android_sparse::full_len(len, &options).unwrap(),
            )
        }
        6 => {
            let file = streamed(&disk, level, 1);
            assert!(!flag(0) || file == streamed(&disk, level, 2));
            arrives(&file, &disk, level);
            (Arc::new(file), vmdk::full_stream_len(len).unwrap())
        }
        7 => {
            let file = machine(&disk, level);
            let most = ova::full_len(len, &ova::Options::default()).unwrap();
            (Arc::new(file), most)
        }
        8 => return mapped(&source),
        10 => return created(*how, *size, level, len),
        11 => return over(&source, *how, level, rest),
        _ => {
            let file = packed(&disk, *how, level, 1);
            assert!(!flag(3) || file == packed(&disk, *how, level, 2));
            let most = qcow2::full_len(len, &options(*how)).unwrap();
            (Arc::new(file), most)
        }
    };
    assert!(image.len() <= most, "{} of {most}", image.len());
    same(image, &disk);
});

fn planned<E: std::fmt::Debug>(image: Result<SparseImage, E>) -> Arc<dyn BlockRead> {
    Arc::new(image.unwrap())
}

fn options(how: u8) -> qcow2::Options {
    qcow2::Options {
        version: 2 + u32::from(how & 1),
        cluster_size: 512 << (how >> 1) % 13,
        ..qcow2::Options::default()
    }
}

/// Makes the disk: about as large as an edge, in pieces of a place, a length and a kind of content.
fn disk(size: u8, input: &[u8]) -> Vec<u8> {
    let len = EDGES[usize::from(size % 8)] + usize::from(size >> 3) * 512;
    let mut disk = vec![0; len - usize::from(size >> 3 & 3)];
    for piece in input.chunks_exact(5) {
        let [a, b, c, d, kind] = [0, 1, 2, 3, 4].map(|at| piece[at]);
        let at = (usize::from(a) | usize::from(b) << 8) * 16;
        let len = (usize::from(c) | usize::from(d % 16) << 8) * 16;
        let end = (at + len).min(disk.len());
        let mut state = u32::from(kind) + 1;
        for word in disk.get_mut(at..end).unwrap_or_default().chunks_mut(4) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let bytes = match kind % 3 {
                0 => [kind; 4],
                1 => (state ^ state >> 13).to_le_bytes(),
                _ => *b"text",
            };
            word.copy_from_slice(&bytes[..word.len()]);
        }
    }
    disk
}

/// A new image is sound and empty, and what it says of its disk is what was asked for.
fn created(how: u8, size: u8, level: u32, len: u64) {
    let flag = |bit: u8| how >> bit & 1 == 1;
    let name = "n".repeat(usize::from(size));
    let new = qcow2::Create {
        options: qcow2::Options {
            refcount_bits: 1 << level % 7,
            extended_l2: flag(5),
            ..options(how)
        },
        codec: if flag(6) {
            qcow2::Codec::Zstd
        } else {
            qcow2::Codec::Zlib
        },
        backing: flag(7).then(|| qcow2::Named {
            name: name.clone(),
            format: flag(4).then(|| "raw".to_owned()),
        }),
        data_file: (size & 1 == 1).then(|| qcow2::DataFile { name, raw: flag(3) }),
        preallocation: match level % 3 {
            0 => qcow2::Preallocation::Off,
            1 => qcow2::Preallocation::Metadata,
            _ => qcow2::Preallocation::Full,
        },
        lazy_refcounts: size & 2 == 2,
        ..qcow2::Create::new(len)
    };
    let Ok(image) = qcow2::create(&new) else {
        return;
    };
    let file: Arc<dyn BlockRead> = Arc::new(image);
    let report = qcow2::check(&file).expect("it was just made");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let header = qcow2::Header::read(&file).expect("it was just made");
    assert_eq!(header.size, len.next_multiple_of(512));
    let named = new.backing.map(|backing| (backing.name, backing.format));
    assert_eq!(
        header.backing_file,
        named.as_ref().map(|named| named.0.clone())
    );
    assert_eq!(header.backing_format, named.and_then(|named| named.1));
    assert_eq!(header.data_file, new.data_file.map(|data| data.name));
    let neighbours = qcow2::Neighbours {
        backing: Some(Arc::new(vec![0_u8; 512])),
        data: Some(Arc::new(vec![0_u8; header.size as usize])),
    };
    let disk = qcow2::Image::open_with(file, neighbours).expect("it was just made");
    let mut bytes = vec![0xa5; disk.len() as usize];
    disk.read_at(0, &mut bytes).expect("it was just made");
    assert!(forger_block::is_zero(&bytes));
}

/// A disk comes back from over another one, planned and compressed.
fn over(source: &Arc<dyn BlockRead>, how: u8, level: u32, input: &[u8]) {
    let mut base = vec![0; source.len() as usize];
    source.read_at(0, &mut base).unwrap();
    // The other one differs in places, and in its length.
    for change in input.chunks_exact(3) {
        let at = usize::from(change[0]) << 8 | usize::from(change[1]);
        if let Some(byte) = base.get_mut(at * 16) {
            *byte ^= change[2];
        }
    }
    base.truncate(base.len() - base.len() / 8 * usize::from(level % 3 == 0));
    let options = options(how);
    let backing = qcow2::Backing {
        named: qcow2::Named {
            name: "base.raw".to_owned(),
            format: Some("raw".to_owned()),
        },
        disk: Arc::new(base),
    };
    let watch = &mut Unwatched;
    let plan = qcow2::plan_over(source, &backing, &options, 1, watch).unwrap();
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Box::new(Checked::new(memory));
    let compression = qcow2::Compression {
        codec: qcow2::Codec::Zlib,
        level: level as i32,
        threads: 1,
    };
    let len =
        qcow2::write_compressed_over(source, &backing, &options, &compression, &mut *sink, watch);
    sink.finish(len.unwrap()).unwrap();
    let packed: Arc<dyn BlockRead> = Arc::new(output.bytes().unwrap());
    for file in [Arc::new(plan), packed] {
        let report = qcow2::check(&file).expect("it was just made");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        let neighbours = qcow2::Neighbours {
            backing: Some(Arc::clone(&backing.disk)),
            data: None,
        };
        let image = qcow2::Image::open_with(file, neighbours).expect("it was just made");
        let differs = compare(source, &image, 1, &mut Unwatched).unwrap();
        assert_eq!(differs, None);
    }
}

/// A block map describes the disk, comes back, and maps all that is no zeros.
fn mapped(disk: &Arc<dyn BlockRead>) {
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Box::new(Forward::new(memory));
    let mut recorder = Recorder::new(&mut *sink);
    copy(disk, &mut recorder, 1, &mut Unwatched).unwrap();
    let map = recorder.complete();
    sink.finish().unwrap();
    assert_eq!(map.to_string().parse::<Bmap>().unwrap(), map);
    map.verify(disk, 1, &mut Unwatched).unwrap();
    let image = map.mapped(disk).unwrap();
    let mut bytes = vec![0xa5; image.len() as usize];
    image.read_at(0, &mut bytes).unwrap();
    assert!(bytes == output.bytes().unwrap());
}

/// The stream comes back in order, and goes the same way once more.
fn arrives(file: &[u8], disk: &[u8], level: u32) {
    let open = || vmdk::StreamArriving::open(file, "memory").unwrap();
    let received = |fill: &mut dyn FnMut(&mut dyn BlockSink)| {
        let memory = MemorySink::new();
        let output = memory.output();
        let mut sink = Box::new(Forward::new(memory));
        fill(&mut *sink);
        sink.finish().unwrap();
        output.bytes().unwrap()
    };
    let raw = received(&mut |sink| receive(&mut open(), sink, &mut Unwatched).unwrap());
    let (start, rest) = raw.split_at(disk.len());
    assert!(start == disk && forger_block::is_zero(rest));
    let again = received(&mut |sink| {
        vmdk::restream(&mut open(), "a.vmdk", level, 1, sink, &mut Unwatched).unwrap();
    });
    // The disk was rounded up.
    let mut whole = disk.to_vec();
    whole.resize(raw.len(), 0);
    assert!(again == streamed(&whole, level, 1));
}

fn packed(disk: &Vec<u8>, how: u8, level: u32, threads: usize) -> Vec<u8> {
    let options = options(how);
    let codec = match options.version {
        3 if how & 2 == 0 => qcow2::Codec::Zstd,
        _ => qcow2::Codec::Zlib,
    };
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Box::new(Checked::new(memory));
    let compression = qcow2::Compression {
        codec,
        level: level as i32,
        threads,
    };
    let watch = &mut Unwatched;
    let len = match threads {
        1 => qcow2::write_compressed(disk, &options, &compression, &mut *sink, watch),
        _ => {
            let mut arriving = RawArriving::new(&disk[..], "memory");
            qcow2::write_compressed_arriving(
                &mut arriving,
                &options,
                &compression,
                &mut *sink,
                watch,
            )
        }
    };
    sink.finish(len.unwrap()).unwrap();
    output.bytes().unwrap().to_vec()
}

fn machine(disk: &Vec<u8>, level: u32) -> Vec<u8> {
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Box::new(Checked::new(memory));
    let options = ova::Options {
        level,
        ..ova::Options::default()
    };
    let len = ova::write(disk, &options, 1, &mut *sink, &mut Unwatched).unwrap();
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

fn same(file: Arc<dyn BlockRead>, disk: &[u8]) {
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
