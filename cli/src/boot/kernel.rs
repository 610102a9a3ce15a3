//! Kernels and their initial RAM disks, where distributions put them.

use std::cmp::Ordering;

use forger_fs::ext4::{Image, ReadError};
use forger_fs::tree::Content;

use super::{Error, file};

/// A kernel of a root filesystem.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its version, as `uname -r` gives it.
    pub version: String,
    /// Where it stands.
    pub path: String,
    /// Its bytes.
    pub image: Content,
    /// Its initial RAM disks, those with the processor's microcode first.
    pub initrds: Vec<Initrd>,
    /// How it was configured, if that stands beside it.
    pub config: Option<Content>,
}

/// An initial RAM disk, or a part of one.
#[derive(Clone, Debug)]
pub struct Initrd {
    /// Where it stands.
    pub path: String,
    /// Its bytes.
    pub content: Content,
}

/// Returns the kernels of a root filesystem, the newest first.
///
/// # Errors
/// When it cannot be read.
pub fn kernels(image: &Image) -> Result<Vec<Kernel>, Error> {
    let mut found: Vec<Kernel> = Vec::new();
    let places = names(image, "boot")?
        .into_iter()
        .filter_map(|name| {
            let version = name
                .strip_prefix("vmlinuz-")
                .or(name.strip_prefix("vmlinux-"))?;
            Some((version.to_owned(), format!("boot/{name}")))
        })
        .chain(names(image, "usr/lib/modules")?.into_iter().map(|version| {
            (
                version.clone(),
                format!("usr/lib/modules/{version}/vmlinuz"),
            )
        }));
    for (version, path) in places {
        if found.iter().any(|kernel| kernel.version == version) {
            continue;
        }
        let Some(content) = file(image, &path)? else {
            continue;
        };
        found.push(Kernel {
            initrds: initrds(image, &version)?,
            config: config(image, &version)?,
            image: content,
            version,
            path,
        });
    }
    found.sort_by(|a, b| compare_versions(&b.version, &a.version));
    Ok(found)
}

/// Finds the initial RAM disk of a kernel, and the processors' microcode that goes before it where it is a file
/// of its own.
fn initrds(image: &Image, version: &str) -> Result<Vec<Initrd>, Error> {
    let mut found = Vec::new();
    for path in [
        format!("boot/initrd.img-{version}"),
        format!("boot/initramfs-{version}.img"),
        format!("boot/initrd-{version}"),
        format!("boot/initramfs-{version}"),
        format!("usr/lib/modules/{version}/initrd"),
        format!("usr/lib/modules/{version}/initramfs.img"),
    ] {
        if let Some(content) = file(image, &path)? {
            found.push(Initrd { path, content });
            break;
        }
    }
    if found.is_empty() {
        return Ok(found);
    }
    for path in ["boot/amd-ucode.img", "boot/intel-ucode.img"] {
        if let Some(content) = file(image, path)? {
            let path = path.to_owned();
            found.insert(0, Initrd { path, content });
        }
    }
    Ok(found)
}

/// Finds how a kernel was configured.
fn config(image: &Image, version: &str) -> Result<Option<Content>, Error> {
    match file(image, &format!("boot/config-{version}"))? {
        None => file(image, &format!("usr/lib/modules/{version}/config")),
        found => Ok(found),
    }
}

/// Returns the names in a folder that are plain text; none where there is no folder.
fn names(image: &Image, path: &str) -> Result<Vec<String>, Error> {
    let listed = image
        .lookup(path.as_bytes(), true)
        .and_then(|inode| image.list(&inode));
    match listed {
        Ok(entries) => Ok(entries
            .into_iter()
            .filter_map(|entry| String::from_utf8(entry.name).ok())
            .filter(|name| !name.contains(char::is_whitespace))
            .collect()),
        Err(
            ReadError::NotFound { .. }
            | ReadError::NotADirectory { .. }
            | ReadError::WrongKind { .. },
        ) => Ok(Vec::new()),
        Err(error) => Err(Error::Read(error)),
    }
}

/// Compares versions: runs of digits as numbers, the rest as text.
#[must_use]
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (text_a, rest_a) = split(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = split(b, |c| !c.is_ascii_digit());
        let (digits_a, next_a) = split(rest_a, |c| c.is_ascii_digit());
        let (digits_b, next_b) = split(rest_b, |c| c.is_ascii_digit());
        let number = |digits: &str| {
            let digits = digits.trim_start_matches('0');
            (digits.len(), digits.to_owned())
        };
        let order = text_a
            .cmp(text_b)
            .then_with(|| number(digits_a).cmp(&number(digits_b)));
        if order != Ordering::Equal || a.is_empty() && b.is_empty() {
            return order;
        }
        (a, b) = (next_a, next_b);
    }
}

fn split(text: &str, of: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !of(c)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        let ascending = [
            "5.10.0-1",
            "6.1.0-9-amd64",
            "6.1.0-18-amd64",
            "6.1.0-18-cloud-amd64",
            "6.12.0",
        ];
        for pair in ascending.windows(2) {
            assert_eq!(
                compare_versions(pair[0], pair[1]),
                Ordering::Less,
                "{pair:?}"
            );
            assert_eq!(
                compare_versions(pair[1], pair[0]),
                Ordering::Greater,
                "{pair:?}"
            );
        }
        assert_eq!(compare_versions("6.1", "6.1"), Ordering::Equal);
    }
}
