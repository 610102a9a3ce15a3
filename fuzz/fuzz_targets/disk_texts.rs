//! A damaged or hostile block map or OVF descriptor, or stream of a VMDK, is read to an end.
//!
//! Oracle: reading comes to an end without a panic and within the memory that the caller allows; a
//! block map that is read is written again such that it is read the same; an archive around any
//! descriptor is opened or refused; what arrives of a VMDK arrives in order.
#![no_main]

use std::sync::Arc;

use forger_block::{BlockRead, MemorySink, PlacedSink};
use forger_disk::bmap::Bmap;
use forger_disk::{Arriving, Unwatched, ova, vmdk};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, rest)) = input.split_first() else {
        return;
    };
    match kind % 3 {
        0 => {
            let text = String::from_utf8_lossy(rest);
            let Ok(map) = text.parse::<Bmap>() else {
                return;
            };
            assert_eq!(map.to_string().parse::<Bmap>().unwrap(), map);
            let disk = vec![0; map.image_size().min(1 << 16) as usize];
            let disk: Arc<dyn BlockRead> = Arc::new(disk);
            let _ = map.verify(&disk, 1, &mut Unwatched);
            let _ = map.mapped(&disk);
        }
        1 => machine(rest),
        _ => {
            let Ok(mut disk) = vmdk::StreamArriving::open(rest, "memory") else {
                return;
            };
            let (mut at, mut buffer) = (0, Vec::new());
            while let Ok(Some(start)) = disk.next(&mut buffer) {
                assert!(start >= at && !buffer.is_empty() && buffer.len() <= 2 << 20);
                at = start + buffer.len() as u64;
                assert!(disk.known_len().is_some_and(|len| at <= len));
            }
        }
    }
});

/// Opens an archive whose descriptor is changed: a place, a length, and what stands there instead.
fn machine(changes: &[u8]) {
    let mut sink = Box::new(MemorySink::new());
    let output = sink.output();
    let options = ova::Options::default();
    let len = ova::write(&vec![7_u8; 1000], &options, 1, &mut *sink, &mut Unwatched).unwrap();
    sink.finish(len).unwrap();
    let mut file = output.bytes().unwrap().to_vec();
    for change in changes.chunks(8) {
        let [a, b, rest @ ..] = change else {
            break;
        };
        let at = usize::from(*a) | usize::from(*b) << 8;
        for (to, from) in file.iter_mut().skip(at).zip(rest) {
            *to = *from;
        }
    }
    let Ok(image) = ova::Image::open(Arc::new(file)) else {
        return;
    };
    let _ = image.verify(&mut Unwatched);
    let mut bytes = vec![0; image.disk().len().min(1 << 20) as usize];
    let _ = image.disk().read_at(0, &mut bytes);
}
