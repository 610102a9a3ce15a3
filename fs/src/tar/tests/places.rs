//! Contents of which only the place is wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use forger_block::BlockRead;

use super::*;
use crate::source::BodyPlace;

/// An archive that can be read again, and counts what is.
#[derive(Debug)]
struct Counted {
    bytes: Vec<u8>,
    read: AtomicU64,
}

impl Counted {
    fn new(bytes: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            bytes: bytes.to_vec(),
            read: AtomicU64::new(0),
        })
    }
}

impl BlockRead for Counted {
    fn len(&self) -> u64 {
        self.bytes.len().try_into().unwrap()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> forger_block::Result<()> {
        let len = u64::try_from(buf.len()).unwrap();
        self.read.fetch_add(len, Ordering::Relaxed);
        self.bytes.read_at(offset, buf)
    }
}

/// Reads an archive as places; returns names, and contents put together by them.
fn placed(archive: &[u8], origin: &Arc<Counted>) -> Vec<(Vec<u8>, Vec<u8>, Vec<i64>)> {
    let mut reader = Reader::new(archive).with_origin(Arc::clone(origin) as Arc<dyn BlockRead>);
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let (mut data, mut runs) = (Vec::new(), Vec::new());
        while let Some(place) = reader.next_place().unwrap() {
            let signed = i64::try_from(place.len()).unwrap();
            match place {
                BodyPlace::Data { at, len } => {
                    let (at, len) = (usize::try_from(at).unwrap(), usize::try_from(len).unwrap());
                    data.extend_from_slice(&archive[at..at + len]);
                    match runs.last_mut() {
                        Some(last) if *last > 0 => *last += signed,
                        _ => runs.push(signed),
                    }
                }
                BodyPlace::Hole(_) => runs.push(-signed),
            }
        }
        assert!(reader.next_run().unwrap().is_none());
        all.push((entry.path, data, runs));
    }
    all
}

#[test]
fn places_say_what_runs_show() {
    let large: Vec<u8> = (0..300_001u32)
        .map(|at| (at / 7).to_le_bytes()[0])
        .collect();
    for bytes in [
        of_every_kind(),
        archive(&[file("a", b"x"), file("large", &large), file("b", b"y")]),
        archive(&[super::sparse::old_gnu(), super::sparse::in_body()]),
    ] {
        let seen = read(&bytes).unwrap().into_iter();
        let seen: Vec<_> = seen
            .map(|seen| (seen.entry.path, seen.data, seen.runs))
            .collect();
        assert_eq!(placed(&bytes, &Counted::new(&bytes)), seen);
    }
}

#[test]
fn large_contents_are_jumped_over_wherever_nobody_reads_them() {
    let large = vec![7; 8 << 20];
    let bytes = archive(&[
        file("a", b"x"),
        file("large", &large),
        file("larger", &[&large[..], &large].concat()),
        file("b", b"y"),
    ]);
    let origin = Counted::new(&bytes);
    let placed = placed(&bytes, &origin);
    assert_eq!(placed[2].1.len(), 16 << 20);
    assert_eq!((&placed[3].0[..], &placed[3].1[..]), (&b"b"[..], &b"y"[..]));
    assert!(origin.read.load(Ordering::Relaxed) < 200_000);
    // As are contents that are not asked for at all, here in an archive that is cut off.
    let cut = &bytes[..bytes.len() - 4096];
    let mut reader = Reader::new(cut).with_origin(Counted::new(cut));
    let mut names = Vec::new();
    let error = loop {
        match reader.next_entry() {
            Ok(Some(entry)) => names.push(entry.path),
            Ok(None) => panic!("an end"),
            Err(error) => break error,
        }
    };
    assert_eq!(names.len(), 3);
    let source::Error::Tar(Error::Truncated {
        missing, offset, ..
    }) = error
    else {
        panic!("{error}")
    };
    assert_eq!(offset, u64::try_from(cut.len()).unwrap());
    assert_eq!(missing, 2048);
}
