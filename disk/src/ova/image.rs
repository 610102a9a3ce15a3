//! Reading an OVA: its members, its descriptor, and the disk that it names.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::sync::Arc;

use forger_block::{BlockRead, Error, PIECE, Window};
use ring::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512};

use super::descriptor::disk_file;
use super::error::ReadError;
use super::header::{BLOCK, parse};
use crate::hex::hex;
use crate::progress::Progress;
use crate::vmdk;

/// How many members an archive may have.
const MAX_MEMBERS: usize = 1024;

/// The longest descriptor and manifest, in bytes.
const MAX_TEXT: u64 = 16 << 20;

/// A virtual machine, and the disk in it.
#[derive(Debug)]
pub struct Image {
    files: Vec<(String, Window)>,
    disk_name: String,
    /// Of that name.
    disk_file: Arc<dyn BlockRead>,
    disk: Arc<vmdk::Image>,
}

impl Image {
    /// Opens an archive.
    ///
    /// # Errors
    /// A file that is no OVA, a damaged one, and one whose disk cannot be read.
    pub fn open(file: Arc<dyn BlockRead>) -> Result<Self, ReadError> {
        let files = members(&file)?;
        let descriptor = match files.first() {
            Some((name, window)) if is_named(name, ".ovf") => text(window)?,
            _ => return Err(ReadError::NotOva),
        };
        let name = disk_file(&descriptor)?;
        // A name there is a reference, in which letters may be written as numbers.
        let plain = unescaped(&name);
        let found = files
            .iter()
            .find(|(member, _)| *member == name || *member == plain);
        let Some((_, window)) = found else {
            return Err(ReadError::Missing { name });
        };
        let disk_file: Arc<dyn BlockRead> = Arc::new(window.clone());
        let disk = vmdk::Image::open(Arc::clone(&disk_file)).map_err(|source| {
            let name = name.clone();
            ReadError::Disk { name, source }
        })?;
        Ok(Self {
            files,
            disk_name: name,
            disk_file,
            disk: Arc::new(disk),
        })
    }

    /// Returns the disk.
    #[must_use]
    pub fn disk(&self) -> &Arc<vmdk::Image> {
        &self.disk
    }

    /// Returns the file that the disk stands in.
    pub(super) fn disk_file(&self) -> &Arc<dyn BlockRead> {
        &self.disk_file
    }

    /// Returns the name of the file that the disk stands in.
    #[must_use]
    pub fn disk_name(&self) -> &str {
        &self.disk_name
    }

    /// Tells whether there is a manifest, with whose digests [`verify`](Self::verify) compares.
    #[must_use]
    pub fn has_manifest(&self) -> bool {
        self.manifest().is_some()
    }

    fn manifest(&self) -> Option<&Window> {
        let mut files = self.files.iter();
        let manifest = files.find(|(name, _)| is_named(name, ".mf"));
        manifest.map(|(_, window)| window)
    }

    /// Reads every file that the manifest names, if there is one, and compares the digests.
    ///
    /// # Errors
    /// [`ReadError::Sum`]; those of the file; [`Error::Interrupted`] when `progress` says so.
    pub fn verify(&self, progress: &mut dyn Progress) -> Result<(), ReadError> {
        let Some(manifest) = self.manifest() else {
            return Ok(());
        };
        for line in text(manifest)?.lines() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (algorithm, name, expected) = entry(line).ok_or_else(|| ReadError::Manifest {
                line: line.chars().take(80).collect(),
            })?;
            let mut files = self.files.iter();
            let Some((_, window)) = files.find(|(member, _)| member == name) else {
                let name = name.to_owned();
                return Err(ReadError::Missing { name });
            };
            let found = sum(window, algorithm, progress)?;
            if !found.eq_ignore_ascii_case(expected) {
                return Err(ReadError::Sum {
                    name: name.to_owned(),
                    expected: expected.to_owned(),
                    found,
                });
            }
        }
        Ok(())
    }
}

/// Returns the files of an archive.
fn members(file: &Arc<dyn BlockRead>) -> Result<Vec<(String, Window)>, ReadError> {
    let mut files = Vec::new();
    let mut at = 0_u64;
    for _ in 0..MAX_MEMBERS {
        let body = at.saturating_add(BLOCK);
        if body > file.len() {
            break;
        }
        let mut block = [0; 512];
        file.read_at(at, &mut block)?;
        if forger_block::is_zero(&block) {
            break;
        }
        let damaged = ReadError::Archive { offset: at };
        let Some(member) = parse(block) else {
            return Err(if at == 0 { ReadError::NotOva } else { damaged });
        };
        let end = body.checked_add(member.size);
        let Some(end) = end.filter(|end| *end <= file.len()) else {
            return Err(damaged);
        };
        if !member.is_file {
            let what = format!(
                "the member {:?} of the archive, which is no file,",
                member.name
            );
            return Err(ReadError::Unsupported { what });
        }
        files.push((member.name, Window::new(Arc::clone(file), body..end)?));
        at = end.next_multiple_of(BLOCK);
    }
    Ok(files)
}

fn is_named(name: &str, extension: &str) -> bool {
    name.to_ascii_lowercase().ends_with(extension)
}

fn text(window: &Window) -> Result<String, ReadError> {
    if window.len() > MAX_TEXT {
        let what = format!("a descriptor or manifest of {} bytes", window.len());
        return Err(ReadError::Unsupported { what });
    }
    let mut bytes = vec![0; usize::try_from(window.len()).unwrap_or(0)];
    window.read_at(0, &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads `SHA256(name)= digest`.
fn entry(line: &str) -> Option<(&'static Algorithm, &str, &str)> {
    let (algorithm, rest) = line.split_once('(')?;
    let (name, digest) = rest.rsplit_once(')')?;
    let algorithm = match algorithm.trim() {
        "SHA1" => &SHA1_FOR_LEGACY_USE_ONLY,
        "SHA256" => &SHA256,
        "SHA512" => &SHA512,
        _ => return None,
    };
    Some((algorithm, name, digest.trim().strip_prefix('=')?.trim()))
}

fn sum(
    window: &Window,
    algorithm: &'static Algorithm,
    progress: &mut dyn Progress,
) -> Result<String, ReadError> {
    let mut context = Context::new(algorithm);
    let mut buffer = vec![0; PIECE];
    let mut at = 0_u64;
    while at < window.len() {
        let left = window.len().saturating_sub(at);
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        let piece = buffer.get_mut(..room).unwrap_or_default();
        window.read_at(at, piece)?;
        context.update(piece);
        at = at.saturating_add(u64::try_from(room).unwrap_or(u64::MAX));
        if progress.cancelled() {
            return Err(Error::Interrupted.into());
        }
    }
    Ok(hex(context.finish()))
}

/// Returns a reference with its `%20` as letters.
fn unescaped(reference: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = reference.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.first_chunk::<2>();
        let byte = digits
            .filter(|_| first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = match byte {
            Some(_) => behind.get(2..).unwrap_or_default(),
            None => behind,
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
