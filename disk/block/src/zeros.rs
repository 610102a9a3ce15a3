//! Zeros: finding them, and having some at hand.

/// So many zeros are at hand: 64 KiB.
pub(crate) const ZEROS_LEN: usize = 64 << 10;

/// Zeros to write from.
pub(crate) static ZEROS: [u8; ZEROS_LEN] = [0; ZEROS_LEN];

/// Tells whether all bytes are zero; true for no bytes.
///
/// Works on words, 128 bytes a step, and leaves at the first step that holds anything else.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    let (steps, tail) = bytes.as_chunks::<128>();
    steps.iter().all(is_zero_step) && tail.iter().all(|&byte| byte == 0)
}

#[inline]
fn is_zero_step(step: &[u8; 128]) -> bool {
    let (words, _) = step.as_chunks::<8>();
    words
        .iter()
        .fold(0, |any, word| any | u64::from_ne_bytes(*word))
        == 0
}

/// Calls `write` with slices of zeros that make up `len` bytes.
///
/// # Errors
/// The first one that `write` returns.
pub(crate) fn each_zeros<E>(
    mut len: u64,
    mut write: impl FnMut(&'static [u8]) -> Result<(), E>,
) -> Result<(), E> {
    while len > 0 {
        let piece = usize::try_from(len).map_or(ZEROS_LEN, |len| len.min(ZEROS_LEN));
        write(&ZEROS[..piece])?;
        len -= piece as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_are_zero() {
        assert!(is_zero(&[]));
    }

    #[test]
    fn one_bit_anywhere_is_found_at_every_length() {
        for len in 0..300 {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes), "{len} zeros");
            for at in 0..len {
                bytes[at] = 1 << (at % 8);
                assert!(!is_zero(&bytes), "bit in byte {at} of {len}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn unaligned_slices_are_judged_by_their_own_bytes() {
        let mut bytes = vec![0; 1000];
        bytes[2] = 1;
        bytes[997] = 1;
        assert!(is_zero(&bytes[3..997]));
        assert!(!is_zero(&bytes[2..997]));
        assert!(!is_zero(&bytes[3..998]));
    }
}
