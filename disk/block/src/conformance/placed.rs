//! What a placed sink promises.

use bytes::Bytes;

use super::{Made, Numbers, assert_same};
use crate::{Error, PlacedSink};

/// Asserts that a placed sink keeps the contract: [`placed_content`] and [`placed_unpublished`].
///
/// `make` is called once for each of several sinks; a sink to which nothing final has been
/// published yet must make `published` return `None`. Outputs stay below 16 MiB.
///
/// # Panics
/// Where the sink does not keep the contract.
pub fn placed_sink(mut make: impl FnMut() -> Made<dyn PlacedSink>) {
    placed_content(&mut make);
    placed_unpublished(&mut make);
}

/// Asserts what holds for every placed sink, also for one without a promise of atomicity.
///
/// # Panics
/// Where the sink does not keep the contract.
pub fn placed_content(mut make: impl FnMut() -> Made<dyn PlacedSink>) {
    pieces_arrive_in_any_order(&mut make);
    punched_ranges_are_zero(&mut make);
    nothing_is_an_output(&mut make);
    what_was_not_written_is_zero(&mut make);
    absurd_ranges_are_out_of_range(&mut make);
}

/// Asserts that nothing is published by a sink that is dropped, or finished too short.
///
/// # Panics
/// Where the sink does not keep the contract.
pub fn placed_unpublished(mut make: impl FnMut() -> Made<dyn PlacedSink>) {
    let Made {
        mut sink,
        published,
    } = make();
    ok(sink.write_at(0, vec![1; 10_000].into()), "write");
    assert!(published().is_none(), "published before finish");
    drop(sink);
    assert!(published().is_none(), "published by a drop");

    let Made {
        mut sink,
        published,
    } = make();
    ok(sink.write_at(5000, vec![1; 100].into()), "write");
    let result = sink.finish(5099);
    assert!(
        matches!(result, Err(Error::OutOfRange { .. })),
        "finish below the last byte: {result:?}"
    );
    assert!(published().is_none(), "published after an error");
}

type Make<'a> = &'a mut dyn FnMut() -> Made<dyn PlacedSink>;

fn pieces_arrive_in_any_order(make: Make<'_>) {
    let mut numbers = Numbers(2);
    for round in 0..4 {
        let Made {
            mut sink,
            published,
        } = make();
        let mut expected: Vec<u8> = Vec::new();
        let mut pieces = Vec::new();
        for step in 0..40 {
            let gap = if step % 2 == 0 {
                0
            } else {
                numbers.below(40_000)
            };
            let len = match step % 3 {
                0 => numbers.below(20),
                1 => 4096 * numbers.below(4),
                _ => numbers.below(round * 100_000 + 1),
            };
            expected.resize(expected.len() + gap, 0);
            let data = numbers.bytes(len);
            pieces.push((expected.len() as u64, Bytes::from(data.clone())));
            expected.extend_from_slice(&data);
        }
        // Ascending, descending, shuffled: late pieces stand amid the others.
        match round {
            0 => {}
            1 => pieces.reverse(),
            _ => (1..pieces.len()).for_each(|at| pieces.swap(at, numbers.below(at + 1))),
        }
        for (offset, data) in pieces {
            ok(sink.write_at(offset, data), "write");
        }
        expected.resize(expected.len() + round * 3333, 0);
        ok(sink.finish(expected.len() as u64), "finish");
        assert_output(&*published, &expected, "the output");
    }
}

fn punched_ranges_are_zero(make: Make<'_>) {
    let Made {
        mut sink,
        published,
    } = make();
    let mut expected = Numbers(3).bytes(1 << 20);
    ok(sink.write_at(0, Bytes::from(expected.clone())), "write");
    let punches = [
        (0, 0),
        (0, 1),
        (4096, 4096),
        (10_000, 3),
        (20_000, 100_000),
        (110_000, 20_000),
        (500_000, 65_536),
        ((1 << 20) - 1, 1),
    ];
    for (offset, len) in punches {
        ok(sink.punch(offset, len), "punch");
        let start = usize::try_from(offset).unwrap_or(0);
        expected[start..start + usize::try_from(len).unwrap_or(0)].fill(0);
    }
    // Beyond what was written, a punch changes nothing, and does not make the output longer.
    ok(sink.punch((1 << 20) - 5, 5 + 8192), "punch beyond the data");
    expected[(1 << 20) - 5..].fill(0);
    ok(sink.finish(1 << 20), "finish");
    assert_output(&*published, &expected, "the output after punches");
}

fn nothing_is_an_output(make: Make<'_>) {
    let Made { sink, published } = make();
    ok(sink.finish(0), "finish of nothing");
    assert_output(&*published, &[], "an empty output");

    let Made {
        mut sink,
        published,
    } = make();
    ok(sink.write_at(9000, Bytes::new()), "write of no bytes");
    ok(sink.punch(9000, 0), "punch of no bytes");
    ok(sink.finish(0), "finish of nothing");
    assert_output(&*published, &[], "an empty output");
}

fn what_was_not_written_is_zero(make: Make<'_>) {
    let Made { sink, published } = make();
    ok(sink.finish(300_001), "finish of a hole");
    assert_output(&*published, &vec![0; 300_001], "an output of holes");

    let Made {
        mut sink,
        published,
    } = make();
    ok(sink.write_at(70_001, vec![1, 2, 3].into()), "write");
    ok(sink.finish(200_000), "finish");
    let mut expected = vec![0; 200_000];
    expected[70_001..70_004].copy_from_slice(&[1, 2, 3]);
    assert_output(&*published, &expected, "an output with holes");
}

fn absurd_ranges_are_out_of_range(make: Make<'_>) {
    type Step = fn(Box<dyn PlacedSink>) -> crate::Result<()>;
    let steps: [(&str, Step); 7] = [
        ("write at 2^64-1", |mut sink| {
            sink.write_at(u64::MAX, vec![1].into())
        }),
        ("write over 2^64", |mut sink| {
            sink.write_at(u64::MAX - 1, vec![1; 4].into())
        }),
        ("write of nothing at 2^64-1", |mut sink| {
            sink.write_at(u64::MAX, Bytes::new())
        }),
        ("write at 2^63-1", |mut sink| {
            sink.write_at((1 << 63) - 1, vec![1].into())
        }),
        ("punch at 2^64-1", |mut sink| sink.punch(u64::MAX, 1)),
        ("punch of 2^64-1", |mut sink| sink.punch(1, u64::MAX)),
        ("finish with 2^64-1", |sink| sink.finish(u64::MAX)),
    ];
    for (what, step) in steps {
        let result = step(make().sink);
        assert!(
            matches!(result, Err(Error::OutOfRange { .. })),
            "{what}: {result:?}"
        );
    }
}

#[track_caller]
fn assert_output(published: &dyn Fn() -> Option<Vec<u8>>, expected: &[u8], what: &str) {
    let output = published().expect("nothing published by finish");
    assert_same(&output, expected, what);
}

#[track_caller]
fn ok(result: crate::Result<()>, what: &str) {
    assert!(result.is_ok(), "{what}: {result:?}");
}
