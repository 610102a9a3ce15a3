//! How far long work is, and whether it shall go on.

/// Whoever watches long work.
pub trait Progress {
    /// So many further bytes of the disk are done, holes included.
    fn advance(&mut self, bytes: u64);

    /// Tells whether the work shall stop.
    fn cancelled(&mut self) -> bool;
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn advance(&mut self, _bytes: u64) {}

    fn cancelled(&mut self) -> bool {
        false
    }
}
