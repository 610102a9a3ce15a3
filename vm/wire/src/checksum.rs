//! CRC-32C of frames.

/// Returns the CRC-32C of several pieces, one after the other.
#[must_use]
pub fn crc32c(pieces: &[&[u8]]) -> u32 {
    let append = |crc, piece: &&[u8]| crc32c::crc32c_append(crc, piece);
    pieces.iter().fold(0, append)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        assert_eq!(crc32c(&[b"123456789"]), 0xe306_9283);
        assert_eq!(crc32c(&[&[0; 32]]), 0x8a91_36aa);
        assert_eq!(crc32c(&[&[0xff; 32]]), 0x62a8_ab43);
    }

    #[test]
    fn pieces_give_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for cut in [0, 1, 15, 16, 17, 500, 1000] {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(crc32c(&[head, tail]), crc32c(&[&bytes]), "{cut}");
        }
    }
}
