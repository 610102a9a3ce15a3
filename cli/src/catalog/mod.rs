//! Catalogs: JSON documents that say where bundles (and kernels) are and what their digests are.
//!
//! ```json
//! {"version": 1, "entries": [{"name": "debian", "distro": "debian", "arch": "x86_64",
//!   "tarball_url": "debian-x86_64-8812e888670c.tar.zst", "tarball_sha256": "8812…", "size_bytes": 70000000}]}
//! ```
//!
//! An empty document is a catalog without entries. An URL is absolute (`https:`, `oci:`, `file:`), or relative to
//! where the catalog stands. What is not known stays in an entry.

mod entry;
mod error;
mod location;

pub use entry::{Entry, is_name};
pub use error::Error;
pub use location::Location;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of the format.
pub const VERSION: u32 = 1;
/// The longest catalog, in bytes.
pub const LIMIT: u64 = 16 << 20;

/// A list of bundles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// [`VERSION`].
    pub version: u32,
    /// The bundles.
    #[serde(default)]
    pub entries: Vec<Entry>,
    /// What else stands in it.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            version: VERSION,
            entries: Vec::new(),
            other: Map::new(),
        }
    }
}

impl Catalog {
    /// Reads a catalog; `place` names it in errors.
    ///
    /// # Errors
    /// [`Error`] when it is none, or an entry makes no sense.
    pub fn parse(place: &str, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let catalog: Self = serde_json::from_slice(bytes).map_err(|source| Error::Json {
            place: place.to_owned(),
            source,
        })?;
        if catalog.version != VERSION {
            return Err(Error::Version {
                place: place.to_owned(),
                version: catalog.version,
            });
        }
        let mut keys = BTreeSet::new();
        for (index, entry) in catalog.entries.iter().enumerate() {
            entry.validate(place, index)?;
            if !keys.insert(entry.key()) {
                return Err(Error::Twice {
                    place: place.to_owned(),
                    name: entry.name.clone(),
                });
            }
        }
        Ok(catalog)
    }

    /// Finds a bundle by its name, and by its architecture where there are several.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Several`].
    pub fn find(&self, place: &str, name: &str, arch: Option<&str>) -> Result<&Entry, Error> {
        let named = self.entries.iter().filter(|entry| entry.name == name);
        let wanted = |entry: &&Entry| arch.is_none_or(|arch| entry.arch.as_deref() == Some(arch));
        let found: Vec<&Entry> = named.filter(wanted).collect();
        match found.as_slice() {
            [entry] => Ok(entry),
            [] => Err(Error::Missing {
                place: place.to_owned(),
                name: name.to_owned(),
                known: self
                    .entries
                    .iter()
                    .map(|entry| entry.name.clone())
                    .collect(),
            }),
            several => Err(Error::Several {
                place: place.to_owned(),
                name: name.to_owned(),
                archs: several
                    .iter()
                    .filter_map(|entry| entry.arch.clone())
                    .collect(),
            }),
        }
    }

    /// Adds a bundle; one of the same name and architecture is replaced and returned.
    pub fn put(&mut self, entry: Entry) -> Option<Entry> {
        let same = |other: &&mut Entry| other.key() == entry.key();
        match self.entries.iter_mut().find(same) {
            Some(old) => Some(std::mem::replace(old, entry)),
            None => {
                self.entries.push(entry);
                None
            }
        }
    }

    /// Returns the document, one field a line.
    ///
    /// # Panics
    /// Never: keys are texts.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("keys are texts");
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn document(entries: &str) -> String {
        format!(r#"{{"version":1,"entries":[{entries}],"generated":"today"}}"#)
    }

    fn entry(name: &str, more: &str) -> String {
        format!(r#"{{"name":"{name}","tarball_url":"x.tar.zst","tarball_sha256":"{SHA}"{more}}}"#)
    }

    fn parse(text: &str) -> Result<Catalog, Error> {
        Catalog::parse("catalog.json", text.as_bytes())
    }

    #[test]
    fn what_is_not_known_survives() {
        let text = document(&entry("debian", r#","modules":true,"arch":"x86_64""#));
        let catalog = parse(&text).unwrap();
        let again: Value = serde_json::from_slice(&catalog.to_bytes()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(&text).unwrap());
    }

    #[test]
    fn an_empty_document_has_no_entries() {
        assert_eq!(parse(" \n").unwrap(), Catalog::default());
        assert!(matches!(
            parse("").unwrap().find("c", "x", None),
            Err(Error::Missing { .. })
        ));
    }

    #[test]
    fn entries_that_make_no_sense_are_refused() {
        for bad in [
            entry("../debian", ""),
            entry("", ""),
            entry("a b", ""),
            entry("debian", r#","arch":"x/y""#),
            entry("debian", "").replace(SHA, "12"),
            entry("debian", "").replace("x.tar.zst", ""),
            format!("{0},{0}", entry("debian", "")),
        ] {
            assert!(parse(&document(&bad)).is_err(), "{bad}");
        }
        for bad in [
            "[]",
            "{",
            r#"{"version":2,"entries":[]}"#,
            r#"{"entries":[]}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bundles_are_told_apart_by_architecture() {
        let two = [
            entry("a", r#","arch":"x86_64""#),
            entry("a", r#","arch":"aarch64""#),
        ]
        .join(",");
        let mut catalog = parse(&document(&two)).unwrap();
        assert!(matches!(
            catalog.find("c", "a", None),
            Err(Error::Several { .. })
        ));
        let mut arm = catalog.find("c", "a", Some("aarch64")).unwrap().clone();
        arm.size_bytes = Some(5);
        assert!(catalog.put(arm.clone()).is_some());
        arm.name = "b".to_owned();
        assert!(catalog.put(arm).is_none());
        let sizes: Vec<_> = catalog
            .entries
            .iter()
            .map(|entry| entry.size_bytes)
            .collect();
        assert_eq!(sizes, [None, Some(5), Some(5)]);
    }
}
