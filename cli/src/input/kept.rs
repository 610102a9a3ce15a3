//! Contents that can be read only once, kept in an unnamed file while nothing else of them is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use forger_block::{BlockRead, Result, ScratchFile, check_range, is_zero};
use forger_fs::observe::Note;
use forger_fs::source::{BodyPlace, BodyRun, Entry, Error, Source};

/// An unnamed file that contents are appended to.
#[derive(Debug)]
pub(crate) struct Room {
    file: ScratchFile,
    len: AtomicU64,
    /// How many bytes of it are not zeros that nobody wrote.
    written: AtomicU64,
}

impl Room {
    pub(crate) fn new(file: ScratchFile) -> Self {
        Self {
            file,
            len: AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }

    /// Returns how many bytes were written.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Appends bytes; returns where they stand.
    fn append(&self, bytes: &[u8]) -> Result<u64> {
        let (at, len) = (self.len.load(Ordering::Acquire), bytes.len() as u64);
        let end = at.saturating_add(len);
        match is_zero(bytes) {
            true => self.file.set_len(end)?,
            false => {
                self.file.write_at(at, bytes)?;
                self.written.fetch_add(len, Ordering::Relaxed);
            }
        }
        self.len.store(end, Ordering::Release);
        Ok(at)
    }
}

impl BlockRead for Room {
    fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, BlockRead::len(self))?;
        self.file.read_at(offset, buf)
    }
}

/// A source whose contents can all be read again: where they stand, or else where this keeps them.
pub(crate) struct Kept<'a> {
    source: &'a mut dyn Source,
    room: Arc<Room>,
}

impl<'a> Kept<'a> {
    pub(crate) fn new(source: &'a mut dyn Source, room: Arc<Room>) -> Self {
        Self { source, room }
    }
}

impl Source for Kept<'_> {
    fn next_entry(&mut self) -> std::result::Result<Option<Entry>, Error> {
        self.source.next_entry()
    }

    fn next_run(&mut self) -> std::result::Result<Option<BodyRun<'_>>, Error> {
        let stands = self.source.origin().is_some();
        Ok(match self.source.next_run()? {
            Some(BodyRun::Data { bytes, .. }) if !stands => {
                let at = self.room.append(bytes);
                let at = at.map_err(|error| Error::Other(Box::new(error)))?;
                Some(BodyRun::Data {
                    bytes,
                    at: Some(at),
                })
            }
            run => run,
        })
    }

    fn next_place(&mut self) -> std::result::Result<Option<BodyPlace>, Error> {
        self.source.next_place()
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        let here = || Arc::clone(&self.room) as Arc<dyn BlockRead>;
        Some(self.source.origin().unwrap_or_else(here))
    }

    fn keeps_folders(&self) -> bool {
        self.source.keeps_folders()
    }

    fn has_whiteouts(&self) -> bool {
        self.source.has_whiteouts()
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.source.take_notes()
    }
}

#[cfg(test)]
mod tests {
    use forger_fs::source::EntryKind;
    use forger_fs::tree::Meta;

    use super::*;

    const PIECE: usize = 64 << 10;

    /// One file, whose content stands somewhere or can be read only once.
    struct OneFile {
        content: Vec<u8>,
        at: usize,
        stands: bool,
    }

    impl Source for OneFile {
        fn next_entry(&mut self) -> std::result::Result<Option<Entry>, Error> {
            let size = self.content.len() as u64;
            Ok(Some(Entry {
                path: b"file".to_vec(),
                kind: EntryKind::File { size },
                meta: Meta::default(),
                offset: None,
            }))
        }

        fn next_run(&mut self) -> std::result::Result<Option<BodyRun<'_>>, Error> {
            let at = self.at;
            let Some(bytes) = self.content[at..].chunks(PIECE).next() else {
                return Ok(None);
            };
            self.at += bytes.len();
            let at = self.stands.then_some(at as u64);
            Ok(Some(BodyRun::Data { bytes, at }))
        }

        fn origin(&self) -> Option<Arc<dyn BlockRead>> {
            let origin = || Arc::new(self.content.clone()) as Arc<dyn BlockRead>;
            self.stands.then(origin)
        }
    }

    /// Reads a content, and then again from where it stands.
    fn again(content: &[u8], stands: bool, room: &Arc<Room>) -> Vec<u8> {
        let mut source = OneFile {
            content: content.to_vec(),
            at: 0,
            stands,
        };
        let mut kept = Kept::new(&mut source, Arc::clone(room));
        kept.next_entry().unwrap().unwrap();
        let origin = kept.origin().unwrap();
        let mut places = Vec::new();
        while let Some(BodyRun::Data { bytes, at }) = kept.next_run().unwrap() {
            places.push((at.unwrap(), bytes.len()));
        }
        let mut read = Vec::new();
        for (at, len) in places {
            let mut piece = vec![1; len];
            origin.read_at(at, &mut piece).unwrap();
            read.extend(piece);
        }
        read
    }

    #[test]
    fn what_can_be_read_only_once_is_kept_and_what_stands_somewhere_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let room = Arc::new(Room::new(ScratchFile::create_in(folder.path()).unwrap()));
        let mut content = vec![7; 3 << 20];
        content[1 << 20..].fill(0);
        assert_eq!(again(&content, true, &room), content);
        assert_eq!(BlockRead::len(&*room), 0);
        for number in 1..3 {
            assert_eq!(again(&content, false, &room), content);
            assert_eq!(BlockRead::len(&*room), number * (3 << 20));
            // Zeros are not written.
            assert_eq!(room.written(), number << 20);
        }
    }
}
