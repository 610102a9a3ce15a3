//! Debian packages: an `ar` archive with what describes the package and what it holds.
//!
//! ```text
//!  debian-binary    2.0
//!  control.tar.*    control: fields of the package
//!  data.tar.*       its files
//! ```
//!
//! Described in [deb(5)](https://manpages.debian.org/bookworm/dpkg-dev/deb.5.en.html).

use std::io::{Cursor, Read};

use super::ar;
use super::contents::{Contents, Piece};
use super::error::Error;

/// The longest description of a package, packed or not, in bytes.
const MAX_CONTROL: u64 = 16 << 20;

/// What a package says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The architecture, as Debian calls it.
    pub architecture: String,
    /// Names of the packages that it needs.
    pub depends: Vec<String>,
}

/// A package that is being read.
#[derive(Debug)]
pub struct Package {
    /// What it says of itself.
    pub control: Control,
    contents: Contents,
}

impl Package {
    /// Tells whether a file begins as packages do.
    #[must_use]
    pub fn is_one(start: &[u8]) -> bool {
        start.starts_with(ar::MAGIC)
    }

    /// Reads a package as far as its contents.
    ///
    /// # Errors
    /// What is no package.
    pub fn open(mut input: impl Read + Send + 'static) -> Result<Self, Error> {
        ar::start(&mut input)?;
        let mut control = None;
        while let Some(member) = ar::member(&mut input)? {
            if member.name.starts_with("data.tar") {
                let control = control.ok_or(Error::NotAPackage {
                    why: "its contents come before its description",
                })?;
                let contents = Contents::open("data.tar", input.take(member.len))?;
                return Ok(Self { control, contents });
            }
            let bytes = ar::content(&mut input, &member, MAX_CONTROL)?;
            if member.name.starts_with("control.tar") {
                let mut archive = Contents::open("control.tar", Cursor::new(bytes))?;
                let text = archive.file("control", MAX_CONTROL)?;
                let text = text.ok_or(Error::NotAPackage {
                    why: "it has no description",
                })?;
                control = Some(Control::parse(&String::from_utf8_lossy(&text)));
            }
        }
        Err(Error::NotAPackage {
            why: "it has no contents",
        })
    }

    /// Returns the next file that belongs to a kernel.
    ///
    /// # Errors
    /// As those of [`Contents::next_piece`].
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Error> {
        self.contents.next_piece()
    }
}

impl Control {
    /// Reads the fields; what it does not know it passes over.
    fn parse(text: &str) -> Self {
        let mut control = Self::default();
        for line in text.lines() {
            let Some((field, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match field {
                "Package" => value.clone_into(&mut control.package),
                "Version" => value.clone_into(&mut control.version),
                "Architecture" => value.clone_into(&mut control.architecture),
                // The first of alternatives, without its version.
                "Depends" => control.depends.extend(value.split(',').filter_map(|one| {
                    let first = one.split('|').next()?.split_whitespace().next()?;
                    Some(first.to_owned())
                })),
                _ => {}
            }
        }
        control
    }

    /// Returns which of the packages that it needs are kernels.
    #[must_use]
    pub fn kernels(&self) -> Vec<&str> {
        let kernel = |name: &&str| name.starts_with("linux-image-");
        let names = self.depends.iter().map(String::as_str);
        names.filter(kernel).collect()
    }
}
