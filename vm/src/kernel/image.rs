//! A kernel by its bytes.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::fmt;

use super::Error;
use super::elf::{Elf, machine};

/// What a kernel is, as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The compressed kernel of x86.
    BzImage,
    /// The kernel of arm64.
    Arm64Image,
    /// An uncompressed kernel.
    Vmlinux,
    /// User-Mode Linux: a program of the host.
    Uml,
}

/// What a kernel runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Architecture {
    /// Intel and AMD, 64 bits.
    X86_64,
    /// Arm, 64 bits.
    Aarch64,
}

/// What is known of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What it is, as a file.
    pub format: Format,
    /// What it runs on.
    pub architecture: Architecture,
    /// Its release, as `uname -r` says it: `6.12.43+deb13-cloud-amd64`; nothing where the file says none
    /// that can be read without unpacking it.
    pub release: Option<String>,
}

/// The header of a boot protocol from 2.00 on.
const HDRS: usize = 0x202;
/// How much of a bzImage says what it is: its version stands where 16 bits, from 0x200 on, point to.
pub(super) const HEAD: u64 = 0x200 + 0x1_0000 + 128;
/// Where a pointer to the version stands, less 0x200.
const VERSION_POINTER: usize = 0x20e;
/// What an arm64 Image has at byte 56.
const ARM64: &[u8] = b"ARM\x64";
/// What stands before a release inside of a kernel.
const BANNER: &[u8] = b"Linux version ";
/// The longest release that is one.
const MAX_RELEASE: usize = 128;
/// What User-Mode Linux has in it, and no other kernel: its management console.
const ONLY_UML: &[u8] = b"mconsole";

impl Image {
    /// Tells what a kernel is.
    ///
    /// # Errors
    /// [`Error::NotAKernel`].
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        if is_known_by_head(bytes) {
            return Ok(Self {
                format: Format::BzImage,
                architecture: Architecture::X86_64,
                release: bzimage_release(bytes),
            });
        }
        if bytes.get(56..60) == Some(ARM64) {
            return Ok(Self {
                format: Format::Arm64Image,
                architecture: Architecture::Aarch64,
                release: banner(bytes),
            });
        }
        let elf = Elf::read(bytes).ok_or(Error::NotAKernel)?;
        let architecture = match elf.header.machine.get() {
            machine::X86_64 => Architecture::X86_64,
            machine::AARCH64 => Architecture::Aarch64,
            _ => return Err(Error::NotAKernel),
        };
        // Only a kernel has the banner; only User-Mode Linux is a program that is loaded.
        let release = banner(bytes).ok_or(Error::NotAKernel)?;
        let uml = elf.is_dynamic_program() || find(bytes, ONLY_UML).is_some();
        Ok(Self {
            format: if uml { Format::Uml } else { Format::Vmlinux },
            architecture,
            release: Some(release),
        })
    }
}

/// Tells whether the first [`HEAD`] bytes say all that is to be known: those of a bzImage do.
pub(super) fn is_known_by_head(bytes: &[u8]) -> bool {
    let header = bytes.get(HDRS..);
    header.is_some_and(|rest| rest.starts_with(b"HdrS"))
}

fn bzimage_release(bytes: &[u8]) -> Option<String> {
    let (low, high) = (bytes.get(VERSION_POINTER)?, bytes.get(0x20f)?);
    let start = usize::from(u16::from_le_bytes([*low, *high])).checked_add(0x200)?;
    word(bytes.get(start..)?)
}

/// Finds the release in the banner that every kernel has.
fn banner(bytes: &[u8]) -> Option<String> {
    let mut rest = bytes;
    loop {
        let at = find(rest, BANNER)?.checked_add(BANNER.len())?;
        rest = rest.get(at..)?;
        // The same words stand in format strings.
        let digit = |release: &String| release.starts_with(|first: char| first.is_ascii_digit());
        if let Some(release) = word(rest).filter(digit) {
            return Some(release);
        }
    }
}

/// Tells whether a text can be a kernel's release, and so the name of a folder.
#[must_use]
pub fn is_release(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.len() < MAX_RELEASE
        && text.bytes().all(|byte| in_release(&byte))
}

fn in_release(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-+~".contains(byte)
}

/// Returns the word that bytes begin with, if it could be a release.
fn word(bytes: &[u8]) -> Option<String> {
    let end = bytes
        .iter()
        .take(MAX_RELEASE)
        .position(|byte| !in_release(byte))?;
    let word = std::str::from_utf8(bytes.get(..end)?).ok()?;
    is_release(word).then(|| word.to_owned())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0_usize;
    loop {
        let rest = bytes.get(from..)?;
        let at = rest
            .iter()
            .position(|&byte| byte == first)?
            .checked_add(from)?;
        if bytes.get(at..)?.starts_with(what) {
            return Some(at);
        }
        from = at.checked_add(1)?;
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BzImage => "bzImage",
            Self::Arm64Image => "Image",
            Self::Vmlinux => "vmlinux",
            Self::Uml => "uml",
        })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        })
    }
}
