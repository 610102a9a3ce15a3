//! A file's content, holes as holes.

use forger_block::{BlockRead, Run};
use rustix::fd::BorrowedFd;
use rustix::fs::ftruncate;
use rustix::io::{Errno, pwrite, retry_on_intr};

use super::{WriteError, Writer};
use crate::tree::{Content, shown};

/// How many bytes are copied at a time.
const PIECE: u64 = 1 << 20;

impl Writer<'_> {
    /// Writes a content into a new file.
    pub(super) fn content(
        &mut self,
        file: BorrowedFd<'_>,
        content: &Content,
        path: &[u8],
    ) -> Result<(), WriteError> {
        let io = |errno| WriteError::io("write", path, errno);
        let read = |source| WriteError::Content {
            path: shown(path),
            source,
        };
        let size = content.size();
        let mut at = 0;
        while at < size {
            let len = match content.run_at(at).map_err(read)? {
                Run::Hole(len) => {
                    at += len.max(1);
                    continue;
                }
                Run::Data(len) => len.clamp(1, PIECE).min(size - at),
            };
            self.check_cancelled(path)?;
            let piece = usize::try_from(len).expect("a piece has 1 MiB");
            let mut buffer = std::mem::take(&mut self.buffer);
            if buffer.len() < piece {
                buffer.resize(piece, 0);
            }
            content.read_at(at, &mut buffer[..piece]).map_err(read)?;
            write_all(file, &buffer[..piece], at).map_err(io)?;
            self.buffer = buffer;
            self.observer.advance(len);
            at += len;
        }
        let ends_with_hole = content
            .spans()
            .last()
            .is_none_or(|span| span.at + span.len < size);
        match size > 0 && ends_with_hole {
            true => ftruncate(file, size).map_err(io),
            false => Ok(()),
        }
    }
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = retry_on_intr(|| pwrite(file, bytes, at))?;
        if written == 0 {
            return Err(Errno::NOSPC);
        }
        bytes = &bytes[written..];
        at += written as u64;
    }
    Ok(())
}
