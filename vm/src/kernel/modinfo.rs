//! What a module says of itself: the section `.modinfo`, zero-terminated lines of `key=value`.

use std::io::{Cursor, Read};

use forger_fs::decompress;

use super::Error;
use super::elf::Elf;

/// The largest module, unpacked, in bytes.
const MAX_MODULE: u64 = 64 << 20;

/// What a module needs, and what else it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ModInfo {
    /// The modules that must be loaded before.
    pub(super) needs: Vec<String>,
    /// Those that should be, if they are there.
    pub(super) wants: Vec<String>,
    /// Further names by which it is asked for; no patterns of devices.
    pub(super) aliases: Vec<String>,
}

impl ModInfo {
    /// Reads what a module says, which is [unpacked].
    ///
    /// # Errors
    /// A file that is no module.
    pub(super) fn read(path: &str, bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |why| Error::Elf {
            path: path.to_owned(),
            why,
        };
        let elf = Elf::read(bytes).ok_or_else(|| damaged("it is none of 64 bits"))?;
        let section = elf.section(b".modinfo").map_err(damaged)?;
        let section = section.ok_or_else(|| damaged("it is no module"))?;
        let mut info = Self::default();
        for line in section.split(|&byte| byte == 0) {
            let line = String::from_utf8_lossy(line);
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            match key {
                "depends" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    info.needs.extend(names.map(plain));
                }
                "softdep" => info.wants.extend(before(value)),
                "alias" if is_plain_alias(value) => info.aliases.push(value.to_owned()),
                _ => {}
            }
        }
        Ok(info)
    }
}

/// Returns the modules of a soft dependency that come before: `pre: a b post: c`.
pub(super) fn before(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut wanted = false;
    for word in text.split_whitespace() {
        match word {
            "pre:" => wanted = true,
            "post:" => wanted = false,
            name if wanted => names.push(plain(name)),
            _ => {}
        }
    }
    names
}

/// Tells whether an alias is a name, not a pattern of devices.
pub(super) fn is_plain_alias(alias: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.()".contains(&byte);
    !alias.is_empty() && alias.bytes().all(plain)
}

/// Returns a module's name as the kernel calls it.
pub(super) fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// Returns the name of the module in a file, by the file's name.
pub(super) fn name_of(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let endings = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"];
    let name = endings
        .iter()
        .find_map(|ending| file.strip_suffix(ending))?;
    (!name.is_empty()).then(|| plain(name))
}

/// Unpacks a module: `.ko`, `.ko.xz`, `.ko.zst` or `.ko.gz`, told by its first bytes.
///
/// # Errors
/// Damaged data, and more than 64 MiB.
pub(super) fn unpacked(path: &str, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    if bytes.starts_with(b"\x7fELF") {
        return Ok(bytes);
    }
    let stream = decompress::open(Cursor::new(bytes), &decompress::Options::default())
        .map_err(|error| Error::unpack(path, error))?;
    let mut whole = Vec::new();
    stream
        .take(MAX_MODULE + 1)
        .read_to_end(&mut whole)
        .map_err(|error| Error::unpack(path, error))?;
    match whole.len() as u64 > MAX_MODULE {
        true => Err(Error::TooLarge {
            what: path.to_owned(),
            limit: MAX_MODULE,
        }),
        false => Ok(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_kernel() {
        assert_eq!(name_of("kernel/fs/a-b.ko.xz").as_deref(), Some("a_b"));
        assert_eq!(name_of("x.ko").as_deref(), Some("x"));
        for other in ["x.ko.sig", "modules.order", "a/.ko", "x.ko/y", ""] {
            assert_eq!(name_of(other), None, "{other}");
        }
    }

    #[test]
    fn only_what_comes_before_is_wanted() {
        assert_eq!(before("pre: a-b c post: d pre: e"), ["a_b", "c", "e"]);
        assert!(before("a b").is_empty());
        assert!(is_plain_alias("crypto-crc32c") && is_plain_alias("cbc(aes)"));
        assert!(!is_plain_alias("pci:v00001AF4d*") && !is_plain_alias(""));
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(ModInfo::read("x", b"").is_err());
        assert!(ModInfo::read("x", &[0x7f; 100]).is_err());
        let plain = unpacked("x", b"no module".to_vec()).unwrap();
        assert!(ModInfo::read("x", &plain).is_err());
        assert!(unpacked("x", b"\xfd7zXZ\0damaged".to_vec()).is_err());
    }
}
