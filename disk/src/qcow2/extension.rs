//! The header extensions, read and written.
//!
//! QEMU's `docs/interop/qcow2.txt`, section "Header extensions".
//!
//! ```text
//! kind, 4 bytes | length, 4 bytes | so many bytes | zeros up to a multiple of 8
//! ```
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::BlockRead;
use zerocopy::big_endian::U32;

use super::error::{Place, ReadError, WriteError};

/// Kinds of header extensions.
mod kind {
    pub(super) const END: u32 = 0;
    pub(super) const BACKING_FORMAT: u32 = 0xe279_2aca;
    pub(super) const FEATURE_NAMES: u32 = 0x6803_f857;
    pub(super) const DATA_FILE: u32 = 0x4441_5441;
    pub(super) const BITMAPS: u32 = 0x2385_2875;
}

/// What features are called: their kind (incompatible, compatible, cleared by whoever does not know
/// them), their bit, their name.
const FEATURES: [(u8, u8, &str); 8] = [
    (0, 0, "dirty bit"),
    (0, 1, "corrupt bit"),
    (0, 2, "external data file"),
    (0, 3, "compression type"),
    (0, 4, "extended L2 entries"),
    (1, 0, "lazy refcounts"),
    (2, 0, "bitmaps"),
    (2, 1, "raw external data"),
];

/// Length of a row of the table of feature names, in bytes.
const ROW: usize = 48;

/// The longest name of a backing file, in bytes; QEMU has the same limit.
const MAX_NAME: usize = 1023;

/// A file that an image names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name, as it shall stand in the image: relative to the image's folder, or absolute.
    pub name: String,
    /// Its format, as QEMU calls it: `raw`, `qcow2`.
    pub format: Option<String>,
}

/// What the extensions say.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) backing_format: Option<String>,
    pub(super) data_file: Option<String>,
    pub(super) feature_names: Vec<u8>,
    /// The table of bitmaps, as it stands there.
    pub(super) bitmaps: Option<Vec<u8>>,
}

impl Extensions {
    /// Reads the extensions between two offsets of the first cluster.
    pub(super) fn read(file: &dyn BlockRead, start: u64, end: u64) -> Result<Self, ReadError> {
        let mut found = Self::default();
        let mut at = start;
        while at.saturating_add(8) <= end.min(file.len()) {
            let mut head = [0; 8];
            file.read_at(at, &mut head)?;
            let [kind, len]: [U32; 2] = zerocopy::transmute!(head);
            let (kind, len) = (kind.get(), len.get());
            if kind == kind::END {
                break;
            }
            let place = Place::Extension(at);
            let data = at.saturating_add(8);
            let next = data.saturating_add(u64::from(len).next_multiple_of(8));
            if data.saturating_add(len.into()) > end.min(file.len()) {
                return Err(ReadError::field(place, "length", len.into()));
            }
            // At most a cluster.
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            file.read_at(data, &mut bytes)?;
            let text = || Some(String::from_utf8_lossy(&bytes).into_owned());
            match kind {
                kind::BACKING_FORMAT => found.backing_format = text(),
                kind::DATA_FILE => found.data_file = text(),
                kind::FEATURE_NAMES => found.feature_names = bytes,
                kind::BITMAPS => found.bitmaps = Some(bytes),
                // What is not known may be ignored.
                _ => {}
            }
            at = next;
        }
        Ok(found)
    }
}

/// Makes the extensions of an image, with their end, and room for the backing file's name in `room`
/// bytes.
///
/// The names of features are left out where they do not fit: nobody needs them.
///
/// # Errors
/// [`WriteError::Option`] for a name that is empty, too long or does not fit.
pub(super) fn seal(
    backing: Option<&Named>,
    data_file: Option<&str>,
    names: bool,
    room: u64,
) -> Result<Vec<u8>, WriteError> {
    let mut bytes = Vec::new();
    if let Some(name) = data_file {
        if name.is_empty() || name.len() > MAX_NAME {
            let reason = format!(
                "its name has {} bytes; 1 to {MAX_NAME} are possible",
                name.len()
            );
            let option = "data file";
            return Err(WriteError::Option { option, reason });
        }
        put(&mut bytes, kind::DATA_FILE, name.as_bytes());
    }
    if let Some(format) = backing.and_then(|backing| backing.format.as_ref()) {
        put(&mut bytes, kind::BACKING_FORMAT, format.as_bytes());
    }
    let name_len = backing.map_or(0, |backing| backing.name.len());
    let features = feature_names();
    // Twice 8 bytes for the heads of this one and of the end.
    let all = [bytes.len(), features.len(), name_len, 16];
    let needed: usize = all.into_iter().fold(0, usize::saturating_add);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if names && needed <= room {
        put(&mut bytes, kind::FEATURE_NAMES, &features);
    }
    put(&mut bytes, kind::END, &[]);
    let refuse = |reason: String| {
        Err(WriteError::Option {
            option: "backing file",
            reason,
        })
    };
    match backing {
        Some(backing) if backing.name.is_empty() => refuse("it has no name".to_owned()),
        Some(_) if name_len > MAX_NAME => refuse(format!(
            "its name has {name_len} bytes; {MAX_NAME} are possible"
        )),
        Some(_) if bytes.len().saturating_add(name_len) > room => refuse(
            "its name does not fit the first cluster, which larger clusters would help".to_owned(),
        ),
        None if bytes.len() > room => Err(WriteError::Option {
            option: "data file",
            reason: "its name does not fit the first cluster, which larger clusters would help"
                .to_owned(),
        }),
        _ => Ok(bytes),
    }
}

fn feature_names() -> Vec<u8> {
    FEATURES
        .into_iter()
        .flat_map(|(kind, bit, name)| {
            let mut row = vec![kind, bit];
            row.extend_from_slice(name.as_bytes());
            row.resize(ROW, 0);
            row
        })
        .collect()
}

fn put(bytes: &mut Vec<u8>, kind: u32, data: &[u8]) {
    let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Named {
        Named {
            name: name.to_owned(),
            format: Some("raw".to_owned()),
        }
    }

    #[test]
    fn extensions_come_back_and_names_of_features_give_way() {
        let bytes = seal(Some(&named("base.raw")), None, true, 65_424).unwrap();
        assert_eq!(bytes.len(), 16 + 8 + 8 * 48 + 8);
        let found = Extensions::read(&bytes, 0, 65_424).unwrap();
        assert_eq!(found.backing_format.as_deref(), Some("raw"));
        assert_eq!(found.feature_names.len(), 8 * 48);
        // A cluster of 512 bytes has no room for both.
        let bytes = seal(Some(&named("base.raw")), None, true, 400).unwrap();
        assert_eq!(bytes.len(), 16 + 8);
        assert_eq!(seal(None, None, true, 400).unwrap().len(), 8 + 8 * 48 + 8);
        let bytes = seal(None, Some("data.raw"), false, 400).unwrap();
        let found = Extensions::read(&bytes, 0, 400).unwrap();
        assert_eq!(found.data_file.as_deref(), Some("data.raw"));
    }

    #[test]
    fn names_that_cannot_stand_there_are_refused() {
        for (name, room) in [
            ("", 65_424),
            (&*"x".repeat(1024), 65_424),
            (&"x".repeat(400), 400),
        ] {
            assert!(
                seal(Some(&named(name)), None, true, room).is_err(),
                "{name}"
            );
            assert!(seal(None, Some(name), true, room).is_err(), "{name}");
        }
    }
}
