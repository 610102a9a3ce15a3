//! Inode flags by the letters and names of `lsattr`.

use forger_fs::ext4::Inode;
use serde_json::{Value, json};

/// Flag, letter and name, in the order in which lsattr has them; the last ones have no letter.
const FLAGS: [(u32, Option<char>, &str); 24] = [
    (0x1, Some('s'), "secure_deletion"),
    (0x2, Some('u'), "undelete"),
    (0x8, Some('S'), "synchronous_updates"),
    (0x1_0000, Some('D'), "synchronous_directory_updates"),
    (0x10, Some('i'), "immutable"),
    (0x20, Some('a'), "append_only"),
    (0x40, Some('d'), "no_dump"),
    (0x80, Some('A'), "no_atime"),
    (0x4, Some('c'), "compression_requested"),
    (0x800, Some('E'), "encrypted"),
    (0x4000, Some('j'), "journaled_data"),
    (0x1000, Some('I'), "indexed_directory"),
    (0x8000, Some('t'), "no_tailmerging"),
    (0x2_0000, Some('T'), "top_of_directory_hierarchies"),
    (0x8_0000, Some('e'), "extents"),
    (0x80_0000, Some('C'), "no_cow"),
    (0x200_0000, Some('x'), "dax"),
    (0x4000_0000, Some('F'), "casefold"),
    (0x1000_0000, Some('N'), "inline_data"),
    (0x2000_0000, Some('P'), "project_hierarchy"),
    (0x10_0000, Some('V'), "verity"),
    (0x400, Some('m'), "dont_compress"),
    (0x4_0000, None, "huge_file"),
    (0x20_0000, None, "ea_inode"),
];

/// Returns the flags as `lsattr` has them: a letter or `-` for each.
pub(crate) fn letters(flags: u32) -> String {
    FLAGS
        .iter()
        .filter_map(|(flag, letter, _)| letter.map(|letter| (flags & flag != 0, letter)))
        .map(|(set, letter)| if set { letter } else { '-' })
        .collect()
}

/// Returns the names of the flags that are set; what has no name is a number.
pub(crate) fn names(flags: u32) -> Vec<String> {
    let mut rest = flags;
    let mut names = Vec::new();
    for (flag, _, name) in FLAGS {
        if flags & flag != 0 {
            rest &= !flag;
            names.push(name.to_owned());
        }
    }
    if rest != 0 {
        names.push(format!("{rest:#x}"));
    }
    names
}

/// Returns the flags as an object: their value, letters and names.
pub(crate) fn json(inode: &Inode) -> Value {
    let flags = inode.flags();
    json!({
        "value": format!("{flags:#x}"),
        "letters": letters(flags),
        "names": names(flags),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_those_of_lsattr() {
        assert_eq!(letters(0), "-".repeat(22));
        assert_eq!(letters(0x8_0000), "--------------e-------");
        assert_eq!(letters(0x8_1010), "----i------I--e-------");
        assert_eq!(letters(0x24_0000), "-".repeat(22));
    }

    #[test]
    fn unknown_flags_are_numbers() {
        assert_eq!(names(0x8_0010), ["immutable", "extents"]);
        assert_eq!(names(0x8000_0000), ["0x80000000"]);
    }
}
