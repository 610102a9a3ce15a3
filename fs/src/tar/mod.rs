//! Tar.
/// Why a tar stream is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}
