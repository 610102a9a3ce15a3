//! Tables of numbers that are made as they are read.

use std::fmt;

use forger_block::{BlockRead, Result, check_range};

/// What an entry of a table is, by its index.
type Entry = Box<dyn Fn(u64) -> [u8; 8] + Send + Sync>;

/// A table of 64-bit numbers, none of which is held.
pub(crate) struct Words {
    count: u64,
    entry: Entry,
}

impl Words {
    /// Makes a table of `count` numbers, each as its bytes.
    pub(crate) fn new(count: u64, entry: impl Fn(u64) -> [u8; 8] + Send + Sync + 'static) -> Self {
        Self {
            count,
            entry: Box::new(entry),
        }
    }
}

impl BlockRead for Words {
    fn len(&self) -> u64 {
        self.count * 8
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.len())?;
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let word = (self.entry)(at / 8);
            let from = usize::try_from(at % 8).unwrap_or(0);
            let (part, behind) = rest.split_at_mut((8 - from).min(rest.len()));
            part.copy_from_slice(&word[from..from + part.len()]);
            at += part.len() as u64;
            rest = behind;
        }
        Ok(())
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forger_block::conformance;

    #[test]
    fn tables_keep_the_contract() {
        let words = Words::new(300, |index| (index * 0x0101_0101).to_be_bytes());
        let expected: Vec<u8> = (0..300_u64)
            .flat_map(|index| (index * 0x0101_0101).to_be_bytes())
            .collect();
        conformance::reader(&words, &expected);
    }
}
