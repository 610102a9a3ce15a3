//! Where images go: files that appear whole, devices, pipes.

mod device;
mod placed_file;
mod spooled;
mod stream;
mod target;
mod writer;

pub use self::device::BlockDeviceSink;
pub use self::placed_file::{ForwardFile, PlacedFile};
pub use self::spooled::Spooled;
pub use self::stream::ForwardStream;
pub use self::target::{Target, check_target};
