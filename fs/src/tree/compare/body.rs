//! Contents that can be compared: by reading both, or by digests.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::{BlockRead, Result, Run};

use super::{Comparable, Digests};
use crate::tree::Content;

/// How many bytes of each content are held while two are compared.
const PIECE: u64 = 256 << 10;

/// Where two contents differ first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mismatch {
    /// A place in both contents, in bytes; the length of the shorter one at most.
    pub offset: u64,
    /// Whether the byte there is the first that differs; otherwise it is one of the 64 KiB from there
    /// on.
    pub exact: bool,
}

/// A content that can be read again, or its digests.
#[derive(Clone, Debug)]
pub enum Body {
    /// It can be read.
    Content(Content),
    /// It passed by.
    Digests(Digests),
}

impl Comparable for Content {
    fn size(&self) -> u64 {
        self.size()
    }

    fn mismatch(&self, other: &Self, holes: bool) -> Result<Option<Mismatch>> {
        let end = self.size().min(other.size());
        let mut at = 0;
        let mut buffers = [Vec::new(), Vec::new()];
        while at < end {
            let runs = [self.run_at(at)?, other.run_at(at)?];
            let shorter = runs[0].len().min(runs[1].len()).max(1);
            let len = shorter.min(end.saturating_sub(at));
            match runs {
                [Run::Hole(_), Run::Hole(_)] => {
                    at = at.saturating_add(len);
                    continue;
                }
                [Run::Hole(_), Run::Data(_)] | [Run::Data(_), Run::Hole(_)] if holes => {
                    return Ok(Some(exactly(at)));
                }
                _ => {}
            }
            let len = len.min(PIECE);
            let [a, b] = &mut buffers;
            for (buffer, content) in [(&mut *a, self), (&mut *b, other)] {
                buffer.resize(usize::try_from(len).unwrap_or(0), 0);
                content.read_at(at, buffer)?;
            }
            if a != b {
                let same = a.iter().zip(&*b).take_while(|(a, b)| a == b).count();
                let same = u64::try_from(same).unwrap_or(0);
                return Ok(Some(exactly(at.saturating_add(same))));
            }
            at = at.saturating_add(len);
        }
        Ok((self.size() != other.size()).then(|| exactly(end)))
    }
}

fn exactly(offset: u64) -> Mismatch {
    Mismatch {
        offset,
        exact: true,
    }
}

impl Comparable for Body {
    fn size(&self) -> u64 {
        match self {
            Self::Content(content) => content.size(),
            Self::Digests(digests) => digests.size(),
        }
    }

    fn mismatch(&self, other: &Self, holes: bool) -> Result<Option<Mismatch>> {
        match (self, other) {
            (Self::Content(a), Self::Content(b)) => a.mismatch(b, holes),
            (Self::Digests(a), Self::Digests(b)) => Ok(a.mismatch(b)),
            (Self::Digests(digests), Self::Content(content))
            | (Self::Content(content), Self::Digests(digests)) => digests.mismatch_with(content),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(parts: &[(u8, usize)]) -> Content {
        let mut content = Content::new();
        for (byte, count) in parts {
            match byte {
                0 => content.push_hole(u64::try_from(*count).unwrap()),
                byte => content.push_inline(vec![*byte; *count]),
            }
        }
        content
    }

    #[test]
    fn the_first_byte_that_differs_is_found() {
        let at = |a: &[(u8, usize)], b: &[(u8, usize)], exact| {
            let found = content(a).mismatch(&content(b), exact).unwrap();
            found.map(|found| found.offset)
        };
        let long = 1 << 20;
        assert_eq!(at(&[(1, long)], &[(1, long)], true), None);
        assert_eq!(
            at(&[(1, long), (2, 5)], &[(1, long), (2, 4), (3, 1)], false),
            Some(1_048_580)
        );
        assert_eq!(
            at(&[(1, long), (2, 5)], &[(1, long), (2, 4)], false),
            Some(1_048_580)
        );
        assert_eq!(at(&[(0, 1 << 40)], &[(0, 1 << 41)], false), Some(1 << 40));
        assert_eq!(
            at(&[(0, 1 << 40), (1, 1)], &[(0, 1 << 40), (2, 1)], true),
            Some(1 << 40)
        );
        // A hole and zeros.
        let mut zeros = Content::inline(vec![0; 100]);
        zeros.push_inline(vec![1; 5]);
        let hole = content(&[(0, 100), (1, 5)]);
        assert_eq!(hole.mismatch(&zeros, false).unwrap(), None);
        assert_eq!(
            hole.mismatch(&zeros, true)
                .unwrap()
                .map(|found| found.offset),
            Some(0)
        );
    }
}
