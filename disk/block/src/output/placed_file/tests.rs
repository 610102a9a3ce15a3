use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::conformance::{self, Made};
use crate::{BlockSink, Error};

/// Paths in a folder, each used once.
struct Paths {
    folder: tempfile::TempDir,
    next: u32,
}

impl Paths {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            next: 0,
        }
    }

    fn next(&mut self) -> PathBuf {
        self.next += 1;
        self.folder.path().join(self.next.to_string())
    }

    fn assert_nothing_hidden(&self) {
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.as_encoded_bytes().starts_with(b"."), "{name:?}");
        }
    }
}

fn no_sync() -> Publish {
    Publish {
        sync: false,
        ..Publish::default()
    }
}

#[test]
fn a_placed_file_keeps_the_contract() {
    let mut paths = Paths::new();
    conformance::placed_sink(|| {
        let path = paths.next();
        let sink = PlacedFile::create(&path, no_sync()).unwrap();
        Made::placed(sink, move || fs::read(&path).ok())
    });
    paths.assert_nothing_hidden();
}

#[test]
fn a_placed_file_with_a_hidden_name_keeps_the_contract() {
    let mut paths = Paths::new();
    conformance::placed_sink(|| {
        let path = paths.next();
        let pending = PendingFile::hidden_for_target(&path).unwrap();
        let sink = PlacedFile::over(pending, no_sync()).unwrap();
        Made::placed(sink, move || fs::read(&path).ok())
    });
    paths.assert_nothing_hidden();
}

#[test]
fn a_forward_file_keeps_the_contract() {
    let mut paths = Paths::new();
    conformance::block_sink(|| {
        let path = paths.next();
        let sink = ForwardFile::create(&path, no_sync()).unwrap();
        Made::forward(sink, move || fs::read(&path).ok())
    });
    paths.assert_nothing_hidden();
}

#[test]
fn what_is_not_written_takes_no_room() {
    let mut paths = Paths::new();
    let path = paths.next();
    let mut sink = Box::new(PlacedFile::create(&path, Publish::default()).unwrap());
    sink.write_at(0, vec![1; 4096].into()).unwrap();
    sink.write_at(8 << 30, vec![1; 1 << 20].into()).unwrap();
    sink.punch((8 << 30) + 4096, (1 << 20) - 8192).unwrap();
    sink.finish(100 << 30).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 100 << 30);
    let room = metadata.blocks() * 512;
    assert!(room <= 256 << 10, "{room} bytes on disk");
}

#[test]
fn a_file_whose_name_comes_at_the_end_is_published_by_its_pending_file() {
    let paths = Paths::new();
    let pending = PendingFile::in_folder(paths.folder.path()).unwrap();
    let mut sink = ForwardFile::over(pending, Publish::default()).unwrap();
    sink.write(b"text").unwrap();
    sink.skip(4).unwrap();
    let pending = sink.complete().unwrap();
    let path = pending.publish_as("name", Publish::default()).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"text\0\0\0\0");
}

#[test]
fn finishing_a_file_without_a_name_is_an_error() {
    let paths = Paths::new();
    let pending = PendingFile::in_folder(paths.folder.path()).unwrap();
    let sink = PlacedFile::over(pending, Publish::default()).unwrap();
    let error = Box::new(sink).finish(0).unwrap_err();
    assert!(matches!(error, Error::Unnamed { .. }));
}

/// A filesystem of 1 MiB, gone when dropped.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    /// Mounts one, which takes root.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(folder.path())
            .status();
        if matches!(mounted, Ok(status) if status.success()) {
            return Some(Self(folder));
        }
        assert!(
            std::env::var_os("REQUIRE_TOOLS").is_none(),
            "cannot mount a tmpfs"
        );
        eprintln!("skipped: cannot mount a tmpfs");
        None
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let Some(disk) = TinyDisk::mount() else {
        return;
    };
    let path = disk.0.path().join("file");
    for hidden in [false, true] {
        let pending = if hidden {
            PendingFile::hidden_for_target(&path).unwrap()
        } else {
            PendingFile::for_target(&path).unwrap()
        };
        let mut sink = Box::new(PlacedFile::over(pending, Publish::default()).unwrap());
        let piece = Bytes::from(vec![1; 256 << 10]);
        let written =
            (0..64).try_for_each(|number| sink.write_at(number * (256 << 10), piece.clone()));
        let result = written.and_then(|()| sink.finish(16 << 20));
        let Err(Error::Io { object, source, .. }) = result else {
            panic!("{result:?}");
        };
        assert_eq!(source.kind(), ErrorKind::StorageFull);
        assert_eq!(object, path.display().to_string());
        assert_eq!(fs::read_dir(disk.0.path()).unwrap().count(), 0);
    }
    // The room is free again.
    fs::write(&path, vec![1; 900 << 10]).unwrap();
}
