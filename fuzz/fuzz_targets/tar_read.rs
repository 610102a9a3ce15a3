//! The tar reader, fed with anything.
//!
//! Oracle:
//! 1. Nothing panics, overflows or goes on for ever; the runs of a content add up to its size.
//! 2. How the input arrives makes no difference: in pieces of 7 bytes it gives the same.
//! 3. What is read and written again by our writer is read back as it was.
//! 4. Where the `tar` crate reads an archive to its end, too, both agree on names, sizes, modes,
//!    owners and contents of regular files. Only archives are compared that the crate reads as
//!    POSIX and GNU tar say: no sparse files, global records, repeated or empty records, records
//!    together with long names, bodies of what is no file, or other dialects than ustar and GNU.
//!
//! The mutator repairs the checksums of headers, without which hardly any input would get past them.
#![no_main]

use std::collections::BTreeSet;
use std::io::{self, Read};

use forger_fs::source::{BodyRun, Entry, EntryKind, Source};
use forger_fs::tar::{Options, Reader, Writer};
use forger_fs::tree::Content;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// Contents above this are not compared.
const MAX_CONTENT: u64 = 1 << 20;

fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        let size = fuzzer_mutate(data, size, max_size);
        for block in data[..size].chunks_exact_mut(512) {
            if block[257..].starts_with(b"ustar") {
                block[148..156].fill(b' ');
                let sum = block.iter().map(|byte| u32::from(*byte)).sum::<u32>();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        size
    }
);

fuzz_target!(|data: &[u8]| {
    let options = Options {
        max_sparse_runs: 1 << 12,
        ..Options::default()
    };
    let ours = read(Reader::with_options(data, options.clone()));
    let slowly = read(Reader::with_options(Pieces(data), options));
    assert_eq!(ours, slowly);
    let Some(ours) = ours else { return };
    write_again(&ours);
    if let Some(theirs) = read_with_crate(data) {
        let files = ours.iter().filter_map(Member::as_file).collect::<Vec<_>>();
        assert_eq!(files, theirs);
    }
});

/// Gives the input in small pieces.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(7);
        self.0.read(&mut buf[..len])
    }
}

#[derive(Debug, PartialEq)]
struct Member {
    entry: Entry,
    /// Length and, for data, the bytes.
    runs: Vec<(u64, Option<Vec<u8>>)>,
}

/// Name, size, mode, uid, gid, content.
type File = (Vec<u8>, u64, u32, u64, u64, Vec<u8>);

impl Member {
    fn size(&self) -> u64 {
        match self.entry.kind {
            EntryKind::File { size } | EntryKind::HardLink { size, .. } => size,
            _ => 0,
        }
    }

    fn as_file(&self) -> Option<File> {
        let meta = &self.entry.meta;
        matches!(self.entry.kind, EntryKind::File { .. }).then(|| {
            let content = self
                .runs
                .iter()
                .filter_map(|(_, bytes)| bytes.clone())
                .flatten();
            let owner = (u64::from(meta.uid), u64::from(meta.gid));
            let path = self.entry.path.clone();
            (
                path,
                self.size(),
                u32::from(meta.mode),
                owner.0,
                owner.1,
                content.collect(),
            )
        })
    }

    fn content(&self) -> Content {
        let mut content = Content::new();
        for (len, bytes) in &self.runs {
            match bytes {
                Some(bytes) => content.push_inline(bytes.clone()),
                None => content.push_hole(*len),
            }
        }
        content
    }
}

/// Reads all members; `None` if the archive is refused.
fn read(mut reader: Reader<impl Read>) -> Option<Vec<Member>> {
    let mut members = Vec::new();
    while let Some(entry) = reader.next_entry().ok()? {
        let mut runs = Vec::<(u64, Option<Vec<u8>>)>::new();
        while let Some(run) = reader.next_run().ok()? {
            match (run, runs.last_mut()) {
                // How data are cut depends on how the input arrives.
                (BodyRun::Data { bytes, .. }, Some((len, Some(before)))) => {
                    assert!(!bytes.is_empty());
                    before.extend_from_slice(bytes);
                    *len += bytes.len() as u64;
                }
                (BodyRun::Data { bytes, .. }, _) => {
                    runs.push((bytes.len() as u64, Some(bytes.to_vec())));
                }
                (BodyRun::Hole(len), last) => {
                    assert!(len > 0 && !matches!(last, Some((_, None))));
                    runs.push((len, None));
                }
            }
        }
        let member = Member { entry, runs };
        assert_eq!(
            member.runs.iter().map(|(len, _)| len).sum::<u64>(),
            member.size()
        );
        members.push(member);
    }
    Some(members)
}

fn write_again(members: &[Member]) {
    let mut writer = Writer::new(Vec::new());
    for member in members {
        let hole = matches!(member.entry.kind, EntryKind::HardLink { .. });
        if member.size() > MAX_CONTENT
            && (hole || !member.runs.iter().any(|(_, data)| data.is_none()))
        {
            return;
        }
        writer
            .append(&member.entry, &member.content())
            .expect("what was read can be written");
    }
    let archive = writer.finish().expect("a Vec takes everything");
    let again = read(Reader::new(&archive[..])).expect("what was written can be read");
    assert_eq!(again.len(), members.len());
    for (member, again) in members.iter().zip(again) {
        assert_eq!(normal(member), normal(&again));
    }
}

/// Forgets what may differ: where the header stands, slashes at a name's end, what a hard link
/// shares with its target, and how a link's content is cut.
fn normal(member: &Member) -> Member {
    let mut entry = member.entry.clone();
    entry.offset = None;
    while entry.path.len() > 1 && entry.path.ends_with(b"/") {
        entry.path.pop();
    }
    if entry.path == b"/" || entry.path == b"." {
        entry.path = b".".to_vec();
    }
    let runs = member.runs.clone();
    if let EntryKind::HardLink { .. } = entry.kind {
        let (mode, uid, gid) = (entry.meta.mode, entry.meta.uid, entry.meta.gid);
        entry.meta = forger_fs::tree::Meta {
            mode,
            uid,
            gid,
            ..Default::default()
        };
    }
    Member { entry, runs }
}

/// Reads all regular files with the `tar` crate; `None` if it cannot or if it reads differently.
fn read_with_crate(data: &[u8]) -> Option<Vec<File>> {
    if !comparable(data)? {
        return None;
    }
    let mut files = Vec::new();
    for entry in tar::Archive::new(data).entries().ok()? {
        let mut entry = entry.ok()?;
        let path = entry.path_bytes().into_owned();
        if !entry.header().entry_type().is_file() && !entry.header().entry_type().is_contiguous() {
            continue;
        }
        if path.ends_with(b"/") || path.contains(&0) {
            return None;
        }
        let header = entry.header();
        let mode = header.mode().ok()? & 0o7777;
        let (uid, gid, size) = (header.uid().ok()?, header.gid().ok()?, entry.size());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).ok()?;
        files.push((path, size, mode, uid, gid, content));
    }
    Some(files)
}

/// Tells whether there is nothing in the archive that the crate reads in its own way.
fn comparable(data: &[u8]) -> Option<bool> {
    let (mut long, mut records) = (false, false);
    for entry in tar::Archive::new(data).entries().ok()?.raw(true) {
        let mut entry = entry.ok()?;
        let header = entry.header().clone();
        let bytes = header.as_bytes();
        let dialect = &bytes[257..265];
        let star = bytes[345 + 130] == 0 && bytes[487] == b' ' && bytes[499] == b' ';
        if (dialect != b"ustar\x0000" && dialect != b"ustar  \0") || star {
            return Some(false);
        }
        match bytes[156] {
            b'x' => {
                let mut body = Vec::new();
                entry.read_to_end(&mut body).ok()?;
                if records || long || !plain_records(&body) {
                    return Some(false);
                }
                records = true;
            }
            b'L' | b'K' => {
                if records {
                    return Some(false);
                }
                long = true;
            }
            b'0' | b'7' | 0 => (long, records) = (false, false),
            b'1'..=b'6' if header.entry_size().ok()? == 0 => (long, records) = (false, false),
            _ => return Some(false),
        }
    }
    Some(true)
}

/// Tells whether all records are of the kind that the crate knows, each once and not empty.
fn plain_records(body: &[u8]) -> bool {
    let mut seen = BTreeSet::new();
    tar::PaxExtensions::new(body).all(|record| {
        record.is_ok_and(|record| {
            let known: [&[u8]; 9] = [
                b"path",
                b"linkpath",
                b"size",
                b"uid",
                b"gid",
                b"mtime",
                b"atime",
                b"ctime",
                b"comment",
            ];
            let key = record.key_bytes();
            let known = known.contains(&key) || key.starts_with(b"SCHILY.xattr.user.");
            let plain = known && !record.value_bytes().is_empty();
            plain && seen.insert(record.key_bytes())
        })
    })
}
