//! `--compress`

use std::ffi::OsStr;

use forger_disk::{Packing, qcow2};

use crate::exit::Failure;

/// How something is compressed, and at which level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) struct Compress {
    method: Method,
    level: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Zlib,
    Zstd,
    Xz,
}

impl Method {
    /// Returns the level that is meant where none is said.
    fn usual(self) -> Compress {
        let level = match self {
            Self::Zlib => 9,
            Self::Zstd => 3,
            Self::Xz => 6,
        };
        Compress {
            method: self,
            level,
        }
    }
}

impl Compress {
    /// Reads `NAME[:LEVEL]`.
    pub(in crate::command) fn parse(text: &str) -> Result<Self, String> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let method = match name {
            "zlib" | "gzip" => Method::Zlib,
            "zstd" => Method::Zstd,
            "xz" => Method::Xz,
            _ => {
                let expected = "expected zlib, zstd or xz, perhaps with a level, as in zstd:9";
                return Err(expected.to_owned());
            }
        };
        let Some(level) = level else {
            return Ok(method.usual());
        };
        let level = level
            .parse()
            .map_err(|_| "expected a number behind the colon".to_owned())?;
        Ok(Self { method, level })
    }

    /// Returns what the last extension of a file's name says.
    pub(super) fn of_extension(extension: &str) -> Option<Self> {
        let method = match extension {
            "zst" | "zstd" => Method::Zstd,
            "gz" => Method::Zlib,
            "xz" => Method::Xz,
            _ => return None,
        };
        Some(method.usual())
    }

    /// Returns how clusters of a qcow2 are compressed.
    ///
    /// # Errors
    /// Wrong usage: the format has no such way. Levels are checked with the other options.
    pub(super) fn codec(self) -> Result<(qcow2::Codec, i32), Failure> {
        let codec = match self.method {
            Method::Zlib => qcow2::Codec::Zlib,
            Method::Zstd => qcow2::Codec::Zstd,
            Method::Xz => {
                return Err(Failure::usage(
                    "a qcow2 is compressed with zlib or zstd; xz is for raw disks",
                ));
            }
        };
        Ok((codec, i32::try_from(self.level).unwrap_or(i32::MAX)))
    }

    /// Returns how a raw disk is compressed as a whole.
    ///
    /// # Errors
    /// Wrong usage.
    pub(super) fn packing(self) -> Result<Packing, Failure> {
        match (self.method, self.level) {
            (Method::Zlib, 1..=9) => Ok(Packing::Gzip(self.level)),
            (Method::Zstd, 1..=19) => Ok(Packing::Zstd(self.level.cast_signed())),
            (Method::Xz, 1..=9) => Ok(Packing::Xz(self.level)),
            _ => Err(Failure::usage(
                "zlib and xz have levels from 1 to 9, zstd from 1 to 19",
            )),
        }
    }

    /// Returns the level where `what` is compressed with zlib and nothing else.
    ///
    /// # Errors
    /// Wrong usage.
    pub(super) fn zlib(self, what: &str) -> Result<u32, Failure> {
        match (self.method, self.level) {
            (Method::Zlib, 1..=9) => Ok(self.level),
            _ => Err(Failure::usage(format!(
                "{what} is compressed with zlib, 1 to 9"
            ))),
        }
    }
}

/// Returns the extension of a file's name, in small letters.
pub(super) fn extension(path: &std::path::Path) -> Option<String> {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_has_a_name_and_perhaps_a_level() {
        let codec = |text| Compress::parse(text).ok()?.codec().ok();
        assert_eq!(codec("zstd"), Some((qcow2::Codec::Zstd, 3)));
        assert_eq!(codec("zlib:1"), Some((qcow2::Codec::Zlib, 1)));
        assert_eq!(codec("xz"), None);
        let packing = |text| Compress::parse(text).ok()?.packing().ok();
        assert_eq!(packing("xz"), Some(Packing::Xz(6)));
        assert_eq!(packing("xz:10"), None);
        for text in ["", "lzma", "zstd:", "zstd:x", "zlib:-1"] {
            assert!(Compress::parse(text).is_err(), "{text}");
        }
    }
}
