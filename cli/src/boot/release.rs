//! What a root filesystem calls itself: os-release(5).

use forger_fs::ext4::Image;

use super::{Error, bytes, file};

/// The largest os-release that is read, in bytes.
const LIMIT: u64 = 64 << 10;

/// What os-release says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// `ID`: lower-case letters, digits, `.`, `_` and `-`; `linux` where there is none.
    pub id: String,
    /// `PRETTY_NAME`, or `Linux`.
    pub title: String,
    /// `VERSION_ID`, if there is one.
    pub version: Option<String>,
    /// The file.
    pub text: Vec<u8>,
}

/// Reads os-release.
pub(super) fn of(image: &Image) -> Result<Release, Error> {
    let found = match file(image, "etc/os-release")? {
        None => file(image, "usr/lib/os-release")?,
        found => found,
    };
    let text = found.map(|content| bytes(&content, LIMIT, "os-release"));
    Ok(parse(text.transpose()?.unwrap_or_default()))
}

fn parse(text: Vec<u8>) -> Release {
    let lines = String::from_utf8_lossy(&text).into_owned();
    let get = |key: &str| {
        let mut values = lines
            .lines()
            .filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        values
            .next_back()
            .map(unquoted)
            .filter(|value| !value.is_empty())
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let id = get("ID").filter(|id| id.chars().all(plain));
    Release {
        id: id.unwrap_or_else(|| "linux".to_owned()),
        title: get("PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
        version: get("VERSION_ID"),
        text,
    }
}

/// Takes the quotes and backslashes of a shell's word away.
fn unquoted(word: &str) -> String {
    let inner = ['"', '\'']
        .iter()
        .find_map(|quote| word.strip_prefix(*quote)?.strip_suffix(*quote));
    let mut out = String::new();
    let mut escaped = false;
    for c in inner.unwrap_or(word).chars() {
        escaped = c == '\\' && !escaped;
        if !escaped && !c.is_control() {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read_with_and_without_quotes() {
        let text = b"NAME=x\nID=debian\nPRETTY_NAME=\"Debian \\\"12\\\"\"\nVERSION_ID='12'\n";
        let release = parse(text.to_vec());
        assert_eq!(release.id, "debian");
        assert_eq!(release.title, "Debian \"12\"");
        assert_eq!(release.version.as_deref(), Some("12"));
    }

    #[test]
    fn a_missing_or_odd_id_is_linux() {
        assert_eq!(parse(Vec::new()).id, "linux");
        assert_eq!(parse(b"ID=../../x\n".to_vec()).id, "linux");
    }
}
