//! The grammar that names something inside an image: `IMAGE[#PART][:PATH]`.
//!
//! ```text
//! rootfs.ext4                  the whole image
//! rootfs.ext4:/etc/passwd      a path inside it
//! disk.img#2:/etc/passwd       a path inside its second partition
//! vm.qcow2#root:/etc/passwd    a path inside its root partition
//! ```
//!
//! The path begins at the first `:/`. A file that exists under the whole name wins over any
//! splitting, so `./odd:/name` can still be named.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Where something is: an image, perhaps a partition of it, perhaps a path inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The image's file.
    pub image: PathBuf,
    /// The partition as it was typed, without `#`.
    pub part: Option<OsString>,
    /// The absolute path inside, raw bytes; `None` for the image itself.
    pub path: Option<Vec<u8>>,
}

impl Address {
    /// Splits what was typed; `exists` tells whether a file has a name.
    #[must_use]
    pub fn parse(typed: &OsStr, exists: impl Fn(&Path) -> bool) -> Self {
        if exists(Path::new(typed)) {
            return Self {
                image: typed.into(),
                part: None,
                path: None,
            };
        }
        let bytes = typed.as_bytes();
        let colon = bytes
            .windows(2)
            .position(|pair| pair == b":/")
            .filter(|&at| at > 0);
        let (image, path) = match colon {
            Some(at) => (&bytes[..at], Some(bytes[at + 1..].to_vec())),
            None => (bytes, None),
        };
        let hash = image
            .iter()
            .rposition(|&byte| byte == b'#')
            .filter(|&at| at > 0);
        match hash {
            Some(at) if !exists(Path::new(OsStr::from_bytes(image))) => Self {
                image: PathBuf::from(OsString::from_vec(image[..at].to_vec())),
                part: Some(OsString::from_vec(image[at + 1..].to_vec())),
                path,
            },
            _ => Self {
                image: PathBuf::from(OsString::from_vec(image.to_vec())),
                part: None,
                path,
            },
        }
    }

    /// Returns image and partition as they were typed, for messages.
    #[must_use]
    pub fn disk(&self) -> String {
        match &self.part {
            Some(part) => format!("{}#{}", self.image.display(), part.display()),
            None => self.image.display().to_string(),
        }
    }

    /// Returns the path inside, `/` when none was typed.
    #[must_use]
    pub fn path_or_root(&self) -> &[u8] {
        self.path.as_deref().unwrap_or(b"/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(typed: &str, files: &[&str]) -> (String, Option<String>, Option<String>) {
        let known = |path: &Path| files.iter().any(|file| Path::new(file) == path);
        let address = Address::parse(OsStr::new(typed), known);
        (
            address.image.to_string_lossy().into_owned(),
            address.part.map(|part| part.to_string_lossy().into_owned()),
            address
                .path
                .map(|path| String::from_utf8_lossy(&path).into_owned()),
        )
    }

    #[test]
    fn a_path_begins_at_the_first_colon_and_slash() {
        let path = |text: &str| Some(text.to_owned());
        assert_eq!(
            parse("a.ext4:/etc", &["a.ext4"]),
            ("a.ext4".into(), None, path("/etc"))
        );
        assert_eq!(
            parse("a.ext4:/x:/y", &["a.ext4"]),
            ("a.ext4".into(), None, path("/x:/y"))
        );
        assert_eq!(parse("a.ext4", &["a.ext4"]), ("a.ext4".into(), None, None));
        assert_eq!(parse("a:b", &[]), ("a:b".into(), None, None));
    }

    #[test]
    fn a_partition_stands_after_the_last_hash() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            parse("d.img#2:/etc", &["d.img"]),
            ("d.img".into(), some("2"), some("/etc"))
        );
        assert_eq!(
            parse("d.img#esp", &["d.img"]),
            ("d.img".into(), some("esp"), None)
        );
    }

    #[test]
    fn a_file_that_exists_wins() {
        assert_eq!(
            parse("odd:/name", &["odd:/name"]),
            ("odd:/name".into(), None, None)
        );
        assert_eq!(parse("odd#1", &["odd#1"]), ("odd#1".into(), None, None));
        let path = Some("/etc".to_owned());
        assert_eq!(
            parse("odd#1:/etc", &["odd#1"]),
            ("odd#1".into(), None, path)
        );
    }
}
