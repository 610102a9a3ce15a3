//! What is written is read back. The judges of other people stand in the integration tests.

use std::sync::Arc;

use forger_block::{BlockRead, Checked, MemorySink, PlacedSink, Run, conformance};

use super::*;
use crate::Unwatched;

/// A disk that ends inside a cluster, with holes, zeros, text and noise.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; (5 << 20) + 1024];
    let mut state = 1_u32;
    for (at, byte) in disk[1 << 20..2 << 20].iter_mut().enumerate() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = if at % 300_000 < 150_000 {
            state.to_le_bytes()[3]
        } else {
            b"some text that repeats "[at % 23]
        };
    }
    disk[0] = 1;
    disk[(4 << 20) + 5] = 2;
    let end = disk.len() - 1;
    disk[end] = 3;
    disk
}

fn options(version: u32, cluster_size: u64) -> Options {
    Options {
        version,
        cluster_size,
        ..Options::default()
    }
}

fn planned(disk: &[u8], options: &Options) -> Vec<u8> {
    let source: Arc<dyn BlockRead> = Arc::new(disk.to_vec());
    let image = plan(&source, options, 2, &mut Unwatched).unwrap();
    let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

fn packed(disk: &[u8], options: &Options, codec: Codec, threads: usize) -> Vec<u8> {
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Checked::new(memory);
    let compression = Compression {
        codec,
        level: 1,
        threads,
    };
    let source = disk.to_vec();
    let len = write_compressed(&source, options, &compression, &mut sink, &mut Unwatched).unwrap();
    Box::new(sink).finish(len).unwrap();
    output.bytes().unwrap().to_vec()
}

#[test]
fn planned_images_read_back_in_every_version_and_cluster_size() {
    let disk = disk();
    for version in [2, 3] {
        for bits in [9, 12, 16, 21] {
            let file = planned(&disk, &options(version, 1 << bits));
            let file: Arc<dyn BlockRead> = Arc::new(file);
            assert_eq!(check(&file).unwrap().findings, []);
            let image = Image::open(file).unwrap();
            assert_eq!(image.header().version, version);
            assert_eq!(image.header().cluster_size, 1 << bits);
            conformance::reader(&image, &disk);
        }
    }
}

#[test]
fn compressed_images_read_back_and_do_not_depend_on_threads() {
    let disk = disk();
    for (version, codec) in [(2, Codec::Zlib), (3, Codec::Zlib), (3, Codec::Zstd)] {
        for bits in [9, 16, 21] {
            let options = options(version, 1 << bits);
            let file = packed(&disk, &options, codec, 3);
            assert!(file == packed(&disk, &options, codec, 1));
            let file: Arc<dyn BlockRead> = Arc::new(file);
            assert_eq!(check(&file).unwrap().findings, []);
            let image = Image::open(file).unwrap();
            assert_eq!(image.header().codec, codec);
            conformance::reader(&image, &disk);
        }
    }
}

#[test]
fn a_disk_that_arrives_gives_the_same_image() {
    for disk in [disk(), vec![], vec![0; 70_000], vec![1; 2 << 20]] {
        for cluster_size in [512, 65_536, 2 << 20] {
            let options = options(3, cluster_size);
            let memory = MemorySink::new();
            let output = memory.output();
            let mut sink = Checked::new(memory);
            let compression = Compression {
                codec: Codec::Zstd,
                level: 1,
                threads: 2,
            };
            let mut arriving = crate::RawArriving::new(&disk[..], "memory");
            let len = write_compressed_arriving(
                &mut arriving,
                &options,
                &compression,
                &mut sink,
                &mut Unwatched,
            );
            Box::new(sink).finish(len.unwrap()).unwrap();
            let expected = packed(&disk, &options, Codec::Zstd, 1);
            assert!(output.bytes().unwrap() == expected, "{cluster_size}");
        }
    }
}

#[test]
fn a_full_disk_has_the_length_that_is_known_before() {
    let kinds = [
        (512, 16, false),
        (65_536, 16, false),
        (2 << 20, 16, false),
        (512, 1, false),
        (512, 64, false),
        (16_384, 2, true),
    ];
    for len in [0, 1, 511, 512, 65_536, 65_537, (1 << 20) + 1] {
        for (cluster_size, refcount_bits, extended_l2) in kinds {
            let options = Options {
                refcount_bits,
                extended_l2,
                ..options(3, cluster_size)
            };
            let expected = full_len(len as u64, &options).unwrap();
            assert_eq!(planned(&vec![1; len], &options).len() as u64, expected);
            let noise = noise(len);
            let file = packed(&noise, &options, Codec::Zlib, 1);
            assert!(file.len() as u64 <= expected, "{len} {options:?}");
        }
    }
}

/// Bytes that cannot be compressed.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    })
    .take(len)
    .collect()
}

#[test]
fn holes_are_holes_and_an_empty_disk_is_an_image() {
    let file = planned(&disk(), &Options::default());
    let image = Image::open(Arc::new(file)).unwrap();
    assert_eq!(image.run_at(65_536).unwrap(), Run::Hole((1 << 20) - 65_536));
    for disk in [vec![], vec![0; 512], vec![0; 3 << 20]] {
        let file = planned(&disk, &Options::default());
        conformance::reader(&Image::open(Arc::new(file)).unwrap(), &disk);
        let file: Arc<dyn BlockRead> = Arc::new(packed(&disk, &Options::default(), Codec::Zlib, 1));
        assert_eq!(check(&file).unwrap().findings, []);
        conformance::reader(&Image::open(file).unwrap(), &disk);
    }
}

#[test]
fn a_disk_is_rounded_up_to_whole_sectors() {
    let disk = vec![7; 70_000];
    let mut whole = disk.clone();
    whole.resize(137 * 512, 0);
    let file = planned(&disk, &Options::default());
    conformance::reader(&Image::open(Arc::new(file)).unwrap(), &whole);
    let file = packed(&disk, &Options::default(), Codec::Zlib, 1);
    conformance::reader(&Image::open(Arc::new(file)).unwrap(), &whole);
}

#[test]
fn impossible_options_are_refused() {
    for (version, cluster_size) in [(1, 65_536), (4, 65_536), (3, 256), (3, 4 << 20), (3, 1000)] {
        assert!(options(version, cluster_size).validate().is_err());
    }
    let compression = |codec, level| Compression {
        codec,
        level,
        threads: 1,
    };
    let valid = |version, codec, level| {
        compression(codec, level)
            .validate(&options(version, 65_536))
            .is_ok()
    };
    assert!(valid(2, Codec::Zlib, 9) && valid(3, Codec::Zstd, 19));
    assert!(!valid(2, Codec::Zstd, 3) && !valid(3, Codec::Zlib, 0) && !valid(3, Codec::Zstd, 20));
}

#[test]
fn a_disk_that_is_too_large_for_its_clusters_is_refused() {
    let hole = forger_block::SparseImage::builder()
        .finish(1 << 40)
        .unwrap();
    let hole: Arc<dyn BlockRead> = Arc::new(hole);
    let error = plan(&hole, &options(3, 512), 1, &mut Unwatched).unwrap_err();
    assert!(matches!(error, WriteError::TooLarge { .. }), "{error}");
    assert!(plan(&hole, &options(3, 65_536), 1, &mut Unwatched).is_ok());
}

/// Returns the bytes of a planned image.
fn bytes_of(image: &forger_block::SparseImage) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn refcounts_of_every_width_and_subclusters_read_back() {
    let disk = disk();
    for refcount_bits in [1, 2, 4, 8, 32, 64] {
        let options = Options {
            refcount_bits,
            extended_l2: refcount_bits > 2,
            ..Options::default()
        };
        let image = Image::open(Arc::new(planned(&disk, &options))).unwrap();
        assert_eq!(image.header().refcount_bits, refcount_bits);
        assert_eq!(image.header().extended_l2, options.extended_l2);
        conformance::reader(&image, &disk);
        let image = Image::open(Arc::new(packed(&disk, &options, Codec::Zlib, 2))).unwrap();
        conformance::reader(&image, &disk);
    }
    let wrong = [(2, 1, false), (3, 3, false), (3, 128, false), (2, 16, true)];
    for (version, refcount_bits, extended_l2) in wrong {
        let options = Options {
            version,
            refcount_bits,
            extended_l2,
            ..Options::default()
        };
        assert!(options.validate().is_err());
    }
}

#[test]
fn new_images_are_empty_and_as_large_as_asked_for() {
    for (size, preallocation) in [
        (0, Preallocation::Off),
        (5 << 20, Preallocation::Off),
        ((5 << 20) + 512, Preallocation::Metadata),
        (1 << 20, Preallocation::Full),
    ] {
        let new = Create {
            preallocation,
            codec: Codec::Zstd,
            lazy_refcounts: true,
            ..Create::new(size)
        };
        let file = create(&new).unwrap();
        let image = Image::open(Arc::new(bytes_of(&file))).unwrap();
        assert_eq!(image.header().codec, Codec::Zstd);
        conformance::reader(&image, &vec![0; usize::try_from(size).unwrap()]);
        let len = match preallocation {
            Preallocation::Off => 4 * 65_536,
            _ => 5 * 65_536 + size.next_multiple_of(65_536),
        };
        assert_eq!(file.len(), len);
    }
    let huge = create(&Create::new(1 << 60)).unwrap_err();
    assert!(matches!(huge, WriteError::TooLarge { .. }), "{huge}");
}

fn backed(name: &str) -> Named {
    Named {
        name: name.to_owned(),
        format: Some("raw".to_owned()),
    }
}

#[test]
fn an_image_over_a_backing_file_has_what_differs() {
    let base = disk();
    let mut disk = base.clone();
    disk[1 << 20..(1 << 20) + 65_536].fill(0);
    disk[3 << 20] = 9;
    disk.resize(6 << 20, 0);
    for (version, clusters) in [(2, 2), (3, 1)] {
        let source: Arc<dyn BlockRead> = Arc::new(disk.clone());
        let backing = Backing {
            named: backed("base.raw"),
            disk: Arc::new(base.clone()),
        };
        let options = options(version, 65_536);
        let file = plan_over(&source, &backing, &options, 2, &mut Unwatched).unwrap();
        // Header, refcount table and block, L1 and L2 table, and what differs.
        assert_eq!(file.len(), (5 + clusters) * 65_536);
        let file: Arc<dyn BlockRead> = Arc::new(bytes_of(&file));
        let header = Header::read(&file).unwrap();
        assert_eq!(header.backing_file.as_deref(), Some("base.raw"));
        assert_eq!(header.backing_format.as_deref(), Some("raw"));
        let neighbours = Neighbours {
            backing: Some(Arc::clone(&backing.disk)),
            ..Neighbours::default()
        };
        conformance::reader(&Image::open_with(file, neighbours).unwrap(), &disk);
    }
    let new = Create {
        backing: Some(backed("base.raw")),
        preallocation: Preallocation::Metadata,
        ..Create::new(5 << 20)
    };
    assert!(create(&new).is_err());
    let new = Create {
        options: Options {
            extended_l2: true,
            ..Options::default()
        },
        ..new
    };
    let file: Arc<dyn BlockRead> = Arc::new(bytes_of(&create(&new).unwrap()));
    let neighbours = Neighbours {
        backing: Some(Arc::new(base.clone())),
        ..Neighbours::default()
    };
    let image = Image::open_with(file, neighbours).unwrap();
    conformance::reader(&image, &base[..5 << 20]);
}

/// Changes a field of the header.
fn with(file: &[u8], at: usize, bytes: &[u8]) -> Result<Image, ReadError> {
    let mut file = file.to_vec();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    Image::open(Arc::new(file))
}

#[test]
fn hostile_headers_are_refused() {
    let file = planned(&disk(), &Options::default());
    assert!(with(&file, 0, b"QFI\xfb").is_ok());
    let refused: [(usize, &[u8]); 16] = [
        (0, b"QFI\xfa"),
        (4, &1_u32.to_be_bytes()),
        (4, &4_u32.to_be_bytes()),
        (8, &(u64::MAX - 3).to_be_bytes()),
        (20, &8_u32.to_be_bytes()),
        (20, &22_u32.to_be_bytes()),
        (24, &u64::MAX.to_be_bytes()),
        (24, &(1_u64 << 62).to_be_bytes()),
        (32, &1_u32.to_be_bytes()),
        (36, &0_u32.to_be_bytes()),
        (36, &u32::MAX.to_be_bytes()),
        (40, &(1_u64 << 40).to_be_bytes()),
        (40, &100_u64.to_be_bytes()),
        (60, &7_u32.to_be_bytes()),
        (96, &7_u32.to_be_bytes()),
        (100, &50_u32.to_be_bytes()),
    ];
    for (at, bytes) in refused {
        assert!(with(&file, at, bytes).is_err(), "{at} {bytes:?}");
    }
    for len in [0, 4, 71, 103] {
        assert!(Image::open(Arc::new(file[..len].to_vec())).is_err());
    }
}

#[test]
fn an_l2_table_that_is_used_twice_is_refused() {
    let file = planned(&disk(), &options(3, 512));
    let l1 = usize::try_from(u64::from_be_bytes(file[40..48].try_into().unwrap())).unwrap();
    let first = file[l1..l1 + 8].to_vec();
    let error = with(&file, l1 + 8, &first).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
}

#[test]
fn features_that_are_not_known_are_named() {
    let file = planned(&disk(), &Options::default());
    let error = with(&file, 72, &(1_u64 << 40).to_be_bytes()).unwrap_err();
    assert!(error.to_string().contains("incompatible bit 40"), "{error}");
}

#[test]
fn other_files_are_read_only_with_leave() {
    let base = disk();
    let mut file = planned(&vec![0; base.len()], &Options::default());
    let at = 1024;
    file[at..at + 11].copy_from_slice(b"/etc/shadow");
    file[8..16].copy_from_slice(&(at as u64).to_be_bytes());
    file[16..20].copy_from_slice(&11_u32.to_be_bytes());
    let file: Arc<dyn BlockRead> = Arc::new(file);
    let error = Image::open(Arc::clone(&file)).unwrap_err();
    assert!(error.to_string().contains("/etc/shadow"), "{error}");
    // A shorter backing file goes on with zeros.
    let neighbours = Neighbours {
        backing: Some(Arc::new(base[..2 << 20].to_vec())),
        ..Neighbours::default()
    };
    let image = Image::open_with(file, neighbours).unwrap();
    let mut expected = base;
    expected[2 << 20..].fill(0);
    conformance::reader(&image, &expected);
}

#[test]
fn damaged_tables_are_errors_where_they_are_read() {
    let file = planned(&disk(), &Options::default());
    let l1 = usize::try_from(u64::from_be_bytes(file[40..48].try_into().unwrap())).unwrap();
    let beyond = (super::entry::COPIED | (1 << 40)).to_be_bytes();
    assert!(with(&file, l1, &beyond).is_err());
    let l2 = l1 + 65_536;
    let image = with(&file, l2, &beyond).unwrap();
    assert!(image.read_at(0, &mut [0]).is_err());
    assert!(image.read_at(1 << 20, &mut [0]).is_ok());
    let odd = (super::entry::COPIED | (65_536 + 512)).to_be_bytes();
    assert!(with(&file, l2, &odd).unwrap().read_at(0, &mut [0]).is_err());
    let noise = (super::entry::COMPRESSED | 70_000).to_be_bytes();
    let image = with(&file, l2, &noise).unwrap();
    assert!(image.read_at(0, &mut [0]).is_err());
}
