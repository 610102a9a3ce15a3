//! The local store: what was pulled, by its digest, for any number of programs at once.
//!
//! ```text
//! FOLDER/lock               held shared while something is used, exclusive while something is removed
//! FOLDER/blobs/sha256/HEX   a blob; its modification time is when it was last used
//! FOLDER/facts/sha256/HEX   what is known of it, in JSON
//! ```
//!
//! A blob appears under its name when it is whole and verified, by a rename: whoever sees it may use it. Every use
//! hashes it again.

mod error;
mod facts;

pub use error::Error;
pub use facts::Facts;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use forger_block::{PendingFile, Publish};
use forger_oci::Digest;

/// A folder with blobs.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// A blob of the store.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last used.
    pub used: SystemTime,
    /// What is known of it.
    pub facts: Facts,
}

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// The blobs.
    pub blobs: Vec<Kept>,
    /// The bytes that stay.
    pub left: u64,
}

/// A blob that stays while this lives.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    /// Ends the hold when it is closed.
    _lock: File,
}

impl Held {
    /// Returns where the blob is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// Opens a store, and makes its folders.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        for part in ["blobs/sha256", "facts/sha256"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(|error| Error::io("make", &path, error))?;
        }
        Ok(Self { folder })
    }

    /// Finds a blob, verifies it, and notes that it is used; none where it is not there. A damaged one
    /// is removed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn get(&self, digest: &Digest, now: SystemTime) -> Result<Option<Held>, Error> {
        let lock = self.lock(false)?;
        let path = self.blob(digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &path, error)),
        };
        if hash(&mut file, digest).map_err(|error| Error::io("read", &path, error))? != *digest {
            fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
            return Ok(None);
        }
        // A store that another user owns can be read all the same.
        let _ = OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(now));
        Ok(Some(Held { path, _lock: lock }))
    }

    /// Begins a blob, in the folder where it will stand.
    ///
    /// # Errors
    /// [`Error::Block`].
    pub fn begin(&self) -> Result<PendingFile, Error> {
        Ok(PendingFile::in_folder(self.folder.join("blobs/sha256"))?)
    }

    /// Keeps a blob that was verified to have this digest, with what is known of it.
    ///
    /// # Errors
    /// [`Error::Block`], [`Error::Io`].
    pub fn keep(
        &self,
        pending: PendingFile,
        digest: &Digest,
        facts: &Facts,
        sync: bool,
    ) -> Result<Held, Error> {
        let lock = self.lock(false)?;
        let publish = Publish { force: true, sync };
        let about = PendingFile::for_target(self.about(digest))?;
        about.write_at(0, &facts.to_bytes())?;
        about.publish(publish)?;
        let path = pending.publish_as(digest.hex(), publish)?;
        Ok(Held { path, _lock: lock })
    }

    /// Lists the blobs, the last used first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn list(&self) -> Result<Vec<Kept>, Error> {
        let folder = self.folder.join("blobs/sha256");
        let failed = |error| Error::io("list", &folder, error);
        let mut all = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let digest = name
                .to_str()
                .and_then(|name| format!("sha256:{name}").parse().ok());
            // Anything else is a download under way. What went away meanwhile is not there.
            let (Some(digest), Ok(metadata)) = (digest, entry.metadata()) else {
                continue;
            };
            all.push(Kept {
                digest,
                size: metadata.len(),
                used: metadata.modified().map_err(failed)?,
                facts: self.facts(&digest),
            });
        }
        all.sort_by_key(|kept| (std::cmp::Reverse(kept.used), kept.digest));
        Ok(all)
    }

    /// Removes what was not used for longest, until no more than `keep` bytes are left.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Busy`] while something is used.
    pub fn collect(&self, keep: u64) -> Result<Removed, Error> {
        let _lock = self.lock(true)?;
        let mut all = self.list()?;
        let sum = all
            .iter()
            .map(|kept| kept.size)
            .fold(0, u64::saturating_add);
        let mut removed = Removed {
            left: sum,
            ..Removed::default()
        };
        while removed.left > keep {
            let Some(kept) = all.pop() else {
                break;
            };
            for path in [self.blob(&kept.digest), self.about(&kept.digest)] {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Error::io("remove", &path, error));
                    }
                    _ => {}
                }
            }
            removed.left = removed.left.saturating_sub(kept.size);
            removed.blobs.push(kept);
        }
        Ok(removed)
    }

    fn facts(&self, digest: &Digest) -> Facts {
        let bytes = fs::read(self.about(digest)).unwrap_or_default();
        Facts::parse(&bytes)
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    fn about(&self, digest: &Digest) -> PathBuf {
        self.folder.join("facts/sha256").join(digest.hex())
    }

    /// Takes the lock: shared to use, exclusive to remove.
    fn lock(&self, exclusive: bool) -> Result<File, Error> {
        let path = self.folder.join("lock");
        let failed = |error| Error::io("lock", &path, error);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(failed)?;
        match exclusive {
            false => file.lock_shared().map_err(failed)?,
            true => match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(Error::Busy {
                        folder: self.folder.display().to_string(),
                    });
                }
                Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
            },
        }
        Ok(file)
    }
}

fn hash(file: &mut File, digest: &Digest) -> io::Result<Digest> {
    let mut hasher = forger_oci::Hasher::new(digest.algorithm());
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + seconds)
    }

    fn put(store: &Store, bytes: &[u8], used: u64) -> Digest {
        let digest = Digest::of(bytes);
        let pending = store.begin().unwrap();
        pending.write_at(0, bytes).unwrap();
        let facts = Facts {
            name: Some(format!("blob-{used}")),
            ..Facts::default()
        };
        drop(store.keep(pending, &digest, &facts, false).unwrap());
        drop(store.get(&digest, at(used)).unwrap().unwrap());
        digest
    }

    #[test]
    fn what_was_kept_is_found_and_the_oldest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("s")).unwrap();
        let old = put(&store, &[1; 100], 1);
        let new = put(&store, &[2; 100], 3);
        put(&store, &[3; 100], 2);
        let names: Vec<_> = store
            .list()
            .unwrap()
            .into_iter()
            .map(|kept| kept.facts.name.unwrap())
            .collect();
        assert_eq!(names, ["blob-3", "blob-2", "blob-1"]);
        drop(store.get(&old, at(9)).unwrap());
        let removed = store.collect(200).unwrap();
        assert_eq!((removed.blobs.len(), removed.left), (1, 200));
        assert_eq!(removed.blobs[0].facts.name.as_deref(), Some("blob-2"));
        assert!(store.get(&new, at(10)).unwrap().is_some());
        assert_eq!(store.collect(0).unwrap().left, 0);
        assert!(store.list().unwrap().is_empty());
    }

    #[test]
    fn nothing_is_removed_while_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = put(&store, b"x", 1);
        let held = store.get(&digest, at(2)).unwrap().unwrap();
        assert!(matches!(store.collect(0), Err(Error::Busy { .. })));
        assert_eq!(fs::read(held.path()).unwrap(), b"x");
        drop(held);
        assert_eq!(store.collect(0).unwrap().blobs.len(), 1);
    }

    #[test]
    fn a_damaged_blob_is_not_handed_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = put(&store, b"x", 1);
        fs::write(store.blob(&digest), b"y").unwrap();
        assert!(store.get(&digest, at(2)).unwrap().is_none());
        assert!(store.list().unwrap().is_empty());
    }

    #[test]
    fn several_programs_keep_the_same_blob() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| put(&store, &[7; 10_000], 1));
            }
        });
        assert_eq!(store.list().unwrap().len(), 1);
    }
}
