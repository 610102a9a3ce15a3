//! One bundle of a catalog.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Error;

/// One bundle of a catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is called: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// What it is, where it is no bundle: `kernel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The distribution in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distro: Option<String>,
    /// The processor it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// The kernel it is meant to run with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_ref: Option<String>,
    /// Where it is: an URL, absolute or relative to the catalog.
    pub tarball_url: String,
    /// Its SHA-256 in 64 hexadecimal digits.
    pub tarball_sha256: String,
    /// Its length in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// What it is good for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What else stands in it.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Entry {
    /// Tells whether it is a kernel.
    #[must_use]
    pub fn is_kernel(&self) -> bool {
        self.kind.as_deref() == Some("kernel")
    }

    /// Returns what no two entries of a catalog share.
    pub(super) fn key(&self) -> (&str, Option<&str>) {
        (&self.name, self.arch.as_deref())
    }

    /// Returns the SHA-256; of an entry that was validated there is one.
    #[must_use]
    pub fn sha256(&self) -> Option<[u8; 32]> {
        let text = self.tarball_sha256.as_bytes();
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.chunks(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        let digits = text.iter().all(u8::is_ascii_hexdigit);
        (text.len() == 64 && digits).then_some(digest)
    }

    /// Returns the name of the bundle's file: content-addressed, as `make-bundle` names it.
    #[must_use]
    pub fn file_name(&self) -> String {
        let arch = self.arch.as_deref().unwrap_or("any");
        let digits = self.tarball_sha256.get(..12).unwrap_or_default();
        format!("{}-{arch}-{digits}.tar.zst", self.name)
    }

    pub(super) fn validate(&self, place: &str, index: usize) -> Result<(), Error> {
        let reason = match () {
            () if !is_name(&self.name) => "its name is none",
            () if self.arch.as_deref().is_some_and(|arch| !is_name(arch)) => "its arch is none",
            () if self.sha256().is_none() => "its tarball_sha256 is not 64 hexadecimal digits",
            () if self.tarball_url.is_empty() => "it has no tarball_url",
            () => return Ok(()),
        };
        Err(Error::Entry {
            place: place.to_owned(),
            number: index.saturating_add(1),
            name: self.name.chars().take(80).collect(),
            reason,
        })
    }
}

/// Tells whether a text can name a bundle, and be a part of a file's name.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let first = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    first && text.len() <= 128 && text.bytes().all(inner)
}
