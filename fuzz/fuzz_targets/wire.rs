//! Bytes of any kind arrive on the channel between a guest and its host, in pieces of any size.
//!
//! Oracle: reading ends, without a panic, and holds no more than was pushed. The pieces do not
//! matter: the frames and the first mistake are those of all bytes at once. What is read as a message
//! is written as bytes that are read as the same message. Frames made of the input, with right
//! checksums, all arrive.
#![no_main]

use forger_wire::{Decoder, Message, Side, WireError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&cut, input)) = input.split_first() else {
        return;
    };
    let whole = frames(&[input]);
    let step = usize::from(cut).max(1);
    let pieces: Vec<&[u8]> = input.chunks(step).collect();
    assert_eq!(frames(&pieces), whole);
    for (kind, stream, payload) in &whole.0 {
        let Ok(message) = Message::decode(*kind, payload) else {
            continue;
        };
        let mut again = Vec::new();
        message.encode(*stream, &mut again);
        let (found, mistake) = frames(&[&again]);
        assert_eq!(mistake, None);
        let [(kind, _, payload)] = found.as_slice() else {
            panic!("one message is one frame");
        };
        assert_eq!(Message::decode(*kind, payload), Ok(message));
    }
    right(input, step);
});

/// What arrives, and the first mistake.
type Found = (Vec<(u8, u32, Vec<u8>)>, Option<WireError>);

fn frames(pieces: &[&[u8]]) -> Found {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => found.push((frame.kind, frame.stream, frame.payload.to_vec())),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// Sends the input in frames.
fn right(input: &[u8], step: usize) {
    let mut bytes = b"noise".to_vec();
    let mut sent = 0;
    for piece in input.chunks(step) {
        let side = Side::Stdout;
        Message::Data { side, bytes: piece }.encode(7, &mut bytes);
        sent += 1;
    }
    let mut decoder = Decoder::new();
    decoder.push(&bytes);
    decoder.skip_to_frame();
    let mut content = Vec::new();
    while let Some(frame) = decoder.next_frame().expect("right frames") {
        match frame.message().expect("right messages") {
            Message::Data { bytes, .. } => content.extend_from_slice(bytes),
            other => panic!("{other:?}"),
        }
        sent -= 1;
    }
    assert_eq!((sent, content.as_slice()), (0, input));
}
