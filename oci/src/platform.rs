//! Which machine an image is for, and which of several images fits.

use std::fmt;
use std::str::FromStr;

use oci_spec::image as spec;

use crate::digest::shortened;
use crate::{Error, Result};

/// A platform: `os/arch[/variant]` in the words of Go, others' words translated.
///
/// ```
/// use forger_oci::Platform;
///
/// let platform: Platform = "linux/aarch64".parse()?;
/// assert_eq!(platform.to_string(), "linux/arm64");
/// # Ok::<(), forger_oci::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub architecture: String,
    /// `v7`; `None` is the architecture's usual one.
    pub variant: Option<String>,
}

impl Platform {
    /// Makes a platform of words of any usual spelling.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let architecture = architecture.to_ascii_lowercase();
        let variant = variant.filter(|variant| !variant.is_empty());
        let (architecture, variant) = match (architecture.as_str(), variant) {
            ("x86_64" | "x86-64" | "amd64", Some("v1") | None) => ("amd64", None),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", Some("v8" | "8") | None) => ("arm64", None),
            ("aarch64", variant) => ("arm64", variant),
            ("i386" | "i486" | "i586" | "i686" | "x86", _) => ("386", None),
            ("armhf" | "armv7l", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
            ("armel" | "armv6l", _) | ("arm", Some("6")) => ("arm", Some("v6")),
            ("arm", Some("5")) => ("arm", Some("v5")),
            ("arm", Some("8")) => ("arm", Some("v8")),
            (other, variant) => (other, variant),
        };
        Self {
            os: match os.to_ascii_lowercase().as_str() {
                "macos" => "darwin".to_owned(),
                os => os.to_owned(),
            },
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// Returns the platform that a descriptor in an index names.
    #[must_use]
    pub fn of(platform: &spec::Platform) -> Self {
        Self::new(
            &platform.os().to_string(),
            &platform.architecture().to_string(),
            platform.variant().as_deref(),
        )
    }

    /// Returns the platform as a descriptor in an index names it.
    #[must_use]
    pub fn to_spec(&self) -> spec::Platform {
        let mut platform = spec::Platform::default();
        platform.set_os(self.os.as_str().into());
        platform.set_architecture(self.architecture.as_str().into());
        platform.set_variant(self.variant.clone());
        platform
    }

    /// Tells how well an image for `image` fits on this platform: `None` when it does not run, else
    /// the lower the better.
    ///
    /// A machine runs the older variants of its architecture; another architecture never fits.
    #[must_use]
    pub fn rank(&self, image: &Self) -> Option<usize> {
        if self.os != image.os || self.architecture != image.architecture {
            return None;
        }
        let (Some(own), Some(other)) = (self.level(), image.level()) else {
            return (self.variant == image.variant).then_some(0);
        };
        own.checked_sub(other)
    }

    /// Returns the variant as a number where variants are ordered.
    fn level(&self) -> Option<usize> {
        match (self.architecture.as_str(), &self.variant) {
            ("amd64", None) => Some(1),
            ("arm64", None) => Some(8),
            ("arm" | "amd64" | "arm64", Some(variant)) => variant
                .strip_prefix('v')
                .and_then(|level| level.parse().ok()),
            _ => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = |reason| Error::Platform {
            text: shortened(text),
            reason,
        };
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let words: Vec<&str> = text.split('/').collect();
        if words
            .iter()
            .any(|word| word.is_empty() || !word.bytes().all(legal))
        {
            return Err(fault("it has an empty or unusual part"));
        }
        match words[..] {
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(fault("it is written os/arch or os/arch/variant")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn spellings_mean_the_same() {
        for (text, normal) in [
            ("linux/x86_64", "linux/amd64"),
            ("Linux/AMD64/v1", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/i686", "linux/386"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(platform(text).to_string(), normal);
        }
        for text in ["", "linux", "linux/", "a/b/c/d", "linux/am d64"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn older_variants_fit_and_newer_ones_do_not() {
        let rank = |own: &str, image: &str| platform(own).rank(&platform(image));
        assert_eq!(rank("linux/arm/v7", "linux/arm/v7"), Some(0));
        assert_eq!(rank("linux/arm/v7", "linux/arm/v6"), Some(1));
        assert_eq!(rank("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(rank("linux/amd64", "linux/amd64/v3"), None);
        assert_eq!(rank("linux/amd64/v3", "linux/amd64"), Some(2));
        assert_eq!(rank("linux/arm64", "linux/arm64/v8"), Some(0));
        assert_eq!(rank("linux/amd64", "linux/386"), None);
        assert_eq!(rank("linux/s390x", "linux/s390x"), Some(0));
    }
}
