//! Which names are left out.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::pattern::{Pattern, symbols};

/// Patterns for names that are left out, as GNU tar's `--exclude` has them by default.
///
/// A pattern matches a name, or the names of all that is in a folder it matches. It may match from
/// any component on (`foo` matches `a/foo` and `a/foo/b`, not `a/xfoo`).
///
/// | in a pattern | matches |
/// |---|---|
/// | `*` | any number of characters, `/` among them |
/// | `?` | one character, also `/` |
/// | `[a-z]`, `[!a-z]`, `[^a-z]` | one character that is, or is not, in the set; `[:alpha:]` and its kind may stand in it |
/// | `\x` | `x` itself |
/// | all else | itself |
///
/// A character is one of UTF-8, or a byte where there is none. Neither in names nor in patterns does
/// a leading `./` or `/`, a trailing `/`, or an empty or `.` component of a name say anything, but
/// that a pattern with a leading `./` or `/` matches from the root on only: `/dev/*` leaves out what
/// is in the root's `dev`, however an archive spells its names. The root itself is never left out.
#[derive(Clone, Debug, Default)]
pub struct Exclude {
    patterns: Vec<Pattern>,
}

impl Exclude {
    /// Takes patterns; one without a character but `.` and `/` at its ends matches nothing.
    pub fn new<P: AsRef<[u8]>>(patterns: impl IntoIterator<Item = P>) -> Self {
        let mut exclude = Self::default();
        for pattern in patterns {
            exclude.push(pattern.as_ref());
        }
        exclude
    }

    fn push(&mut self, pattern: &[u8]) {
        let mut rest = pattern;
        let mut anchored = false;
        while let Some(more) = rest.strip_prefix(b"/").or_else(|| rest.strip_prefix(b"./")) {
            rest = more;
            anchored = true;
        }
        while let Some(less) = rest.strip_suffix(b"/") {
            rest = less;
        }
        if rest.is_empty() || rest == b"." {
            return;
        }
        let pattern = Pattern::new(rest);
        if !anchored {
            self.patterns.push(pattern.below_any_folder());
        }
        self.patterns.push(pattern);
    }

    /// Tells whether nothing is left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Tells whether a name is left out.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        if self.is_empty() {
            return false;
        }
        let steps: Vec<_> = crate::tree::steps(path).collect();
        let name: Vec<_> = symbols(&steps.join(&b'/')).collect();
        !name.is_empty() && self.patterns.iter().any(|pattern| pattern.fits(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that a pattern leaves out of those given.
    fn left_out<'a>(pattern: &str, names: &[&'a str]) -> Vec<&'a str> {
        let exclude = Exclude::new([pattern]);
        let matching = names.iter().filter(|name| exclude.matches(name.as_bytes()));
        matching.copied().collect()
    }

    const NAMES: [&str; 22] = [
        ".",
        "./",
        "./a",
        "./a/",
        "a//b",
        "/abs/x",
        "./dev/null",
        "dev/zero",
        "x/dev/y",
        "foo",
        "foo/bar",
        "xfoo",
        "foo.o",
        "d.o/x",
        "A[1]",
        "ab\\c",
        "é",
        "./.hidden",
        "..a",
        "b/./c",
        "a]",
        "a-b",
    ];

    #[test]
    fn patterns_match_as_in_gnu_tar() {
        for (pattern, expected) in [
            ("foo", &["foo", "foo/bar"][..]),
            ("*.o", &["foo.o", "d.o/x"]),
            ("dev/*", &["./dev/null", "dev/zero", "x/dev/y"]),
            ("abs", &["/abs/x"]),
            ("a", &["./a", "./a/", "a//b"]),
            ("b", &["a//b", "b/./c"]),
            ("b/c", &["b/./c"]),
            (
                "?",
                &[
                    "./a", "./a/", "a//b", "/abs/x", "x/dev/y", "d.o/x", "é", "b/./c",
                ],
            ),
            ("A[[]1]", &["A[1]"]),
            ("A\\[1]", &["A[1]"]),
            ("ab\\\\c", &["ab\\c"]),
            ("A[1", &[]),
            ("[]", &[]),
            ("foo*", &["foo", "foo/bar", "foo.o"]),
            ("ar", &[]),
            ("o/b", &[]),
            ("x/*", &["x/dev/y"]),
            (".*", &["./.hidden", "..a"]),
            ("[a-c]", &["./a", "./a/", "a//b", "b/./c"]),
            ("a[]]", &["a]"]),
            ("a[!]]b", &["a//b", "a-b"]),
            ("a[x-]b", &["a-b"]),
            ("[[:upper:]]*", &["A[1]"]),
            ("[^[:alpha:]]?a", &["..a"]),
            ("\\foo", &["foo", "foo/bar"]),
            ("f*o*b*r", &["foo/bar"]),
            ("", &[]),
        ] {
            assert_eq!(left_out(pattern, &NAMES), expected, "{pattern}");
        }
    }

    #[test]
    fn gnu_tar_leaves_out_the_same_names() {
        use std::process::Command;
        let version = Command::new("tar").arg("--version").output();
        if !version.is_ok_and(|out| out.stdout.starts_with(b"tar (GNU tar)")) {
            assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "no GNU tar");
            return eprintln!("skipped: no GNU tar");
        }
        let names = [
            "a", "a/b", "a/b/c", "b", "ab", "x/a/y", "foo.o", "d.o/x", "A[1]", "a-b", "é", "x.y/é",
        ];
        let archive = tempfile::NamedTempFile::new().unwrap();
        let mut builder = tar::Builder::new(archive.as_file());
        for name in names {
            let mut header = tar::Header::new_ustar();
            header.set_size(0);
            builder.append_data(&mut header, name, &[][..]).unwrap();
        }
        builder.finish().unwrap();
        for pattern in [
            "a",
            "b",
            "a/b",
            "b/c",
            "*",
            "?",
            "a*",
            "*b",
            "a?b",
            "*.o",
            "[ab]",
            "[!ab]",
            "[^ab]*",
            "[a-c]/[a-c]",
            "[a-]b",
            "a[-]b",
            "A[[]1]",
            "A\\[1]",
            "[[:alpha:]]",
            "x*y",
            "*/*",
            "*é",
            "[é]",
            "a[",
            "[]",
            "[]]",
            "\\a",
            "x.[!x]",
            "?.o",
            "*.*",
            "a/*/c",
        ] {
            let listed = Command::new("tar")
                .args(["--quoting-style=literal", "-tf"])
                .arg(archive.path())
                .arg(format!("--exclude={pattern}"))
                .env("LC_ALL", "C.UTF-8")
                .output()
                .unwrap();
            let listed = String::from_utf8(listed.stdout).unwrap();
            let out = left_out(pattern, &names);
            let kept: Vec<_> = names
                .into_iter()
                .filter(|name| !out.contains(name))
                .collect();
            assert_eq!(kept, listed.lines().collect::<Vec<_>>(), "{pattern}");
        }
    }

    #[test]
    fn leading_slash_or_dot_matches_from_the_root_only() {
        for pattern in ["./dev/*", "/dev/*", "/./dev/*/"] {
            let expected = ["./dev/null", "dev/zero"];
            assert_eq!(left_out(pattern, &NAMES), expected, "{pattern}");
        }
        assert_eq!(left_out("/foo", &["foo", "x/foo"]), ["foo"]);
    }

    #[test]
    fn the_root_is_never_left_out() {
        for pattern in ["*", ".", "/", "./", "", "?"] {
            assert!(left_out(pattern, &[".", "./", "/"]).is_empty(), "{pattern}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_match_as_one_character() {
        let exclude = Exclude::new([&b"a?b"[..], b"\xff*", b"x[\xfe]"]);
        for name in [&b"a\x80b"[..], b"\xffabc", b"x\xfe", b"\xff"] {
            assert!(exclude.matches(name), "{name:?}");
        }
        for name in [&b"a\x80\x80b"[..], b"x\xff", b"a\xffb\xffc"] {
            assert!(!exclude.matches(name), "{name:?}");
        }
    }

    #[test]
    fn long_names_and_many_stars_take_no_long_time() {
        let exclude = Exclude::new(["a*a*a*a*a*a*a*a*a*b", "*x*x*x*x*y"]);
        let name = b"a/".repeat(50_000);
        assert!(!exclude.matches(&name));
        assert!(!exclude.matches(&b"x".repeat(100_000)));
    }
}
