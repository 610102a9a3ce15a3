//! Digests: what a blob is called, and the proof that it is that blob
//! ([image-spec, descriptor.md](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests)).

use std::fmt;
use std::str::FromStr;

use oci_spec::image as spec;

use crate::{Error, Result};

/// A hash function that forger can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, what everybody uses.
    Sha256,
    /// SHA-512, which registries may use.
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Returns the name before the colon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns the length of its hashes in bytes.
    const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn ring(self) -> &'static ring::digest::Algorithm {
        match self {
            Self::Sha256 => &ring::digest::SHA256,
            Self::Sha512 => &ring::digest::SHA512,
        }
    }
}

/// A digest of a kind that can be verified: `sha256:` or `sha512:` and lower-case hexadecimal digits.
///
/// ```
/// use forger_oci::Digest;
///
/// let empty = Digest::of(b"{}");
/// assert_eq!(empty.to_string(), "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
/// assert_eq!(empty.to_string().parse::<Digest>()?, empty);
/// # Ok::<(), forger_oci::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// The hash, zeros behind it.
    bytes: [u8; 64],
}

impl Digest {
    /// Returns the SHA-256 of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the hash function.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the hash in hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        let digits =
            |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)]));
        self.hash().iter().flat_map(digits).collect()
    }

    fn hash(&self) -> &[u8] {
        &self.bytes[..self.algorithm.len()]
    }
}

const HEX: [u8; 16] = *b"0123456789abcdef";

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = |reason| Error::Digest {
            text: shortened(text),
            reason,
        };
        let (name, digits) = text
            .split_once(':')
            .ok_or_else(|| fault("there is no colon"))?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| fault("the algorithm is neither sha256 nor sha512"))?;
        if digits.len() != 2 * algorithm.len() {
            return Err(fault("the number of digits is wrong"));
        }
        let mut bytes = [0; 64];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digit = |digit: u8| match digit {
                b'0'..=b'9' => Ok(digit - b'0'),
                b'a'..=b'f' => Ok(digit - b'a' + 10),
                _ => Err(fault(
                    "there is something else than lower-case hexadecimal digits",
                )),
            };
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self { algorithm, bytes })
    }
}

impl TryFrom<&spec::Digest> for Digest {
    type Error = Error;

    fn try_from(digest: &spec::Digest) -> Result<Self> {
        digest.as_ref().parse()
    }
}

impl From<Digest> for spec::Digest {
    fn from(digest: Digest) -> Self {
        let digest = digest.to_string().parse();
        digest.expect("our digests are a part of the specification's")
    }
}

/// The first bytes of what may be very long, for messages.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(160) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// Takes a digest of what passes by.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    context: ring::digest::Context,
}

impl Hasher {
    /// Starts with nothing.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            context: ring::digest::Context::new(algorithm.ring()),
        }
    }

    /// Takes further bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// Returns the digest of all bytes.
    #[must_use]
    pub fn finish(self) -> Digest {
        let hash = self.context.finish();
        let mut bytes = [0; 64];
        for (byte, hash) in bytes.iter_mut().zip(hash.as_ref()) {
            *byte = *hash;
        }
        Digest {
            algorithm: self.algorithm,
            bytes,
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_as_they_are_read() {
        let text = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
        assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        assert_eq!(Hasher::new(Algorithm::Sha512).finish().to_string(), text);
    }

    #[test]
    fn anything_else_is_refused() {
        let good = Digest::of(b"").to_string();
        for text in [
            "",
            "sha256",
            "sha256:",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            &good[..good.len() - 1],
            &good.to_uppercase(),
            &good.replace('e', "E"),
            &format!("{good}0"),
            "sha256:../../../../../../../../../../../../../../../../../../../../etc/",
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
