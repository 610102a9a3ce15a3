//! Reading a tar header, and PAX records, as far as a bundle needs them.
//!
//! Any tar that holds two regular files will do, whoever wrote it: v7, ustar, GNU or PAX. Everything
//! that a bundle does not have is refused, so nothing needs to be understood that could hide a
//! member: no links, no sparse files, no long names.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::member::BLOCK;

/// A header, and what the PAX records before it say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The type flag.
    pub(super) kind: u8,
    /// The name, with its prefix.
    pub(super) name: Vec<u8>,
    /// Length of the body in bytes.
    pub(super) size: u64,
}

/// What PAX records say about the next member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    /// Its name.
    pub(super) path: Option<Vec<u8>>,
    /// Length of its body in bytes.
    pub(super) size: Option<u64>,
}

/// Reads a header; `None` for a block of zeros.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Option<Header>, String> {
    if forger_block::is_zero(block) {
        return Ok(None);
    }
    let field = |start, len| {
        let rest: &[u8] = block.get(start..).unwrap_or_default();
        rest.get(..len).unwrap_or_default()
    };
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, &byte)| u64::from(if (148..156).contains(&at) { b' ' } else { byte }))
        .sum();
    if number(field(148, 8)) != Some(sum) {
        return Err("no tar header: its checksum does not match".to_owned());
    }
    let size = number(field(124, 12)).ok_or("the size in the header is no number")?;
    let is_posix = field(257, 6) == b"ustar\0";
    let prefix = until_nul(if is_posix { field(345, 155) } else { b"" });
    let mut name = prefix.to_vec();
    if !prefix.is_empty() {
        name.push(b'/');
    }
    name.extend_from_slice(until_nul(field(0, 100)));
    let kind = field(156, 1).first().copied().unwrap_or_default();
    Ok(Some(Header { kind, name, size }))
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Reads a number: octal digits, perhaps after spaces, then spaces and NULs; or base-256 where the
/// first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // 0x80 for a positive number; 0xff begins a negative one.
        return (first == 0x80)
            .then(|| rest.iter().try_fold(0, |sum, &byte| push(sum, 256, byte)))
            .flatten();
    }
    let padding = |byte: &u8| *byte == b' ' || *byte == 0;
    let digits = field.get(field.iter().position(|&byte| byte != b' ')?..)?;
    let end = digits.iter().position(padding).unwrap_or(digits.len());
    let (digits, after) = digits.split_at_checked(end)?;
    if digits.is_empty() || !after.iter().all(padding) {
        return None;
    }
    digits.iter().try_fold(0, |sum, &digit| match digit {
        b'0'..=b'7' => push(sum, 8, digit & 7),
        _ => None,
    })
}

fn push(sum: u64, base: u64, digit: u8) -> Option<u64> {
    sum.checked_mul(base)?.checked_add(u64::from(digit))
}

/// Reads PAX records.
///
/// # Errors
/// What is wrong with them, in words.
pub(super) fn parse_records(mut data: &[u8]) -> Result<Records, String> {
    let mut records = Records::default();
    while !data.is_empty() {
        let (key, value, rest) = split_record(data).ok_or("a PAX record is malformed")?;
        data = rest;
        match key {
            b"path" => records.path = Some(value.to_vec()),
            b"size" => {
                let size = std::str::from_utf8(value)
                    .ok()
                    .filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
                let size = size.and_then(|text| text.parse().ok());
                records.size = Some(size.ok_or("the size in a PAX record is no number")?);
            }
            b"linkpath" | b"SCHILY.realsize" => return Err(uncalled_for(key)),
            key if key.starts_with(b"GNU.sparse.") => return Err(uncalled_for(key)),
            // Owners, times, attributes: a bundle's members have none that matter.
            _ => {}
        }
    }
    Ok(records)
}

fn uncalled_for(key: &[u8]) -> String {
    let key = String::from_utf8_lossy(key);
    format!("a PAX record {key:?}; a bundle holds two plain files")
}

/// Splits `LEN KEY=VALUE\n` off; `LEN` counts all of it.
fn split_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|&byte| byte == b' ')?;
    let digits = data.get(..space)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let len: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let (record, rest) = data.split_at_checked(len)?;
    let record = record.get(space.checked_add(1)?..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let (key, value) = record.split_at_checked(equals)?;
    Some((key, value.get(1..)?, rest))
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "the tests' own numbers")]
mod tests {
    use super::super::member;
    use super::*;

    fn block(bytes: &[u8]) -> [u8; BLOCK] {
        bytes.try_into().expect("one block")
    }

    #[test]
    fn headers_that_are_written_are_read() {
        let bytes = member::header("rootfs.ext4", 12_345, 99);
        let header = parse(&block(&bytes)).expect("legal").expect("not zero");
        let name = b"rootfs.ext4".to_vec();
        assert_eq!(
            header,
            Header {
                kind: b'0',
                name,
                size: 12_345
            }
        );

        let large = (1 << 33) + 5;
        let bytes = member::header("rootfs.ext4", large, 99);
        assert_eq!(
            parse(&block(&bytes[..512]))
                .expect("legal")
                .expect("x")
                .kind,
            b'x'
        );
        let records = parse_records(&bytes[512..512 + 19]).expect("legal");
        assert_eq!(
            records,
            Records {
                path: None,
                size: Some(large)
            }
        );
    }

    #[test]
    fn zeros_are_no_header_and_a_changed_byte_is_an_error() {
        assert_eq!(parse(&[0; BLOCK]), Ok(None));
        let good = block(&member::header("rootfs.ext4", 1, 1));
        for at in 0..BLOCK {
            let mut bad = good;
            bad[at] ^= 1;
            // Not a number in the checksum's padding, a wrong sum anywhere else.
            assert!(
                parse(&bad).is_err() || (154..156).contains(&at),
                "byte {at}"
            );
        }
    }

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"00000001750\0"), Some(1000));
        assert_eq!(number(b"   1750 \0\0\0\0"), Some(1000));
        assert_eq!(number(b"777777777777"), Some((1 << 36) - 1));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Some(1 << 33));
        for bad in [
            &b"\xff\xff\xff"[..],
            b"-1\0",
            b"12 34",
            b"8",
            b"",
            b"\0\0",
            b"0x10",
        ] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
        assert_eq!(number(b"\x80\x01\0\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn records_that_lie_about_their_length_are_refused() {
        assert!(parse_records(b"11 path=ab\n").is_ok());
        for bad in [
            &b"10 path=ab\n"[..],
            b"12 path=ab\n",
            b"path=ab\n",
            b"3 \n",
            b"0 a=b\n",
            b"99999999999999999999999 a=b\n",
            b"+11 path=a\n",
            b"11 size=-1\n",
            b"11 size=0x\n",
            b"22 GNU.sparse.major=1\n",
            b"14 linkpath=a\n",
        ] {
            assert!(parse_records(bad).is_err(), "{bad:?}");
        }
    }
}
