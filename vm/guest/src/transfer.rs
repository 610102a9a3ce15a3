//! Files in and out, as tar streams.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;

use forger_wire::Message;
use tar::{Archive, Builder, EntryType, Header};

use crate::device::explained;
use crate::stream::{Input, Output, Stream, Streams};

/// How much is collected before it is sent.
const PIECE: usize = 256 << 10;

/// Sends what is at a path.
pub(crate) fn get(path: Vec<u8>, stream: Arc<Stream>, streams: &Streams) {
    in_background(stream, streams, move |stream| {
        let path = Path::new(OsStr::from_bytes(&path));
        let buffered = io::BufWriter::with_capacity(PIECE, Output(stream));
        let mut packer = Packer {
            builder: Builder::new(buffered),
            seen: HashMap::new(),
        };
        let metadata =
            fs::symlink_metadata(path).map_err(|error| explained("read", path, error))?;
        match metadata.is_dir() {
            true => packer.folder(path, Path::new(""))?,
            false => {
                let name = path.file_name().unwrap_or_default();
                packer.entry(path, Path::new(name), &metadata)?;
            }
        }
        packer.builder.into_inner()?.flush()
    });
}

/// Unpacks into a folder.
pub(crate) fn put(path: Vec<u8>, stream: Arc<Stream>, input: Receiver<Vec<u8>>, streams: &Streams) {
    in_background(Arc::clone(&stream), streams, move |_| {
        let folder = Path::new(OsStr::from_bytes(&path));
        fs::create_dir_all(folder).map_err(|error| explained("make", folder, error))?;
        let mut archive = Archive::new(Input::new(stream, input));
        archive.set_preserve_permissions(true);
        archive.set_preserve_ownerships(true);
        archive.set_preserve_mtime(true);
        archive.set_unpack_xattrs(true);
        archive.unpack(folder)?;
        // What follows the end of the archive is taken, so that the host can send it.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop)
    });
}

/// Does a transfer in a thread of its own and says how it ended.
fn in_background(
    stream: Arc<Stream>,
    streams: &Streams,
    work: impl FnOnce(&Stream) -> io::Result<()> + Send + 'static,
) {
    let (of_thread, registry) = (Arc::clone(&stream), streams.clone());
    let started = thread::Builder::new().spawn(move || {
        let error = work(&of_thread).err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        // Without a channel the whole guest ends.
        let _ = of_thread.send(&Message::Done { error });
        registry.close(of_thread.id());
    });
    if let Err(error) = started {
        let error = error.to_string();
        let _ = stream.send(&Message::Done { error });
        streams.close(stream.id());
    }
}

/// Packs a tree; names of one file become links.
struct Packer<W: Write> {
    builder: Builder<W>,
    /// The first name of each file that has several.
    seen: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Packer<W> {
    /// Packs what is in a folder.
    fn folder(&mut self, folder: &Path, name: &Path) -> io::Result<()> {
        let failed = |error| explained("read", folder, error);
        let entries = fs::read_dir(folder).map_err(failed)?;
        let mut names = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(failed)?;
        names.sort();
        for entry in names {
            let (path, name) = (folder.join(&entry), name.join(&entry));
            let metadata =
                fs::symlink_metadata(&path).map_err(|error| explained("read", &path, error))?;
            self.entry(&path, &name, &metadata)?;
            if metadata.is_dir() {
                self.folder(&path, &name)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: &Path, metadata: &Metadata) -> io::Result<()> {
        let kind = metadata.file_type();
        let mut header = Header::new_gnu();
        header.set_metadata(metadata);
        header.set_size(0);
        let first = (metadata.dev(), metadata.ino());
        if !kind.is_dir() && metadata.nlink() > 1 {
            if let Some(first) = self.seen.get(&first) {
                header.set_entry_type(EntryType::Link);
                return self.builder.append_link(&mut header, name, first);
            }
            self.seen.insert(first, name.to_owned());
        }
        if kind.is_file() {
            let file = File::open(path).map_err(|error| explained("read", path, error))?;
            header.set_size(metadata.len());
            return self.builder.append_data(
                &mut header,
                name,
                io::Read::take(file, metadata.len()),
            );
        }
        if kind.is_symlink() {
            let target = fs::read_link(path).map_err(|error| explained("read", path, error))?;
            header.set_entry_type(EntryType::Symlink);
            return self.builder.append_link(&mut header, name, target);
        }
        if kind.is_socket() {
            // No tar can hold one.
            return Ok(());
        }
        if kind.is_block_device() || kind.is_char_device() {
            let device = metadata.rdev();
            header.set_device_major(rustix::fs::major(device))?;
            header.set_device_minor(rustix::fs::minor(device))?;
        }
        self.builder.append_data(&mut header, name, io::empty())
    }
}
