//! How an image is made.

use super::error::WriteError;

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Raw deflate with a window of 4 KiB; every reader knows it.
    Zlib,
    /// zstd; QEMU reads it since 5.1.
    Zstd,
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        })
    }
}

/// How an image is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Version of the format: 2 or 3.
    pub version: u32,
    /// Size of a cluster, in bytes: a power of two from 512 to 2 MiB.
    pub cluster_size: u64,
    /// Width of a refcount, in bits: a power of two from 1 to 64; version 2 has 16.
    pub refcount_bits: u32,
    /// Whether an L2 entry describes 32 subclusters; version 3, clusters of 16 KiB at least.
    pub extended_l2: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: 3,
            cluster_size: 64 << 10,
            refcount_bits: 16,
            extended_l2: false,
        }
    }
}

impl Options {
    /// Checks every value.
    ///
    /// # Errors
    /// [`WriteError::Option`] names the option.
    pub fn validate(&self) -> Result<(), WriteError> {
        let wrong = |option, reason: String| Err(WriteError::Option { option, reason });
        if !matches!(self.version, 2 | 3) {
            return wrong("version", format!("{} is neither 2 nor 3", self.version));
        }
        if !self.cluster_size.is_power_of_two() || !(512..=2 << 20).contains(&self.cluster_size) {
            return wrong(
                "cluster size",
                format!(
                    "{} is no power of two between 512 bytes and 2 MiB",
                    self.cluster_size
                ),
            );
        }
        let bits = self.refcount_bits;
        if !bits.is_power_of_two() || bits > 64 {
            let reason = format!("{bits} is no power of two between 1 and 64");
            return wrong("refcount bits", reason);
        }
        if self.version == 2 && bits != 16 {
            return wrong("refcount bits", "version 2 has 16".to_owned());
        }
        if self.extended_l2 && self.version == 2 {
            return wrong("extended L2", "it needs version 3".to_owned());
        }
        if self.extended_l2 && self.cluster_size < 16 << 10 {
            let reason = "it needs clusters of 16 KiB at least".to_owned();
            return wrong("extended L2", reason);
        }
        Ok(())
    }

    pub(super) fn cluster_bits(&self) -> u32 {
        self.cluster_size.ilog2()
    }

    /// Returns how many entries an L2 table has.
    pub(super) fn l2_entries(&self) -> u64 {
        self.cluster_size / self.l2_entry_len()
    }

    /// Returns how long an L2 entry is, in bytes.
    pub(super) fn l2_entry_len(&self) -> u64 {
        if self.extended_l2 { 16 } else { 8 }
    }
}

/// How clusters of an image are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The codec.
    pub codec: Codec,
    /// Its level: 1 to 9 for zlib, 1 to 19 for zstd.
    pub level: i32,
    /// How many threads compress.
    pub threads: usize,
}

impl Compression {
    /// Checks every value beside the other options.
    ///
    /// # Errors
    /// [`WriteError::Option`] names the option.
    pub fn validate(&self, options: &Options) -> Result<(), WriteError> {
        let levels = match self.codec {
            Codec::Zlib => 1..=9,
            Codec::Zstd => 1..=19,
        };
        if !levels.contains(&self.level) {
            let (first, last) = (levels.start(), levels.end());
            return Err(WriteError::Option {
                option: "compression",
                reason: format!("{} has levels from {first} to {last}", self.codec),
            });
        }
        if self.codec == Codec::Zstd && options.version < 3 {
            return Err(WriteError::Option {
                option: "compression",
                reason: "zstd needs version 3".to_owned(),
            });
        }
        Ok(())
    }
}
