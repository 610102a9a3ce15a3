//! Archives made byte by byte, and what the reader makes of them.

mod dialects;
mod end;
mod hostile;
mod places;
mod refusals;
mod sparse;
mod tools;
mod writing;

use std::io::Read;

use super::{Error, Options, Reader};
use crate::observe::Note;
use crate::source::{self, BodyRun, Entry, EntryKind, Source};

/// A header to be filled in.
#[derive(Clone)]
struct Raw([u8; 512]);

impl Raw {
    /// A ustar header of mode 0644, owner 1:2, mtime 3, size 0.
    fn new(flag: u8, name: &str) -> Self {
        let mut raw = Self([0; 512])
            .put(0, name.as_bytes())
            .put(100, b"0000644\0");
        raw = raw
            .put(108, b"0000001\0")
            .put(116, b"0000002\0")
            .put(124, b"00000000000\0");
        raw.put(136, b"00000000003\0")
            .put(156, &[flag])
            .put(257, b"ustar\x0000")
    }

    fn gnu(self) -> Self {
        self.put(257, b"ustar  \0")
    }

    fn v7(self) -> Self {
        self.put(257, &[0; 8])
    }

    fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn size(self, size: usize) -> Self {
        self.put(124, format!("{size:011o}\0").as_bytes())
    }

    fn link(self, target: &str) -> Self {
        self.put(157, target.as_bytes())
    }

    fn sealed(self) -> Vec<u8> {
        let spaced = self.put(148, b"        ");
        let sum = spaced.0.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        spaced
            .put(148, format!("{sum:06o}\0 ").as_bytes())
            .0
            .to_vec()
    }

    /// The header, and a body with its padding.
    fn with(self, body: &[u8]) -> Vec<u8> {
        [self.size(body.len()).sealed(), padded(body)].concat()
    }
}

fn padded(body: &[u8]) -> Vec<u8> {
    let mut padded = body.to_vec();
    padded.resize(body.len().next_multiple_of(512), 0);
    padded
}

/// A PAX record.
fn record(keyword: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", keyword.as_bytes(), b"=", value, b"\n"].concat();
    let mut len = rest.len() + 1;
    while len != rest.len() + len.to_string().len() {
        len = rest.len() + len.to_string().len();
    }
    [len.to_string().as_bytes(), &rest].concat()
}

/// A PAX header of type `flag`.
fn extended(flag: u8, records: &[(&str, &[u8])]) -> Vec<u8> {
    let body = records
        .iter()
        .map(|(keyword, value)| record(keyword, value))
        .collect::<Vec<_>>();
    Raw::new(flag, "PaxHeaders/x").with(&body.concat())
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    extended(b'x', records)
}

fn file(name: &str, body: &[u8]) -> Vec<u8> {
    Raw::new(b'0', name).with(body)
}

/// The archive of these parts, with its end marker.
fn archive(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 1024]].concat()
}

/// A member as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    entry: Entry,
    /// The bytes of all data runs.
    data: Vec<u8>,
    /// The runs: length, negative for holes.
    runs: Vec<i64>,
}

impl Seen {
    fn name(&self) -> &str {
        std::str::from_utf8(&self.entry.path).unwrap()
    }
}

fn read_all(mut reader: Reader<impl Read>) -> Result<(Vec<Seen>, Vec<Note>), Error> {
    let tar = |error| match error {
        source::Error::Tar(error) => error,
        error => panic!("not an error of tar: {error}"),
    };
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry().map_err(tar)? {
        let (mut data, mut runs) = (Vec::new(), Vec::<i64>::new());
        while let Some(run) = reader.next_run().map_err(tar)? {
            let previous = runs.last().copied().unwrap_or(0);
            match run {
                BodyRun::Data { bytes, .. } => {
                    assert!(!bytes.is_empty());
                    data.extend_from_slice(bytes);
                    let len = i64::try_from(bytes.len()).unwrap();
                    if previous > 0 {
                        *runs.last_mut().unwrap() += len;
                    } else {
                        runs.push(len);
                    }
                }
                BodyRun::Hole(len) => {
                    assert!(len > 0);
                    assert!(previous >= 0, "a hole follows a hole");
                    runs.push(-i64::try_from(len).unwrap());
                }
            }
        }
        let (EntryKind::File { size } | EntryKind::HardLink { size, .. }) = entry.kind else {
            assert_eq!(runs, Vec::<i64>::new());
            all.push(Seen { entry, data, runs });
            continue;
        };
        assert_eq!(runs.iter().map(|run| run.unsigned_abs()).sum::<u64>(), size);
        all.push(Seen { entry, data, runs });
    }
    assert!(
        reader.next_entry().map_err(tar)?.is_none(),
        "an entry after the end"
    );
    Ok((all, reader.take_notes()))
}

fn read_with(archive: &[u8], options: Options) -> Result<(Vec<Seen>, Vec<Note>), Error> {
    read_all(Reader::with_options(archive, options))
}

fn read(archive: &[u8]) -> Result<Vec<Seen>, Error> {
    Ok(read_with(archive, Options::default())?.0)
}

/// Reads the one member of an archive of these parts.
#[track_caller]
fn one(parts: &[Vec<u8>]) -> Seen {
    let all = read(&archive(parts)).unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().unwrap()
}

fn names(all: &[Seen]) -> Vec<&str> {
    all.iter().map(Seen::name).collect()
}

/// An archive with a member of every kind and every way to describe it.
fn of_every_kind() -> Vec<u8> {
    let long = "long/".repeat(60);
    archive(&[
        extended(
            b'g',
            &[("comment", b"for all"), ("LIBARCHIVE.creationtime", b"5.5")],
        ),
        Raw::new(b'5', "./").sealed(),
        file("./empty", b""),
        file("./small", b"content"),
        file("./blocks", &[7; 1536]),
        Raw::new(0, "./v7").v7().with(b"old"),
        Raw::new(b'1', "./hard").link("./small").sealed(),
        Raw::new(b'2', "./soft").link("./small").sealed(),
        Raw::new(b'3', "./char")
            .put(329, b"0000005\0")
            .put(337, b"0000001\0")
            .sealed(),
        Raw::new(b'4', "./block").put(329, b"0000010\0").sealed(),
        Raw::new(b'6', "./fifo").sealed(),
        Raw::new(b'L', "././@LongLink")
            .gnu()
            .with(format!("{long}name\0").as_bytes()),
        Raw::new(b'K', "././@LongLink")
            .gnu()
            .with(format!("{long}link\0").as_bytes()),
        Raw::new(b'2', "short").gnu().link("short").sealed(),
        pax(&[
            ("path", b"pax"),
            ("mtime", b"-1.5"),
            ("SCHILY.xattr.user.a", b"1\n2\0"),
        ]),
        Raw::new(b'0', "short").with(b"pax content"),
        sparse::old_gnu(),
        sparse::in_body(),
    ])
}
