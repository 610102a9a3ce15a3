//! File capabilities: the attribute `security.capability`.
//!
//! The kernel's `struct vfs_cap_data` (`include/uapi/linux/capability.h`), little-endian words:
//!
//! ```text
//! 0x00  revision (upper byte: 1, 2 or 3), and bit 0: effective
//! 0x04  permitted, inheritable: bits 0..=31
//! 0x0c  permitted, inheritable: bits 32..=63        revisions 2 and 3
//! 0x14  the user namespace's root                   revision 3
//! ```
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::fmt::{self, Display, Formatter};

/// The attribute's name.
pub const ATTRIBUTE: &[u8] = b"security.capability";

/// Names by bit, as in `linux/capability.h`.
const NAMES: [&str; 41] = [
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

/// The capabilities that a program gains when it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// A bit for each capability that the process gets in any case.
    pub permitted: u64,
    /// A bit for each capability that the process gets if its caller may pass it on.
    pub inheritable: u64,
    /// Whether they are in effect without the program asking.
    pub effective: bool,
    /// The user id that is root in the user namespace for which they hold, where that is said.
    pub root: Option<u32>,
}

impl Capabilities {
    /// Reads the attribute's value; none when it is of no known form.
    #[must_use]
    pub fn from_attribute(value: &[u8]) -> Option<Self> {
        let (words, rest) = value.as_chunks::<4>();
        if !rest.is_empty() {
            return None;
        }
        let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let (magic, words) = words.split_first()?;
        let (low, high, root) = match (magic >> 24, words) {
            (1, &[p, i]) => ((p, i), (0, 0), None),
            (2, &[p, i, p2, i2]) => ((p, i), (p2, i2), None),
            (3, &[p, i, p2, i2, root]) => ((p, i), (p2, i2), Some(root)),
            _ => return None,
        };
        let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        Some(Self {
            permitted: join(low.0, high.0),
            inheritable: join(low.1, high.1),
            effective: magic & 1 == 1,
            root,
        })
    }

    /// Returns the flags of a capability: 4 inheritable, 2 permitted, 1 effective, as libcap has
    /// them.
    fn flags(self, bit: usize) -> u8 {
        let has = |set: u64| set >> bit & 1 == 1;
        let (permitted, inheritable) = (has(self.permitted), has(self.inheritable));
        let effective = self.effective && (permitted || inheritable);
        u8::from(inheritable) << 2 | u8::from(permitted) << 1 | u8::from(effective)
    }

    /// Returns the flags that most capabilities have.
    fn common(self) -> u8 {
        let count = |flags| {
            (0..NAMES.len())
                .filter(|bit| self.flags(*bit) == flags)
                .count()
        };
        // The smallest of those that are equally common.
        (0..8).rev().max_by_key(|flags| count(*flags)).unwrap_or(0)
    }
}

/// Writes them as `getcap` does: `cap_net_admin,cap_net_raw=ep`; what most capabilities have comes
/// first, as in `=ep cap_setfcap-ep`.
impl Display for Capabilities {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let common = self.common();
        // A capability without a name is never among those that most have.
        let is_listed = |bit: usize, flags: u8| {
            self.flags(bit) == flags && (flags != common || (bit >= NAMES.len() && flags != 0))
        };
        let mut groups = Vec::new();
        for flags in (0..8).rev() {
            let names: Vec<String> = (0..64)
                .filter(|bit| is_listed(*bit, flags) && (flags != 0 || *bit < NAMES.len()))
                .map(name)
                .collect();
            if !names.is_empty() {
                groups.push((names.join(","), flags));
            }
        }
        let mut operator = '+';
        let mut space = " ";
        if common == 0 && !groups.is_empty() {
            (operator, space) = ('=', "");
        } else {
            write!(f, "={}", letters(common))?;
        }
        for (names, flags) in groups {
            write!(f, "{space}{names}")?;
            let (more, less) = (flags & !common, common & !flags);
            if more != 0 || less == 0 {
                write!(f, "{operator}{}", letters(flags))?;
            }
            if less != 0 {
                write!(f, "-{}", letters(less))?;
            }
            (operator, space) = ('+', " ");
        }
        match self.root {
            Some(root) => write!(f, " [rootid={root}]"),
            None => Ok(()),
        }
    }
}

fn name(bit: usize) -> String {
    NAMES
        .get(bit)
        .map_or_else(|| bit.to_string(), |name| (*name).to_owned())
}

fn letters(flags: u8) -> &'static str {
    match flags {
        1 => "e",
        2 => "p",
        3 => "ep",
        4 => "i",
        5 => "ei",
        6 => "ip",
        7 => "eip",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[u32]) -> Option<String> {
        let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Capabilities::from_attribute(&value).map(|capabilities| capabilities.to_string())
    }

    #[test]
    fn sets_are_shown_as_getcap_shows_them() {
        // setcap TEXT on a file; getfattr -e hex; getcap -n.
        for (words, text) in [
            (&[0x0200_0001, 0x2000, 0, 0, 0][..], "cap_net_raw=ep"),
            (
                &[0x0200_0001, 0x3000, 0, 0, 0],
                "cap_net_admin,cap_net_raw=ep",
            ),
            (&[0x0200_0000, 0x2000, 0, 0, 0], "cap_net_raw=p"),
            (&[0x0200_0000, 0, 0x2000, 0, 0], "cap_net_raw=i"),
            (
                &[0x0200_0001, 0x2000, 0x1000, 0, 0],
                "cap_net_admin=ei cap_net_raw+ep",
            ),
            (&[0x0200_0001, 0, 0, 0x80, 0], "cap_bpf=ep"),
            (
                &[0x0300_0001, 0x2000, 0, 0, 0, 1000],
                "cap_net_raw=ep [rootid=1000]",
            ),
            (&[0x0200_0001, u32::MAX, 0, 0x1ff, 0], "=ep"),
            (
                &[0x0200_0001, 0x7fff_ffff, 0, 0x1ff, 0],
                "=ep cap_setfcap-ep",
            ),
            (&[0x0200_0001, 0, 0, 0, 0], "="),
            (&[0x0200_0001, 1, 0, 0x8000_0000, 0], "cap_chown,63=ep"),
            (&[0x0100_0001, 1, 0], "cap_chown=ep"),
        ] {
            assert_eq!(shown(words).as_deref(), Some(text));
        }
    }

    #[test]
    fn other_values_are_not_taken_for_capabilities() {
        for words in [&[][..], &[0x0200_0001], &[0x0400_0001, 1, 0, 0, 0]] {
            assert_eq!(shown(words), None);
        }
        assert_eq!(Capabilities::from_attribute(b"abcde"), None);
    }
}
