//! Kernel bundles: a kernel, its modules and what is known of them in one file.
//!
//! ```text
//!  NAME.kernel.tar.zst   kernel.json, kernel, modules/modules.dep, modules/kernel/fs/...
//! ```
//!
//! Equal kernels give equal bytes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use forger::catalog::{self, is_name};
use forger_fs::source::{Entry, EntryKind};
use forger_fs::tar::Writer;
use forger_fs::tree::{Content, Meta, Time};
use forger_oci::{Algorithm, Hasher};
use forger_vm::kernel::{self, Contents, Folder, Image, ModuleFiles, Place};

use super::store::{FACTS, KERNEL, MODULES};
use super::{Facts, Stored};
use crate::exit::Failure;

/// Reads a kernel bundle to its end; returns what is known of the kernel in it.
///
/// # Errors
/// What is none, or damaged.
pub(super) fn read(input: impl Read + Send + 'static, shown: &str) -> Result<Facts, Failure> {
    let what = || format!("{shown} is no kernel bundle");
    let failed = |error: kernel::Error| Failure::failed(what()).because(error);
    let mut contents = Contents::of_tar(input).map_err(failed)?;
    let (mut facts, mut image) = (None, None);
    while let Some(piece) = contents.next_piece().map_err(failed)? {
        match piece.place {
            Place::Facts => {
                let parsed = serde_json::from_slice::<Facts>(&piece.bytes);
                facts = Some(parsed.map_err(|error| Failure::failed(what()).because(error))?);
            }
            Place::Kernel(_) => image = Some(Image::read(&piece.bytes).map_err(failed)?),
            _ => {}
        }
    }
    match (facts, image) {
        (Some(facts), Some(image)) if is_name(&facts.name) => Ok(Facts {
            architecture: image.architecture.to_string(),
            format: image.format.to_string(),
            ..facts
        }),
        _ => Err(Failure::failed(what()).because("it has no kernel, or the kernel has no name")),
    }
}

/// Makes an entry of a catalog for a kernel bundle, which is read to its end.
///
/// # Errors
/// As [`read`].
pub(crate) fn entry(path: &Path, url: Option<&str>) -> Result<catalog::Entry, Failure> {
    let shown = path.display().to_string();
    let failed = |error: io::Error| Failure::failed(format!("cannot read {shown}")).because(error);
    let facts = read(File::open(path).map_err(failed)?, &shown)?;
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let (mut size, mut buffer) = (0_u64, vec![0; 256 << 10]);
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        hasher.update(piece);
        size = size.saturating_add(piece.len() as u64);
    }
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(catalog::Entry {
        name: facts.name,
        kind: Some("kernel".to_owned()),
        arch: Some(facts.architecture),
        tarball_url: url.map_or_else(|| own.into_owned(), str::to_owned),
        tarball_sha256: hasher.finish().hex(),
        size_bytes: Some(size),
        description: facts.release.map(|release| format!("Linux {release}")),
        ..catalog::Entry::default()
    })
}

/// The lists that go along with modules.
const LISTS: [&str; 4] = [
    "modules.alias",
    "modules.builtin",
    "modules.dep",
    "modules.softdep",
];

/// Writes a bundle of a kernel, uncompressed; returns the output.
///
/// # Errors
/// Files that cannot be read, and an output that takes no more.
pub(crate) fn write<W: Write>(
    stored: &Stored,
    output: W,
) -> Result<W, Box<dyn std::error::Error + Send + Sync>> {
    let mut writer = Writer::new(output);
    let mut add = |name: &str, bytes: Vec<u8>| {
        let entry = Entry {
            path: name.as_bytes().to_vec(),
            kind: EntryKind::File {
                size: bytes.len() as u64,
            },
            meta: Meta {
                mode: 0o644,
                mtime: Some(Time::from_sec(0)),
                ..Meta::default()
            },
            offset: None,
        };
        writer.append(&entry, &Content::inline(bytes))
    };
    // Where and when it was added is nobody's concern.
    let facts = Facts {
        source: None,
        added: 0,
        ..stored.facts.clone()
    };
    add(FACTS, serde_json::to_vec_pretty(&facts)?)?;
    add(KERNEL, fs::read(stored.path())?)?;
    if let Some(folder) = stored.modules() {
        let lists = LISTS.iter().map(|name| (*name).to_owned());
        let lists = lists.filter(|name| folder.join(name).exists());
        let mut names: Vec<String> = lists.collect();
        names.extend(Folder(folder.clone()).list()?);
        for name in names {
            let bytes = fs::read(Path::new(&folder).join(&name))?;
            add(&format!("{MODULES}/{name}"), bytes)?;
        }
    }
    Ok(writer.finish()?)
}
