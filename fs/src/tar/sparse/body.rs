//! The map that stands in front of a body: decimal numbers, one a line.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::Read;

use super::super::blocks::{Blocks, UNIT};
use super::super::header::BLOCK;
use super::super::{Error, number};
use super::{Place, Run};

/// Reads the map in front of a body of `stored` bytes; returns it and how much of the body is left.
pub(in super::super) fn read_body_map<R: Read>(
    stored: u64,
    place: Place<'_>,
    blocks: &mut Blocks<R>,
    limit: u64,
) -> Result<(Vec<Run>, u64), Error> {
    let mut map = BodyMap::new(limit);
    let mut left = stored;
    loop {
        left = left
            .checked_sub(UNIT)
            .ok_or_else(|| place.fault(format!("it does not end in the body of {stored} bytes")))?;
        let block = blocks.block("a sparse map")?;
        if let Some(runs) = map.add(&block).map_err(|reason| place.fault(reason))? {
            return Ok((runs, left));
        }
    }
}

/// Reads the map in front of a body, block by block.
#[derive(Debug)]
struct BodyMap {
    runs: Vec<Run>,
    /// Numbers still to come; `None` until the count is known.
    left: Option<u64>,
    offset: Option<u64>,
    /// The digits of a number that is not complete.
    digits: Vec<u8>,
    limit: u64,
}

impl BodyMap {
    fn new(limit: u64) -> Self {
        Self {
            runs: Vec::new(),
            left: None,
            offset: None,
            digits: Vec::new(),
            limit,
        }
    }

    /// Takes in the next block; returns the map when it is complete.
    fn add(&mut self, block: &[u8; BLOCK]) -> Result<Option<Vec<Run>>, String> {
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

    fn block(text: &str) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block
            .iter_mut()
            .zip(text.bytes())
            .for_each(|(to, from)| *to = from);
        block
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
}
