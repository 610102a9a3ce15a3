//! Disks of guests: filesystems that are planned, and served without ever being written.

use std::path::Path;
use std::sync::Arc;

use forger::address::Address;
use forger_block::{BlockRead, Overlay, ScratchFile};
use forger_fs::ext4::{self, Free, Image, Journal, Size};
use forger_vm::Disk;

use crate::args::source::{Expect, Named, SourceArgs};
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::input::{Inputs, is_image};
use crate::medium::Medium;
use crate::planned;
use crate::progress::Console;
use crate::remedy;

/// A filesystem for a guest.
#[derive(Debug)]
pub(crate) struct Planned {
    /// What it holds before the guest has it.
    pub(crate) base: Arc<dyn BlockRead>,
    /// How it came about, for whoever wants to know.
    pub(crate) way: &'static str,
}

impl Planned {
    /// Opens an image as it is, and plans an ext4 over everything else.
    ///
    /// # Errors
    /// A source that cannot be read or does not fit.
    pub(crate) fn open(
        named: &Named,
        args: &SourceArgs,
        size: Size,
        console: &mut Console,
    ) -> Result<Self, Failure> {
        match Self::image(named, args)? {
            Some(base) => Ok(Self {
                base,
                way: "the image is read where it stands",
            }),
            None => Self::plan(named, args, size, console),
        }
    }

    /// Returns the ext4 that a source is, unless something is to be laid over it.
    fn image(named: &Named, args: &SourceArgs) -> Result<Option<Arc<dyn BlockRead>>, Failure> {
        if named.expect != Expect::Any || named.is_stdin() || args.changes() {
            return Ok(None);
        }
        let address = Address::parse(&named.path, |path| path.exists());
        let image = Path::new(&address.image);
        if address.path.is_some() || !image.is_file() || !is_image(image) {
            return Ok(None);
        }
        let medium = Medium::open(&address, &args.read)?;
        // A FAT, or a disk without #PART, is planned, or refused there.
        Ok(Image::open(Arc::clone(&medium.reader))
            .is_ok()
            .then_some(medium.reader))
    }

    fn plan(
        named: &Named,
        args: &SourceArgs,
        size: Size,
        console: &mut Console,
    ) -> Result<Self, Failure> {
        let environment = Environment::real();
        let options = ext4::Options {
            size,
            // Nobody keeps the image: what its zeros would save is not worth a look at them, nor is a UUID
            // that tells contents apart.
            unread: true,
            journal: Journal::Bytes(16 << 20),
            ..ext4::Options::default()
        };
        let mut inputs = Inputs::open(named, args, options.ignore, &environment, console)?;
        let planned = planned::filesystem(&mut inputs, &options, &named.shown(), console)?;
        Ok(Self {
            base: planned.disk,
            way: match planned.is_written {
                true => {
                    "the source can be read only once: the filesystem was written to a temporary file"
                }
                false => "the filesystem was planned, not unpacked",
            },
        })
    }

    /// Lays what a guest writes over it, in an unnamed file.
    ///
    /// # Errors
    /// When the folder of temporary files cannot be written.
    pub(crate) fn disk(&self, read_only: bool) -> Result<Disk, Failure> {
        overlay(&self.base, read_only)
    }
}

/// Lays what a guest writes over a disk.
///
/// # Errors
/// As [`Planned::disk`].
pub(crate) fn overlay(base: &Arc<dyn BlockRead>, read_only: bool) -> Result<Disk, Failure> {
    let folder = config::scratch_folder();
    let file = ScratchFile::create_in(&folder)
        .map_err(|error| remedy::block("cannot keep what the guest writes".to_owned(), error))?;
    // The filesystem inside bounds what can be written.
    let store = Overlay::in_file(Arc::clone(base), file, u64::MAX);
    Ok(Disk {
        store: Arc::new(store),
        read_only,
    })
}

/// The size of a guest's root: what it holds, and room.
pub(crate) fn size(free: u64) -> Size {
    Size::Auto(Free::Bytes(free))
}

/// Returns an empty filesystem.
///
/// # Errors
/// A size that no filesystem has.
pub(crate) fn empty(size: u64) -> Result<Arc<dyn BlockRead>, Failure> {
    let options = ext4::Options {
        size: Size::Exact(size),
        ..ext4::Options::default()
    };
    let planned = ext4::plan(&mut [], &options, &mut forger_fs::observe::Silent);
    let (image, _) = planned
        .map_err(|error| remedy::ext4("cannot make an empty filesystem".to_owned(), error))?;
    Ok(Arc::new(image))
}
