//! References to images in registries, by the grammar that docker made common
//! ([distribution/reference](https://pkg.go.dev/github.com/distribution/reference)).
//!
//! ```text
//! [HOST[:PORT]/]PATH[:TAG][@DIGEST]
//! ```
//!
//! Without a host it is Docker Hub's: `debian` is `docker.io/library/debian:latest`.

use std::fmt;
use std::str::FromStr;

use crate::digest::shortened;
use crate::{Digest, Error, Result};

/// The registry that is meant when none is named.
pub const DEFAULT_HOST: &str = "docker.io";

/// The tag that is meant when neither tag nor digest is given.
pub const DEFAULT_TAG: &str = "latest";

/// A reference to an image in a registry, with all defaults filled in.
///
/// ```
/// use forger_oci::Reference;
///
/// let reference: Reference = "debian".parse()?;
/// assert_eq!(reference.to_string(), "docker.io/library/debian:latest");
/// let reference: Reference = "localhost:5000/team/app:1.2".parse()?;
/// assert_eq!((reference.host(), reference.repository()), ("localhost:5000", "team/app"));
/// assert_eq!(reference.tag(), Some("1.2"));
/// # Ok::<(), forger_oci::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Returns the registry: a host name or address, perhaps with a port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the path of the repository in its registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag; one is there unless only a digest was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest, which decides where there is one.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the reference of another image in the same repository.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Returns the reference of another tag in the same repository.
    ///
    /// # Errors
    /// [`Error::Reference`] for what is no tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self> {
        check_tag(tag).map_err(|reason| fault(tag, reason))?;
        Ok(Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        })
    }

    /// Returns host and repository.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let name_start = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[name_start..].find(':') {
            Some(at) => {
                let (name, tag) = rest.split_at(name_start + at);
                (name, Some(&tag[1..]))
            }
            None => (rest, None),
        };
        let (host, path) = split_host(name);
        let repository = match host == DEFAULT_HOST && !path.contains('/') {
            true => format!("library/{path}"),
            false => path.to_owned(),
        };
        let fault = |reason| fault(text, reason);
        check_host(host).map_err(fault)?;
        check_path(&repository).map_err(fault)?;
        tag.map_or(Ok(()), check_tag).map_err(fault)?;
        let default = || digest.is_none().then_some(DEFAULT_TAG);
        Ok(Self {
            host: host.to_owned(),
            repository,
            tag: tag.or_else(default).map(str::to_owned),
            digest,
        })
    }
}

fn fault(text: &str, reason: &'static str) -> Error {
    Error::Reference {
        text: shortened(text),
        reason,
    }
}

/// Tells the host from the path: only what has a dot, a colon or an upper-case letter, or is `localhost`, is one.
fn split_host(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, path))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.contains(|letter: char| letter.is_ascii_uppercase()) =>
        {
            match first {
                "index.docker.io" => (DEFAULT_HOST, path),
                _ => (first, path),
            }
        }
        _ => (DEFAULT_HOST, name),
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest
                .split_once(']')
                .ok_or("the host's bracket is not closed")?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("the host in brackets is no IPv6 address");
            }
            match port {
                "" => return Ok(()),
                _ => (
                    "",
                    port.strip_prefix(':')
                        .ok_or("something stands behind the host's bracket")?,
                ),
            }
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, port),
            None => (host, "1"),
        },
    };
    if port.is_empty()
        || !port.bytes().all(|digit| digit.is_ascii_digit())
        || port.parse::<u16>().is_err()
    {
        return Err("the port is no number up to 65535");
    }
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match host.starts_with('[') || name.split('.').all(label) {
        true => Ok(()),
        false => Err("the host is no name"),
    }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.len() > 255 {
        return Err("the repository's name has more than 255 characters");
    }
    match path.split('/').all(is_component) {
        true => Ok(()),
        false => Err(
            "a repository's name has components of lower-case letters and digits, parted by '.', '_', '__' or '-'",
        ),
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    if !bytes.first().is_some_and(inner) || !bytes.last().is_some_and(inner) {
        return false;
    }
    let mut between = bytes.split(inner).filter(|between| !between.is_empty());
    between.all(|between| {
        matches!(between, b"." | b"_" | b"__") || between.iter().all(|byte| *byte == b'-')
    })
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let inner = |byte: u8| first(byte) || byte == b'.' || byte == b'-';
    match tag.bytes().next().is_some_and(first) && tag.bytes().all(inner) && tag.len() <= 128 {
        true => Ok(()),
        false => Err(
            "a tag has 1 to 128 letters, digits, '_', '.' and '-', and begins with none of the last two",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn defaults_are_filled_in() {
        for (text, whole) in [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:12", "docker.io/library/debian:12"),
            ("team/app", "docker.io/team/app:latest"),
            ("index.docker.io/debian", "docker.io/library/debian:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app:1", "localhost:5000/app:1"),
            ("Host/app", "Host/app:latest"),
            ("[::1]:5000/a/b", "[::1]:5000/a/b:latest"),
            ("ghcr.io/a/b__c-d--e.f", "ghcr.io/a/b__c-d--e.f:latest"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), whole);
        }
        let digest = format!("a.b/c@{DIGEST}");
        assert_eq!(digest.parse::<Reference>().unwrap().to_string(), digest);
        let both = format!("a.b/c:1@{DIGEST}");
        assert_eq!(both.parse::<Reference>().unwrap().to_string(), both);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "UPPER",
            "a:",
            "a:-tag",
            "a:b:c",
            "a b",
            "a@sha256:12",
            "a//b",
            "a.b/",
            "../a",
            "a/../b",
            "a___b",
            "-a",
            "host:port/a",
            "host:99999/a",
            "[::1/a",
            "[zz]:1/a",
            "a\u{e9}",
            &format!("a:{}", "t".repeat(129)),
            &"a".repeat(256),
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
