//! Where a catalog or a bundle is.

use std::fmt;
use std::path::{Path, PathBuf};

use forger_oci::Reference;
use forger_oci::http::Url;

use super::Error;

/// Where a catalog or a bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file of this machine.
    File(PathBuf),
    /// A web server.
    Web(Url),
    /// An artifact in a registry.
    Registry(Reference),
}

impl Location {
    /// Reads an URL (`http:`, `https:`, `oci:`, `file:`) or a path.
    ///
    /// # Errors
    /// [`Error::Location`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fault = |reason: String| Error::Location {
            url: text.chars().take(160).collect(),
            reason,
        };
        match text.split_once("://") {
            Some(("http" | "https", _)) => Url::parse(text)
                .map(Self::Web)
                .map_err(|error| fault(error.to_string())),
            Some(("oci" | "docker", reference)) => match reference.parse() {
                Ok(reference) => Ok(Self::Registry(reference)),
                Err(error) => Err(fault(format!("{error}"))),
            },
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
            Some((_, rest)) if !rest.is_empty() && !text.starts_with(['/', '.']) => {
                Err(fault("its scheme is not known".to_owned()))
            }
            _ => Ok(Self::File(text.into())),
        }
    }

    /// Reads what stands in a catalog at this place: an URL, or a path relative to it.
    ///
    /// # Errors
    /// [`Error::Location`], also where a catalog from elsewhere names a file of this machine.
    pub fn join(&self, text: &str) -> Result<Self, Error> {
        let fault = |reason: String| Error::Location {
            url: text.chars().take(160).collect(),
            reason,
        };
        let absolute = text.contains("://");
        match (self, absolute) {
            (Self::File(_), true) => Self::parse(text),
            (Self::File(catalog), false) => {
                let folder = catalog.parent().unwrap_or(Path::new(""));
                Ok(Self::File(folder.join(text)))
            }
            (Self::Web(url), false) => url
                .join(text)
                .map(Self::Web)
                .map_err(|error| fault(error.to_string())),
            (Self::Web(_), true) | (Self::Registry(_), true) => match Self::parse(text)? {
                Self::File(_) => Err(fault(
                    "a catalog from elsewhere names no file of this machine".to_owned(),
                )),
                location => Ok(location),
            },
            (Self::Registry(_), false) => {
                Err(fault("nothing is relative to a registry".to_owned()))
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Web(url) => url.fmt(f),
            Self::Registry(reference) => write!(f, "oci://{reference}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(catalog: &str, text: &str) -> String {
        let location = Location::parse(catalog).unwrap().join(text);
        location.map_or_else(
            |error| format!("! {error}"),
            |location| location.to_string(),
        )
    }

    #[test]
    fn places_are_relative_to_the_catalog() {
        assert_eq!(joined("a/catalog.json", "x.tar.zst"), "a/x.tar.zst");
        assert_eq!(
            joined("https://h.io/c/catalog.json?v=2", "x.tar.zst"),
            "https://h.io/c/x.tar.zst"
        );
        assert_eq!(
            joined("https://h.io/c.json", "oci://ghcr.io/a/b:1"),
            "oci://ghcr.io/a/b:1"
        );
        assert_eq!(joined("c.json", "https://h.io/x"), "https://h.io/x");
        assert_eq!(joined("c.json", "file:///srv/x"), "/srv/x");
    }

    #[test]
    fn a_catalog_from_elsewhere_names_no_file_of_this_machine() {
        assert!(joined("https://h.io/c.json", "file:///etc/shadow").starts_with('!'));
        assert!(joined("https://h.io/c.json", "ftp://h.io/x").starts_with('!'));
    }
}
