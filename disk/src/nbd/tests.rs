use std::io::{self, Read, Write};
use std::sync::Arc;

use forger_block::{BlockRead, BlockStore, Overlay, Result as BlockResult, Run, SparseImage};

use super::message::{IHAVEOPT, REQUEST, STRUCTURED_REPLY, command, command_flag, option};
use super::*;
use crate::Disk;

const SIZE: u64 = 3 << 20;

/// What a client sends, and what it got.
#[derive(Debug, Default)]
struct Line {
    sent: io::Cursor<Vec<u8>>,
    got: Vec<u8>,
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.sent.read(buffer)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.got.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes what a client sends.
#[derive(Clone, Debug, Default)]
struct Script(Vec<u8>);

impl Script {
    fn new() -> Self {
        Self(3_u32.to_be_bytes().to_vec())
    }

    fn option(mut self, option: u32, data: &[u8]) -> Self {
        self.0.extend(IHAVEOPT.to_be_bytes());
        self.0.extend(option.to_be_bytes());
        self.0.extend(len_of(data).to_be_bytes());
        self.0.extend(data);
        self
    }

    /// Structured replies, `base:allocation`, and the export.
    fn modern() -> Self {
        let context = [
            named(b""),
            1_u32.to_be_bytes().to_vec(),
            named(b"base:allocation"),
        ]
        .concat();
        Self::new()
            .option(option::STRUCTURED_REPLY, &[])
            .option(option::SET_META_CONTEXT, &context)
            .option(option::GO, &[named(b""), vec![0, 0]].concat())
    }

    fn old() -> Self {
        Self::new().option(option::EXPORT_NAME, b"")
    }

    fn request(mut self, command: u16, flags: u16, offset: u64, len: u32) -> Self {
        self.0.extend(REQUEST.to_be_bytes());
        self.0.extend(flags.to_be_bytes());
        self.0.extend(command.to_be_bytes());
        self.0.extend(7_u64.to_be_bytes());
        self.0.extend(offset.to_be_bytes());
        self.0.extend(len.to_be_bytes());
        self
    }

    fn write(self, flags: u16, offset: u64, data: &[u8]) -> Self {
        let mut script = self.request(command::WRITE, flags, offset, len_of(data));
        script.0.extend(data);
        script
    }

    /// Plays it and returns how it ended and what came back.
    fn play(self, export: &Export) -> (Result<Option<Served>, ServeError>, Vec<u8>) {
        let mut line = Line {
            sent: io::Cursor::new(self.0),
            got: Vec::new(),
        };
        let exports = std::slice::from_ref(export);
        let ended = serve(&mut line, exports, &Limits::default());
        (ended, line.got)
    }

    /// Plays it; the client leaves by itself. Returns what came back after the handshake.
    fn replies(self, export: &Export) -> Vec<u8> {
        let greeting = if self
            .0
            .windows(8)
            .filter(|w| *w == IHAVEOPT.to_be_bytes())
            .count()
            == 1
        {
            Self::old().play(export).1.len()
        } else {
            Self::modern().play(export).1.len()
        };
        let (ended, got) = self.play(export);
        assert!(matches!(ended, Ok(Some(_))), "{ended:?}");
        got[greeting..].to_vec()
    }
}

fn len_of(data: &[u8]) -> u32 {
    u32::try_from(data.len()).unwrap()
}

fn named(text: &[u8]) -> Vec<u8> {
    [&len_of(text).to_be_bytes(), text].concat()
}

/// Data at 1 MiB, holes around it.
fn base() -> Arc<dyn BlockRead> {
    let mut image = SparseImage::builder();
    image.bytes(1 << 20, vec![9; 8192].into()).unwrap();
    Arc::new(image.finish(SIZE).unwrap())
}

fn writable() -> Export {
    let overlay = Overlay::in_memory(base(), 64 << 20);
    Export::new(Disk::Writable(Arc::new(overlay)))
}

fn read_only() -> Export {
    Export::new(Disk::ReadOnly(base()))
}

/// Returns the chunks of structured replies: flags, type, data.
fn chunks(mut got: &[u8]) -> Vec<(u16, u16, Vec<u8>)> {
    let mut chunks = Vec::new();
    while !got.is_empty() {
        assert_eq!(got[..4], STRUCTURED_REPLY.to_be_bytes());
        assert_eq!(got[8..16], 7_u64.to_be_bytes());
        let short = |at: usize| u16::from_be_bytes(got[at..at + 2].try_into().unwrap());
        let len = u32::from_be_bytes(got[16..20].try_into().unwrap()) as usize;
        chunks.push((short(4), short(6), got[20..20 + len].to_vec()));
        got = &got[20 + len..];
    }
    chunks
}

/// Returns the error number of every simple reply without data.
fn errors(got: &[u8]) -> Vec<u32> {
    got.chunks(16)
        .map(|reply| u32::from_be_bytes(reply[4..8].try_into().unwrap()))
        .collect()
}

#[test]
fn a_modern_client_reads_data_and_holes() {
    let got = Script::modern()
        .request(command::READ, 0, (1 << 20) - 100, 300)
        .request(command::READ, command_flag::DF, (1 << 20) - 2, 4)
        .request(command::READ, 0, 0, 0)
        .request(command::DISC, 0, 0, 0)
        .replies(&read_only());
    let at = |offset: u64, data: &[u8]| [&offset.to_be_bytes(), data].concat();
    assert_eq!(
        chunks(&got),
        [
            (0, 2, at((1 << 20) - 100, &100_u32.to_be_bytes())),
            (1, 1, at(1 << 20, &[9; 200])),
            (1, 1, at((1 << 20) - 2, &[0, 0, 9, 9])),
            (1, 0, vec![]),
        ]
    );
}

#[test]
fn an_old_client_reads_in_simple_replies() {
    let got = Script::old()
        .request(command::READ, 0, (1 << 20) - 2, 4)
        .replies(&read_only());
    assert_eq!(got.len(), 20);
    assert_eq!(got[4..8], [0; 4]);
    assert_eq!(got[16..], [0, 0, 9, 9]);
}

#[test]
fn what_is_written_zeroed_and_trimmed_is_there() {
    let export = writable();
    let got = Script::old()
        .write(0, 10, &[5; 100])
        .write(command_flag::FUA, 1 << 20, &[6; 4])
        .request(command::WRITE_ZEROES, command_flag::FUA, 20, 10)
        .request(command::WRITE_ZEROES, command_flag::NO_HOLE, 40, 10)
        .request(command::TRIM, 0, 60, 10)
        .request(command::FLUSH, 0, 0, 0)
        .request(command::CACHE, 0, 0, 1 << 20)
        .replies(&export);
    assert_eq!(errors(&got), [0; 7]);
    let mut expected = vec![0; 120];
    expected[10..110].fill(5);
    for range in [20..30, 40..50, 60..70] {
        expected[range].fill(0);
    }
    let mut found = vec![1; 120];
    export.disk.reader().read_at(0, &mut found).unwrap();
    assert_eq!(found, expected);
    // Zeros that shall take room do.
    assert!(matches!(export.disk.reader().run_at(40), Ok(Run::Data(_))));
    assert!(matches!(export.disk.reader().run_at(20), Ok(Run::Hole(_))));
    export
        .disk
        .reader()
        .read_at(1 << 20, &mut found[..8])
        .unwrap();
    assert_eq!(found[..8], [6, 6, 6, 6, 9, 9, 9, 9]);
}

#[test]
fn allocation_is_told_as_far_as_asked() {
    let status = |flags, offset, len| {
        let script = Script::modern().request(command::BLOCK_STATUS, flags, offset, len);
        let chunks = chunks(&script.replies(&read_only()));
        let [(1, 5, data)] = chunks.as_slice() else {
            panic!("{chunks:?}");
        };
        assert_eq!(data[..4], 1_u32.to_be_bytes());
        let words: Vec<u32> = data[4..]
            .chunks(4)
            .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
            .collect();
        words
    };
    let whole = u32::try_from(SIZE).unwrap();
    assert_eq!(
        status(0, 0, whole),
        [1 << 20, 3, 8192, 0, whole - (1 << 20) - 8192, 3]
    );
    assert_eq!(status(command_flag::REQ_ONE, 0, whole), [1 << 20, 3]);
    assert_eq!(status(0, (1 << 20) + 1, 5), [5, 0]);
}

#[test]
fn requests_that_cannot_be_are_refused_and_the_next_ones_served() {
    let tries = |export: &Export| {
        let script = Script::old()
            .write(0, SIZE - 1, b"ab")
            .write(0, u64::MAX, b"ab")
            .write(0, 0, b"ab")
            .request(command::READ, 0, SIZE, 1)
            .request(command::READ, 0, 0, u32::MAX)
            .request(command::READ, 1 << 9, 0, 1)
            .request(command::TRIM, 0, u64::MAX, u32::MAX)
            .request(command::BLOCK_STATUS, 0, 0, 1)
            .request(99, 0, 0, 0)
            .request(command::FLUSH, 0, u64::MAX, u32::MAX);
        errors(&script.replies(export))
    };
    assert_eq!(tries(&writable()), [28, 28, 0, 22, 22, 22, 28, 22, 22, 0]);
    assert_eq!(tries(&read_only()), [1, 1, 1, 22, 22, 22, 1, 22, 22, 0]);
}

#[test]
fn a_full_overlay_and_a_failing_disk_are_told() {
    let overlay = Overlay::in_memory(base(), 10_000);
    let export = Export::new(Disk::Writable(Arc::new(overlay)));
    let got = Script::old().write(0, 0, &[1; 20_000]).replies(&export);
    assert_eq!(errors(&got), [28]);

    #[derive(Debug)]
    struct Failing;
    impl BlockRead for Failing {
        fn len(&self) -> u64 {
            SIZE
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> BlockResult<()> {
            let error = io::Error::other("a secret path");
            Err(forger_block::Error::io("read", "/secret", error))
        }
    }
    impl BlockStore for Failing {
        fn write_at(&self, _: u64, _: &[u8]) -> BlockResult<()> {
            self.read_at(0, &mut [])
        }
        fn sync(&self) -> BlockResult<()> {
            self.read_at(0, &mut [])
        }
    }
    let export = Export::new(Disk::Writable(Arc::new(Failing)));
    let got = Script::old()
        .request(command::READ, 0, 0, 10)
        .write(0, 0, b"a")
        .request(command::FLUSH, 0, 0, 0)
        .replies(&export);
    assert_eq!(errors(&got), [5, 5, 5]);
    let got = Script::modern()
        .request(command::READ, 0, 0, 10)
        .replies(&export);
    let text = String::from_utf8_lossy(&got).into_owned();
    assert!(
        text.contains("cannot read the disk") && !text.contains("secret"),
        "{text}"
    );
}

#[test]
fn options_are_answered_or_refused() {
    let export = read_only();
    let answers = |script: Script| {
        let (ended, got) = script.option(option::ABORT, &[]).play(&export);
        assert!(matches!(ended, Ok(None)), "{ended:?}");
        let mut rest = &got[18..];
        let mut answers = Vec::new();
        while !rest.is_empty() {
            let word = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
            answers.push((word(8), word(12) & 0x8000_ffff));
            rest = &rest[20 + word(16) as usize..];
        }
        assert_eq!(answers.pop(), Some((option::ABORT, 1)));
        answers
    };
    let error = 1 << 31;
    assert_eq!(
        answers(Script::new().option(option::LIST, &[])),
        [(3, 2), (3, 1)]
    );
    assert_eq!(
        answers(Script::new().option(option::LIST, b"x")),
        [(3, error | 3)]
    );
    assert_eq!(answers(Script::new().option(5, &[])), [(5, error | 1)]);
    let info = |name: &[u8], kinds: &[u16]| {
        let count = u16::try_from(kinds.len()).unwrap().to_be_bytes().to_vec();
        let kinds = kinds.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        [named(name), count, kinds].concat()
    };
    let known = answers(Script::new().option(option::INFO, &info(b"", &[0, 1, 2, 3, 77])));
    assert_eq!(known, [(6, 3), (6, 3), (6, 3), (6, 3), (6, 1)]);
    let other = answers(Script::new().option(option::GO, &info(b"other", &[])));
    assert_eq!(other, [(7, error | 6)]);
    let short = answers(Script::new().option(option::GO, &info(b"", &[3])[..7]));
    assert_eq!(short, [(7, error | 3)]);
    let early = Script::new().option(option::SET_META_CONTEXT, &[0; 8]);
    assert_eq!(answers(early), [(10, error | 3)]);
    let listed = Script::new()
        .option(option::STRUCTURED_REPLY, &[])
        .option(option::LIST_META_CONTEXT, &[0; 8]);
    assert_eq!(answers(listed), [(8, 1), (9, 4), (9, 1)]);
}

#[test]
fn clients_that_break_the_protocol_are_left() {
    let export = read_only();
    let ends = |script: Script| script.play(&export).0.unwrap_err().to_string();
    let flags = ends(Script(5_u32.to_be_bytes().to_vec()));
    assert_eq!(flags, "the client set the unknown flags 0x5");
    let magic = ends(Script([3_u32.to_be_bytes().to_vec(), vec![1; 16]].concat()));
    assert!(magic.contains("where an option begins"), "{magic}");
    let long = ends(Script::new().option(option::GO, &vec![0; 20_000]));
    assert_eq!(long, "the client announced 20000 bytes, more than 16384");
    let many = (0..100).fold(Script::new(), |script, _| script.option(option::LIST, &[]));
    assert_eq!(ends(many), "the client sent more than 64 options");
    let unnamed = ends(Script::new().option(option::EXPORT_NAME, b"other"));
    assert_eq!(unnamed, "there is no export \"other\"");
    let mut garbage = Script::old();
    garbage.0.extend([1; 28]);
    assert!(ends(garbage).contains("where a request begins"));
    let write = ends(Script::old().request(command::WRITE, 0, 0, u32::MAX));
    assert!(write.contains("more than 33554432"), "{write}");
    let cut = ends(Script::old().request(command::WRITE, 0, 0, 100));
    assert_eq!(cut, "the connection failed");
}
