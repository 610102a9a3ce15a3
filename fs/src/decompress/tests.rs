use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use super::*;

/// Runs a tool as a filter; `None`, reported, where the tool is missing.
fn filter(command: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let (tool, arguments) = command.split_first().unwrap();
    let child = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            assert!(
                std::env::var_os("REQUIRE_TOOLS").is_none(),
                "{tool}: {error}"
            );
            eprintln!("skipped: {tool} is missing");
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feed = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap().unwrap();
    assert!(output.status.success(), "{command:?}");
    Some(output.stdout)
}

/// Bytes that compress somewhat.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0] & 0x1f
    };
    (0..len).map(|_| step()).collect()
}

fn read(bytes: &[u8]) -> (Format, io::Result<Vec<u8>>) {
    read_with(bytes, &Options::default())
}

fn read_with(bytes: &[u8], options: &Options) -> (Format, io::Result<Vec<u8>>) {
    let mut stream = open(io::Cursor::new(bytes.to_vec()), options).unwrap();
    let mut decoded = Vec::new();
    let result = stream.read_to_end(&mut decoded);
    (stream.format(), result.map(|_| decoded))
}

fn error(bytes: &[u8], options: &Options) -> Error {
    let error = read_with(bytes, options).1.expect_err("an error");
    let inner = error.into_inner().expect("our error");
    *inner.downcast::<Error>().expect("our error")
}

const TOOLS: [(Format, &[&str]); 5] = [
    (Format::Gzip, &["gzip", "-c"]),
    (Format::Zstd, &["zstd", "-c"]),
    (Format::Xz, &["xz", "-c"]),
    (Format::Bzip2, &["bzip2", "-c"]),
    (Format::Plain, &["cat"]),
];

#[test]
fn what_is_read_ahead_comes_before_the_readers_own_error() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let count = buf.len().min(self.0).min(1000);
            if count == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            buf[..count].fill(7);
            self.0 -= count;
            Ok(count)
        }
    }
    let options = Options {
        read_ahead: true,
        ..Options::default()
    };
    let mut stream = open(Failing(600_000), &options).unwrap();
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(bytes == [7; 600_000]);
}

#[test]
fn what_the_tools_compress_is_read_back() {
    let plain = sample(3 << 20);
    for (format, tool) in TOOLS {
        for plain in [&plain[..], b"short", b""] {
            let Some(compressed) = filter(tool, plain) else {
                continue;
            };
            for read_ahead in [false, true] {
                let options = Options {
                    read_ahead,
                    ..Options::default()
                };
                let (found, decoded) = read_with(&compressed, &options);
                assert_eq!(found, format);
                assert_eq!(decoded.unwrap(), plain, "{format}");
            }
        }
    }
}

#[test]
fn members_that_follow_each_other_are_joined() {
    for (format, tool) in &TOOLS[..4] {
        let parts = [sample(70_000), Vec::new(), sample(5)];
        let parts = parts.map(|part| (filter(tool, &part), part));
        if parts.iter().any(|(compressed, _)| compressed.is_none()) {
            continue;
        }
        let compressed = parts.iter().filter_map(|(part, _)| part.clone()).flatten();
        let plain = parts
            .iter()
            .flat_map(|(_, part)| part.clone())
            .collect::<Vec<_>>();
        assert_eq!(
            read(&compressed.collect::<Vec<_>>()).1.unwrap(),
            plain,
            "{format}"
        );
    }
}

#[test]
fn stream_cut_at_any_byte_is_an_error() {
    for (format, tool) in &TOOLS[..4] {
        let Some(compressed) = filter(tool, &sample(300)) else {
            continue;
        };
        // Below six bytes some formats cannot be told; then the archive's reader refuses.
        for end in 10..compressed.len() {
            let error = error(&compressed[..end], &Options::default());
            assert!(
                matches!(error, Error::Truncated { .. }),
                "{format} at {end}: {error}"
            );
        }
    }
}

#[test]
fn damaged_stream_is_an_error() {
    for (format, tool) in &TOOLS[..4] {
        let Some(mut compressed) = filter(tool, &sample(5000)) else {
            continue;
        };
        let middle = compressed.len() / 2;
        compressed[middle] ^= 0x55;
        let error = error(&compressed, &Options::default());
        let expected = matches!(error, Error::Damaged { .. } | Error::Truncated { .. });
        assert!(expected, "{format}: {error}");
    }
}

#[test]
fn zeros_may_follow_gzip_and_nothing_else() {
    for (format, tool) in &TOOLS[..4] {
        let Some(compressed) = filter(tool, b"content") else {
            continue;
        };
        let followed = |by: &[u8]| [&compressed[..], by].concat();
        if *format != Format::Zstd {
            assert_eq!(
                read(&followed(&[0; 5000])).1.unwrap(),
                b"content",
                "{format}"
            );
        }
        for by in [&b"garbage"[..], b"\0\0\0\0garbage"] {
            let error = error(&followed(by), &Options::default());
            assert!(matches!(error, Error::Trailing { .. }), "{format}: {error}");
        }
    }
}

#[test]
fn skippable_zstd_frames_are_skipped() {
    let frame = zstd::encode_all(&b"content"[..], 3).unwrap();
    let skippable = b"\x53\x2a\x4d\x18\x04\0\0\0skip";
    let stream = [skippable, &frame[..], skippable, &frame, skippable].concat();
    let (format, decoded) = read(&stream);
    assert_eq!(format, Format::Zstd);
    assert_eq!(decoded.unwrap(), b"contentcontent");
}

#[test]
fn zstd_window_beyond_the_limit_names_the_limit() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(&sample(10_000)).unwrap();
    let stream = encoder.finish().unwrap();
    let error = error(&stream, &Options::default());
    assert!(
        matches!(error, Error::Memory { limit, .. } if limit == 128 << 20),
        "{error}"
    );
    let wide = Options {
        zstd_window: 1 << 28,
        ..Options::default()
    };
    assert_eq!(read_with(&stream, &wide).1.unwrap(), sample(10_000));
}

#[test]
fn xz_dictionary_beyond_the_limit_names_the_limit() {
    let command = ["xz", "-c", "--lzma2=dict=512MiB"];
    let Some(stream) = filter(&command, b"content") else {
        return;
    };
    let error = error(&stream, &Options::default());
    assert!(
        matches!(error, Error::Memory { limit, .. } if limit == 256 << 20),
        "{error}"
    );
}

#[test]
fn dropping_the_stream_ends_the_thread() {
    let compressed = zstd::encode_all(&sample(8 << 20)[..], 1).unwrap();
    let mut stream = open(io::Cursor::new(compressed), &Options::default()).unwrap();
    let mut few = [0; 10];
    stream.read_exact(&mut few).unwrap();
    drop(stream);
}

#[test]
fn failure_of_the_input_is_passed_on() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let compressed = zstd::encode_all(&sample(100_000)[..], 1).unwrap();
    let input = io::Cursor::new(compressed[..2000].to_vec()).chain(Failing);
    let mut stream = open(input, &Options::default()).unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let inner = error.into_inner().unwrap().downcast::<Error>().unwrap();
    assert!(matches!(
        *inner,
        Error::Read {
            format: Format::Zstd,
            ..
        }
    ));
}
