//! What a definition says of its partition.

use forger_disk::Guid;
use forger_disk::partition::{ATTRIBUTE_GROW_FILESYSTEM, ATTRIBUTE_NO_AUTO, ATTRIBUTE_READ_ONLY};

use super::super::{Error, Place};
use super::unit::{Assignment, assignments, bytes, truth};
use crate::assemble::{Native, Type};

/// A partition as its file defines it.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The file.
    pub place: Place,
    /// `Type=`
    pub kind: Type,
    /// `Label=`
    pub label: Option<String>,
    /// `UUID=`
    pub uuid: Option<Guid>,
    /// `Weight=`, `PaddingWeight=`
    pub weights: [u64; 2],
    /// `SizeMinBytes=`, `SizeMaxBytes=`
    pub size: [Option<u64>; 2],
    /// `PaddingMinBytes=`, `PaddingMaxBytes=`
    pub padding: [Option<u64>; 2],
    /// `Format=`; by the type where it is not said.
    pub format: Option<Format>,
    /// `CopyFiles=`: from where in the root filesystem, to where in this one.
    pub copy: Vec<[String; 2]>,
    /// `ExcludeFiles=`
    pub exclude: Vec<String>,
    /// `MakeDirectories=`
    pub folders: Vec<String>,
    /// `MakeSymlinks=`: the link, and where it leads.
    pub links: Vec<[String; 2]>,
    /// All attributes, of `Flags=` and the keys for single ones.
    pub attributes: u64,
    /// `Minimize=`
    pub minimize: bool,
    /// `Verity=`, with `VerityMatchKey=`.
    pub verity: Option<(Verity, String)>,
    /// `Priority=`: where there is no room, partitions with the highest number above 0 are given up first.
    pub priority: i32,
    /// `SupplementFor=`: the definition that this one is merged into, by its file's name without `.conf`.
    pub supplement: Option<String>,
    /// Keys that change nothing on a new disk that is one file, and where they stand.
    pub unused: Vec<(Place, String)>,
}

/// What a partition is formatted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An ext4.
    Ext4,
    /// A FAT.
    Vfat,
    /// A swap area.
    Swap,
    /// Nothing.
    Empty,
}

/// A part of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verity {
    /// What is protected.
    Data,
    /// The hash tree that protects it.
    Hash,
}

/// What only matters where partitions are there already, where the image becomes several files, and where
/// an fstab is asked for.
const ELSEWHERE: [&str; 3] = ["FactoryReset", "SplitName", "MountPoint"];

/// Reads a definition.
///
/// # Errors
/// What is not known, with file and line.
pub fn parse(file: &str, text: &str) -> Result<Definition, Error> {
    let lines = assignments(file, text, "Partition")?;
    let place = Place {
        file: file.to_owned(),
        line: None,
    };
    let mut read = Reading::default();
    for line in &lines {
        read.take(line)?;
    }
    let Some(kind) = read.kind.clone() else {
        return Err(Error::at(&place, "Type= is missing"));
    };
    let attributes = read.attributes(&kind);
    let verity = match (read.verity, read.match_key) {
        (None, _) => None,
        (Some(role), Some(key)) => Some((role, key)),
        (Some(_), None) => return Err(Error::at(&place, "Verity= needs VerityMatchKey=")),
    };
    Ok(Definition {
        place,
        kind,
        label: read.label,
        uuid: read.uuid,
        weights: read.weights.map(|weight| weight.unwrap_or(0)),
        size: read.size,
        padding: read.padding,
        format: read.format,
        copy: read.copy,
        exclude: read.exclude,
        folders: read.folders,
        links: read.links,
        attributes,
        minimize: read.minimize,
        verity,
        priority: read.priority,
        supplement: read.supplement,
        unused: read.unused,
    })
}

/// A definition as its lines are read.
struct Reading {
    kind: Option<Type>,
    label: Option<String>,
    uuid: Option<Guid>,
    weights: [Option<u64>; 2],
    size: [Option<u64>; 2],
    padding: [Option<u64>; 2],
    format: Option<Format>,
    copy: Vec<[String; 2]>,
    exclude: Vec<String>,
    folders: Vec<String>,
    links: Vec<[String; 2]>,
    flags: u64,
    no_auto: Option<bool>,
    read_only: Option<bool>,
    grow: Option<bool>,
    minimize: bool,
    verity: Option<Verity>,
    match_key: Option<String>,
    priority: i32,
    supplement: Option<String>,
    unused: Vec<(Place, String)>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            kind: None,
            label: None,
            uuid: None,
            weights: [Some(1000), Some(0)],
            size: [None; 2],
            padding: [None; 2],
            format: None,
            copy: Vec::new(),
            exclude: Vec::new(),
            folders: Vec::new(),
            links: Vec::new(),
            flags: 0,
            no_auto: None,
            read_only: None,
            grow: None,
            minimize: false,
            verity: None,
            match_key: None,
            priority: 0,
            supplement: None,
            unused: Vec::new(),
        }
    }
}

impl Reading {
    fn take(&mut self, line: &Assignment) -> Result<(), Error> {
        let Assignment { key, value, place } = line;
        let wrong = |expected: &str| {
            let problem = format!("{key}={value}: expected {expected}");
            Error::at(place, problem)
        };
        let size = || bytes(value).ok_or_else(|| wrong("bytes, as 512M or 10G"));
        let yes = || truth(value).ok_or_else(|| wrong("yes or no"));
        let weight = || {
            let number = value.parse().ok().filter(|weight| *weight <= 1_000_000);
            number.ok_or_else(|| wrong("a number up to 1000000"))
        };
        match key.as_str() {
            "Type" => {
                // A type's byte is for MBRs.
                let kind = Type::named(value).filter(|kind| kind.byte().is_none());
                self.kind = Some(kind.ok_or_else(|| wrong("a type's name or GUID"))?);
            }
            "Label" => self.label = Some(self.plain(line)?),
            "UUID" => self.uuid = Some(value.parse().map_err(|_| wrong("a GUID"))?),
            "Weight" => self.weights[0] = Some(weight()?),
            "PaddingWeight" => self.weights[1] = Some(weight()?),
            "SizeMinBytes" => self.size[0] = Some(size()?),
            "SizeMaxBytes" => self.size[1] = Some(size()?),
            "PaddingMinBytes" => self.padding[0] = Some(size()?),
            "PaddingMaxBytes" => self.padding[1] = Some(size()?),
            "Format" => {
                let made = "ext4, vfat, swap or empty: others are not made";
                self.format = Some(format(value).ok_or_else(|| wrong(made))?);
            }
            "CopyFiles" => {
                let pairs = self.pairs(line)?;
                extend(&mut self.copy, pairs);
            }
            "ExcludeFiles" => {
                let words = self.words(line)?;
                extend(&mut self.exclude, words);
            }
            "MakeDirectories" => {
                let words = self.words(line)?;
                extend(&mut self.folders, words);
            }
            "MakeSymlinks" => {
                let words: Vec<_> = value.split_whitespace().collect();
                let pairs = words.iter().map(|word| {
                    let (link, target) = word.split_once(':')?;
                    link.starts_with('/')
                        .then(|| [link.to_owned(), target.to_owned()])
                });
                let pairs: Option<Vec<_>> = pairs.collect();
                extend(&mut self.links, pairs.ok_or_else(|| wrong("/LINK:TARGET"))?);
            }
            "Flags" => self.flags = number(value).ok_or_else(|| wrong("a number of 64 bits"))?,
            "NoAuto" => self.no_auto = Some(yes()?),
            "ReadOnly" => self.read_only = Some(yes()?),
            "GrowFileSystem" => self.grow = Some(yes()?),
            "Minimize" => {
                self.minimize = match value.as_str() {
                    "best" | "guess" => true,
                    _ => truth(value).ok_or_else(|| wrong("off, best or guess"))?,
                }
            }
            "Verity" => {
                self.verity = match value.as_str() {
                    "off" => None,
                    "data" => Some(Verity::Data),
                    "hash" => Some(Verity::Hash),
                    _ => return Err(wrong("off, data or hash: signatures are not made")),
                }
            }
            "VerityMatchKey" => self.match_key = Some(value.clone()),
            "Priority" => {
                self.priority = value.parse().map_err(|_| wrong("a number of 32 bits"))?;
            }
            "SupplementFor" => {
                let name = value.strip_suffix(".conf").unwrap_or(value);
                self.supplement = (!name.is_empty()).then(|| name.to_owned());
            }
            "Encrypt" if value == "off" => {}
            key if ELSEWHERE.contains(&key) => self.unused.push((place.clone(), key.to_owned())),
            key => {
                return Err(Error::at(
                    place,
                    format!("{key}= is not known, or not done here"),
                ));
            }
        }
        Ok(())
    }

    /// Returns a value without specifiers.
    fn plain(&self, line: &Assignment) -> Result<String, Error> {
        let rest = line.value.replace("%%", "");
        if rest.contains('%') {
            let problem = format!(
                "{}={}: specifiers (%) are not expanded here",
                line.key, line.value
            );
            return Err(Error::at(&line.place, problem));
        }
        Ok(line.value.replace("%%", "%"))
    }

    /// Returns the absolute paths of a value.
    fn words(&self, line: &Assignment) -> Result<Vec<String>, Error> {
        let value = self.plain(line)?;
        let words = value.split_whitespace().map(|word| {
            let problem = || format!("{}={word}: expected a path that begins with /", line.key);
            match word.starts_with('/') {
                true => Ok(word.to_owned()),
                false => Err(Error::at(&line.place, problem())),
            }
        });
        words.collect()
    }

    /// Returns the `FROM:TO` of a value; both are the same where only one is given.
    fn pairs(&self, line: &Assignment) -> Result<Vec<[String; 2]>, Error> {
        let value = self.plain(line)?;
        let pairs = value.split_whitespace().map(|word| {
            let mut fields = word.split(':');
            let from = fields.next().unwrap_or_default();
            let to = fields.next().filter(|to| !to.is_empty()).unwrap_or(from);
            let options = fields.next().unwrap_or_default();
            match from.starts_with('/') && to.starts_with('/') && options.is_empty() {
                true => Ok([from.to_owned(), to.to_owned()]),
                false => {
                    let problem = format!("{}={word}: expected /FROM or /FROM:/TO", line.key);
                    Err(Error::at(&line.place, problem))
                }
            }
        });
        pairs.collect()
    }

    /// Returns the attributes: what is not said follows from the type.
    fn attributes(&self, kind: &Type) -> u64 {
        let hashes = [Native::RootVerity, Native::UsrVerity].map(Type::Native);
        let read_only = self.read_only.unwrap_or(hashes.contains(kind));
        let grows = !read_only && grows(kind);
        let mut bits = self.flags;
        for (bit, set) in [
            (ATTRIBUTE_NO_AUTO, self.no_auto.unwrap_or(false)),
            (ATTRIBUTE_READ_ONLY, read_only),
            (ATTRIBUTE_GROW_FILESYSTEM, self.grow.unwrap_or(grows)),
        ] {
            if set {
                bits |= bit;
            }
        }
        bits
    }
}

/// Adds to a list; nothing empties it.
fn extend<T>(list: &mut Vec<T>, more: Vec<T>) {
    match more.is_empty() {
        true => list.clear(),
        false => list.extend(more),
    }
}

/// Tells whether filesystems in partitions of a type grow of themselves.
fn grows(kind: &Type) -> bool {
    match kind {
        Type::Native(native) => matches!(native, Native::Root | Native::Usr),
        Type::Guid(_) | Type::Byte(_) => {
            let name = kind.name().unwrap_or_default();
            let own = ["home", "srv", "var", "tmp", "linux-generic", "xbootldr"];
            let of_architecture = name.starts_with("root-") || name.starts_with("usr-");
            own.contains(&name.as_str()) || of_architecture && !name.contains("-verity")
        }
    }
}

fn format(text: &str) -> Option<Format> {
    match text {
        "ext4" => Some(Format::Ext4),
        "vfat" => Some(Format::Vfat),
        "swap" => Some(Format::Swap),
        "empty" => Some(Format::Empty),
        _ => None,
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_read_with_what_follows_from_its_type() {
        let text = "[Partition]\nType=root\nLabel=sys%%tem\nFormat=ext4\nSizeMinBytes=1G\nWeight=500\n\
                    CopyFiles=/ /srv:/data\nExcludeFiles=/var/cache\nMakeDirectories=/efi /boot\n\
                    MakeSymlinks=/bin:usr/bin\nMinimize=guess\nFactoryReset=no\nPriority=-3\n\
                    SupplementFor=00-esp.conf\n";
        let root = parse("10-root.conf", text).unwrap();
        assert_eq!(root.kind, Type::Native(Native::Root));
        assert_eq!(root.label.as_deref(), Some("sys%tem"));
        assert_eq!(root.size, [Some(1 << 30), None]);
        assert_eq!(root.weights, [500, 0]);
        assert_eq!(root.copy[1], ["/srv", "/data"]);
        assert_eq!(root.folders, ["/efi", "/boot"]);
        assert_eq!(root.attributes, ATTRIBUTE_GROW_FILESYSTEM);
        assert!(root.minimize);
        assert_eq!(
            (root.priority, root.supplement.as_deref()),
            (-3, Some("00-esp"))
        );
        let [(place, key)] = &root.unused[..] else {
            panic!("{:?}", root.unused);
        };
        assert_eq!((place.line, key.as_str()), (Some(12), "FactoryReset"));
        let hash = "[Partition]\nType=root-verity\nVerity=hash\nVerityMatchKey=root\nFlags=0x4\n";
        let hash = parse("20.conf", hash).unwrap();
        assert_eq!(hash.attributes, ATTRIBUTE_READ_ONLY | 4);
        assert_eq!(hash.verity, Some((Verity::Hash, "root".into())));
    }

    #[test]
    fn what_is_not_known_is_refused_with_file_and_line() {
        for (line, said) in [
            ("Typo=1", "Typo= is not known"),
            ("Encrypt=tpm2", "Encrypt= is not known, or not done here"),
            ("CopyBlocks=auto", "CopyBlocks="),
            ("Format=btrfs", "expected ext4, vfat"),
            ("SizeMinBytes=lots", "expected bytes"),
            ("Weight=-1", "expected a number"),
            ("Label=%A", "specifiers"),
            ("CopyFiles=usr", "expected /FROM"),
            ("Verity=signature", "expected off, data or hash"),
            ("NoAuto=perhaps", "expected yes or no"),
            ("Priority=high", "expected a number"),
        ] {
            let text = format!("[Partition]\nType=home\n{line}\n");
            let error = parse("x.conf", &text).unwrap_err().to_string();
            assert!(
                error.starts_with("x.conf:3: ") && error.contains(said),
                "{error}"
            );
        }
        let error = parse("x.conf", "[Partition]\n").unwrap_err().to_string();
        assert_eq!(error, "x.conf: Type= is missing");
    }
}
