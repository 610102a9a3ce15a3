//! Caches: filesystems that stay from one run to the next.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use forger_block::{BlockRead, FileReader, Publish, Target, check_target};
use rustix::fs::{FlockOperation, flock};

use super::root;
use crate::config;
use crate::exit::Failure;
use crate::remedy;
use crate::signals::Signals;

/// How large a cache can grow in bytes; it takes only what it holds.
const SIZE: u64 = 16 << 30;

/// A cache that this process uses alone.
#[derive(Debug)]
pub(crate) struct Cache {
    path: PathBuf,
    /// What it holds at the start.
    pub(crate) base: Arc<dyn BlockRead>,
    /// Locked as long as this lives.
    _lock: File,
}

impl Cache {
    /// Opens a cache, or begins an empty one.
    ///
    /// # Errors
    /// A name that is none; a cache that is in use; a folder that cannot be written.
    pub(crate) fn open(name: &str) -> Result<Self, Failure> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(Failure::usage(format!("--cache: {name:?} is no name"))
                .help("letters, digits, dots, hyphens and underscores"));
        }
        let folder = config::cache_folder()
            .ok_or_else(|| {
                Failure::failed("cannot keep a cache")
                    .because("neither XDG_CACHE_HOME nor HOME is set")
            })?
            .join("guests");
        let failed = |error: std::io::Error| {
            Failure::failed(format!("cannot use the cache {name}")).because(error)
        };
        fs::create_dir_all(&folder).map_err(failed)?;
        let lock = File::create(folder.join(format!("{name}.lock"))).map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => {
                Failure::failed(format!("the cache {name} is in use by another run"))
            }
            error => failed(error.into()),
        })?;
        let path = folder.join(format!("{name}.ext4"));
        let base: Arc<dyn BlockRead> =
            match path.exists() {
                true => Arc::new(FileReader::open(&path).map_err(|error| {
                    remedy::block(format!("cannot use the cache {name}"), error)
                })?),
                false => root::empty(SIZE)?,
            };
        Ok(Self {
            path,
            base,
            _lock: lock,
        })
    }

    /// Keeps what the cache holds now, whole or not at all.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(crate) fn keep(&self, now: &dyn BlockRead, signals: &Signals) -> Result<(), Failure> {
        let failed = |error| remedy::block(format!("cannot keep {}", self.path.display()), error);
        let target = check_target(self.path.as_os_str(), true).map_err(failed)?;
        let publish = Publish {
            force: true,
            sync: false,
        };
        debug_assert!(matches!(target, Target::Regular(_)));
        let mut sink = target
            .open_placed(publish, &config::scratch_folder())
            .map_err(failed)?;
        let mut cancelled = || signals.caught().is_some();
        forger_block::place(now, 0, &mut *sink, &mut cancelled).map_err(failed)?;
        sink.finish(now.len()).map_err(failed)
    }
}
