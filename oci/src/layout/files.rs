//! The files of a layout or archive, in a folder or in a tar.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger_block::{BlockRead, FileReader, ScratchFile, Window};
use forger_fs::decompress::{self, Format};
use forger_fs::source::{BodyRun, EntryKind, Source};
use forger_fs::tar;

use crate::range::RangeReader;
use crate::{Error, Result};

/// How many members an archive may have.
const MAX_MEMBERS: usize = 1 << 20;

/// A reader, and how many bytes come out of it.
pub(crate) type Opened = (Box<dyn Read + Send>, u64);

/// Files with names like `blobs/sha256/…`.
pub(crate) trait Files: Debug + Send + Sync {
    /// Opens a file at an offset in bytes; `None` where there is none.
    fn open_at(&self, name: &str, offset: u64) -> Result<Option<Opened>>;

    /// Opens a file to be read at any offset; `None` where there is none.
    fn open(&self, name: &str) -> Result<Option<Arc<dyn BlockRead>>>;

    /// Says where the files are.
    fn place(&self) -> String;
}

/// Reads a small file; `None` where there is none.
pub(crate) fn small(files: &dyn Files, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some((reader, size)) = files.open_at(name, 0)? else {
        return Ok(None);
    };
    let what = format!("{name} of {}", files.place());
    if size > limit {
        return Err(Error::TooLarge { what, size, limit });
    }
    let mut bytes = Vec::new();
    let read = reader.take(limit).read_to_end(&mut bytes);
    read.map_err(|error| Error::read(what, error))?;
    Ok(Some(bytes))
}

/// A folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Returns the path of a file; `None` where there is none.
    fn file(&self, name: &str) -> Result<Option<PathBuf>> {
        let path = self.path.join(name);
        let shown = path.display().to_string();
        // A FIFO would not be opened before somebody writes to it.
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(path)),
            Ok(_) => Err(Error::invalid(shown, "it is no file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::read(shown, error)),
        }
    }
}

impl Files for Folder {
    fn open_at(&self, name: &str, offset: u64) -> Result<Option<Opened>> {
        let Some(path) = self.file(name)? else {
            return Ok(None);
        };
        let failed = |error| Error::read(path.display().to_string(), error);
        let mut file = File::open(&path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        Ok(Some((Box::new(file), size.saturating_sub(offset))))
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn BlockRead>>> {
        Ok(match self.file(name)? {
            Some(path) => Some(Arc::new(FileReader::open(path)?)),
            None => None,
        })
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

/// A tar, of which it is known where its members stand.
#[derive(Debug)]
pub(crate) struct Archive {
    place: String,
    reader: Arc<dyn BlockRead>,
    /// Place and length in bytes.
    members: BTreeMap<String, (u64, u64)>,
    /// Members that stand for others: `docker save` once wrote layers that occur twice as symlinks.
    links: BTreeMap<String, String>,
}

impl Archive {
    /// Opens a tar; a compressed one is decompressed into an unnamed file in `scratch`.
    pub(crate) fn open(path: &Path, scratch: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let failed = |error| Error::read(place.clone(), error);
        let file = FileReader::open(path)?;
        let stream = RangeReader::new(Arc::new(file), 0, u64::MAX);
        let stream = decompress::open(stream, &decompress::Options::default()).map_err(failed)?;
        let reader: Arc<dyn BlockRead> = match stream.format() {
            Format::Plain => Arc::new(FileReader::open(path)?),
            _ => Arc::new(spool(stream, scratch).map_err(failed)??),
        };
        let mut archive = Self {
            place,
            reader,
            members: BTreeMap::new(),
            links: BTreeMap::new(),
        };
        archive
            .list()
            .map_err(|error| Error::Other(Box::new(error)))?;
        Ok(archive)
    }

    /// Finds the members; the last of a name counts.
    fn list(&mut self) -> std::result::Result<(), forger_fs::source::Error> {
        let input = RangeReader::from(&self.reader, 0);
        let mut tar = tar::Reader::new(input).with_origin(Arc::clone(&self.reader));
        while let Some(entry) = tar.next_entry()? {
            let name = String::from_utf8_lossy(&entry.path).into_owned();
            let name = name.trim_start_matches("./").to_owned();
            if self.members.len().saturating_add(self.links.len()) >= MAX_MEMBERS {
                let error =
                    Error::invalid(self.place.clone(), "it has more than a million members");
                return Err(forger_fs::source::Error::Other(Box::new(error)));
            }
            match entry.kind {
                EntryKind::File { size: 0 } => {
                    self.members.insert(name, (0, 0));
                }
                EntryKind::File { size } => {
                    // A member with holes stands in several places: such are no images.
                    if let Some(BodyRun::Data { at: Some(at), .. }) = tar.next_run()? {
                        self.members.insert(name, (at, size));
                    }
                }
                EntryKind::Symlink(target) => {
                    let target = String::from_utf8_lossy(&target).into_owned();
                    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    let target = beside(folder, &target);
                    self.links.insert(name, target);
                }
                EntryKind::HardLink { target, .. } => {
                    let target = String::from_utf8_lossy(&target).into_owned();
                    self.links.insert(name, beside("", &target));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Resolves `..` and `.` of a link's target as text: inside the archive there are no other links to follow.
fn beside(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => folder.split('/').filter(|part| !part.is_empty()).collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

impl Archive {
    /// Returns place and length of a member in bytes.
    fn member<'a>(&'a self, mut name: &'a str) -> Option<(u64, u64)> {
        for _ in 0..8 {
            match self.links.get(name) {
                Some(target) => name = target,
                None => break,
            }
        }
        self.members.get(name).copied()
    }
}

impl Files for Archive {
    fn open_at(&self, name: &str, offset: u64) -> Result<Option<Opened>> {
        let Some((at, size)) = self.member(name) else {
            return Ok(None);
        };
        let rest = size.saturating_sub(offset);
        let reader = RangeReader::new(Arc::clone(&self.reader), at.saturating_add(offset), rest);
        Ok(Some((Box::new(reader), rest)))
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn BlockRead>>> {
        let Some((at, size)) = self.member(name) else {
            return Ok(None);
        };
        let range = at..at.saturating_add(size);
        let window = Window::new(Arc::clone(&self.reader), range)?;
        Ok(Some(Arc::new(window)))
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}

/// Keeps a stream in a file without a name.
fn spool(mut stream: impl Read, scratch: &Path) -> io::Result<forger_block::Result<FileReader>> {
    let file = match ScratchFile::create_in(scratch) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    let mut writer = Writing { file, at: 0 };
    io::copy(&mut stream, &mut writer)?;
    Ok(writer
        .file
        .set_len(writer.at)
        .and_then(|()| writer.file.into_reader()))
}

struct Writing {
    file: ScratchFile,
    at: u64,
}

impl Write for Writing {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.at, buf).map_err(io::Error::other)?;
        self.at = self.at.saturating_add(buf.len() as u64);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
