//! Certificate authorities that programs in a guest trust beside those of the root filesystem.
//!
//! They lie in memory, in no result, and programs find them by variables:
//!
//! ```text
//!  /run/forger/ca.pem       the authorities that are added
//!  /run/forger/bundle.pem   those of the root filesystem, and the same
//!  /run/forger/apt.conf     has apt take the latter
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::ext4::{FileType, Image};
use forger_fs::source::{Entry, EntryKind};
use forger_fs::tar::Writer;
use forger_fs::tree::{Content, Meta};

use crate::config;
use crate::exit::Failure;
use crate::network;

/// The folder in the guest.
pub(crate) const FOLDER: &[u8] = b"/run/forger";

/// What every certificate begins and ends with in PEM.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The longest list of authorities of a root filesystem that is read, in bytes.
const MAX_BUNDLE: u64 = 16 << 20;

const APT: &str = "Acquire::https::CaInfo \"/run/forger/bundle.pem\";\n";

/// The variables by which programs find the authorities.
pub(crate) const VARIABLES: [(&str, &str); 7] = [
    ("SSL_CERT_FILE", "/run/forger/bundle.pem"),
    ("CURL_CA_BUNDLE", "/run/forger/bundle.pem"),
    ("REQUESTS_CA_BUNDLE", "/run/forger/bundle.pem"),
    ("PIP_CERT", "/run/forger/bundle.pem"),
    ("GIT_SSL_CAINFO", "/run/forger/bundle.pem"),
    ("NODE_EXTRA_CA_CERTS", "/run/forger/ca.pem"),
    ("APT_CONFIG", "/run/forger/apt.conf"),
];

/// Returns the files for a guest as a tar; nothing where no authorities are added.
///
/// # Errors
/// Files that cannot be read, or hold no certificate.
pub(crate) fn tar(
    files: &[PathBuf],
    system: &Arc<dyn BlockRead>,
) -> Result<Option<Vec<u8>>, Failure> {
    if files.is_empty() {
        return Ok(None);
    }
    let mut added = String::new();
    for path in files {
        added.push_str(&only_certificates(&network::certificates(path)?));
    }
    let mut bundle = installed(system).unwrap_or_default();
    if !bundle.is_empty() && !bundle.ends_with('\n') {
        bundle.push('\n');
    }
    bundle.push_str(&added);
    let mut writer = Writer::new(Vec::new());
    let failed = |error| Failure::failed("cannot pass the authorities on").because(error);
    for (name, text) in [
        ("ca.pem", added),
        ("bundle.pem", bundle),
        ("apt.conf", APT.to_owned()),
    ] {
        let entry = Entry {
            path: name.as_bytes().to_vec(),
            kind: EntryKind::File {
                size: text.len() as u64,
            },
            meta: Meta {
                mode: 0o444,
                ..Meta::default()
            },
            offset: None,
        };
        let content = Content::inline(text.into_bytes());
        writer.append(&entry, &content).map_err(failed)?;
    }
    writer.finish().map(Some).map_err(failed)
}

/// Returns the certificates of a PEM file: a key that stands there too is nobody's concern.
fn only_certificates(pem: &[u8]) -> String {
    let text = String::from_utf8_lossy(pem);
    let blocks = text.split(BEGIN).skip(1);
    blocks
        .filter_map(|block| Some(block.split_once(END)?.0))
        .map(|block| format!("{BEGIN}{block}{END}\n"))
        .collect()
}

/// Returns the authorities that the root filesystem trusts, where it has them in a usual place.
fn installed(system: &Arc<dyn BlockRead>) -> Option<String> {
    let image = Image::open(Arc::clone(system)).ok()?;
    config::certificate_bundles().iter().find_map(|path| {
        let inode = image.lookup(path.as_bytes(), true).ok()?;
        if inode.file_type() != FileType::File || inode.size() > MAX_BUNDLE {
            return None;
        }
        let content = image.content(&inode).ok()?;
        let mut bytes = vec![0; usize::try_from(content.size()).ok()?];
        content.read_at(0, &mut bytes).ok()?;
        String::from_utf8(bytes).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_beside_certificates_stay_here() {
        let certificate = format!("{BEGIN}\nAAAA\n{END}\n");
        let pem = format!("a note\n-----BEGIN PRIVATE KEY-----\nBBBB\n{certificate}{certificate}");
        let kept = only_certificates(pem.as_bytes());
        assert_eq!(kept, [certificate.as_str(), &certificate].concat());
        assert_eq!(only_certificates(b"-----BEGIN CERTIFICATE-----\ncut"), "");
    }
}
