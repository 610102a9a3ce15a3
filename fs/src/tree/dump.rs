//! A tree as text: one line a name, with every fact.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use forger_block::{BlockRead, Result, Run};

use super::compare::{Comparison, Difference};
use super::{Content, InodeFlags, Kind, Meta, Node, NodeId, Time, Tree};

/// How many bytes of a content are read at a time.
const PIECE: u64 = 1 << 20;

/// Whether a dump tells holes from zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holes {
    /// Holes are facts: the runs of data of a sparse content are listed.
    Shown,
    /// Holes are zeros: a dump is the same whether or not zeros are held.
    AsZeros,
}

impl Tree<Content> {
    /// Writes the tree as text: a line for every name in the order of [`walk`](Self::walk), with
    /// every fact.
    ///
    /// Two trees have the same dump with [`Holes::Shown`] exactly when they are equal but for
    /// where contents stand and in which order nodes arrived.
    ///
    /// ```text
    /// . directory 0755 0:0
    /// bin directory 0755 0:0 mtime=1700000000.000000000
    /// bin/sh file 4755 0:0 mtime=1700000000.123456789 user.x="1" size=3 blake3=...
    /// bin/sh2 link bin/sh
    /// dev/null char 0666 0:0 device=1:3
    /// lib symlink 0777 0:0 to usr/lib
    /// ```
    ///
    /// Bytes outside of printable ASCII, spaces and backslashes are `\xNN`. Times, inode flags and
    /// the project id are there when set. A sparse content lists its data as `data=OFFSET+LENGTH,…`
    /// and has the digest of these data alone. Pending links are not in it.
    ///
    /// # Errors
    /// Whatever goes wrong when contents are read.
    pub fn dump(&self, holes: Holes) -> Result<String> {
        let mut text = String::new();
        let mut firsts = BTreeMap::<NodeId, String>::new();
        let mut walk = self.walk();
        while let Some(visit) = walk.next() {
            let path = match visit.depth {
                0 => ".".to_owned(),
                _ => escape(walk.path()),
            };
            let node = self.node(visit.node);
            if let Some(first) = firsts.get(&visit.node) {
                line(&mut text, format_args!("{path} link {first}"));
                continue;
            }
            let facts = facts(node, holes)?;
            line(&mut text, format_args!("{path} {facts}"));
            if node.names() > 1 {
                firsts.insert(visit.node, path);
            }
        }
        Ok(text)
    }

    /// Returns all that differs in another tree, down to the last fact; nothing exactly when their
    /// dumps are equal.
    ///
    /// # Errors
    /// As [`dump`](Self::dump).
    pub fn differences(&self, other: &Self, holes: Holes) -> Result<Vec<Difference>> {
        let exactly = Comparison {
            exact: true,
            holes: holes == Holes::Shown,
            ..Comparison::default()
        };
        self.compare(other, exactly).collect()
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes everything");
}

/// Writes all that is to say about a node but its names.
fn facts(node: &Node<Content>, holes: Holes) -> Result<String> {
    let mut text = kind(&node.kind).to_owned();
    meta(&mut text, &node.meta);
    if node.implied() {
        text.push_str(" implied");
    }
    match &node.kind {
        Kind::Directory(_) | Kind::Fifo | Kind::Socket => {}
        Kind::Symlink(target) => push(&mut text, format_args!(" to {}", escape(target))),
        Kind::CharDevice(device) | Kind::BlockDevice(device) => push(
            &mut text,
            format_args!(" device={}:{}", device.major, device.minor),
        ),
        Kind::File(content) => describe(&mut text, content, holes)?,
    }
    Ok(text)
}

fn kind(kind: &Kind<Content>) -> &'static str {
    match kind {
        Kind::File(_) => "file",
        Kind::Directory(_) => "directory",
        Kind::Symlink(_) => "symlink",
        Kind::CharDevice(_) => "char",
        Kind::BlockDevice(_) => "block",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
    }
}

fn meta(text: &mut String, meta: &Meta) {
    push(
        text,
        format_args!(" {:04o} {}:{}", meta.mode, meta.uid, meta.gid),
    );
    for (name, time) in [
        ("mtime", meta.mtime),
        ("atime", meta.atime),
        ("ctime", meta.ctime),
        ("crtime", meta.crtime),
    ] {
        if let Some(Time { sec, nsec }) = time {
            push(text, format_args!(" {name}={sec}.{nsec:09}"));
        }
    }
    if meta.flags != InodeFlags::default() {
        push(text, format_args!(" flags={:#x}", meta.flags.0));
    }
    if meta.project != 0 {
        push(text, format_args!(" project={}", meta.project));
    }
    for (name, value) in &meta.xattrs {
        let name = escape(name).replace('=', "\\x3d");
        push(text, format_args!(" {name}=\"{}\"", escape(value)));
    }
}

fn describe(text: &mut String, content: &Content, holes: Holes) -> Result<()> {
    push(text, format_args!(" size={}", content.size()));
    let sparse = content.runs().any(|run| matches!(run, Run::Hole(_)));
    if sparse && holes == Holes::Shown {
        text.push_str(" data=");
        let mut at = 0;
        for run in content.runs() {
            if let Run::Data(len) = run {
                push(text, format_args!("{at}+{len},"));
            }
            at += run.len();
        }
    }
    let digest = digest(content, holes)?;
    push(text, format_args!(" blake3={}", digest.to_hex()));
    Ok(())
}

fn digest(content: &Content, holes: Holes) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = Vec::new();
    let mut at = 0;
    for run in content.runs() {
        let end = at + run.len();
        if matches!(run, Run::Hole(_)) && holes == Holes::Shown {
            at = end;
        }
        while at < end {
            let len = usize::try_from((end - at).min(PIECE)).expect("a piece has 1 MiB");
            buffer.resize(len, 0);
            content.read_at(at, &mut buffer)?;
            hasher.update(&buffer);
            at += len as u64;
        }
    }
    Ok(hasher.finalize())
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("a String takes everything");
}

/// Writes bytes so that no two are the same text, without a space in it.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'!'..=b'~' if byte != b'\\' && byte != b'"' => text.push(char::from(byte)),
            _ => push(&mut text, format_args!("\\x{byte:02x}")),
        }
    }
    text
}
