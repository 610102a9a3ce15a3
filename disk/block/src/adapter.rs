//! Sinks around sinks.

mod checked;
mod hashed;
mod shifted;
mod tee;
mod watched;

pub use self::checked::Checked;
pub use self::hashed::{Digest, Hashed};
pub use self::shifted::Shifted;
pub use self::tee::Tee;
pub use self::watched::Watched;
