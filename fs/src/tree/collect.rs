//! Any source as a tree of contents by reference.

use bytes::Bytes;

use super::{Content, Error, Kind, Meta, Policy, Tree, Whiteout, shown};
use crate::source::{self, BodyRun, Entry, EntryKind, Source};

/// How many bytes of contents without an origin [`Tree::collect`] holds in memory: 1 GiB.
pub const INLINE_LIMIT: u64 = 1 << 30;

/// Why a source does not become a tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The source cannot go on.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// An entry has no place in the tree.
    #[error("{entry}{}", at(.offset))]
    Entry {
        /// Its name as it arrived, lossily decoded.
        entry: String,
        /// Its header's place in the input in bytes.
        offset: Option<u64>,
        /// What is wrong with it.
        source: Error,
    },
    /// A hard link cannot be bound at the end.
    #[error(transparent)]
    Links(Error),
    /// Contents that cannot be read again are larger than what may be held in memory.
    #[error("{entry}: contents without an origin exceed {limit} bytes")]
    TooLarge {
        /// The entry whose content is too much, lossily decoded.
        entry: String,
        /// The limit in bytes.
        limit: u64,
    },
}

fn at(offset: &Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" (header at byte {offset})"))
}

impl Tree<Content> {
    /// Makes a tree of all that a source has.
    ///
    /// Contents are spans of the source's origin where it has one; else they are held in memory, up
    /// to [`INLINE_LIMIT`] together. The root is 0755 root:root unless the source has an entry for
    /// it.
    ///
    /// # Errors
    /// The source's errors, and what the tree refuses, with the entry's name.
    pub fn collect(source: &mut dyn Source, policy: Policy) -> Result<Self, CollectError> {
        let mut tree = Self::new(Meta {
            mode: 0o755,
            ..Meta::default()
        });
        tree.add(source, policy, INLINE_LIMIT)?;
        tree.settle().map_err(CollectError::Links)?;
        Ok(tree)
    }

    /// Puts all that a source has over what is there, and leaves hard links to
    /// [`settle`](Self::settle); holds at most `limit` bytes of contents in memory.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub fn add(
        &mut self,
        source: &mut dyn Source,
        policy: Policy,
        limit: u64,
    ) -> Result<(), CollectError> {
        let mut left = limit;
        self.add_with(source, policy, &mut |source, path, _| {
            body(source, &shown(path), limit, &mut left)
        })
    }
}

/// Takes the current entry's content, of which path and length in bytes are known.
type Take<'a, C> = dyn FnMut(&mut dyn Source, &[u8], u64) -> Result<C, CollectError> + 'a;

impl<C> Tree<C> {
    /// Puts all that a source has over what is there, contents as `take` makes them, and leaves hard
    /// links to [`settle`](Self::settle), unless it is a layer whose links mean what is there at its end.
    ///
    /// # Errors
    /// As [`collect`](Tree::collect), and those of `take`.
    pub fn add_with(
        &mut self,
        source: &mut dyn Source,
        policy: Policy,
        take: &mut Take<'_, C>,
    ) -> Result<(), CollectError> {
        let mut upper = source.has_whiteouts().then(|| self.begin_layer());
        while let Some(entry) = source.next_entry()? {
            let name = shown(&entry.path);
            let offset = entry.offset;
            let refuse = |source| CollectError::Entry {
                entry: name.clone(),
                offset,
                source,
            };
            let Entry {
                path, kind, meta, ..
            } = entry;
            if let Some(upper) = &upper
                && let Some(whiteout) = Whiteout::parse(&path).map_err(refuse)?
            {
                self.whiteout(upper, &whiteout).map_err(refuse)?;
                continue;
            }
            let kind = match kind {
                EntryKind::File { size } => {
                    if source.keeps_folders() && self.is_folder(&path) {
                        return Err(refuse(Error::Folder));
                    }
                    self.check(&path).map_err(refuse)?;
                    Kind::File(take(source, &path, size)?)
                }
                EntryKind::HardLink { target, size } => {
                    let carries = size > 0;
                    self.check_link(&path, &target, carries).map_err(refuse)?;
                    let body = match carries {
                        true => Some(take(source, &path, size)?),
                        false => None,
                    };
                    self.link(&path, &target, body).map_err(refuse)?;
                    if let Some(upper) = &mut upper {
                        self.touch(upper, &path);
                    }
                    continue;
                }
                EntryKind::Symlink(target) => Kind::Symlink(target.into()),
                EntryKind::Directory => Kind::directory(),
                EntryKind::CharDevice(device) => Kind::CharDevice(device),
                EntryKind::BlockDevice(device) => Kind::BlockDevice(device),
                EntryKind::Fifo => Kind::Fifo,
                EntryKind::Socket => Kind::Socket,
            };
            self.put(&path, meta, kind, policy).map_err(refuse)?;
            if let Some(upper) = &mut upper {
                self.touch(upper, &path);
            }
        }
        if upper.is_some() {
            // What a later layer replaces is not what this one's links mean.
            self.settle().map_err(CollectError::Links)?;
        }
        Ok(())
    }
}

/// Takes the current entry's content.
fn body(
    source: &mut dyn Source,
    entry: &str,
    limit: u64,
    left: &mut u64,
) -> Result<Content, CollectError> {
    let origin = source.origin();
    let mut content = Content::new();
    let mut held = Vec::new();
    while let Some(run) = source.next_run()? {
        match (run, &origin) {
            (BodyRun::Hole(len), _) => {
                content.push_inline(Bytes::from(std::mem::take(&mut held)));
                content.push_hole(len);
            }
            (
                BodyRun::Data {
                    bytes,
                    at: Some(at),
                },
                Some(origin),
            ) => {
                content.push_inline(Bytes::from(std::mem::take(&mut held)));
                content.push_span(origin, at, bytes.len() as u64);
            }
            (BodyRun::Data { bytes, .. }, _) => {
                let rest = left.checked_sub(bytes.len() as u64);
                *left = rest.ok_or_else(|| CollectError::TooLarge {
                    entry: entry.to_owned(),
                    limit,
                })?;
                held.extend_from_slice(bytes);
            }
        }
    }
    content.push_inline(Bytes::from(held));
    Ok(content)
}
