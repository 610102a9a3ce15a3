//! The grammar of PAX extended records: `LENGTH KEYWORD=VALUE\n`, the length counting itself.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::member::lossy;
use super::{Error, number};

/// The records of one extended header.
#[derive(Clone, Copy, Debug)]
struct Records<'a> {
    body: &'a [u8],
    position: usize,
}

/// One record, and where it starts in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record<'a> {
    keyword: &'a [u8],
    /// Raw bytes: newlines and NULs are part of it.
    value: &'a [u8],
    position: usize,
}

impl<'a> Records<'a> {
    fn new(body: &'a [u8]) -> Self {
        Self { body, position: 0 }
    }

    /// Parses the record at the position, which is not the end.
    fn parse(&self) -> Result<(Record<'a>, usize), String> {
        let rest = self.body.get(self.position..).unwrap_or_default();
        // The longest length that is a u64 has 20 digits.
        let digits = rest.iter().take(21).position(|byte| *byte == b' ');
        let digits = digits.ok_or("does not start with its length and a space")?;
        let (length, _) = rest.split_at_checked(digits).unwrap_or_default();
        let claimed = number::decimal(length)
            .ok_or_else(|| format!("`{}` is not a length", number::printable(length)))?;
        let record = usize::try_from(claimed)
            .ok()
            .and_then(|claimed| rest.get(..claimed))
            .ok_or_else(|| format!("claims {claimed} bytes where {} are left", rest.len()))?;
        let text = digits.checked_add(1).and_then(|start| record.get(start..));
        let text = text
            .and_then(|text| text.strip_suffix(b"\n"))
            .ok_or_else(|| format!("does not end with a newline after {claimed} bytes"))?;
        let equals = text.iter().position(|byte| *byte == b'=');
        let (keyword, value) = equals
            .and_then(|at| text.split_at_checked(at))
            .ok_or("has no `=`")?;
        if keyword.is_empty() {
            return Err("has no keyword".to_owned());
        }
        let value = value.strip_prefix(b"=").unwrap_or(value);
        let next = self.position.saturating_add(record.len());
        Ok((
            Record {
                keyword,
                value,
                position: self.position,
            },
            next,
        ))
    }
}

/// Hands every record's keyword and value to `apply`, which tells whether it knows the keyword;
/// returns the keywords that it does not know. The body starts at `start` of the archive and is
/// about `entry`.
pub(super) fn apply(
    body: &[u8],
    start: u64,
    entry: &[u8],
    mut apply: impl FnMut(&[u8], &[u8]) -> Result<bool, String>,
) -> Result<Vec<Vec<u8>>, Error> {
    let fault = |position: usize, reason| Error::Pax {
        offset: start.saturating_add(u64::try_from(position).unwrap_or(0)),
        entry: lossy(entry),
        reason,
    };
    let mut unknown = Vec::new();
    for record in Records::new(body) {
        let Record {
            keyword,
            value,
            position,
        } = record.map_err(|(position, reason)| fault(position, reason))?;
        let known = apply(keyword, value).map_err(|reason| {
            fault(
                position,
                format!("{}: {reason}", number::printable(keyword)),
            )
        })?;
        if !known {
            unknown.push(keyword.to_vec());
        }
    }
    Ok(unknown)
}

/// Appends a record to a body.
pub(super) fn push(body: &mut Vec<u8>, keyword: &[u8], value: &[u8]) {
    // Space, `=` and newline.
    let rest = keyword.len().saturating_add(value.len()).saturating_add(3);
    let digits = |len: usize| len.to_string().len();
    // The length counts its own digits, whose number may grow with it once.
    let len = rest.saturating_add(digits(rest));
    let len = rest.saturating_add(digits(len));
    body.extend_from_slice(len.to_string().as_bytes());
    for part in [b" ", keyword, b"=", value, b"\n"] {
        body.extend_from_slice(part);
    }
}

impl<'a> Iterator for Records<'a> {
    /// A record, or where and why there is none; nothing follows an error.
    type Item = Result<Record<'a>, (usize, String)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.body.len() {
            return None;
        }
        match self.parse() {
            Ok((record, next)) => {
                self.position = next;
                Some(Ok(record))
            }
            Err(reason) => {
                let position = std::mem::replace(&mut self.position, self.body.len());
                Some(Err((position, reason)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pair = (Vec<u8>, Vec<u8>);

    fn all(body: &[u8]) -> Result<Vec<Pair>, (usize, String)> {
        Records::new(body)
            .map(|record| record.map(|record| (record.keyword.to_vec(), record.value.to_vec())))
            .collect()
    }

    #[test]
    fn records_with_binary_and_empty_values_are_split() {
        let body = [
            &b"12 path=a/b\n"[..],
            b"17 k=line\n\0=x\nen\n",
            b"8 uid=5\n",
            b"7 gid=\n",
        ]
        .concat();
        let expected = [
            ("path", &b"a/b"[..]),
            ("k", b"line\n\0=x\nen"),
            ("uid", b"5"),
            ("gid", b""),
        ];
        let expected = expected.map(|(key, value)| (key.as_bytes().to_vec(), value.to_vec()));
        assert_eq!(all(&body), Ok(expected.to_vec()));
    }

    #[test]
    fn records_of_any_length_are_written_as_they_are_read() {
        for len in (0..30).chain(80..120).chain(980..1020).chain(9980..10_010) {
            let mut body = Vec::new();
            push(&mut body, b"key", &vec![b'\n'; len]);
            push(&mut body, b"next", b"");
            let expected = vec![
                (b"key".to_vec(), vec![b'\n'; len]),
                (b"next".to_vec(), Vec::new()),
            ];
            assert_eq!(all(&body), Ok(expected), "{len}");
        }
    }

    #[test]
    fn records_whose_length_lies_are_refused() {
        for body in [
            &b"11 path=a/b\n"[..],
            b"13 path=a/b\n",
            b"0 path=a/b\n",
            b"1 path=a/b\n",
            b"3 path=a/b\n",
            b" path=a/b\n",
            b"x path=a/b\n",
            b"-12 path=a/b\n",
            b"99999999999999999999 path=a/b\n",
            b"18446744073709551615 path=a/b\n",
            b"000000000000000000000012 path=a/b\n",
            b"12path=a/b\n",
            b"9 path/a\n",
            b"5 =a\n",
            b"12 path=a/b\n\0",
            b"3",
        ] {
            assert!(all(body).is_err(), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn error_stands_where_its_record_starts() {
        assert_eq!(all(b"12 path=a/b\nx").unwrap_err().0, 12);
    }
}
