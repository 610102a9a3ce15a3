//! CRC-32C of frames, in plain tables: the guest's program has no other dependency.

/// The Castagnoli polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// How many bytes one round takes.
const SLICES: usize = 16;

/// `TABLES[n][b]` is the checksum of the byte `b` followed by `n` zeros.
static TABLES: [[u32; 256]; SLICES] = tables();

const fn tables() -> [[u32; 256]; SLICES] {
    let mut tables = [[0_u32; 256]; SLICES];
    let mut byte = 0;
    let mut value = 0_u32;
    while byte < 256 {
        let mut crc = value;
        let mut bit = 0;
        while bit < 8 {
            crc = match crc & 1 {
                1 => (crc >> 1) ^ POLYNOMIAL,
                _ => crc >> 1,
            };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
        value += 1;
    }
    let mut slice = 1;
    while slice < SLICES {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[slice - 1][byte];
            let [low, ..] = before.to_le_bytes();
            tables[slice][byte] = (before >> 8) ^ tables[0][index(low)];
            byte += 1;
        }
        slice += 1;
    }
    tables
}

/// A byte as an index, in a constant function.
const fn index(byte: u8) -> usize {
    byte as usize
}

/// Returns the CRC-32C of several pieces, one after the other.
#[must_use]
pub fn crc32c(pieces: &[&[u8]]) -> u32 {
    let start = !0_u32;
    !pieces.iter().fold(start, |crc, piece| update(crc, piece))
}

fn update(crc: u32, bytes: &[u8]) -> u32 {
    let (rounds, rest) = bytes.as_chunks::<SLICES>();
    let crc = rounds.iter().fold(crc, |crc, round| {
        let mut round = *round;
        for (byte, old) in round.iter_mut().zip(crc.to_le_bytes()) {
            *byte ^= old;
        }
        TABLES
            .iter()
            .rev()
            .zip(round)
            .fold(0, |sum, (table, byte)| sum ^ table[index(byte)])
    });
    rest.iter().fold(crc, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        (crc >> 8) ^ TABLES[0][index(low ^ byte)]
    })
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
