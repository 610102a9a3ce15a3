//! Opens disks: a file of any image format, and perhaps a partition of it.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger::address::Address;
use forger::partition::select;
use forger_block::{BlockRead, FileReader, Window};
use forger_disk::partition::{self, Partition, Table};
use forger_disk::{Container, Format, OpenError, qcow2};
use forger_fs::decompress;

use crate::args::read::ReadArgs;
use crate::args::size::human;
use crate::exit::Failure;
use crate::listing;
use crate::progress::Console;
use crate::remedy;
use crate::spool::{cannot, spool};

/// Images that build on each other: more than anybody keeps.
const MAX_CHAIN: usize = 32;

/// What an address without its path means: a disk, or a partition of one.
#[derive(Debug)]
pub(crate) struct Medium {
    /// The image file.
    pub(crate) container: Container,
    /// Length of the image file, in bytes.
    pub(crate) file_len: u64,
    /// The partition that was asked for.
    pub(crate) part: Option<Partition>,
    /// The disk, or the partition.
    pub(crate) reader: Arc<dyn BlockRead>,
    /// The file itself, to see whether it has changed.
    pub(crate) file: Arc<FileReader>,
    /// How the file is compressed as a whole.
    packed: Option<decompress::Format>,
}

/// Splits what was typed, where a disk is meant, or a partition of one.
///
/// # Errors
/// A path inside, which is neither.
pub(crate) fn address(typed: &OsStr) -> Result<Address, Failure> {
    let address = Address::parse(typed, |path| path.exists());
    let Some(path) = &address.path else {
        return Ok(address);
    };
    let path = String::from_utf8_lossy(path);
    let failure = Failure::usage(format!("cannot use {path} in {}", address.disk()));
    Err(failure
        .because("a whole image is meant here, or a partition of one")
        .help(format!(
            "leave out :{path}; forger cat and forger extract take files out"
        )))
}

impl Medium {
    /// Opens what an address names: everything that reads images begins here.
    ///
    /// What is compressed as a whole is kept in a file without a name.
    ///
    /// # Errors
    /// A file that cannot be read, or a partition that is not there.
    pub(crate) fn open(address: &Address, args: &ReadArgs) -> Result<Self, Failure> {
        Self::open_within(address, args, None)
    }

    /// As [`open`](Self::open), while somebody watches.
    pub(crate) fn open_watched(
        address: &Address,
        args: &ReadArgs,
        console: &mut Console,
    ) -> Result<Self, Failure> {
        Self::open_within(address, args, Some(console))
    }

    fn open_within(
        address: &Address,
        args: &ReadArgs,
        console: Option<&mut Console>,
    ) -> Result<Self, Failure> {
        let stored = Stored::open(address, args.input_format.map(Format::from), console)?;
        Self::of(&stored, address, args)
    }

    /// As [`open`](Self::open), with the file open already.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn of(stored: &Stored, address: &Address, args: &ReadArgs) -> Result<Self, Failure> {
        let what = || format!("cannot read {}", address.image.display());
        let format = args.input_format.map(Format::from);
        let image = Arc::clone(&stored.image);
        let container = Leave::new(args)
            .container(&address.image, image, format, 0)
            .map_err(|error| error.failure(what()))?;
        let mut medium = Self {
            file_len: stored.file.len(),
            part: None,
            reader: container.disk(),
            container,
            file: Arc::clone(&stored.file),
            packed: stored.packed,
        };
        if let Some(word) = &address.part {
            medium
                .narrow(word)
                .map_err(|failure| failure.in_what(what()))?;
        }
        Ok(medium)
    }

    /// How the format of the image file is called.
    pub(crate) fn format_name(&self) -> String {
        let format = self.container.format();
        match self.packed {
            Some(packed) => format!("{format}, {packed}"),
            None => format.to_string(),
        }
    }

    /// Tells whether the file is compressed as a whole.
    pub(crate) fn is_packed(&self) -> bool {
        self.packed.is_some()
    }

    /// Reads the partition table, if there is one.
    ///
    /// # Errors
    /// A damaged table.
    pub(crate) fn table(&self) -> Result<Option<Table>, partition::ReadError> {
        partition::read(&self.container.disk(), None)
    }

    /// Says which partitions there are, for whoever should have named one.
    pub(crate) fn partitions(&self) -> Option<String> {
        if self.part.is_some() {
            return None;
        }
        let table = self.table().ok()??;
        let words: Vec<String> = table.partitions.iter().map(shown).collect();
        Some(words.join(", "))
    }

    fn narrow(&mut self, word: &OsStr) -> Result<(), Refusal> {
        let table = self
            .table()
            .map_err(|error| Refusal::Table(Box::new(error)))?
            .ok_or(Refusal::NoTable)?;
        let word = word.to_string_lossy();
        let part = select(&table, &word)
            .map_err(|error| Refusal::Select(error.to_string(), table.clone()))?
            .clone();
        self.reader = Arc::new(
            Window::new(self.container.disk(), part.start..part.end())
                .map_err(|error| Refusal::Table(Box::new(error)))?,
        );
        self.part = Some(part);
        Ok(())
    }
}

/// An image file as it is stored.
pub(crate) struct Stored {
    /// The file itself.
    file: Arc<FileReader>,
    /// The image file: what is in the other one where that is compressed as a whole.
    pub(crate) image: Arc<FileReader>,
    packed: Option<decompress::Format>,
}

impl Stored {
    /// Opens a file; what is compressed as a whole is kept in one without a name, unless the format
    /// is known.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn open(
        address: &Address,
        format: Option<Format>,
        console: Option<&mut Console>,
    ) -> Result<Self, Failure> {
        let what = || format!("cannot read {}", address.image.display());
        let file =
            FileReader::open(&address.image).map_err(|error| remedy::block(what(), error))?;
        let file = Arc::new(file);
        let packed = match format {
            None => compression(&file),
            Some(_) => None,
        };
        let image = match packed {
            Some(_) => unpacked(address, console)?,
            None => Arc::clone(&file),
        };
        Ok(Self {
            file,
            image,
            packed,
        })
    }

    /// How a format of the image file is called.
    pub(crate) fn name(&self, format: Format) -> String {
        match self.packed {
            Some(packed) => format!("{format}, {packed}"),
            None => format.to_string(),
        }
    }
}

/// Tells how a file is compressed as a whole, if it is.
pub(crate) fn compression(file: &FileReader) -> Option<decompress::Format> {
    let len = usize::try_from(file.len()).unwrap_or(usize::MAX);
    let mut head = vec![0; len.min(decompress::HEAD)];
    file.read_at(0, &mut head).ok()?;
    Some(decompress::detect(&head)).filter(|format| *format != decompress::Format::Plain)
}

/// Unpacks a file that is compressed as a whole into one without a name.
fn unpacked(address: &Address, console: Option<&mut Console>) -> Result<Arc<FileReader>, Failure> {
    let name = address.image.display().to_string();
    let file = File::open(&address.image).map_err(|error| cannot(&name, error))?;
    let stream = decompress::open(file, &decompress::Options::default())
        .map_err(|error| cannot(&name, error))?;
    spool(stream, &name, console)
}

/// Returns number, type, name and size of a partition.
fn shown(partition: &Partition) -> String {
    let kind = partition.kind;
    let kind = kind.name().unwrap_or_else(|| kind.to_string());
    let name = match partition.name.as_str() {
        "" => String::new(),
        name => format!(" {:?}", listing::shown(name.as_bytes())),
    };
    format!(
        "#{} {kind}{name} ({})",
        partition.number,
        human(partition.len)
    )
}

/// Why there is no such partition.
enum Refusal {
    Table(Box<dyn std::error::Error + Send + Sync>),
    NoTable,
    Select(String, Table),
}

impl Refusal {
    fn in_what(self, what: String) -> Failure {
        match self {
            Self::Table(error) => Failure::failed(what).because(error),
            Self::NoTable => Failure::failed(what)
                .because("it has no partitions")
                .help("name it without #"),
            Self::Select(error, table) => {
                let words: Vec<String> = table.partitions.iter().map(shown).collect();
                Failure::failed(what)
                    .because(error)
                    .help(format!("there are {}", words.join(", ")))
            }
        }
    }
}

/// The files that images may name.
struct Leave {
    allowed: Vec<PathBuf>,
    /// The snapshot that is wanted of the first one.
    snapshot: Option<String>,
}

/// Why an image file cannot be opened.
enum Denied {
    Open(OpenError),
    /// A file of the chain, by its path.
    Inside(PathBuf, Box<Self>),
    NoLeave(qcow2::Role, String),
    TooLong,
    /// The format has no snapshots.
    NoSnapshots(Format),
}

impl From<OpenError> for Denied {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl Leave {
    fn new(args: &ReadArgs) -> Self {
        let allowed = args
            .allow_backing
            .iter()
            .filter_map(|path| path.canonicalize().ok());
        Self {
            allowed: allowed.collect(),
            snapshot: args.snapshot.clone(),
        }
    }

    /// Opens an image file, and those it names where there is leave to.
    fn container(
        &self,
        path: &Path,
        file: Arc<FileReader>,
        format: Option<Format>,
        depth: usize,
    ) -> Result<Container, Denied> {
        let file: Arc<dyn BlockRead> = file;
        let format = match format {
            Some(format) => format,
            None => forger_disk::detect(&file).map_err(OpenError::Block)?,
        };
        let mut neighbours = qcow2::Neighbours::default();
        if format == Format::Qcow2 {
            let header = qcow2::Header::read(&file).map_err(OpenError::Qcow2)?;
            if let Some(name) = &header.backing_file {
                let format = match header.backing_format.as_deref() {
                    Some("raw") => Some(Format::Raw),
                    Some("qcow2") => Some(Format::Qcow2),
                    _ => None,
                };
                let role = qcow2::Role::Backing;
                let (path, file) = self.neighbour(path, role, name)?;
                let inside = |denied| Denied::Inside(path.clone(), Box::new(denied));
                if depth >= MAX_CHAIN {
                    return Err(inside(Denied::TooLong));
                }
                let backing = self
                    .container(&path, file, format, depth + 1)
                    .map_err(inside)?;
                neighbours.backing = Some(backing.disk());
            }
            if let Some(name) = &header.data_file {
                let (_, file) = self.neighbour(path, qcow2::Role::Data, name)?;
                neighbours.data = Some(file);
            }
        }
        match &self.snapshot {
            Some(snapshot) if depth == 0 && format == Format::Qcow2 => {
                let image = qcow2::Image::open_snapshot(file, neighbours, snapshot);
                Ok(Container::Qcow2(Arc::new(image.map_err(OpenError::Qcow2)?)))
            }
            Some(_) if depth == 0 => Err(Denied::NoSnapshots(format)),
            _ => Ok(Container::open_with(file, Some(format), neighbours)?),
        }
    }

    /// Opens a file that an image names, relative to the image, if it may.
    fn neighbour(
        &self,
        image: &Path,
        role: qcow2::Role,
        name: &str,
    ) -> Result<(PathBuf, Arc<FileReader>), Denied> {
        let path = image.parent().unwrap_or(Path::new("")).join(name);
        // Only a file that was named is opened; the names of others are resolved, to compare them.
        let real = self
            .allowed
            .iter()
            .find(|allowed| path.canonicalize().is_ok_and(|path| path == **allowed))
            .ok_or_else(|| Denied::NoLeave(role, name.to_owned()))?;
        let file = FileReader::open(real).map_err(OpenError::Block)?;
        Ok((real.clone(), Arc::new(file)))
    }
}

impl Denied {
    fn failure(self, what: String) -> Failure {
        match self {
            Self::Open(error) => remedy::disk(what, error),
            Self::Inside(path, denied) => {
                denied.failure(format!("{what}, which builds on {}", path.display()))
            }
            Self::NoLeave(role, name) => {
                let name = listing::shown(name.as_bytes());
                Failure::without_leave(what)
                    .because(format!("it needs its {role}, which it calls {name}"))
                    .help("--allow-backing FILE lets it read that file")
            }
            Self::NoSnapshots(format) => Failure::failed(what)
                .because(format!("it is {format}; only qcow2 images have snapshots")),
            Self::TooLong => Failure::failed(what)
                .because(format!("more than {MAX_CHAIN} images build on each other")),
        }
    }
}
