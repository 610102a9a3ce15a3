use std::sync::Arc;

use forger_block::{BlockRead, BlockSink, Forward, MemorySink, is_zero};

use super::*;
use crate::Unwatched;

/// Records pieces of a disk, each with its place, and returns the disk and its map.
fn recorded(pieces: &[(u64, &[u8])], size: u64) -> (Arc<dyn BlockRead>, Bmap) {
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Box::new(Forward::new(memory));
    let mut recorder = Recorder::new(&mut *sink);
    for (at, bytes) in pieces {
        recorder.skip(at - recorder.position()).unwrap();
        recorder.write(bytes).unwrap();
    }
    recorder.skip(size - recorder.position()).unwrap();
    let bmap = recorder.complete();
    sink.finish().unwrap();
    (Arc::new(output.bytes().unwrap().to_vec()), bmap)
}

fn ranges(bmap: &Bmap) -> Vec<(u64, u64)> {
    let ranges = bmap.ranges.iter();
    ranges
        .map(|range| (range.blocks.start, range.blocks.end))
        .collect()
}

#[test]
fn ranges_are_whole_blocks_and_their_sums_those_of_the_disk() {
    let ones = [1; 20_000];
    for (pieces, size, expected) in [
        (&[][..], 0, &[][..]),
        (&[], 9000, &[]),
        (&[(0, &ones[..1])], 1, &[(0, 1)]),
        (&[(0, &ones[..4096])], 9000, &[(0, 1)]),
        (&[(0, &ones[..4097])], 9000, &[(0, 2)]),
        (&[(5000, &ones[..10])], 9000, &[(1, 2)]),
        (&[(10, &ones[..10]), (30, &ones[..10])], 9000, &[(0, 1)]),
        (&[(10, &ones[..10]), (8000, &ones[..10])], 9000, &[(0, 2)]),
        (
            &[(10, &ones[..10]), (8192, &ones[..10])],
            9000,
            &[(0, 1), (2, 3)],
        ),
        (&[(4000, &ones[..96]), (4096, &ones[..1])], 9000, &[(0, 2)]),
        (&[(8192, &ones[..808])], 9000, &[(2, 3)]),
        (&[(0, &ones), (40_960, &ones)], 90_000, &[(0, 5), (10, 15)]),
    ] {
        let (disk, bmap) = recorded(pieces, size);
        assert_eq!(ranges(&bmap), expected, "{pieces:?}");
        bmap.verify(&disk, 2, &mut Unwatched).unwrap();
        let text = bmap.to_string();
        assert_eq!(text.parse::<Bmap>().unwrap(), bmap);
        let mapped = bmap.mapped(&disk).unwrap();
        let mut bytes = vec![0; usize::try_from(size).unwrap()];
        let mut copy = bytes.clone();
        disk.read_at(0, &mut bytes).unwrap();
        mapped.read_at(0, &mut copy).unwrap();
        assert!(bytes == copy);
    }
}

#[test]
fn another_disk_is_noticed_where_it_is_mapped_and_left_out_elsewhere() {
    let (disk, bmap) = recorded(&[(0, &[1; 5000]), (20_000, &[2; 5000])], 50_000);
    let mut bytes = vec![0; 50_000];
    disk.read_at(0, &mut bytes).unwrap();
    bytes[30_000] = 9;
    let elsewhere: Arc<dyn BlockRead> = Arc::new(bytes.clone());
    bmap.verify(&elsewhere, 1, &mut Unwatched).unwrap();
    let mut part = vec![1; 10_000];
    let mapped = bmap.mapped(&elsewhere).unwrap();
    mapped.read_at(30_000, &mut part).unwrap();
    assert!(is_zero(&part));
    bytes[21_000] = 9;
    let wrong = bmap.verify(&bytes, 2, &mut Unwatched);
    assert!(
        matches!(
            wrong,
            Err(MapError::Sum {
                first: 4,
                last: 6,
                ..
            })
        ),
        "{wrong:?}"
    );
    bytes.push(0);
    let wrong = bmap.verify(&bytes, 1, &mut Unwatched);
    assert!(matches!(wrong, Err(MapError::Size { .. })));
}

#[test]
fn older_versions_are_read() {
    let text = "<bmap version=\"1.3\"><ImageSize> 5000 </ImageSize><BlockSize> 4096 </BlockSize>\
        <BlocksCount> 2 </BlocksCount><MappedBlocksCount> 1 </MappedBlocksCount>\
        <BlockMap><Range sha1=\"1ceaf73df40e531df3bfb26b4fb7cd95fb7bff1d\"> 0 </Range></BlockMap></bmap>";
    let bmap: Bmap = text.parse().unwrap();
    bmap.verify(&vec![0; 5000], 1, &mut Unwatched).unwrap();
    assert!(bmap.has_checksums());
    let text = text.replace(" sha1=\"1ceaf73df40e531df3bfb26b4fb7cd95fb7bff1d\"", "");
    let bmap: Bmap = text.replace("1.3", "1.2").parse().unwrap();
    assert!(!bmap.has_checksums());
    bmap.verify(&vec![7; 5000], 1, &mut Unwatched).unwrap();
}

#[test]
fn damage_is_refused() {
    let (_, bmap) = recorded(&[(0, &[1; 5000]), (20_000, &[2; 5000])], 50_000);
    let text = bmap.to_string();
    let refused = |text: &str| text.parse::<Bmap>().unwrap_err();
    assert!(matches!(
        refused(&text.replace(" 50000 ", " 50001 ")),
        ReadError::Sum { .. }
    ));
    // Without its own checksum, everything else is looked at.
    let start = text.find("<BmapFileChecksum>").unwrap();
    let end = text.find("    <BlockMap>").unwrap();
    let open = [&text[..start], &text[end..]].concat();
    open.parse::<Bmap>().unwrap();
    for (from, to) in [
        ("version=\"2.0\"", "version=\"3.0\""),
        ("version=\"2.0\"", ""),
        (" 50000 ", " 99999 "),
        (" 50000 ", " -1 "),
        (" 50000 ", " 99999999999999999999 "),
        (" 4096 ", " 0 "),
        (" 0-1 ", " 1-0 "),
        (" 0-1 ", " 0-5 "),
        (" 4-6 ", " 4-13 "),
        (" 4-6 ", " 4-18446744073709551615 "),
        (" 5 </Mapped", " 6 </Mapped"),
        ("sha256", "md5"),
        ("chksum=\"", "chksum=\"0"),
        ("</bmap>", ""),
    ] {
        assert!(open.contains(from), "{from}");
        let _ = refused(&open.replacen(from, to, 1));
    }
}
