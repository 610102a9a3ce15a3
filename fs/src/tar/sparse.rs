//! The maps of GNU sparse files: which parts of a file are in the archive.
//!
//! | format | where the map stands | numbers |
//! |---|---|---|
//! | old GNU, type `S` | the header, then blocks of 21 entries | octal, base-256 |
//! | PAX 0.0 | pairs of records `GNU.sparse.offset`, `GNU.sparse.numbytes` | decimal |
//! | PAX 0.1 | one record `GNU.sparse.map`: `offset,len,offset,len` | decimal |
//! | PAX 1.0 | the first blocks of the body: count, then offset and length, one number a line | decimal |
//!
//! Whatever the format, the runs must ascend without overlap inside the file, and their lengths
//! must add up to what the archive stores.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::header::{BLOCK, SparseField};
use super::number;

/// A part of a file that is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// Where it stands in the file, in bytes.
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) len: u64,
}

/// Checks a map against the file's length and the stored bytes, and drops empty runs.
pub(super) fn check(mut runs: Vec<Run>, size: u64, stored: u64) -> Result<Vec<Run>, String> {
    let (mut end, mut sum) = (0u64, 0u64);
    for run in &runs {
        if run.offset < end {
            return Err(format!(
                "the run at {} starts before the end of the one before, {end}",
                run.offset
            ));
        }
        end = run
            .offset
            .checked_add(run.len)
            .filter(|end| *end <= size)
            .ok_or_else(|| {
                format!(
                    "the run of {} bytes at {} does not lie in the file of {size} bytes",
                    run.len, run.offset
                )
            })?;
        // The runs do not overlap, so that the sum is at most `size`.
        sum = sum.saturating_add(run.len);
    }
    if sum != stored {
        return Err(format!(
            "its runs have {sum} bytes, but {stored} are stored"
        ));
    }
    runs.retain(|run| run.len > 0);
    Ok(runs)
}

/// Collects entries of an old GNU map; the first blank one ends it.
#[derive(Debug)]
pub(super) struct OldMap {
    pub(super) runs: Vec<Run>,
    ended: bool,
    limit: u64,
}

impl OldMap {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            runs: Vec::new(),
            ended: false,
            limit,
        }
    }

    /// Adds the entries of the header or of one extension block.
    pub(super) fn add(&mut self, fields: &[SparseField]) -> Result<(), String> {
        if self.ended {
            return Err("it goes on after its end".to_owned());
        }
        for field in fields {
            if field.numbytes.first() == Some(&0) {
                self.ended = true;
                continue;
            }
            if self.ended {
                return Err("it goes on after its end".to_owned());
            }
            let run = Run {
                offset: length(&field.offset)?,
                len: length(&field.numbytes)?,
            };
            push(&mut self.runs, run, self.limit)?;
        }
        Ok(())
    }
}

fn push(runs: &mut Vec<Run>, run: Run, limit: u64) -> Result<(), String> {
    if u64::try_from(runs.len()).is_ok_and(|count| count >= limit) {
        return Err(format!("it has more than {limit} runs"));
    }
    runs.push(run);
    Ok(())
}

fn length(field: &[u8]) -> Result<u64, String> {
    let value = number::field(field)?;
    u64::try_from(value).map_err(|_| format!("{value} is no length"))
}

/// What the `GNU.sparse.*` records of one member say.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    /// The member's real name.
    pub(super) name: Option<Vec<u8>>,
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
pub(super) struct Described {
    /// Length in bytes, holes included.
    pub(super) size: u64,
    /// The map, or `None` when it stands in front of the body.
    pub(super) runs: Option<Vec<Run>>,
}

impl Records {
    /// Takes in a record; the keyword comes without `GNU.sparse.`.
    pub(super) fn apply(&mut self, keyword: &[u8], value: &[u8]) -> Result<bool, String> {
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
    pub(super) fn describe(&mut self, limit: u64) -> Result<Option<Described>, String> {
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

/// Reads the map in front of a body, block by block.
#[derive(Debug)]
pub(super) struct BodyMap {
    runs: Vec<Run>,
    /// Numbers still to come; `None` until the count is known.
    left: Option<u64>,
    offset: Option<u64>,
    /// The digits of a number that is not complete.
    digits: Vec<u8>,
    limit: u64,
}

impl BodyMap {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            runs: Vec::new(),
            left: None,
            offset: None,
            digits: Vec::new(),
            limit,
        }
    }

    /// Takes in the next block; returns the map when it is complete.
    pub(super) fn add(&mut self, block: &[u8; BLOCK]) -> Result<Option<Vec<Run>>, String> {
        for byte in block {
            if self.left == Some(0) {
                break;
            }
            match byte {
                b'\n' => self.line()?,
                // A number below 2^64 has 20 digits at most.
                _ if self.digits.len() < 20 => self.digits.push(*byte),
                _ => {
                    return Err(format!(
                        "`{}` is no number",
                        number::printable(&self.digits)
                    ));
                }
            }
        }
        Ok((self.left == Some(0)).then(|| std::mem::take(&mut self.runs)))
    }

    fn line(&mut self) -> Result<(), String> {
        let value = number::decimal(&self.digits)
            .ok_or_else(|| format!("`{}` is no number", number::printable(&self.digits)))?;
        self.digits.clear();
        let Some(left) = self.left else {
            if value > self.limit {
                return Err(format!(
                    "{value} runs, more than the limit of {}",
                    self.limit
                ));
            }
            self.left = value.checked_mul(2);
            return Ok(());
        };
        self.left = left.checked_sub(1);
        match self.offset.take() {
            None => self.offset = Some(value),
            Some(offset) => self.runs.push(Run { offset, len: value }),
        }
        Ok(())
    }
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

    fn block(text: &str) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block
            .iter_mut()
            .zip(text.bytes())
            .for_each(|(to, from)| *to = from);
        block
    }

    #[test]
    fn map_that_ascends_inside_the_file_is_accepted_without_its_empty_runs() {
        let map = runs(&[(0, 0), (10, 5), (15, 1), (20, 0), (20, 0)]);
        assert_eq!(check(map, 20, 6), Ok(runs(&[(10, 5), (15, 1)])));
        assert_eq!(check(Vec::new(), 20, 0), Ok(Vec::new()));
    }

    #[test]
    fn map_that_overlaps_descends_leaves_the_file_or_lies_is_refused() {
        for (map, size, stored) in [
            (runs(&[(0, 5), (4, 1)]), 20, 6),
            (runs(&[(10, 5), (0, 5)]), 20, 10),
            (runs(&[(10, 5), (9, 0)]), 20, 5),
            (runs(&[(10, 11)]), 20, 11),
            (runs(&[(21, 0)]), 20, 0),
            (runs(&[(u64::MAX, 2)]), u64::MAX, 2),
            (runs(&[(0, 5)]), 20, 4),
            (runs(&[(0, 5)]), 20, 6),
        ] {
            assert!(check(map.clone(), size, stored).is_err(), "{map:?}");
        }
    }

    #[test]
    fn body_map_is_read_across_blocks() {
        let mut text = String::from("100\n");
        (0..100).for_each(|run| text += &format!("{}\n{}\n", run * 4096, 512));
        let mut map = BodyMap::new(100);
        let (whole, rest) = text.as_bytes().split_at(text.len() / BLOCK * BLOCK);
        for part in whole.chunks_exact(BLOCK) {
            assert_eq!(map.add(part.try_into().unwrap()), Ok(None));
        }
        let last = map
            .add(&block(std::str::from_utf8(rest).unwrap()))
            .unwrap()
            .unwrap();
        assert_eq!(last.len(), 100);
        assert_eq!(
            last.last(),
            Some(&Run {
                offset: 99 * 4096,
                len: 512
            })
        );
    }

    #[test]
    fn body_map_that_is_too_long_or_no_number_is_refused() {
        for text in [
            "101\n",
            "x\n",
            "\n",
            "1\n1\n-1\n",
            "123456789012345678901\n",
            "99999999999999999999\n",
        ] {
            assert!(BodyMap::new(100).add(&block(text)).is_err(), "{text}");
        }
        assert_eq!(BodyMap::new(100).add(&block("0\n")), Ok(Some(Vec::new())));
        assert!(BodyMap::new(100).add(&[0; BLOCK]).is_err());
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
