//! What a forward sink promises.

use super::{Made, Numbers, assert_same};
use crate::{BlockSink, Error};

/// Asserts that a forward sink keeps the contract.
///
/// `make` is called once for each of several sinks; a sink to which nothing final has been
/// published yet must make `published` return `None`. Outputs stay below 16 MiB.
///
/// # Panics
/// Where the sink does not keep the contract.
pub fn block_sink(mut make: impl FnMut() -> Made<dyn BlockSink>) {
    bytes_and_holes_arrive(&mut make);
    nothing_is_an_output(&mut make);
    holes_alone_are_zeros(&mut make);
    unfinished_is_unpublished(&mut make);
    more_than_the_largest_length_is_out_of_range(&mut make);
}

type Make<'a> = &'a mut dyn FnMut() -> Made<dyn BlockSink>;

fn bytes_and_holes_arrive(make: Make<'_>) {
    let mut numbers = Numbers(1);
    for round in 0..4 {
        let Made {
            mut sink,
            published,
        } = make();
        let mut expected = Vec::new();
        assert_eq!(sink.position(), 0);
        for step in 0..40 {
            // Small, page-sized and large pieces, and some of no bytes.
            let len = match step % 4 {
                0 => numbers.below(20),
                1 => 4096 * numbers.below(3),
                2 => numbers.below(20_000),
                _ => numbers.below(round * 200_000 + 1),
            };
            if numbers.below(3) == 0 {
                ok(sink.skip(len as u64), "skip");
                expected.resize(expected.len() + len, 0);
            } else {
                let data = numbers.bytes(len);
                ok(sink.write(&data), "write");
                expected.extend_from_slice(&data);
            }
            assert_eq!(sink.position(), expected.len() as u64, "position()");
        }
        // An output may end in a hole.
        if round % 2 == 0 {
            ok(sink.skip(5000), "skip");
            expected.resize(expected.len() + 5000, 0);
        }
        assert!(published().is_none(), "published before finish");
        ok(sink.finish(), "finish");
        let output = published().expect("nothing published by finish");
        assert_same(&output, &expected, "the output");
    }
}

fn nothing_is_an_output(make: Make<'_>) {
    let Made { sink, published } = make();
    ok(sink.finish(), "finish of nothing");
    assert_eq!(published(), Some(Vec::new()), "an empty output");
}

fn holes_alone_are_zeros(make: Make<'_>) {
    let Made {
        mut sink,
        published,
    } = make();
    ok(sink.skip(1), "skip");
    ok(sink.skip(300_000), "skip");
    ok(sink.skip(0), "skip");
    ok(sink.finish(), "finish");
    let output = published().expect("nothing published by finish");
    assert_same(&output, &vec![0; 300_001], "an output of holes");
}

fn unfinished_is_unpublished(make: Make<'_>) {
    let Made {
        mut sink,
        published,
    } = make();
    ok(sink.write(&[1; 10_000]), "write");
    ok(sink.skip(10_000), "skip");
    drop(sink);
    assert!(published().is_none(), "published by a drop");
}

fn more_than_the_largest_length_is_out_of_range(make: Make<'_>) {
    let Made {
        mut sink,
        published,
    } = make();
    ok(sink.write(&[1; 10]), "write");
    let result = sink.skip(u64::MAX);
    assert!(
        matches!(result, Err(Error::OutOfRange { .. })),
        "skip of 2^64-1 bytes: {result:?}"
    );
    assert_eq!(sink.position(), 10, "nothing is skipped");
    drop(sink);
    assert!(published().is_none(), "published after an error");
}

#[track_caller]
fn ok(result: crate::Result<()>, what: &str) {
    assert!(result.is_ok(), "{what}: {result:?}");
}
