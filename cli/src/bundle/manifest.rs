//! `manifest.json`: what a bundle says about itself.

use serde::{Deserialize, Serialize};

use super::error::Error;

/// The version of the bundle format that is written; later ones are refused.
pub const FORMAT_VERSION: u32 = 1;

/// The contents of `manifest.json`; fields that were not given are absent there.
///
/// Bundles that older tools made carry only the first five fields: their
/// [`format_version`](Self::format_version) is 0 here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the image, see [`Options::name`](super::Options::name).
    pub name: String,
    /// Distribution.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub distro: String,
    /// Machine architecture.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arch: String,
    /// Name of the kernel that boots the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_ref: Option<String>,
    /// What the image is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Version of the bundle format, [`FORMAT_VERSION`] in those that are made now.
    #[serde(default)]
    pub format_version: u32,
    /// How the container image that it was made from is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<RunConfig>,
    /// Length of `rootfs.ext4` in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<u64>,
    /// UUID of the filesystem, in lower case with hyphens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Volume label of the filesystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// BLAKE3 of `rootfs.ext4` in lower-case hexadecimal, as `b3sum` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
    /// Version of forger that made the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forger_version: Option<String>,
    /// Version of the zstd library that compressed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zstd_version: Option<String>,
    /// Level of compression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<i32>,
}

/// How a container image is run: the part of its configuration that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunConfig {
    /// The program and its first arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Further arguments, or the program where there is no entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// The environment, `NAME=VALUE` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The folder to start in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// The user, perhaps with a group: `name`, `uid`, `uid:gid`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
}

impl Manifest {
    /// Returns the JSON that stands in a bundle: indented, in this order, with a newline.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, Error> {
        let mut json = serde_json::to_vec_pretty(self).map_err(Error::Json)?;
        json.push(b'\n');
        Ok(json)
    }
}

/// Checks what becomes part of a file name: at most 128 lower-case letters, digits, `.`, `_` and
/// `-`, the first a letter or digit.
pub(super) fn check_name(field: &'static str, value: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let reason = if value.is_empty() {
        "empty"
    } else if value.len() > 128 {
        "longer than 128 characters"
    } else if !value.starts_with(plain) {
        "does not start with a lower-case letter or a digit"
    } else if !value.chars().all(|c| plain(c) || "._-".contains(c)) {
        "holds other characters than a-z 0-9 . _ -"
    } else {
        return Ok(());
    };
    Err(illegal(field, value, reason))
}

/// Checks a line of text: at most 1024 bytes, no control characters.
pub(super) fn check_line(field: &'static str, value: &str) -> Result<(), Error> {
    let reason = if value.len() > 1024 {
        "longer than 1024 bytes"
    } else if value.chars().any(char::is_control) {
        "holds control characters"
    } else {
        return Ok(());
    };
    Err(illegal(field, value, reason))
}

/// Checks a text of several lines: at most 64 KiB.
pub(super) fn check_text(field: &'static str, value: &str) -> Result<(), Error> {
    if value.len() <= 64 << 10 {
        return Ok(());
    }
    Err(illegal(field, value, "longer than 64 KiB"))
}

fn illegal(field: &'static str, value: &str, reason: &'static str) -> Error {
    let value = value.chars().take(64).collect();
    Error::Field {
        field,
        value,
        reason,
    }
}

/// Writes bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Writes a UUID in lower case with hyphens.
pub(super) fn uuid_text(uuid: &[u8; 16]) -> String {
    let digits = hex(uuid);
    let parts = [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_a_fixed_order_and_leaves_out_what_is_not_given() {
        let manifest = Manifest {
            name: "debian".to_owned(),
            distro: "debian".to_owned(),
            arch: "x86_64".to_owned(),
            format_version: FORMAT_VERSION,
            image_size: Some(4096),
            uuid: Some(uuid_text(b"0123456789abcdef")),
            ..Manifest::default()
        };
        let json = String::from_utf8(manifest.to_json().expect("json")).expect("text");
        let expected = "{\n  \"name\": \"debian\",\n  \"distro\": \"debian\",\n  \"arch\": \"x86_64\",\n  \
            \"format_version\": 1,\n  \"image_size\": 4096,\n  \
            \"uuid\": \"30313233-3435-3637-3839-616263646566\"\n}\n";
        assert_eq!(json, expected);
        assert_eq!(
            serde_json::from_str::<Manifest>(&json).expect("json"),
            manifest
        );
    }

    #[test]
    fn manifests_of_older_tools_are_understood() {
        let json = r#"{"name":"a","distro":"b","arch":"c","kernel_ref":"d","more":1}"#;
        let manifest: Manifest = serde_json::from_str(json).expect("json");
        assert_eq!(manifest.kernel_ref.as_deref(), Some("d"));
        assert_eq!((manifest.format_version, manifest.blake3), (0, None));
    }

    #[test]
    fn only_names_that_are_safe_in_a_file_name_pass() {
        for good in ["a", "0", "debian-12.4_x", "x86_64", &"a".repeat(128)] {
            assert!(check_name("name", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".a",
            "-a",
            "_a",
            "A",
            "a/b",
            "a b",
            "ä",
            "a\n",
            "a\0",
            &"a".repeat(129),
        ] {
            assert!(check_name("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lines_have_no_control_characters() {
        assert!(check_line("kernel_ref", "linux 6.12 / amd64").is_ok());
        assert!(check_line("kernel_ref", "a\nb").is_err());
        assert!(check_line("kernel_ref", &"a".repeat(1025)).is_err());
        assert!(check_text("description", "a\nb").is_ok());
        assert!(check_text("description", &"a".repeat((64 << 10) + 1)).is_err());
    }
}
