//! The machine stops after every single write: e2fsck leaves the filesystem as before or as after.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use forger_block::{BlockRead, Error, Result};

use super::*;
use crate::ext4::{EditError, Image, LockedFile};
use crate::tree::Holes;

const TIME: Time = Time {
    sec: 1_700_000_000,
    nsec: 0,
};

/// An image in memory that remembers what was written to it, in order.
#[derive(Debug)]
struct Recorded {
    image: Mutex<Vec<u8>>,
    writes: Mutex<Vec<(usize, Vec<u8>)>>,
}

impl Recorded {
    fn new(image: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            image: Mutex::new(image),
            writes: Mutex::default(),
        })
    }
}

impl BlockRead for Recorded {
    fn len(&self) -> u64 {
        let image = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        image.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let image = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        image.read_at(offset, buf)
    }
}

impl Store for Recorded {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let at = usize::try_from(offset).unwrap();
        let mut image = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        let size = image.len() as u64;
        let Some(place) = image.get_mut(at..at + data.len()) else {
            let len = data.len() as u64;
            return Err(Error::OutOfRange { offset, len, size });
        };
        place.copy_from_slice(data);
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        // Neighbours come by one write, and need not arrive together.
        for (at, part) in (at..).step_by(4096).zip(data.chunks(4096)) {
            writes.push((at, part.to_vec()));
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// Tells whether the tools are there, and says so where not.
fn tools() -> bool {
    let there = ["mke2fs", "e2fsck"]
        .iter()
        .all(|tool| Command::new(tool).arg("-V").output().is_ok());
    if !there {
        assert!(
            std::env::var_os("REQUIRE_TOOLS").is_none_or(|value| value != "1"),
            "e2fsprogs are missing"
        );
        eprintln!("skipped: e2fsprogs are missing");
    }
    there
}

/// Makes a filesystem with some files.
fn make(folder: &Path, form: &str, size: &str) -> Vec<u8> {
    let content = folder.join("content");
    if !content.exists() {
        std::fs::create_dir_all(content.join("sub")).unwrap();
        for i in 0..9 {
            std::fs::write(content.join(format!("sub/{i}")), vec![i; 3000]).unwrap();
        }
    }
    let path = folder.join("image");
    let _ = std::fs::remove_file(&path);
    let out = Command::new("mke2fs")
        .args(["-q", "-F", "-E", "lazy_itable_init=0"])
        .args(form.split(' '))
        .arg("-d")
        .args([&content, &path])
        .arg(size)
        .output()
        .unwrap();
    assert!(out.status.success(), "{form}: {out:?}");
    std::fs::read(path).unwrap()
}

fn fsck(mode: &str, path: &Path) -> (i32, String) {
    let out = Command::new("e2fsck").arg(mode).arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    (out.status.code().unwrap_or(99), text)
}

/// What there is, and how much room.
fn facts(bytes: &[u8]) -> String {
    let image = Image::open(Arc::new(bytes.to_vec())).unwrap();
    let superblock = image.superblock();
    let (blocks, inodes) = (superblock.blocks(), superblock.inodes());
    let (free, free_inodes) = (superblock.free_blocks(), superblock.free_inodes());
    let dump = image.tree().unwrap().dump(Holes::Shown).unwrap();
    format!("{blocks} {free} {inodes} {free_inodes}\n{dump}")
}

/// Lets e2fsck mend an image, and returns what it is then.
fn mended(path: &Path, bytes: &[u8]) -> String {
    std::fs::write(path, bytes).unwrap();
    let (code, text) = fsck("-fy", path);
    assert!(code < 4, "{text}");
    let (code, text) = fsck("-fn", path);
    assert_eq!(code, 0, "after e2fsck -fy: {text}");
    facts(&std::fs::read(path).unwrap())
}

/// Stops after every `stride`th write, and after those that everything hangs on: of a superblock.
fn stop_everywhere(form: &str, from: &str, to: u64, stride: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut image = make(folder.path(), form, from);
    let path = folder.path().join("image");
    let size = usize::try_from(to).unwrap().max(image.len());
    // Whatever was there before: a device is not empty.
    let junk = vec![0x5a; size - image.len()];
    image.extend(junk);
    let before = facts(&image);
    let store = Recorded::new(image.clone());
    let shared: Arc<dyn Store> = Arc::<Recorded>::clone(&store);
    let planned = Resizer::over(shared, TIME).unwrap().plan(to).unwrap();
    assert!(planned.after() <= to, "{form}");
    assert_eq!(planned.commit().unwrap().way, Way::Journal, "{form}");
    let after = store.image.lock().unwrap().clone();
    std::fs::write(&path, &after).unwrap();
    let (code, text) = fsck("-fn", &path);
    assert_eq!(code, 0, "{form}: {text}");
    let after = facts(&after);
    assert_ne!(before, after);

    let writes = store.writes.lock().unwrap();
    let mut now = image;
    let (mut seen_before, mut seen_after) = (0, 0);
    for (i, (at, data)) in writes.iter().enumerate() {
        now[*at..at + data.len()].copy_from_slice(data);
        let decides = data.len() <= 1024 || (i + 1).is_multiple_of(stride);
        if !decides && i + 1 < writes.len() {
            continue;
        }
        let found = mended(&path, &now);
        let when = format!("{form}: after write {i} of {}", writes.len());
        if found == before {
            assert_eq!(seen_after, 0, "{when}: before again");
            seen_before += 1;
        } else {
            assert_eq!(found, after, "{when}");
            seen_after += 1;
        }
    }
    assert!(
        seen_before > 0 && seen_after > 2,
        "{form}: {seen_before} before, {seen_after} after"
    );
}

const MIB: u64 = 1 << 20;

#[test]
fn a_resize_that_stops_somewhere_is_before_or_after() {
    if !tools() {
        return;
    }
    stop_everywhere("-t ext4 -b 4096 -g 1024", "10M", 31 * MIB, 7);
    stop_everywhere("-t ext4 -b 4096 -g 1024", "31M", 14 * MIB, 7);
    stop_everywhere("-t ext3 -b 1024 -g 2048 -N 512", "7M", 12 * MIB, 7);
}

#[test]
#[ignore = "takes minutes"]
fn a_resize_that_stops_anywhere_is_before_or_after() {
    if !tools() {
        return;
    }
    stop_everywhere("-t ext4 -b 4096 -g 1024", "10M", 31 * MIB, 1);
    stop_everywhere("-t ext4 -b 4096 -g 1024", "31M", 14 * MIB, 1);
    stop_everywhere("-t ext3 -b 1024 -g 2048 -N 512", "7M", 12 * MIB, 1);
    stop_everywhere(
        "-t ext4 -b 1024 -g 1024 -O meta_bg,^resize_inode",
        "9M",
        40 * MIB,
        1,
    );
    stop_everywhere("-t ext4 -b 1024 -g 1024 -O ^flex_bg", "40M", 26 * MIB, 1);
}

#[test]
fn what_is_not_possible_is_said_and_changes_nothing() {
    if !tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = make(
        folder.path(),
        "-t ext4 -b 4096 -g 1024 -O ^resize_inode",
        "20M",
    );
    let path = folder.path().join("image");
    let plan = |size| Resizer::open(&path, TIME).unwrap().plan(size);
    assert!(matches!(
        plan(1 << 20),
        Err(ResizeError::TooSmall { wanted, .. }) if wanted == 1 << 20
    ));
    // One block of 64 descriptors for groups of 4 MiB.
    assert!(matches!(
        plan(1 << 30),
        Err(ResizeError::Reserve { limit, .. }) if limit == 64 << 22
    ));
    let locked = LockedFile::open(&path).unwrap();
    assert!(matches!(
        Resizer::open(&path, TIME),
        Err(ResizeError::Edit(EditError::Locked { .. }))
    ));
    drop(locked);
    assert_eq!(std::fs::read(&path).unwrap(), image);

    let mut longer = image.clone();
    longer.resize(image.len() + 9000, 0);
    std::fs::write(&path, &longer).unwrap();
    assert!(plan(24 << 20).is_ok(), "zeros are nobody's");
    *longer.last_mut().unwrap() = 1;
    std::fs::write(&path, &longer).unwrap();
    assert!(matches!(
        plan(24 << 20),
        Err(ResizeError::Trailing { offset, .. }) if offset == longer.len() as u64 - 1
    ));
}

#[test]
fn a_size_that_is_there_already_changes_nothing() {
    if !tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = make(folder.path(), "-t ext4 -b 1024", "20M");
    let path = folder.path().join("image");
    let planned = Resizer::open(&path, TIME).unwrap().plan(20 << 20).unwrap();
    assert_eq!(planned.commit().unwrap().way, Way::Nothing);
    assert_eq!(std::fs::read(&path).unwrap(), image);
}
