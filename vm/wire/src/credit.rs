//! Flow control: how many bytes the other end may still send.

/// What a piece of content costs at least: whoever writes byte by byte must not make the other end
/// hold a million pieces.
const LEAST: usize = 256;

/// Returns how much credit a piece of content of this length costs.
#[must_use]
pub fn cost(len: usize) -> u32 {
    u32::try_from(len.max(LEAST)).unwrap_or(u32::MAX)
}

/// Returns how long a piece of content may be, of `wanted` bytes, with so much credit left.
#[must_use]
pub fn affordable(left: u64, wanted: usize) -> Option<usize> {
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    (left >= LEAST).then(|| left.min(wanted).min(crate::MAX_DATA))
}

/// A receiver's account of one direction of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Credit {
    left: u32,
    owed: u32,
}

/// The other end sent more than it had credit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdrawn;

impl std::fmt::Display for Overdrawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("more was sent than there was credit for")
    }
}

impl std::error::Error for Overdrawn {}

impl Default for Credit {
    fn default() -> Self {
        Self {
            left: crate::WINDOW,
            owed: 0,
        }
    }
}

impl Credit {
    /// Takes note of a piece of content that arrived.
    ///
    /// # Errors
    /// [`Overdrawn`].
    pub fn received(&mut self, len: usize) -> Result<(), Overdrawn> {
        self.left = self.left.checked_sub(cost(len)).ok_or(Overdrawn)?;
        Ok(())
    }

    /// Takes note of a piece that was consumed; returns the credit to give, in lots worth a frame.
    pub fn consumed(&mut self, len: usize) -> Option<u32> {
        let room = crate::WINDOW - self.left - self.owed;
        self.owed += cost(len).min(room);
        if self.owed < crate::WINDOW / 4 {
            return None;
        }
        self.left += self.owed;
        Some(std::mem::take(&mut self.owed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_window_is_refused() {
        let mut credit = Credit::default();
        credit.received(1 << 20).unwrap();
        assert_eq!(credit.received(1), Err(Overdrawn));
    }

    #[test]
    fn small_pieces_cost_more_than_their_bytes() {
        let mut credit = Credit::default();
        let taken = (0..5000).take_while(|_| credit.received(1).is_ok());
        assert_eq!(taken.count(), 4096);
        assert_eq!(affordable(255, 1), None);
        assert_eq!(affordable(256, 1000), Some(256));
        assert_eq!(affordable(1 << 30, 10), Some(10));
    }

    #[test]
    fn credit_comes_back_in_lots_and_never_exceeds_what_was_consumed() {
        let mut credit = Credit::default();
        credit.received(600 << 10).unwrap();
        assert_eq!(credit.consumed(100 << 10), None);
        assert_eq!(credit.consumed(200 << 10), Some(300 << 10));
        assert_eq!(credit.consumed(usize::MAX), Some(300 << 10));
        credit.received(1 << 20).unwrap();
    }
}
