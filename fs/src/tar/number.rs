//! Numbers as tar writes them: octal and base-256 in header fields, decimal in PAX records.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use crate::tree::Time;

const NSEC: u32 = 1_000_000_000;

/// Reads a numeric header field of at most 12 bytes; blank is 0.
///
/// A first byte with the top bit set starts a base-256 number: two's complement, big endian, the
/// top bit itself not counted. Otherwise octal digits, spaces before them allowed, up to a space,
/// a NUL or the end of the field.
///
/// # Errors
/// What is wrong, for a message.
pub(super) fn field(bytes: &[u8]) -> Result<i128, String> {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => Ok(base256(bytes)),
        _ => octal(bytes),
    }
}

fn base256(bytes: &[u8]) -> i128 {
    let mut bytes = bytes.iter();
    let first = i128::from(bytes.next().copied().unwrap_or(0) & 0x7f);
    // Bit 6 of the first byte is the sign: 0x80 starts a positive, 0xff a negative number.
    let first = if first & 0x40 == 0 {
        first
    } else {
        first | !0x7f
    };
    // At most 12 bytes: 95 bits.
    bytes.fold(first, |value, byte| (value << 8) | i128::from(*byte))
}

fn octal(bytes: &[u8]) -> Result<i128, String> {
    let text = bytes.trim_ascii_start();
    let end = text
        .iter()
        .position(|byte| matches!(byte, 0 | b' '))
        .unwrap_or(text.len());
    let digits = text.get(..end).unwrap_or_default();
    digits.iter().try_fold(0i128, |value, byte| match byte {
        // At most 12 digits: 36 bits.
        b'0'..=b'7' => Ok((value << 3) | i128::from(byte & 7)),
        _ => Err(format!("`{}` is not octal", printable(digits))),
    })
}

/// Reads decimal digits and nothing else.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte & 0xf))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Reads a PAX time: decimal seconds, perhaps negative, perhaps with a fraction.
///
/// What is finer than a nanosecond is rounded down, towards the past, as GNU tar does.
pub(super) fn time(bytes: &[u8]) -> Option<Time> {
    let (negative, digits) = match bytes.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, bytes),
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (digits.get(..at)?, digits.get(at.checked_add(1)?..)?),
        None => (digits, &[][..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sec = i64::try_from(decimal(whole)?).ok()?;
    let kept = fraction
        .iter()
        .copied()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .collect::<Vec<_>>();
    let nsec = u32::try_from(decimal(&kept)?).ok()?;
    if !negative {
        return Some(Time { sec, nsec });
    }
    let dropped = fraction.iter().skip(9).any(|digit| *digit != b'0');
    // -(sec + nsec/10^9), rounded down, with the nanoseconds counted forward from the second.
    let nsec = nsec.checked_add(u32::from(dropped))?;
    let sec = sec.checked_neg()?;
    match nsec {
        0 => Some(Time { sec, nsec: 0 }),
        _ => Some(Time {
            sec: sec.checked_sub(1)?,
            nsec: NSEC.checked_sub(nsec)?,
        }),
    }
}

/// Writes a number as octal digits and a NUL, if the field has room for it.
pub(super) fn octal_field<const N: usize>(value: u64) -> Option<[u8; N]> {
    let width = N.saturating_sub(1);
    let text = format!("{value:0width$o}\0");
    text.as_bytes().try_into().ok()
}

/// Writes the largest number that an octal field can hold.
pub(super) fn octal_limit<const N: usize>() -> [u8; N] {
    let mut field = [b'7'; N];
    if let Some(last) = field.last_mut() {
        *last = 0;
    }
    field
}

/// Writes a time as PAX records have it: no more digits than it needs.
pub(super) fn time_text(time: Time) -> String {
    if time.nsec == 0 {
        return time.sec.to_string();
    }
    // Before 1970 the fraction counts backwards from the next second.
    let (sign, sec, nsec) = match time.sec {
        ..0 => (
            "-",
            time.sec.saturating_add(1).unsigned_abs(),
            NSEC.saturating_sub(time.nsec),
        ),
        _ => ("", time.sec.unsigned_abs(), time.nsec),
    };
    let text = format!("{sign}{sec}.{nsec:09}");
    text.trim_end_matches('0').to_owned()
}

/// Shows bytes of the input in a message: text as it is, the rest as escapes, cut at 64 bytes.
pub(super) fn printable(bytes: &[u8]) -> String {
    let shown = bytes.get(..64).unwrap_or(bytes).escape_ascii();
    let dots = if bytes.len() > 64 { "..." } else { "" };
    format!("{shown}{dots}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_field_with_spaces_and_terminators_is_read() {
        for (field_bytes, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"00000644", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
            (b"777777777777", 0o777_777_777_777),
            (b"644\0junk", 0o644),
        ] {
            assert_eq!(field(field_bytes), Ok(value), "{field_bytes:?}");
        }
    }

    #[test]
    fn octal_field_with_other_bytes_is_refused() {
        for bytes in [
            &b"0000648\0"[..],
            b"-000001\0",
            b"0x12\0\0\0\0",
            b"12a45670",
            b"\x01\0\0\0",
        ] {
            assert!(field(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn base256_field_is_read_with_its_sign() {
        let mut bytes = [0u8; 12];
        bytes[0] = 0x80;
        bytes[7] = 1;
        assert_eq!(field(&bytes), Ok(1 << 32));
        assert_eq!(field(&[0xff; 12]), Ok(-1));
        assert_eq!(
            field(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]),
            Ok(-2)
        );
        let mut lowest = [0u8; 12];
        lowest[0] = 0xc0;
        assert_eq!(field(&lowest), Ok(-(1 << 94)));
        let mut highest = [0xff; 12];
        highest[0] = 0xbf;
        assert_eq!(field(&highest), Ok((1 << 94) - 1));
    }

    #[test]
    fn pax_time_is_read_with_sign_and_fraction() {
        let at = |sec, nsec| Some(Time { sec, nsec });
        for (text, expected) in [
            ("0", at(0, 0)),
            ("1700000000.25", at(1_700_000_000, 250_000_000)),
            ("1.", at(1, 0)),
            ("1.123456789999", at(1, 123_456_789)),
            ("-1", at(-1, 0)),
            ("-1.5", at(-2, 500_000_000)),
            ("-0.000000001", at(-1, 999_999_999)),
            ("-0.0000000001", at(-1, 999_999_999)),
            ("-0.9999999999", at(-1, 0)),
            ("9223372036854775807", at(i64::MAX, 0)),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            (".5", None),
            ("1e3", None),
            ("1.5x", None),
            ("+1", None),
            (" 1", None),
        ] {
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn time_is_written_as_it_is_read() {
        for (text, sec, nsec) in [
            ("0", 0, 0),
            ("1700000000.25", 1_700_000_000, 250_000_000),
            ("-1", -1, 0),
            ("-1.5", -2, 500_000_000),
            ("-0.000000001", -1, 999_999_999),
            ("10.00000001", 10, 10),
        ] {
            assert_eq!(time_text(Time { sec, nsec }), text);
            assert_eq!(time(text.as_bytes()), Some(Time { sec, nsec }));
        }
    }

    #[test]
    fn octal_field_is_written_if_it_fits() {
        assert_eq!(octal_field::<8>(0o644), Some(*b"0000644\0"));
        assert_eq!(octal_field::<8>(0o7_777_777), Some(octal_limit()));
        assert_eq!(octal_field::<8>(0o10_000_000), None);
    }

    #[test]
    fn decimal_that_overflows_or_has_other_bytes_is_refused() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bytes in [
            &b""[..],
            b"18446744073709551616",
            b"-1",
            b"1 ",
            b"\x311\xb2",
        ] {
            assert_eq!(decimal(bytes), None, "{bytes:?}");
        }
    }
}
