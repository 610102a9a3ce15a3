//! A hash tree in a partition of a raw disk.

use std::ops::Range;
use std::sync::Arc;

use forger::address::Address;
use forger_block::{BlockStore, StoreWindow};
use forger_fs::ext4::LockedFile;
use forger_fs::verity::Error;

use super::{Args, Data, first_data};
use crate::exit::Failure;
use crate::hash_tree::HashTree;
use crate::medium::Medium;
use crate::progress::Console;
use crate::remedy;

impl Args {
    /// Writes the tree of the first `len` bytes into a partition, its superblock last: behind the data where
    /// that is the same partition. A failure leaves zeros where the tree would stand.
    pub(super) fn in_partition(
        &self,
        data: &Data,
        len: u64,
        target: &Address,
        name: Option<String>,
        console: &mut Console,
    ) -> Result<HashTree, Failure> {
        let what = || format!("cannot write to {}", target.disk());
        let failed = |error| remedy::verity(what(), error);
        let lock = LockedFile::open(&target.image)
            .map_err(|error| Failure::failed(what()).because(error))?;
        let medium = Medium::open(target, &self.read)?;
        medium.check_plain(&what)?;
        let range = medium.part.as_ref().map(|part| part.start..part.end());
        let range = range.unwrap_or(0..medium.reader.len());
        let least = data.end_in(target, &range, len);
        let offset = self.hash_offset.unwrap_or(least);
        if offset < least {
            return Err(Failure::usage(format!(
                "--hash-offset {offset} lies in the data, which end at {least}"
            )));
        }
        let image = &data.medium.reader;
        let parameters = self
            .wanted()
            .parameters(Arc::clone(image), len, offset)
            .map_err(|error| remedy::verity(self.cannot(), error))?;
        let end = parameters.end().map_err(failed)?;
        if end > range.end - range.start {
            let room = range.end - range.start;
            return Err(Failure::failed(what())
                .because(format!(
                    "the tree ends at byte {end} of a partition of {room}"
                ))
                .help("--hash-file writes it into a file or another partition"));
        }
        let there =
            first_data(&*medium.reader, offset..end).map_err(|error| failed(error.into()))?;
        if let Some(at) = there.filter(|_| !self.write.force) {
            return Err(Failure::failed(what())
                .because(format!("there is something in the partition, at byte {at}"))
                .help("--force replaces it, such as an earlier tree"));
        }
        let store =
            StoreWindow::new(Arc::new(lock), range).map_err(|error| failed(error.into()))?;
        let superblock = parameters.hash_offset();
        let sync = || match self.write.no_sync {
            true => Ok(()),
            false => store.sync(),
        };
        let write = || -> Result<HashTree, Error> {
            store.erase(offset, end - offset)?;
            let image = Arc::clone(image);
            let tree = HashTree::build(image, parameters, name, console, &mut |at, bytes| {
                if at == superblock {
                    sync()?;
                }
                store.write_at(at, bytes)
            })?;
            sync()?;
            Ok(tree)
        };
        write().map_err(|error| {
            // The error that led here says more than one of tidying up.
            let _ = store.erase(offset, end - offset);
            remedy::verity(self.cannot(), error)
        })
    }
}

impl Data {
    /// Returns where the first `len` bytes end in a range of a file, counted from its start; 0 where they do
    /// not stand there.
    fn end_in(&self, target: &Address, range: &Range<u64>, len: u64) -> u64 {
        let real = |address: &Address| address.image.canonicalize().ok();
        let start = self.medium.part.as_ref().map_or(0, |part| part.start);
        let end = start.saturating_add(len);
        match real(&self.address) == real(target) && start < range.end {
            true => end.saturating_sub(range.start),
            false => 0,
        }
    }
}
