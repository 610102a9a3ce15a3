//! Kernels out of whatever holds them.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use forger::boot;
use forger_block::BlockRead;
use forger_fs::decompress;
use forger_fs::ext4::Image;
use forger_vm::kernel::{Contents, Inside, MAX_FILE, ModuleFiles, Package, Piece, Place};

use super::Adding;
use crate::exit::Failure;

/// Where a tar says that it is one, and with what.
const USTAR: (usize, &[u8]) = (257, b"ustar");
/// What a kernel bundle begins with: a name, and a zero byte.
const FIRST: &[u8] = b"kernel.json\0";
/// How many bytes tell a tar.
const BLOCK: u64 = 512;

/// Takes a kernel and modules out of a file: a kernel, a Debian package, a kernel bundle or another tar.
///
/// # Errors
/// What is none of them, or damaged.
pub(crate) fn take(
    adding: &mut Adding,
    mut input: impl Read + Send + 'static,
    shown: &str,
) -> Result<(), Failure> {
    let what = || format!("cannot take a kernel from {shown}");
    let failed = |error: forger_vm::kernel::Error| Failure::failed(what()).because(error);
    let unread = |error: std::io::Error| Failure::failed(what()).because(error);
    let mut start = Vec::new();
    let read = input.by_ref().take(8).read_to_end(&mut start);
    read.map_err(unread)?;
    let packaged = Package::is_one(&start);
    let input = Cursor::new(start).chain(input);
    if packaged {
        let mut package = Package::open(input).map_err(failed)?;
        let mut taken = false;
        while let Some(piece) = package.next_piece().map_err(failed)? {
            adding.piece(piece, shown)?;
            taken = true;
        }
        adding.package(&package.control, taken);
        return Ok(());
    }
    let mut stream = decompress::open(input, &decompress::Options::default()).map_err(unread)?;
    let mut block = Vec::new();
    let read = stream.by_ref().take(BLOCK).read_to_end(&mut block);
    read.map_err(unread)?;
    let (at, magic) = USTAR;
    let archive = block.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let mut stream = Cursor::new(block).chain(stream);
    if archive {
        let mut contents = Contents::of_tar(stream).map_err(failed)?;
        while let Some(piece) = contents.next_piece().map_err(failed)? {
            adding.piece(piece, shown)?;
        }
        return Ok(());
    }
    let mut bytes = Vec::new();
    let read = stream.by_ref().take(MAX_FILE + 1).read_to_end(&mut bytes);
    read.map_err(unread)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(failed(forger_vm::kernel::Error::TooLarge {
            what: shown.to_owned(),
            limit: MAX_FILE,
        }));
    }
    let place = Place::Kernel(None);
    adding.piece(Piece { place, bytes }, shown)
}

/// Tells whether a file is a kernel bundle that forger made: a tar that begins with what is known of a kernel.
pub(crate) fn is_bundle(path: &Path) -> bool {
    let head = || -> std::io::Result<Vec<u8>> {
        let stream = decompress::open(File::open(path)?, &decompress::Options::default())?;
        let mut head = Vec::new();
        stream.take(BLOCK).read_to_end(&mut head)?;
        Ok(head)
    };
    head().is_ok_and(|head| head.starts_with(FIRST))
}

/// Takes a kernel and its modules out of a root filesystem: the newest, or that of a release.
///
/// # Errors
/// No such kernel; what cannot be read.
pub(crate) fn from_image(
    adding: &mut Adding,
    image: &Image,
    release: Option<&str>,
    shown: &str,
) -> Result<(), Failure> {
    let what = || format!("cannot take a kernel from {shown}");
    let kernels = boot::kernels(image).map_err(|error| Failure::failed(what()).because(error))?;
    let wanted = |kernel: &&boot::Kernel| release.is_none_or(|release| kernel.version == release);
    let Some(kernel) = kernels.iter().find(wanted) else {
        let versions: Vec<&str> = kernels.iter().map(|kernel| &*kernel.version).collect();
        return Err(match versions.is_empty() {
            true => Failure::failed(what()).because(boot::Error::NoKernel),
            false => Failure::failed(what()).because(format!("it has {}", versions.join(", "))),
        });
    };
    let bytes = contents(kernel).map_err(|error| Failure::failed(what()).because(error))?;
    let place = Place::Kernel(Some(kernel.version.clone()));
    adding.piece(Piece { place, bytes }, shown)?;
    let failed = |error: forger_vm::kernel::Error| Failure::failed(what()).because(error);
    let files = modules(image, &kernel.version);
    let lists = [
        "modules.builtin",
        "modules.dep",
        "modules.softdep",
        "modules.alias",
    ];
    let lists = lists.map(str::to_owned);
    for path in lists.into_iter().chain(files.list().map_err(failed)?) {
        let place = Place::of(&format!("modules/{path}")).map_err(failed)?;
        let bytes = files.read(&path, MAX_FILE).map_err(failed)?;
        if let (Some(place), Some(bytes)) = (place, bytes) {
            adding.piece(Piece { place, bytes }, shown)?;
        }
    }
    Ok(())
}

/// Reads a kernel of a root filesystem.
pub(super) fn contents(kernel: &boot::Kernel) -> Result<Vec<u8>, forger_vm::kernel::Error> {
    let size = kernel.image.size();
    if size > MAX_FILE {
        return Err(forger_vm::kernel::Error::TooLarge {
            what: kernel.path.clone(),
            limit: MAX_FILE,
        });
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    match kernel.image.read_at(0, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(forger_vm::kernel::Error::File {
            path: kernel.path.clone(),
            source: error.into(),
        }),
    }
}

/// Returns the folder of a kernel's modules in a root filesystem.
pub(super) fn modules<I: std::ops::Deref<Target = Image>>(image: I, release: &str) -> Inside<I> {
    let merged = format!("usr/lib/modules/{release}");
    let folder = match image.lookup(merged.as_bytes(), true) {
        Ok(_) => merged,
        Err(_) => format!("lib/modules/{release}"),
    };
    Inside { image, folder }
}
