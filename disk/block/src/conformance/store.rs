//! What a store promises.

use super::{Numbers, reader};
use crate::{BlockStore, Error, Run};

/// Asserts that a store, which holds `content`, keeps the contract: it reads as what was written last,
/// whatever the ranges, and refuses what lies outside.
///
/// # Panics
/// Where it does not.
pub fn store(store: &dyn BlockStore, mut content: Vec<u8>) {
    reader(store, &content);
    outside(store, &content);
    let mut numbers = Numbers(content.len() as u64);
    for round in 0..400 {
        let at = numbers.below(content.len() + 1);
        let len = numbers.below((content.len() - at).min(9000) + 1);
        let range = at..at + len;
        match numbers.below(3) {
            0 | 1 => {
                let data = numbers.bytes(len);
                succeeds(store.write_at(at as u64, &data), "write", at, len);
                content[range].copy_from_slice(&data);
            }
            _ => {
                succeeds(store.erase(at as u64, len as u64), "erase", at, len);
                content[range].fill(0);
            }
        }
        if round % 100 == 99 {
            reader(store, &content);
        }
    }
    let part = content.len() / 4..content.len() / 2;
    let len = part.end - part.start;
    succeeds(
        store.discard(part.start as u64, len as u64),
        "discard",
        part.start,
        len,
    );
    let mut found = vec![0xA5; len];
    succeeds(
        store.read_at(part.start as u64, &mut found),
        "read",
        part.start,
        len,
    );
    let zeros = found.iter().all(|&byte| byte == 0);
    assert!(
        zeros || found == content[part.clone()],
        "a discarded range reads as zeros or as before"
    );
    content[part].copy_from_slice(&found);
    succeeds(store.sync(), "sync", 0, 0);
    reader(store, &content);
    threads(store, content);
}

/// Several threads write to parts of their own.
fn threads(store: &dyn BlockStore, mut content: Vec<u8>) {
    let part = content.len().div_ceil(4).max(1);
    std::thread::scope(|scope| {
        for (number, mine) in content.chunks_mut(part).enumerate() {
            scope.spawn(move || {
                let start = number * part;
                let mut numbers = Numbers(number as u64);
                for _ in 0..100 {
                    let at = numbers.below(mine.len() + 1);
                    let len = numbers.below((mine.len() - at).min(3000) + 1);
                    let data = numbers.bytes(len);
                    let offset = (start + at) as u64;
                    succeeds(store.write_at(offset, &data), "write", start + at, len);
                    mine[at..at + len].copy_from_slice(&data);
                }
            });
        }
    });
    reader(store, &content);
}

fn outside(store: &dyn BlockStore, content: &[u8]) {
    let size = content.len() as u64;
    for (offset, len) in [
        (size, 1),
        (size + 1, 0),
        (size.saturating_sub(1), 2),
        (u64::MAX, 1),
        (u64::MAX - 7, 16),
    ] {
        let data = vec![1; len];
        let len = len as u64;
        for result in [
            store.write_at(offset, &data),
            store.erase(offset, len),
            store.discard(offset, len),
        ] {
            assert!(
                matches!(result, Err(Error::OutOfRange { .. })),
                "{len} bytes at {offset} of {size}: {result:?}"
            );
        }
    }
    let end = store.run_at(size);
    assert!(matches!(end, Ok(Run::Hole(0))), "{end:?}");
    reader(store, content);
}

#[track_caller]
fn succeeds(result: crate::Result<()>, what: &str, at: usize, len: usize) {
    assert!(result.is_ok(), "{what} of {len} bytes at {at}: {result:?}");
}
