//! The map of an old GNU sparse file: four entries in the header, then blocks of 21.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::Read;

use zerocopy::FromBytes;

use super::super::blocks::Blocks;
use super::super::header::{Header, SparseBlock, SparseField};
use super::super::{Error, number};
use super::{Place, Run};

/// Reads the map out of a header and the blocks that follow it.
pub(in super::super) fn read_old_map<R: Read>(
    header: &Header,
    place: Place<'_>,
    blocks: &mut Blocks<R>,
    limit: u64,
) -> Result<Vec<Run>, Error> {
    let mut map = OldMap::new(limit);
    let tail = header.gnu().ok_or_else(|| place.fault("there is none"))?;
    map.add(&tail.sparse)
        .map_err(|reason| place.fault(reason))?;
    let mut more = tail.is_extended != 0;
    while more {
        let block = blocks.block("a sparse map")?;
        let block = SparseBlock::ref_from_bytes(&block)
            .map_err(|_| place.fault("a block of it is too short"))?;
        map.add(&block.sparse)
            .map_err(|reason| place.fault(reason))?;
        more = block.is_extended != 0;
    }
    Ok(map.runs)
}

/// Collects entries of an old GNU map; the first blank one ends it.
#[derive(Debug)]
struct OldMap {
    runs: Vec<Run>,
    ended: bool,
    limit: u64,
}

impl OldMap {
    fn new(limit: u64) -> Self {
        Self {
            runs: Vec::new(),
            ended: false,
            limit,
        }
    }

    /// Adds the entries of the header or of one extension block.
    fn add(&mut self, fields: &[SparseField]) -> Result<(), String> {
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
