//! Names: raw bytes, split at `/`, checked once.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::Error;

/// The longest component of a name, in bytes.
pub const MAX_NAME: usize = 255;

/// The longest target of a symlink, in bytes.
pub const MAX_SYMLINK: usize = 4095;

/// Decodes a name for a message: lossily, with control characters escaped.
#[must_use]
pub fn shown(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for char in String::from_utf8_lossy(name).chars() {
        if char.is_control() {
            text.extend(char.escape_default());
        } else {
            text.push(char);
        }
    }
    text
}

/// Returns the components of a name that mean a step: neither empty nor `.`.
pub(crate) fn steps(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|step| !step.is_empty() && *step != b".")
}

/// Checks a member name or hard-link target as text.
pub(crate) fn check(path: &[u8]) -> Result<(), Error> {
    if path.is_empty() {
        return Err(Error::EmptyName);
    }
    if let Some(at) = path.iter().position(|&byte| byte == 0) {
        return Err(Error::Nul { at });
    }
    let mut depth = 0usize;
    for step in steps(path) {
        if step == b".." {
            depth = depth.checked_sub(1).ok_or(Error::LeavesRoot)?;
        } else {
            check_component(step)?;
            depth = depth.saturating_add(1);
        }
    }
    Ok(())
}

/// Checks the length of a component.
pub(super) fn check_component(step: &[u8]) -> Result<(), Error> {
    if step.len() <= MAX_NAME {
        return Ok(());
    }
    let start = step.get(..32).unwrap_or(step);
    Err(Error::LongComponent {
        component: format!("{}...", shown(start)),
        len: step.len(),
    })
}

/// Checks a symlink's target, which is data and may lead anywhere.
pub(super) fn check_symlink(target: &[u8]) -> Result<(), Error> {
    if target.is_empty() {
        return Err(Error::EmptyTarget);
    }
    if target.len() > MAX_SYMLINK {
        return Err(Error::LongTarget { len: target.len() });
    }
    match target.iter().position(|&byte| byte == 0) {
        Some(at) => Err(Error::TargetNul { at }),
        None => Ok(()),
    }
}

/// Splits a checked name into what leads to its last step, and that step; `None` for the root.
pub(super) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = path;
    loop {
        let cut = rest.iter().rposition(|&byte| byte == b'/');
        let (front, last) = match cut {
            Some(at) => (
                rest.get(..at).unwrap_or_default(),
                rest.get(at.saturating_add(1)..).unwrap_or_default(),
            ),
            None => (&[][..], rest),
        };
        if !last.is_empty() && last != b"." {
            return Some((front, last));
        }
        cut?;
        rest = front;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_into_parent_and_last_step() {
        for (path, expected) in [
            ("a", Some(("", "a"))),
            ("/a", Some(("", "a"))),
            ("./a/", Some((".", "a"))),
            ("a/b//./", Some(("a", "b"))),
            ("a//b", Some(("a/", "b"))),
            ("a/..", Some(("a", ".."))),
            (".", None),
            ("./", None),
            ("/", None),
            ("//././", None),
        ] {
            let expected = expected.map(|(front, last)| (front.as_bytes(), last.as_bytes()));
            assert_eq!(split(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn names_outside_the_rules_are_refused() {
        assert_eq!(check(b""), Err(Error::EmptyName));
        assert_eq!(check(b"a\0b"), Err(Error::Nul { at: 1 }));
        for path in ["..", "../a", "/..", "a/../..", "./../a", "a/b/../../.."] {
            assert_eq!(check(path.as_bytes()), Err(Error::LeavesRoot), "{path}");
        }
        for path in ["a/..", "a/../b", "...", "..a", "/", "a/./../b/.."] {
            assert_eq!(check(path.as_bytes()), Ok(()), "{path}");
        }
        let long = [b'x'; 256];
        assert!(matches!(
            check(&long),
            Err(Error::LongComponent { len: 256, .. })
        ));
        assert_eq!(check(&long[1..]), Ok(()));
        assert_eq!(check(&b"y/".repeat(10_000)), Ok(()));
    }

    #[test]
    fn symlink_targets_have_1_to_4095_bytes_and_no_nul() {
        assert_eq!(check_symlink(b""), Err(Error::EmptyTarget));
        assert_eq!(check_symlink(&[b'a'; 4095]), Ok(()));
        let long = Err(Error::LongTarget { len: 4096 });
        assert_eq!(check_symlink(&[b'a'; 4096]), long);
        assert_eq!(check_symlink(b"a\0"), Err(Error::TargetNul { at: 1 }));
        assert_eq!(check_symlink(b"../../../x//y/."), Ok(()));
    }

    #[test]
    fn shown_names_cannot_steer_a_terminal() {
        assert_eq!(shown(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown("é\u{9b}".as_bytes()), "é\\u{9b}");
        assert_eq!(shown(b"\xff"), "\u{fffd}");
    }
}
