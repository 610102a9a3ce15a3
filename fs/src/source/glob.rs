//! Patterns of whole paths: `/etc/*.conf`, `/usr/**/lib*.so`.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::pattern::{Pattern, Symbol, symbols};

/// A pattern of whole paths, compiled.
///
/// `*`, `?` and `[a-z]` match within a component and never a slash; `**` as a component matches any
/// number of components, none included. A pattern with a leading slash begins at the root; any other
/// may begin in every folder, as if `**/` stood in front. A backslash takes its meaning from the next
/// character. Case matters, and a leading dot is like any other character.
///
/// ```
/// use forger_fs::source::Glob;
///
/// assert!(Glob::new(b"/etc/*.conf").matches(b"/etc/ld.so.conf"));
/// assert!(!Glob::new(b"/etc/*.conf").matches(b"/etc/apt/apt.conf"));
/// assert!(Glob::new(b"*.conf").matches(b"/etc/apt/apt.conf"));
/// assert!(Glob::new(b"/etc/**").matches(b"/etc/apt/apt.conf"));
/// ```
#[derive(Clone, Debug)]
pub struct Glob(Vec<Part>);

/// A component of a pattern.
#[derive(Clone, Debug)]
enum Part {
    /// `**`: any number of components.
    Any,
    /// One component.
    One(Pattern),
}

impl Glob {
    /// Compiles a pattern. Every text is one.
    #[must_use]
    pub fn new(pattern: &[u8]) -> Self {
        let anchored = pattern.first() == Some(&b'/');
        let start = (!anchored).then_some(Part::Any);
        let parts = components(pattern).map(|part| match part {
            b"**" => Part::Any,
            part => Part::One(Pattern::new(part)),
        });
        Self(start.into_iter().chain(parts).collect())
    }

    /// Tells whether a path matches as a whole. The root has no components.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        let path: Vec<Vec<Symbol>> = components(path)
            .map(|part| symbols(part).collect())
            .collect();
        fits(&self.0, &path)
    }

    /// Tells whether something below a folder may match.
    #[must_use]
    pub fn may_match_below(&self, folder: &[u8]) -> bool {
        let mut parts = self.0.iter();
        for component in components(folder) {
            match parts.next() {
                Some(Part::Any) => return true,
                Some(Part::One(pattern)) => {
                    let name: Vec<Symbol> = symbols(component).collect();
                    if !pattern.fits(&name) {
                        return false;
                    }
                }
                None => return false,
            }
        }
        parts.next().is_some()
    }
}

/// Returns the components of a path or pattern.
fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
}

/// Tells whether a pattern matches a path.
///
/// Going back to the last `**` alone is enough, as each takes as little as it can.
fn fits(parts: &[Part], path: &[Vec<Symbol>]) -> bool {
    let (mut part, mut at) = (0_usize, 0_usize);
    let mut back: Option<(usize, usize)> = None;
    loop {
        let step = match (parts.get(part), path.get(at)) {
            (None, None) => return true,
            (Some(Part::Any), _) => {
                part = part.saturating_add(1);
                back = Some((part, at));
                continue;
            }
            (Some(Part::One(pattern)), Some(name)) => pattern.fits(name),
            _ => false,
        };
        if step {
            part = part.saturating_add(1);
            at = at.saturating_add(1);
        } else if let Some((after, from)) = back
            && from < path.len()
        {
            part = after;
            at = from.saturating_add(1);
            back = Some((after, at));
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_stays_within_a_component() {
        let matches =
            |pattern: &str, path: &str| Glob::new(pattern.as_bytes()).matches(path.as_bytes());
        for (pattern, path, expected) in [
            ("/etc/*.conf", "/etc/ld.so.conf", true),
            ("/etc/*.conf", "/etc/apt/apt.conf", false),
            ("/etc/*", "/etc", false),
            ("/etc/**", "/etc", true),
            ("/etc/**", "/etc/a/b/c", true),
            ("/etc/**/c", "/etc/a/b/c", true),
            ("/etc/**/c", "/etc/c", true),
            ("/etc/**/c", "/etc/a/b/d", false),
            ("/**/b/**/d", "/a/b/c/b/c/d", true),
            ("/**/b/*/d", "/a/b/c/b/c/d", true),
            ("passwd", "/etc/passwd", true),
            ("etc/passwd", "/etc/passwd", true),
            ("etc/passwd", "/a/etc/passwd", true),
            ("/passwd", "/etc/passwd", false),
            ("*.py?", "/usr/lib/a.pyc", true),
            ("[!a]*", "/usr/b", true),
            ("/[!a]*", "/usr/b", false),
            ("\\*", "/usr/*", true),
            ("\\*", "/usr/a", false),
            ("**", "/", true),
            ("/", "/", true),
            ("/", "/etc", false),
            ("", "/", true),
            (".*", "/home/.profile", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_little_time() {
        let pattern = "/**/a".repeat(1000);
        let path = "/a".repeat(2000) + "/b";
        assert!(!Glob::new(pattern.as_bytes()).matches(path.as_bytes()));
    }

    #[test]
    fn folders_that_cannot_hold_a_match_are_known() {
        let may = |pattern: &str, path: &str| {
            Glob::new(pattern.as_bytes()).may_match_below(path.as_bytes())
        };
        assert!(may("/etc/*.conf", "/"));
        assert!(may("/etc/*.conf", "/etc"));
        assert!(!may("/etc/*.conf", "/usr"));
        assert!(!may("/etc/*.conf", "/etc/apt"));
        assert!(may("/etc/**", "/etc/apt"));
        assert!(may("*.conf", "/usr/share"));
        assert!(may("/*/x/y", "/a/x"));
        assert!(!may("/*/x/y", "/a/z"));
    }
}
