//! Which partition a word means: `disk.img#2`, `#esp`, `#root`.

use forger_disk::partition::{ATTRIBUTE_LEGACY_BOOT, Partition, Scheme, Table};

/// Why a word names no partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// No partition has it as its number, role, name or GUID.
    #[error("no partition is {word:?}")]
    None {
        /// What was asked for.
        word: String,
    },
    /// More than one has it.
    #[error("{} are {word:?}", listed(.numbers))]
    Several {
        /// What was asked for.
        word: String,
        /// The partitions that are meant.
        numbers: Vec<u32>,
    },
}

/// Finds the partition that a word means: its number; `root`, `esp` or another type's name; its
/// own name; its GUID.
///
/// `root` is the one whose type is that of a root filesystem, or the only one for any Linux
/// filesystem, or of several in an MBR the active one.
///
/// # Errors
/// When no partition, or more than one, is meant.
pub fn select<'a>(table: &'a Table, word: &str) -> Result<&'a Partition, SelectError> {
    let number = word.parse::<u32>().ok();
    let all = || table.partitions.iter();
    let with = |test: &dyn Fn(&Partition) -> bool| -> Vec<&'a Partition> {
        all().filter(|partition| test(partition)).collect()
    };
    let guid = word.parse().ok();
    let mut ways: Vec<Vec<&Partition>> = Vec::new();
    if word == "root" {
        ways.push(with(&|partition| partition.kind.is_root()));
        let mut linux = with(&|partition| partition.kind.is_linux());
        if linux.len() > 1 && matches!(table.scheme, Scheme::Mbr(_)) {
            let active = |partition: &&Partition| partition.attributes & ATTRIBUTE_LEGACY_BOOT != 0;
            let found: Vec<_> = linux.iter().copied().filter(active).collect();
            linux = if found.is_empty() { linux } else { found };
        }
        ways.push(linux);
    }
    ways.push(with(&|partition| {
        partition.kind.name().as_deref() == Some(word)
    }));
    ways.push(with(&|partition| partition.name == word));
    ways.push(with(&|partition| guid.is_some() && partition.guid == guid));
    if number.is_some() {
        ways.insert(0, with(&|partition| Some(partition.number) == number));
    }
    match ways.into_iter().find(|found| !found.is_empty()).as_deref() {
        Some([one]) => Ok(one),
        Some(several) => Err(SelectError::Several {
            word: word.to_owned(),
            numbers: several.iter().map(|partition| partition.number).collect(),
        }),
        None => Err(SelectError::None {
            word: word.to_owned(),
        }),
    }
}

fn listed(numbers: &[u32]) -> String {
    let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
    format!("the partitions {}", words.join(" and "))
}

#[cfg(test)]
mod tests {
    use forger_disk::partition::{Kind, Layout, Part, Size};

    use super::*;

    fn table(kinds: &[(&str, &str)]) -> Table {
        let parts = kinds.iter().map(|(kind, name)| Part {
            kind: Kind::guid_named(kind).unwrap(),
            name: (*name).to_owned(),
            size: Size::Bytes(1 << 20),
            ..Part::default()
        });
        let layout = Layout {
            parts: parts.collect(),
            ..Layout::default()
        };
        layout.plan().unwrap().table
    }

    #[test]
    fn numbers_roles_names_and_guids_are_found() {
        let table = table(&[
            ("esp", "EFI"),
            ("root-x86-64", "system"),
            ("linux-generic", "data"),
        ]);
        let found = |word: &str| select(&table, word).map(|partition| partition.number);
        assert_eq!(found("2"), Ok(2));
        assert_eq!(found("esp"), Ok(1));
        assert_eq!(found("root"), Ok(2));
        assert_eq!(found("root-x86-64"), Ok(2));
        assert_eq!(found("data"), Ok(3));
        let guid = table.partitions[2].guid.unwrap().to_string();
        assert_eq!(found(&guid), Ok(3));
        assert_eq!(found(&guid.to_uppercase()), Ok(3));
        assert!(matches!(found("4"), Err(SelectError::None { .. })));
        assert!(found("").is_err());
    }

    #[test]
    fn the_only_linux_partition_is_the_root_and_several_are_not() {
        let one = table(&[("esp", ""), ("linux-generic", "")]);
        assert_eq!(select(&one, "root").unwrap().number, 2);
        let two = table(&[("linux-generic", ""), ("linux-generic", "")]);
        let error = select(&two, "root").unwrap_err();
        assert_eq!(error.to_string(), "the partitions 1 and 2 are \"root\"");
        let mut mbr = two;
        mbr.scheme = Scheme::Mbr(1);
        assert!(select(&mbr, "root").is_err());
        mbr.partitions[1].attributes = ATTRIBUTE_LEGACY_BOOT;
        assert_eq!(select(&mbr, "root").unwrap().number, 2);
    }
}
