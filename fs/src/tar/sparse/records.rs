//! What the `GNU.sparse.*` records of PAX headers say: a whole map, or that it stands in the body.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::super::number;
use super::Run;

/// What the `GNU.sparse.*` records of one member say.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Records {
    /// The member's real name.
    pub(in super::super) name: Option<Vec<u8>>,
    major: Option<u64>,
    minor: Option<u64>,
    size: Option<u64>,
    numblocks: Option<u64>,
    /// An offset whose length has not come yet.
    offset: Option<u64>,
    runs: Vec<Run>,
    seen: bool,
}

/// A sparse member as its records describe it.
#[derive(Debug)]
pub(in super::super) struct Described {
    /// Length in bytes, holes included.
    pub(in super::super) size: u64,
    /// The map, or `None` when it stands in front of the body.
    pub(in super::super) runs: Option<Vec<Run>>,
}

impl Records {
    /// Takes in a record; the keyword comes without `GNU.sparse.`.
    pub(in super::super) fn apply(&mut self, keyword: &[u8], value: &[u8]) -> Result<bool, String> {
        self.seen = true;
        let number = || {
            number::decimal(value)
                .map(Some)
                .ok_or_else(|| format!("`{}` is no number", number::printable(value)))
        };
        match keyword {
            b"name" => self.name = (!value.is_empty()).then(|| value.to_vec()),
            b"major" => self.major = number()?,
            b"minor" => self.minor = number()?,
            b"size" | b"realsize" => self.size = number()?,
            b"numblocks" => self.numblocks = number()?,
            b"offset" => {
                if std::mem::replace(&mut self.offset, number()?).is_some() {
                    return Err("an offset follows an offset".to_owned());
                }
            }
            b"numbytes" => {
                let offset = self.offset.take().ok_or("a length without an offset")?;
                self.runs.push(Run {
                    offset,
                    len: number()?.unwrap_or(0),
                });
            }
            b"map" => self.runs = list(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Tells what the records add up to, `None` when there are none.
    pub(in super::super) fn describe(&mut self, limit: u64) -> Result<Option<Described>, String> {
        if !self.seen {
            return Ok(None);
        }
        let size = self.size.ok_or("the file's size is missing")?;
        let version = (self.major.unwrap_or(0), self.minor.unwrap_or(0));
        if self.offset.is_some() {
            return Err("an offset without a length".to_owned());
        }
        let count = u64::try_from(self.runs.len()).unwrap_or(u64::MAX);
        if count > limit {
            return Err(format!("it has more than {limit} runs"));
        }
        match version {
            (0, 0 | 1) if self.numblocks.is_some_and(|claimed| claimed != count) => Err(format!(
                "{count} runs where {} are announced",
                self.numblocks.unwrap_or(0)
            )),
            (0, 0 | 1) => Ok(Some(Described {
                size,
                runs: Some(std::mem::take(&mut self.runs)),
            })),
            (1, 0) if self.runs.is_empty() => Ok(Some(Described { size, runs: None })),
            (1, 0) => Err("records and body both have a map".to_owned()),
            (major, minor) => Err(format!("its format {major}.{minor} is not known")),
        }
    }
}

/// Reads `offset,len,offset,len`.
fn list(value: &[u8]) -> Result<Vec<Run>, String> {
    let mut numbers = value.split(|byte| *byte == b',').map(|text| {
        number::decimal(text).ok_or_else(|| format!("`{}` is no number", number::printable(text)))
    });
    let mut runs = Vec::new();
    if value.is_empty() {
        return Ok(runs);
    }
    while let Some(offset) = numbers.next() {
        let len = numbers.next().ok_or("an offset without a length")?;
        runs.push(Run {
            offset: offset?,
            len: len?,
        });
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(pairs: &[(u64, u64)]) -> Vec<Run> {
        pairs
            .iter()
            .map(|(offset, len)| Run {
                offset: *offset,
                len: *len,
            })
            .collect()
    }

    #[test]
    fn records_of_unknown_or_contradicting_kind_are_refused() {
        let describe = |records: &[(&str, &str)]| {
            let mut all = Records::default();
            for (keyword, value) in records {
                all.apply(keyword.as_bytes(), value.as_bytes())?;
            }
            all.describe(2)
        };
        for records in [
            &[("major", "1"), ("minor", "1"), ("realsize", "5")][..],
            &[("major", "2"), ("minor", "0"), ("realsize", "5")],
            &[("major", "1"), ("minor", "0")],
            &[("major", "1"), ("realsize", "9"), ("map", "0,1")],
            &[("size", "9"), ("map", "0,1,2")],
            &[("size", "9"), ("map", "0,1,2,1,4,1")],
            &[("size", "9"), ("map", "0,1,,")],
            &[("size", "9"), ("offset", "1")],
            &[("size", "9"), ("offset", "1"), ("offset", "2")],
            &[("size", "9"), ("numbytes", "1")],
            &[("size", "9"), ("numblocks", "2"), ("map", "0,1")],
            &[("size", "-9")],
        ] {
            assert!(describe(records).is_err(), "{records:?}");
        }
        let plain = describe(&[
            ("size", "9"),
            ("numblocks", "1"),
            ("offset", "1"),
            ("numbytes", "2"),
        ]);
        assert_eq!(plain.unwrap().unwrap().runs, Some(runs(&[(1, 2)])));
        assert!(describe(&[]).unwrap().is_none());
    }
}
