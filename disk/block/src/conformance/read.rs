//! What a reader promises.

use super::{Numbers, assert_same};
use crate::zeros::is_zero;
use crate::{BlockRead, Error, Run};

/// Asserts that a reader keeps the contract and holds exactly `expected`.
///
/// # Panics
/// Where it does not.
pub fn reader(reader: &dyn BlockRead, expected: &[u8]) {
    let len = expected.len() as u64;
    assert_eq!(reader.len(), len, "len()");
    assert_eq!(reader.is_empty(), expected.is_empty(), "is_empty()");
    whole_and_odd_ranges(reader, expected);
    several_threads(reader, expected);
    ranges_outside(reader, len);
    runs(reader, expected);
}

fn whole_and_odd_ranges(reader: &dyn BlockRead, expected: &[u8]) {
    read(reader, expected, 0, expected.len());
    for at in [0, expected.len() / 2, expected.len()] {
        read(reader, expected, at, 0);
    }
    let mut numbers = Numbers(expected.len() as u64);
    for _ in 0..200 {
        let at = numbers.below(expected.len() + 1);
        let len = numbers.below((expected.len() - at).min(70_000) + 1);
        read(reader, expected, at, len);
    }
    for from_end in 1..expected.len().min(20) {
        read(reader, expected, expected.len() - from_end, from_end);
    }
}

fn read(reader: &dyn BlockRead, expected: &[u8], at: usize, len: usize) {
    let mut buf = vec![0xA5; len];
    let result = reader.read_at(at as u64, &mut buf);
    assert!(result.is_ok(), "read of {len} bytes at {at}: {result:?}");
    assert_same(
        &buf,
        &expected[at..at + len],
        &format!("read of {len} bytes at {at}"),
    );
}

fn several_threads(reader: &dyn BlockRead, expected: &[u8]) {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let mut numbers = Numbers(thread);
                for _ in 0..50 {
                    let at = numbers.below(expected.len() + 1);
                    let len = numbers.below((expected.len() - at).min(5000) + 1);
                    read(reader, expected, at, len);
                }
            });
        }
    });
}

fn ranges_outside(reader: &dyn BlockRead, size: u64) {
    let outside = [
        (size, 1),
        (size.saturating_sub(1), 2),
        (size + 1, 0),
        (size + 1, 1),
        (u64::MAX, 0),
        (u64::MAX, 1),
        (u64::MAX - 1, 2),
        (u64::MAX - 7, 16),
        (1 << 63, 16),
    ];
    for (offset, len) in outside {
        let mut buf = vec![0xA5; len];
        let result = reader.read_at(offset, &mut buf);
        let Err(Error::OutOfRange {
            offset: told_offset,
            len: told_len,
            size: told_size,
        }) = result
        else {
            panic!("read of {len} bytes at {offset} of {size}: {result:?}");
        };
        assert_eq!(
            (told_offset, told_len, told_size),
            (offset, len as u64, size),
            "the error names the range and the length"
        );
        assert!(buf.iter().all(|&b| b == 0xA5), "nothing is read");
    }
    for offset in [size + 1, 1 << 63, u64::MAX] {
        let result = reader.run_at(offset);
        assert!(
            matches!(result, Err(Error::OutOfRange { .. })),
            "run at {offset} of {size}: {result:?}"
        );
    }
}

fn runs(reader: &dyn BlockRead, expected: &[u8]) {
    let size = expected.len() as u64;
    assert_eq!(run(reader, size), Run::Hole(0), "the run at the end");
    let mut at = 0;
    while at < expected.len() {
        at += check_run(reader, expected, at);
    }
    assert_eq!(at, expected.len(), "runs end at the length");
    let mut numbers = Numbers(!size);
    for _ in 0..100 {
        let at = numbers.below(expected.len() + 1);
        if at < expected.len() {
            check_run(reader, expected, at);
        }
    }
}

/// Checks the run at an offset before the end and returns its length.
fn check_run(reader: &dyn BlockRead, expected: &[u8], at: usize) -> usize {
    let run = run(reader, at as u64);
    let len = usize::try_from(run.len()).unwrap_or(usize::MAX);
    assert!(len > 0, "the run at {at} is empty");
    assert!(
        len <= expected.len() - at,
        "the run at {at} goes beyond the end"
    );
    if let Run::Hole(_) = run {
        assert!(
            is_zero(&expected[at..at + len]),
            "data in the hole of {len} bytes at {at}"
        );
    }
    len
}

fn run(reader: &dyn BlockRead, at: u64) -> Run {
    let result = reader.run_at(at);
    assert!(result.is_ok(), "run at {at}: {result:?}");
    result.unwrap_or(Run::Hole(0))
}
