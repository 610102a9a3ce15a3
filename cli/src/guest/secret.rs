//! Secrets: files that only the guest's memory holds, and only while it runs.

use std::path::PathBuf;

use forger_fs::source::{Entry, EntryKind};
use forger_fs::tar::Writer;
use forger_fs::tree::{Content, Meta};

use crate::exit::Failure;

/// The folder of secrets in the guest.
pub(crate) const FOLDER: &[u8] = b"/run/secrets";

/// The most bytes of a secret.
const MAX_LEN: u64 = 1 << 20;

/// One secret: its name in the guest and the file on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    name: String,
    file: PathBuf,
}

/// Reads `--secret`: `NAME:FILE`, or `id=NAME,src=FILE` as docker takes it.
pub(crate) fn parse(text: &str) -> Result<Secret, String> {
    let shape = || "expected NAME:FILE or id=NAME,src=FILE".to_owned();
    let (name, file) = match text.strip_prefix("id=") {
        Some(rest) => rest.split_once(",src=").ok_or_else(shape)?,
        None => text.split_once(':').ok_or_else(shape)?,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) || file.is_empty() {
        return Err(shape());
    }
    Ok(Secret {
        name: name.to_owned(),
        file: file.into(),
    })
}

/// Returns the secrets as a tar; only their owner, root unless given, reads them.
///
/// # Errors
/// A file that cannot be read, or is larger than a secret.
pub(crate) fn tar(secrets: &[Secret]) -> Result<Vec<u8>, Failure> {
    let mut writer = Writer::new(Vec::new());
    for secret in secrets {
        let shown = secret.file.display();
        let failed = || Failure::failed(format!("cannot read the secret {shown}"));
        let bytes = std::fs::metadata(&secret.file)
            .and_then(|metadata| match metadata.len() <= MAX_LEN {
                true => std::fs::read(&secret.file),
                false => Err(std::io::Error::other("it is longer than 1 MiB")),
            })
            .map_err(|error| failed().because(error))?;
        let entry = Entry {
            path: secret.name.clone().into_bytes(),
            kind: EntryKind::File {
                size: bytes.len() as u64,
            },
            meta: Meta {
                mode: 0o400,
                ..Meta::default()
            },
            offset: None,
        };
        writer
            .append(&entry, &Content::inline(bytes))
            .map_err(|error| failed().because(error))?;
    }
    let finished = writer.finish();
    finished.map_err(|error| Failure::failed("cannot pass the secrets on").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read_and_paths_are_no_names() {
        let secret = Secret {
            name: "token".to_owned(),
            file: "/a/b".into(),
        };
        assert_eq!(parse("token:/a/b").as_ref(), Ok(&secret));
        assert_eq!(parse("id=token,src=/a/b").as_ref(), Ok(&secret));
        for text in ["token", "../x:/a", "a/b:c", ":x", "id=token", "x:"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
