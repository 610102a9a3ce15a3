//! Disks of guests: filesystems that are planned, and served without ever being written.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use forger::address::Address;
use forger_block::{BlockRead, FileReader, Overlay, Run, ScratchFile};
use forger_fs::ext4::{self, Free, Image, Journal, Size};
use forger_vm::Disk;

use crate::args::size::human;
use crate::args::source::{Expect, Named, SourceArgs};
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::input::{Inputs, Way, is_image};
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
    pub(crate) way: String,
    /// What it is read from while the guest runs.
    files: Vec<Arc<FileReader>>,
    /// What is the base, too.
    noted: Arc<Noted>,
}

/// A disk that remembers why it could not be read: its guest is told no more than that it could not.
#[derive(Debug)]
struct Noted {
    disk: Arc<dyn BlockRead>,
    first: Mutex<Option<String>>,
}

impl BlockRead for Noted {
    fn len(&self) -> u64 {
        self.disk.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> forger_block::Result<()> {
        let read = self.disk.read_at(offset, buf);
        if let Err(error) = &read {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| in_full(error));
        }
        read
    }

    fn run_at(&self, offset: u64) -> forger_block::Result<Run> {
        self.disk.run_at(offset)
    }
}

/// Returns an error with all that caused it.
fn in_full(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", in_full(cause)),
        None => error.to_string(),
    }
}

impl Planned {
    /// Takes a filesystem that came about in a way, and is read from files.
    pub(crate) fn new(disk: Arc<dyn BlockRead>, way: String, files: Vec<Arc<FileReader>>) -> Self {
        let noted = Arc::new(Noted {
            disk,
            first: Mutex::default(),
        });
        let base = Arc::clone(&noted) as Arc<dyn BlockRead>;
        Self {
            base,
            way,
            files,
            noted,
        }
    }

    /// Returns why it could not be read, the first time that it could not.
    pub(crate) fn fault(&self) -> Option<String> {
        let first = self.noted.first.lock();
        first.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens an image as it is, and plans an ext4 over everything else.
    ///
    /// # Errors
    /// A source that cannot be read or does not fit.
    pub(crate) fn open(
        named: &Named,
        args: &SourceArgs,
        size: Size,
        contents: Way,
        console: &mut Console,
    ) -> Result<Self, Failure> {
        match Self::image(named, args)? {
            Some(image) => Ok(image),
            None => Self::plan(named, args, size, contents, console),
        }
    }

    /// Returns the ext4 that a source is, unless something is to be laid over it.
    fn image(named: &Named, args: &SourceArgs) -> Result<Option<Self>, Failure> {
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
        let is_ext4 = Image::open(Arc::clone(&medium.reader)).is_ok();
        let way = "the image is read where it stands".to_owned();
        Ok(is_ext4.then(|| Self::new(medium.reader, way, vec![medium.file])))
    }

    fn plan(
        named: &Named,
        args: &SourceArgs,
        size: Size,
        contents: Way,
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
        let ignore = options.ignore;
        let mut inputs = Inputs::open_as(contents, named, args, ignore, &environment, console)?;
        let planned = planned::filesystem(&mut inputs, &options, &named.shown(), console)?;
        let way = match planned.kept {
            0 => "the filesystem was planned, not unpacked".to_owned(),
            kept => format!(
                "the filesystem was planned; {} of {} can be read only once and are kept in a temporary file",
                human(kept),
                named.shown()
            ),
        };
        Ok(Self::new(planned.disk, way, inputs.into_files()))
    }

    /// Checks that what the guest began with is what it was.
    ///
    /// # Errors
    /// The file that changed.
    pub(crate) fn check_unchanged(&self) -> Result<(), Failure> {
        let unchanged = self
            .files
            .iter()
            .try_for_each(|file| file.check_unchanged());
        unchanged
            .map_err(|error| remedy::block("cannot tell what the guest changed".to_owned(), error))
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
