//! Why a machine ended although nobody asked its guest to.

use std::fmt;
use std::time::Duration;

/// Why a machine ended, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Nobody knows.
    #[default]
    Unknown,
    /// The guest switched it off.
    PowerOff,
    /// The guest started it anew.
    Reset,
    /// The guest's kernel panicked.
    Panic,
    /// The guest's processor could not go on: a fault while it handled a fault.
    TripleFault,
    /// The host's processor or kernel could not go on with the guest, for this reason.
    Broken(String),
    /// The guest gave no sign of life for so long.
    Silence(Duration),
    /// Nobody wanted it any more.
    Killed,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the guest ended"),
            Self::PowerOff => f.write_str("the guest switched its machine off"),
            Self::Reset => f.write_str("the guest started its machine anew, which ends it,"),
            Self::Panic => f.write_str("the guest's kernel panicked"),
            Self::TripleFault => f.write_str("the guest's processor faulted three times in a row"),
            Self::Broken(why) => write!(f, "the guest could not go on ({why})"),
            Self::Silence(limit) => write!(
                f,
                "the guest was stopped, which had given no sign of life for {} s,",
                limit.as_secs()
            ),
            Self::Killed => f.write_str("the guest was stopped"),
        }
    }
}
