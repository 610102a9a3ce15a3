//! Changes to the image's bytes that are known apart from them.

use std::ops::Range;

use bytes::Bytes;

use super::cuts::index;

/// A change to a segment, in offsets of the image; the parts outside the segment are passed over.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// These bytes stand at `start`.
    Write {
        /// Offset in the image in bytes.
        start: u64,
        /// What stands there.
        data: Bytes,
    },
    /// This range holds zeros.
    Zero(Range<u64>),
}

/// Makes a change to the bytes from `start` in the image on.
pub(super) fn apply(edit: &Edit, start: u64, bytes: &mut [u8]) {
    let end = start + bytes.len() as u64;
    let range = match edit {
        Edit::Write { start, data } => *start..*start + data.len() as u64,
        Edit::Zero(range) => range.clone(),
    };
    let common = range.start.max(start)..range.end.min(end);
    if common.is_empty() {
        return;
    }
    let target = &mut bytes[index(common.start - start)..index(common.end - start)];
    match edit {
        Edit::Zero(_) => target.fill(0),
        Edit::Write { data, .. } => {
            let from = index(common.start - range.start);
            target.copy_from_slice(&data[from..from + target.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_the_bytes_is_passed_over() {
        let mut bytes = [1; 10];
        let write = |start| Edit::Write {
            start,
            data: Bytes::from_static(b"abcd"),
        };
        apply(&write(98), 100, &mut bytes);
        apply(&write(108), 100, &mut bytes);
        apply(&write(96), 100, &mut bytes);
        apply(&write(110), 100, &mut bytes);
        apply(&Edit::Zero(104..106), 100, &mut bytes);
        apply(&Edit::Zero(0..101), 100, &mut bytes);
        assert_eq!(bytes, *b"\0d\x01\x01\0\0\x01\x01ab");
    }
}
