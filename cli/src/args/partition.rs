//! `--partition NAME[:KEY=VALUE,...]`: a partition beside boot and root.

use std::ffi::OsString;

use forger::assemble::Type;
use forger_disk::Guid;
use forger_disk::partition::{
    ATTRIBUTE_GROW_FILESYSTEM, ATTRIBUTE_LEGACY_BOOT, ATTRIBUTE_NO_AUTO, ATTRIBUTE_READ_ONLY,
    ATTRIBUTE_REQUIRED, Size,
};

use super::size;

/// A partition as it is typed; what is not said follows from the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionArg {
    /// Its name in the table.
    pub(crate) name: String,
    pub(crate) kind: Option<Type>,
    pub(crate) size: Option<Size>,
    pub(crate) source: Option<OsString>,
    pub(crate) format: Option<PartitionFormat>,
    /// Of the filesystem.
    pub(crate) label: Option<String>,
    pub(crate) uuid: Option<Guid>,
    pub(crate) attributes: Option<u64>,
    /// Has a hash tree.
    pub(crate) verity: bool,
}

/// What a partition is formatted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartitionFormat {
    Ext4,
    Vfat,
    Swap,
    /// The bytes of its source, or nothing.
    None,
}

/// What `attrs=` takes.
const ATTRIBUTES: [(&str, u64); 5] = [
    ("required", ATTRIBUTE_REQUIRED),
    ("legacy-boot", ATTRIBUTE_LEGACY_BOOT),
    ("growfs", ATTRIBUTE_GROW_FILESYSTEM),
    ("read-only", ATTRIBUTE_READ_ONLY),
    ("no-auto", ATTRIBUTE_NO_AUTO),
];

/// Reads `--partition`; a backslash before a comma makes it part of a value.
pub(crate) fn parse(text: &str) -> Result<PartitionArg, String> {
    let (name, rest) = text.split_once(':').unwrap_or((text, ""));
    if name.is_empty() {
        return Err("expected NAME[:KEY=VALUE,...], as in home:size=2G".to_owned());
    }
    let mut partition = PartitionArg {
        name: name.to_owned(),
        ..PartitionArg::default()
    };
    for pair in split(rest) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(format!("expected KEY=VALUE, not {pair:?}"));
        };
        partition.set(key, value)?;
    }
    Ok(partition)
}

impl PartitionArg {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let wrong = |expected: &str| format!("{key}={value}: expected {expected}");
        match key {
            "size" => self.size = Some(size_of(value)?),
            "type" => {
                let kind = Type::named(value);
                let expected =
                    "a name as home, swap, root-x86-64, a GUID, or the byte of an MBR as 0x0c";
                self.kind = Some(kind.ok_or_else(|| wrong(expected))?);
            }
            "source" => self.source = Some(value.into()),
            "format" => {
                self.format = Some(match value {
                    "ext4" => PartitionFormat::Ext4,
                    "vfat" => PartitionFormat::Vfat,
                    "swap" => PartitionFormat::Swap,
                    "none" => PartitionFormat::None,
                    _ => return Err(wrong("ext4, vfat, swap or none")),
                });
            }
            "label" => self.label = Some(value.to_owned()),
            "uuid" => self.uuid = Some(value.parse().map_err(|_| wrong("a GUID"))?),
            "attrs" => self.attributes = Some(attributes(value)?),
            "verity" => {
                self.verity = match value {
                    "yes" => true,
                    "no" => false,
                    _ => return Err(wrong("yes or no")),
                }
            }
            key => {
                return Err(format!(
                    "{key} is not known: expected size, type, source, format, label, uuid, attrs or verity"
                ));
            }
        }
        Ok(())
    }
}

/// Splits at commas.
fn split(text: &str) -> Vec<String> {
    let mut pairs = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = (c == '\\').then(|| chars.next_if_eq(&',')).flatten();
        match (c, escaped, pairs.last_mut()) {
            (',', None, _) => pairs.push(String::new()),
            (c, escaped, Some(pair)) => pair.push(escaped.unwrap_or(c)),
            (.., None) => {}
        }
    }
    pairs.retain(|pair| !pair.is_empty());
    pairs
}

/// Reads `size=`: bytes, a percentage of the disk, what is left of it, or what its content needs.
fn size_of(text: &str) -> Result<Size, String> {
    match (text, text.strip_suffix('%')) {
        ("rest", _) => Ok(Size::Rest),
        ("content", _) => Ok(Size::Content),
        (_, Some(percent)) => size::percent(percent).map(Size::Share),
        (text, None) => size::parse(text)
            .map(Size::Bytes)
            .map_err(|reason| format!("{reason}, a percentage, rest or content")),
    }
}

/// Reads `attrs=`: names or numbers of bits, with + between them.
fn attributes(text: &str) -> Result<u64, String> {
    let mut bits = 0;
    for word in text.split('+') {
        let named = ATTRIBUTES.iter().find(|(name, _)| *name == word);
        let number = || word.parse().ok().filter(|bit: &u32| *bit < 64);
        bits |= match named {
            Some((_, bit)) => *bit,
            None => {
                let names = ATTRIBUTES.map(|(name, _)| name).join(", ");
                let bit = number().ok_or_else(|| {
                    format!(
                        "attrs={word}: expected {names} or the number of a bit, with + between them"
                    )
                })?;
                1 << bit
            }
        };
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_enough_and_keys_say_more() {
        let home = parse("home").unwrap();
        assert_eq!((home.name.as_str(), home.size), ("home", None));
        let data = parse(
            "data:size=2.5G,type=linux-generic,source=a\\,b,format=ext4,label=stuff,\
             uuid=0fc63daf-8483-4772-8e79-3d69d8477de4,attrs=growfs+no-auto+5",
        );
        let data = data.unwrap();
        assert_eq!(data.size, Some(Size::Bytes(5 << 29)));
        assert_eq!(data.source, Some("a,b".into()));
        assert_eq!(data.attributes, Some(1 << 59 | 1 << 63 | 1 << 5));
        assert_eq!(data.format, Some(PartitionFormat::Ext4));
        assert_eq!(parse("x:size=12.5%").unwrap().size, Some(Size::Share(1250)));
        assert_eq!(parse("x:size=rest").unwrap().size, Some(Size::Rest));
    }

    #[test]
    fn what_is_not_known_is_refused_by_its_name() {
        for (text, said) in [
            ("", "expected NAME"),
            (":size=1G", "expected NAME"),
            ("x:size", "KEY=VALUE"),
            ("x:size=much", "percentage"),
            ("x:size=101%", "100"),
            ("x:type=homes", "expected a name"),
            ("x:format=xfs", "expected ext4"),
            ("x:attrs=grow", "growfs"),
            ("x:attrs=64", "number of a bit"),
            ("x:uuid=1", "GUID"),
            ("x:colour=red", "colour is not known"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
