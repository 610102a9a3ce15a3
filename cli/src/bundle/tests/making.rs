//! Any image, written in any legal way, against the image in memory.

use std::ops::Range;

use bytes::Bytes;
use forger_block::PlacedSink;
use forger_block::conformance::Made as Conforming;
use forger_fs::observe::Silent;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::framed::{FramedSink, Framing};
use super::super::frames::{Frames, Next};
use super::super::make::{Image, Shape, assemble};
use super::super::*;
use super::{Kept, Memory, judge};

const UNIT: u64 = 4096;

/// What stands in a unit of 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Never written.
    Nothing,
    /// Zeros that are written.
    Zeros,
    /// Text that compresses well.
    Text,
    /// Bytes that do not compress.
    Noise,
}

/// One call.
#[derive(Clone, Debug)]
enum Call {
    Write(Range<u64>),
    Punch(Range<u64>),
}

/// An image and the calls that write it.
#[derive(Clone, Debug)]
struct Plan {
    units: Vec<Content>,
    len: u64,
    window: u64,
    late: Vec<Range<u64>>,
    late_room: u64,
    calls: Vec<Call>,
}

impl Plan {
    /// Returns the image before anything is punched.
    fn written(&self) -> Vec<u8> {
        let mut image = vec![0; usize::try_from(self.len).expect("small")];
        for (index, (unit, content)) in image.chunks_mut(UNIT as usize).zip(&self.units).enumerate()
        {
            unit.copy_from_slice(&unit_bytes(index, *content)[..unit.len()]);
        }
        image
    }

    fn expected(&self) -> Vec<u8> {
        let mut image = self.written();
        for call in &self.calls {
            if let Call::Punch(range) = call {
                image[range.start as usize..range.end as usize].fill(0);
            }
        }
        image
    }

    fn play(&self, sink: &mut dyn PlacedSink, piece: usize) -> forger_block::Result<()> {
        let written = self.written();
        for call in &self.calls {
            match call {
                Call::Punch(range) => sink.punch(range.start, range.end - range.start)?,
                Call::Write(range) => {
                    let data = &written[range.start as usize..range.end as usize];
                    for (index, part) in data.chunks(piece).enumerate() {
                        let offset = range.start + (index * piece) as u64;
                        sink.write_at(offset, Bytes::copy_from_slice(part))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn bundle(&self, threads: usize, piece: usize) -> (Made<()>, Vec<u8>) {
        let file = Memory::default();
        let options = Options {
            threads,
            ..Options::new("n", "d", "a")
        };
        let shape = Shape {
            window: self.window,
            late: self.late.clone(),
            late_room: self.late_room,
        };
        let made = assemble(&options, shape, &file, &mut Silent, |sink, _| {
            self.play(sink, piece)?;
            Ok(Image {
                size: self.len,
                time: 1_700_000_000,
                uuid: [7; 16],
                label: None,
                summary: (),
            })
        });
        let made = made.expect("legal calls");
        let bytes = file.take();
        assert_eq!(made.size, bytes.len() as u64);
        (made, bytes)
    }
}

fn unit_bytes(index: usize, content: Content) -> Vec<u8> {
    let mut bytes = match content {
        Content::Nothing | Content::Zeros => return vec![0; UNIT as usize],
        Content::Text => b"all work and no play ".repeat(200)[..UNIT as usize].to_vec(),
        Content::Noise => {
            let mut noise = vec![0; UNIT as usize];
            blake3::Hasher::new()
                .update(&index.to_le_bytes())
                .finalize_xof()
                .fill(&mut noise);
            noise
        }
    };
    bytes[100..116].copy_from_slice(&secret(index));
    bytes
}

/// What must be nowhere after a unit was punched.
fn secret(index: usize) -> [u8; 16] {
    let mut secret = *b"secret \x01 0000000";
    secret[9..].copy_from_slice(format!("{index:07}").as_bytes());
    secret
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|part| part == needle)
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        3 => Just(Content::Nothing),
        1 => Just(Content::Zeros),
        3 => Just(Content::Text),
        3 => Just(Content::Noise),
    ]
}

/// Units in runs, so that whole windows become holes.
fn units() -> impl Strategy<Value = Vec<Content>> {
    prop::collection::vec((content(), 1..12_usize), 1..14).prop_map(|runs| {
        runs.into_iter()
            .flat_map(|(content, count)| std::iter::repeat_n(content, count))
            .collect()
    })
}

prop_compose! {
    fn plan()(
        units in units(),
        short in 0..UNIT,
        cut_short in any::<bool>(),
        window in prop::sample::select(vec![4 << 10, 16 << 10, 64 << 10, 256 << 10]),
        late_room in prop::sample::select(vec![0, 16, 100, 5000, 32 << 10]),
        late in prop::collection::vec((any::<Index>(), 1..6_u64), 0..4),
        run in 1..9_usize,
        punches in prop::collection::vec((any::<Index>(), any::<Index>(), 1..9_u64), 0..5),
    ) -> Plan {
        let count = units.len() as u64;
        let len = count * UNIT - if cut_short { short } else { 0 };
        let mut late: Vec<Range<u64>> = late
            .into_iter()
            .map(|(at, len)| {
                let start = at.index(units.len()) as u64;
                start * UNIT..(start + len) * UNIT
            })
            .collect();
        late.sort_unstable_by_key(|range| range.start);
        let is_late = |unit: u64| late.iter().any(|range| range.contains(&(unit * UNIT)));
        let range = |start: u64, end: u64| (start * UNIT).min(len)..(end * UNIT).min(len);
        let mut calls = Vec::new();
        for pass in [false, true] {
            let mut unit = 0;
            while unit < count {
                let chosen = |unit: u64| {
                    unit < count
                        && is_late(unit) == pass
                        && units[unit as usize] != Content::Nothing
                };
                let end = (unit..).find(|&unit| !chosen(unit)).unwrap_or(unit);
                let end = end.min(unit + run as u64);
                if end > unit {
                    calls.push(Call::Write(range(unit, end)));
                }
                unit = end.max(unit + 1);
            }
        }
        for (when, from, len) in punches {
            let when = when.index(calls.len() + 1);
            let first = from.index(units.len()) as u64;
            // Only what no later call writes.
            let later = |unit: u64| calls[when..].iter().any(
                |call| matches!(call, Call::Write(range) if range.contains(&(unit * UNIT))));
            let end = (first..(first + len).min(count)).find(|&unit| later(unit));
            let end = end.unwrap_or((first + len).min(count));
            calls.insert(when, Call::Punch(range(first, end)));
        }
        Plan { units, len, window, late, late_room, calls }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn bundles_hold_the_image_for_any_threads_and_pieces(plan in plan()) {
        let (made, bundle) = plan.bundle(1, usize::MAX);
        let image = plan.expected();

        let stream = zstd::decode_all(&bundle[..]).expect("zstd");
        let header = member::header(member::IMAGE, plan.len, 1_700_000_000).len();
        prop_assert!(stream[header..][..image.len()] == image[..]);
        let digest = blake3::hash(&image).to_hex().to_string();
        prop_assert_eq!(made.manifest.blake3.as_deref(), Some(&digest[..]));
        let sha256 = ring::digest::digest(&ring::digest::SHA256, &bundle);
        prop_assert_eq!(&made.sha256[..], sha256.as_ref());

        let facts = verify(&bundle[..], Some(made.sha256), &mut Silent).expect("a bundle");
        prop_assert_eq!(&facts.manifest, &made.manifest);
        prop_assert_eq!(facts.blake3, Some(*blake3::hash(&image).as_bytes()));
        prop_assert!(extracted(&bundle) == image);

        for (index, content) in plan.units.iter().enumerate() {
            let place = index * UNIT as usize + 100;
            let gone = image.get(place..place + 16).is_some_and(|bytes| bytes == [0; 16]);
            if gone && matches!(content, Content::Text | Content::Noise) {
                prop_assert!(!holds(&stream, &secret(index)));
                prop_assert!(!holds(&bundle, &secret(index)));
            }
        }
        for (threads, piece) in [(1, 1 << 10), (2, usize::MAX), (3, 5000)] {
            let (_, other) = plan.bundle(threads, piece);
            prop_assert!(bundle == other, "{} threads, pieces of {}", threads, piece);
        }
    }
}

/// Returns the image of a bundle, whose holes must read as zeros and not be small.
pub(super) fn extracted(bundle: &[u8]) -> Vec<u8> {
    let mut image = Kept::default();
    extract(bundle, None, &mut image, &mut Silent).expect("a bundle");
    image.bytes
}

/// A plan of three windows of noise with late ranges at the start and amid the data.
fn noise_plan(late_room: u64) -> Plan {
    let (window, late) = (64 << 10, vec![0..5 * UNIT, 20 * UNIT..24 * UNIT]);
    Plan {
        units: vec![Content::Noise; 48],
        len: 48 * UNIT,
        window,
        late_room,
        calls: vec![
            Call::Write(5 * UNIT..20 * UNIT),
            Call::Write(24 * UNIT..48 * UNIT),
            Call::Punch(6 * UNIT..9 * UNIT),
            Call::Write(0..5 * UNIT),
            Call::Write(20 * UNIT..24 * UNIT),
        ],
        late,
    }
}

#[test]
fn late_frames_larger_than_their_room_move_what_follows() {
    let unpunched = |late_room| {
        let mut plan = noise_plan(late_room);
        plan.calls.retain(|call| matches!(call, Call::Write(_)));
        plan
    };
    let ample = unpunched(32 << 10).bundle(2, 4096);
    let exact = unpunched(0).bundle(2, 4096);
    assert_eq!(ample.0.manifest, exact.0.manifest);
    assert!(exact.1.len() < ample.1.len());
    let stream = zstd::decode_all(&ample.1[..]).expect("zstd");
    assert!(stream == zstd::decode_all(&exact.1[..]).expect("zstd"));
    // What a room of any size leads to is a legal bundle, the awkward rests below a filler included.
    let late_frame = 5 * UNIT + 13;
    for room in late_frame - 10..late_frame + 12 {
        let (_, bundle) = unpunched(room).bundle(1, 4096);
        assert!(
            stream == zstd::decode_all(&bundle[..]).expect("zstd"),
            "room of {room}"
        );
    }
}

#[test]
fn what_was_punched_takes_no_room_in_the_bundle() {
    let mut plan = noise_plan(32 << 10);
    let before = plan.bundle(1, 4096).1.len() as u64;
    plan.calls.push(Call::Punch(24 * UNIT..46 * UNIT));
    let (_, bundle) = plan.bundle(1, 4096);
    assert!(
        bundle.len() as u64 + 21 * UNIT < before,
        "{} {before}",
        bundle.len()
    );
    assert!(extracted(&bundle) == plan.expected());
}

#[test]
fn a_sink_of_one_window_keeps_the_contract_of_placed_sinks() {
    forger_block::conformance::placed_sink(|| {
        let file: &'static Memory = Box::leak(Box::default());
        let framing = Framing {
            level: 1,
            threads: 1,
            window: 16 << 20,
            late: Vec::new(),
            late_room: 0,
            prefix_room: 100,
        };
        let sink = FramedSink::new(file, framing).expect("threads");
        Conforming::placed(sink, || {
            let frames = file.0.lock().expect("not poisoned").clone();
            (!frames.is_empty()).then(|| plain(&frames))
        })
    });
}

/// Decompresses frames; fillers alone are legal too.
fn plain(frames: &[u8]) -> Vec<u8> {
    let mut frames = Frames::new(frames).expect("memory");
    let (mut plain, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        match frames.next(&mut buf, 4096).expect("legal") {
            Next::Data(len) => plain.extend_from_slice(&buf[..len]),
            Next::Zeros(len) => plain.resize(plain.len() + len as usize, 0),
            Next::End => return plain,
        }
    }
}

#[test]
fn a_write_behind_what_was_handed_out_is_refused() {
    let mut plan = noise_plan(4096);
    plan.late.clear();
    let file = Memory::default();
    let options = Options::new("n", "d", "a");
    let shape = Shape {
        window: plan.window,
        late: Vec::new(),
        late_room: 0,
    };
    let error = assemble(&options, shape, &file, &mut Silent, |sink, _| {
        plan.play(sink, 4096)?;
        Ok(Image {
            size: plan.len,
            time: 0,
            uuid: [0; 16],
            label: None,
            summary: (),
        })
    });
    let error = error.expect_err("a late write to what is not late");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert_eq!(cause, "bytes 0..+4096 come after what lies beyond them");
}

#[test]
fn bytes_beyond_the_length_are_refused() {
    let file = Memory::default();
    let options = Options::new("n", "d", "a");
    let shape = Shape {
        window: 1 << 20,
        late: Vec::new(),
        late_room: 0,
    };
    let error = assemble(&options, shape, &file, &mut Silent, |sink, _| {
        sink.write_at(8192, Bytes::from_static(b"x"))?;
        Ok(Image {
            size: 8192,
            time: 0,
            uuid: [0; 16],
            label: None,
            summary: (),
        })
    });
    assert!(matches!(
        error,
        Err(Error::Block(forger_block::Error::OutOfRange {
            size: 8192,
            ..
        }))
    ));
}

#[test]
fn zstd_and_gnu_tar_read_bundles() {
    let plan = noise_plan(100);
    let (made, bundle) = plan.bundle(2, 4096);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &bundle).expect("written");
    if let Some(plain) = judge("zstd", &["-dc"], file.path()) {
        assert!(plain == zstd::decode_all(&bundle[..]).expect("zstd"));
    }
    if let Some(image) = judge("tar", &["--zstd", "-xO", "rootfs.ext4"], file.path()) {
        assert!(image == plan.expected());
    }
    if let Some(json) = judge("tar", &["--zstd", "-xO", "manifest.json"], file.path()) {
        let manifest: Manifest = serde_json::from_slice(&json).expect("json");
        assert_eq!(manifest, made.manifest);
    }
    if let Some(list) = judge(
        "tar",
        &["--zstd", "--utc", "-tv", "--full-time"],
        file.path(),
    ) {
        let list = String::from_utf8(list).expect("text");
        let line = format!(
            "-rw-r--r-- 0/0 {} 2023-11-14 22:13:20 rootfs.ext4",
            plan.len
        );
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(list.lines().next().expect("two lines")), line);
        assert_eq!(list.lines().count(), 2);
    }
}

#[test]
fn a_hundred_gibibytes_of_hole_take_no_time_and_little_room() {
    let file = Memory::default();
    let options = Options {
        threads: 2,
        ..Options::new("n", "d", "a")
    };
    let late = [0..516 << 10, 128 << 20..(128 << 20) + (516 << 10)].to_vec();
    let shape = Shape {
        window: 4 << 20,
        late,
        late_room: 8 << 10,
    };
    let made = assemble(&options, shape, &file, &mut Silent, |sink, _| {
        sink.write_at(1 << 20, Bytes::from(vec![1; 4096]))?;
        sink.write_at(99 << 30, Bytes::from(vec![2; 4096]))?;
        sink.write_at(0, Bytes::from(vec![3; 4096]))?;
        sink.write_at(128 << 20, Bytes::from(vec![4; 4096]))?;
        Ok(Image {
            size: 100 << 30,
            time: 0,
            uuid: [0; 16],
            label: None,
            summary: (),
        })
    });
    let made = made.expect("legal calls");
    assert!(made.size < 3_400_000, "{} bytes", made.size);
    // Hashed plainly, which takes twelve seconds.
    let digest = "ca9493e2fefbb64b2572ead8c641e551272cd5c93f3d6212c999f0d086f8fa38";
    assert_eq!(made.manifest.blake3.as_deref(), Some(digest));
}
