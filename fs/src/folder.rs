//! A folder of the host as a source.
/// Why a folder cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}
