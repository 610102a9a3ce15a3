//! Reading a block map's text.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::ops::Range;
use std::str::FromStr;

use forger_block::MAX_LEN;
use ring::digest;

use super::error::ReadError;
use super::map::{Bmap, Mapped, Sum};
use crate::hex::hex;
use crate::xml::{Element, each_element};

/// The largest block, in bytes.
const MAX_BLOCK: u64 = 16 << 20;

/// What elements say.
#[derive(Default)]
struct Facts {
    version: Option<String>,
    image_size: Option<u64>,
    block_size: Option<u64>,
    blocks: Option<u64>,
    mapped: Option<u64>,
    algorithm: Option<Sum>,
    own_sum: Option<String>,
    ranges: Vec<(Range<u64>, Option<String>)>,
}

impl FromStr for Bmap {
    type Err = ReadError;

    /// Reads a block map and checks all of it: its checksum, and that ranges ascend on the disk.
    fn from_str(text: &str) -> Result<Self, ReadError> {
        let mut facts = Facts::default();
        each_element(text, |element| facts.take(element))?;
        // Versions before 1.4 know SHA-1 only, and do not say so.
        let algorithm = facts.algorithm.unwrap_or(Sum::Sha1);
        if let Some(sum) = &facts.own_sum {
            check_own_sum(text, sum, algorithm)?;
        }
        facts.check(algorithm)
    }
}

impl Facts {
    fn take(&mut self, element: &Element) -> Result<(), ReadError> {
        let text = element.text.as_str();
        match element.name.as_str() {
            "bmap" => self.version = element.attribute("version").map(str::to_owned),
            "ImageSize" => self.image_size = Some(number("ImageSize", text)?),
            "BlockSize" => self.block_size = Some(number("BlockSize", text)?),
            "BlocksCount" => self.blocks = Some(number("BlocksCount", text)?),
            "MappedBlocksCount" => self.mapped = Some(number("MappedBlocksCount", text)?),
            "ChecksumType" => {
                let sum = Sum::named(text).ok_or_else(|| value("ChecksumType", text))?;
                self.algorithm = Some(sum);
            }
            "BmapFileChecksum" | "BmapFileSHA1" => self.own_sum = Some(text.to_owned()),
            "Range" => {
                let sum = element.attribute("chksum").or(element.attribute("sha1"));
                let blocks = range(text)?;
                self.ranges.push((blocks, sum.map(str::to_ascii_lowercase)));
            }
            _ => {}
        }
        Ok(())
    }

    fn check(self, algorithm: Sum) -> Result<Bmap, ReadError> {
        let version = self.version.ok_or(ReadError::NotBmap)?;
        if !matches!(version.split_once('.'), Some(("1" | "2", _))) {
            return Err(ReadError::NotBmap);
        }
        let need = |what| ReadError::Missing { what };
        let image_size = self.image_size.ok_or(need("ImageSize"))?;
        let block_size = self.block_size.ok_or(need("BlockSize"))?;
        let blocks = self.blocks.ok_or(need("BlocksCount"))?;
        if !(1..=MAX_BLOCK).contains(&block_size) {
            return Err(value("BlockSize", &block_size.to_string()));
        }
        if image_size > MAX_LEN {
            return Err(value("ImageSize", &image_size.to_string()));
        }
        if image_size.div_ceil(block_size) != blocks {
            return Err(value("BlocksCount", &blocks.to_string()));
        }
        let mut ranges = Vec::new();
        let mut next = 0;
        for (range, sum) in self.ranges {
            if range.start < next || range.end > blocks {
                let shown = format!("{}-{}", range.start, range.end.saturating_sub(1));
                return Err(value("Range", &shown));
            }
            if let Some(sum) = &sum
                && sum.len() != algorithm.digits()
            {
                return Err(value("chksum", sum));
            }
            next = range.end;
            ranges.push(Mapped { blocks: range, sum });
        }
        let bmap = Bmap {
            image_size,
            block_size,
            algorithm,
            ranges,
        };
        match self.mapped {
            Some(mapped) if mapped != bmap.mapped_blocks() => {
                Err(value("MappedBlocksCount", &mapped.to_string()))
            }
            _ => Ok(bmap),
        }
    }
}

/// Compares the checksum of the text, which was taken with zeros in its place.
fn check_own_sum(text: &str, sum: &str, algorithm: Sum) -> Result<(), ReadError> {
    let wrong = |found: String| ReadError::Sum {
        expected: sum.to_owned(),
        found,
    };
    if sum.len() != algorithm.digits() {
        return Err(value("BmapFileChecksum", sum));
    }
    let zeros = text.replacen(sum, &"0".repeat(sum.len()), 1);
    let found = hex(digest::digest(algorithm.algorithm(), zeros.as_bytes()));
    match found == sum.to_ascii_lowercase() {
        true => Ok(()),
        false => Err(wrong(found)),
    }
}

fn number(what: &'static str, text: &str) -> Result<u64, ReadError> {
    match text.bytes().all(|digit| digit.is_ascii_digit()) {
        true => text.parse().map_err(|_| value(what, text)),
        false => Err(value(what, text)),
    }
}

/// Reads `4` or `4-7`.
fn range(text: &str) -> Result<Range<u64>, ReadError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first = number("Range", first.trim())?;
    let last = number("Range", last.trim())?;
    match last.checked_add(1) {
        Some(end) if first < end => Ok(first..end),
        _ => Err(value("Range", text)),
    }
}

fn value(what: &'static str, text: &str) -> ReadError {
    ReadError::Value {
        what,
        value: text.chars().take(80).collect(),
    }
}
