//! Bytes of any kind are opened as a bundle.
//!
//! Oracle: opening ends, without a panic and in little memory. What is accepted is accepted by the
//! `zstd` and `tar` crates too, which find the same image and the same manifest, and nothing else;
//! the image has the digest that is reported; and the bundle cut short by a byte is refused.
#![no_main]

use std::io::{Cursor, Read};

use forger::bundle::{Facts, OpenError, extract, show, verify};
use forger_block::{Forward, MemorySink};
use forger_fs::observe::Silent;
use libfuzzer_sys::fuzz_target;

/// The largest image and stream that are unpacked in memory, in bytes.
const SMALL: u64 = 4 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, input)) = input.split_first() else {
        return;
    };
    let bundle = match kind % 4 {
        0 => input.to_vec(),
        1 => compressed(input),
        2 => patched(&compressed(&stream()), input),
        _ => compressed(&patched(&stream(), input)),
    };
    let shown = show(&bundle[..], &mut Silent);
    let Ok(facts) = verify(&bundle[..], None, &mut Silent) else {
        return;
    };
    let shown = shown.expect("what is verified can be shown");
    assert_eq!(shown.manifest, facts.manifest);
    if facts.image_size <= SMALL {
        compare(&bundle, &facts);
    }
});

/// Frames of a few bytes each, then a hole frame of 3 zeros, then a filler.
fn compressed(stream: &[u8]) -> Vec<u8> {
    let mut bundle = Vec::new();
    for part in stream.chunks(700) {
        bundle.extend(zstd::bulk::compress(part, 1).expect("memory"));
    }
    bundle.extend(b"\x28\xb5\x2f\xfd\x80\x38\x03\0\0\0\x08\0\0\0\x13\0\0\0");
    bundle.extend(b"\x50\x2a\x4d\x18\x02\0\0\0\0\0");
    bundle
}

/// A legal tar stream, a few bytes short of its padding.
fn stream() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let manifest = br#"{"name":"a","distro":"b","arch":"c"}"#;
    for (name, body) in [("rootfs.ext4", &[7; 1000][..]), ("manifest.json", manifest)] {
        let mut header = tar::Header::new_ustar();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, body).expect("legal");
    }
    builder.into_inner().expect("legal")
}

/// Changes bytes: four of input each, two for the place, one for the change, one to change a digit
/// of the header's checksum to match.
fn patched(bytes: &[u8], patches: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for &[low, high, change, repair] in patches.as_chunks::<4>().0 {
        let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
        bytes[at] = bytes[at].wrapping_add(change);
        let block = at - at % 512;
        if repair & 1 == 0 && bytes.len() >= block + 512 {
            repair_checksum(&mut bytes[block..block + 512]);
        }
    }
    bytes
}

fn repair_checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

fn compare(bundle: &[u8], facts: &Facts) {
    let sink = MemorySink::with_limit(SMALL);
    let output = sink.output();
    let mut sink: Box<dyn forger_block::BlockSink> = Box::new(Forward::new(sink));
    let again = extract(bundle, Some(facts.sha256), &mut *sink, &mut Silent).expect("verified");
    sink.finish().expect("memory");
    let image = output.bytes().expect("finished");
    assert_eq!(facts.blake3, Some(*blake3::hash(&image).as_bytes()));
    assert_eq!(again.manifest_json, facts.manifest_json);

    let mut stream = Vec::new();
    let decoder = zstd::Decoder::new(bundle).expect("memory");
    decoder
        .take(2 * SMALL)
        .read_to_end(&mut stream)
        .expect("zstd agrees");
    let mut archive = tar::Archive::new(Cursor::new(stream));
    let mut found = Vec::new();
    for entry in archive.entries().expect("tar agrees") {
        let mut body = Vec::new();
        let mut entry = entry.expect("tar agrees");
        entry.read_to_end(&mut body).expect("tar agrees");
        found.push(body);
    }
    assert!(found == [image.to_vec(), facts.manifest_json.clone()]);

    let cut = verify(&bundle[..bundle.len() - 1], None, &mut Silent);
    assert!(matches!(
        cut,
        Err(OpenError::Truncated { .. } | OpenError::TruncatedFrame { .. })
    ));
}
