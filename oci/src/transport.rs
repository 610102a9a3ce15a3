//! Where images are, as users write it.
//!
//! ```text
//! oci:DIR[:NAME]              a folder with an image layout      (also oci:DIR@DIGEST)
//! oci-archive:FILE[:NAME]     a tar of one
//! docker-archive:FILE[:NAME]  what `docker save` writes
//! oci://HOST/PATH[:TAG]       a registry                         (also docker://)
//! ```
//!
//! The file name ends at its first colon, unless a file or folder of the whole name exists.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::{Digest, Error, Reference, Result};

/// Which image of a layout or archive is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The one that is there.
    Only,
    /// The one of this name: an `org.opencontainers.image.ref.name`, a repository and tag.
    Named(String),
    /// The one with this digest.
    Digest(Digest),
}

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A folder with an image layout.
    Layout(PathBuf, Name),
    /// A tar of an image layout.
    LayoutArchive(PathBuf, Name),
    /// What `docker save` writes.
    DockerArchive(PathBuf, Name),
    /// A registry.
    Registry(Reference),
}

impl Transport {
    /// Understands what was typed; `None` when it names no transport. `exists` tells whether there is a file
    /// of a name.
    ///
    /// # Errors
    /// [`Error::Reference`], [`Error::Digest`] for a name that is none.
    pub fn parse(typed: &OsStr, exists: impl Fn(&Path) -> bool) -> Result<Option<Self>> {
        let bytes = typed.as_bytes();
        for scheme in ["oci://", "docker://"] {
            if let Some(reference) = bytes.strip_prefix(scheme.as_bytes()) {
                let reference = String::from_utf8_lossy(reference);
                return Ok(Some(Self::Registry(reference.parse()?)));
            }
        }
        let Some(colon) = bytes.iter().position(|byte| *byte == b':') else {
            return Ok(None);
        };
        let make = match &bytes[..colon] {
            b"oci" => Self::Layout,
            b"oci-archive" => Self::LayoutArchive,
            b"docker-archive" => Self::DockerArchive,
            _ => return Ok(None),
        };
        let (path, name) = split(&bytes[colon + 1..], exists)?;
        Ok(Some(make(path, name)))
    }

    /// Returns the file or folder, `None` for a registry.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Layout(path, _) | Self::LayoutArchive(path, _) | Self::DockerArchive(path, _) => {
                Some(path)
            }
            Self::Registry(_) => None,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path, name) = match self {
            Self::Layout(path, name) => ("oci", path, name),
            Self::LayoutArchive(path, name) => ("oci-archive", path, name),
            Self::DockerArchive(path, name) => ("docker-archive", path, name),
            Self::Registry(reference) => return write!(f, "oci://{reference}"),
        };
        write!(f, "{scheme}:{}", path.display())?;
        match name {
            Name::Only => Ok(()),
            Name::Named(name) => write!(f, ":{name}"),
            Name::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

fn split(rest: &[u8], exists: impl Fn(&Path) -> bool) -> Result<(PathBuf, Name)> {
    let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    let fault = |reason| Error::Reference {
        text: String::from_utf8_lossy(rest).into_owned(),
        reason,
    };
    if rest.is_empty() {
        return Err(fault("a path is missing"));
    }
    let whole = path(rest);
    let Some(colon) = rest.iter().position(|byte| *byte == b':') else {
        return Ok((whole, Name::Only));
    };
    if exists(&whole) {
        return Ok((whole, Name::Only));
    }
    let (file, name) = (&rest[..colon], &rest[colon + 1..]);
    let name =
        std::str::from_utf8(name).map_err(|_| fault("the name behind the colon is not UTF-8"))?;
    let digest_of = |file: &[u8]| file.iter().rposition(|byte| *byte == b'@');
    if let Some(at) = digest_of(file)
        && matches!(&file[at..], b"@sha256" | b"@sha512")
    {
        let digest = String::from_utf8_lossy(&rest[at + 1..]).parse()?;
        return Ok((path(&file[..at]), Name::Digest(digest)));
    }
    match (file, name) {
        (b"", _) => Err(fault("a path is missing")),
        (_, "") => Err(fault("nothing stands behind the colon")),
        _ => Ok((path(file), Name::Named(name.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(typed: &str) -> Option<Transport> {
        Transport::parse(OsStr::new(typed), |path| path == Path::new("odd:name")).unwrap()
    }

    #[test]
    fn transports_are_told_by_their_prefix() {
        let named = |name: &str| Name::Named(name.to_owned());
        assert_eq!(
            parse("oci:dir"),
            Some(Transport::Layout("dir".into(), Name::Only))
        );
        assert_eq!(
            parse("oci:a/b:docker.io/library/c:1"),
            Some(Transport::Layout(
                "a/b".into(),
                named("docker.io/library/c:1")
            ))
        );
        assert_eq!(
            parse("oci-archive:f.tar:1"),
            Some(Transport::LayoutArchive("f.tar".into(), named("1")))
        );
        assert_eq!(
            parse("docker-archive:f.tar:a:1"),
            Some(Transport::DockerArchive("f.tar".into(), named("a:1")))
        );
        let odd = Transport::Layout("odd:name".into(), Name::Only);
        assert_eq!(parse("oci:odd:name"), Some(odd));
        for typed in ["rootfs.tar", "./oci:dir", "ocidir", "oci", "-"] {
            assert_eq!(parse(typed), None, "{typed}");
        }
    }

    #[test]
    fn digests_and_registries_are_understood() {
        let digest = Digest::of(b"{}");
        assert_eq!(
            parse(&format!("oci:dir@{digest}")),
            Some(Transport::Layout("dir".into(), Name::Digest(digest)))
        );
        for typed in ["oci://ghcr.io/a/b", "docker://ghcr.io/a/b:latest"] {
            assert_eq!(
                parse(typed).unwrap().to_string(),
                "oci://ghcr.io/a/b:latest"
            );
        }
        for typed in ["oci:", "oci::name", "oci:dir:", "oci://", "oci:d@sha256:12"] {
            assert!(
                Transport::parse(OsStr::new(typed), |_| false).is_err(),
                "{typed}"
            );
        }
    }
}
