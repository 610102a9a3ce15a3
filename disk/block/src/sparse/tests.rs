use super::*;
use crate::conformance;
use crate::{Error, MAX_LEN};

fn source(bytes: Vec<u8>) -> Arc<dyn BlockRead> {
    Arc::new(bytes)
}

/// 256 bytes that tell where they stand.
fn ramp() -> Arc<dyn BlockRead> {
    source((0..=255).collect())
}

#[test]
fn bytes_spans_and_holes_read_as_what_was_said() {
    let ramp = ramp();
    let mut parts = SparseImage::builder();
    parts.span(700, 56, &ramp, 200).unwrap();
    parts.bytes(3, Bytes::from_static(b"abc")).unwrap();
    parts.span(6, 100, &ramp, 10).unwrap();
    parts.hole(400, 10).unwrap();
    parts.bytes(900, Bytes::from(vec![9; 50])).unwrap();
    let image = parts.finish(1000).unwrap();

    let mut expected = vec![0; 1000];
    expected[3..6].copy_from_slice(b"abc");
    expected[6..106].copy_from_slice(&(10..110).collect::<Vec<u8>>());
    expected[700..756].copy_from_slice(&(200..=255).collect::<Vec<u8>>());
    expected[900..950].fill(9);
    conformance::reader(&image, &expected);
    assert_eq!(image.covered(), 3 + 100 + 56 + 50);
}

#[test]
fn nothing_and_only_holes_are_images_too() {
    conformance::reader(&SparseImage::builder().finish(0).unwrap(), &[]);
    let holes = SparseImage::builder().finish(5000).unwrap();
    conformance::reader(&holes, &[0; 5000]);
    assert_eq!(holes.run_at(1).unwrap(), Run::Hole(4999));
    let huge = SparseImage::builder().finish(MAX_LEN).unwrap();
    assert_eq!(huge.run_at(5).unwrap(), Run::Hole(MAX_LEN - 5));
    huge.read_at(MAX_LEN - 9, &mut [1; 9]).unwrap();
}

#[test]
fn spans_that_continue_each_other_are_one_extent_in_any_order() {
    let ramp = ramp();
    for order in [[0, 1, 2, 3], [3, 1, 0, 2], [3, 2, 1, 0]] {
        let mut parts = SparseImage::builder();
        for piece in order {
            parts.span(piece * 10, 10, &ramp, 50 + piece * 10).unwrap();
        }
        // Continues in the image, not in the source.
        parts.span(40, 10, &ramp, 91).unwrap();
        let image = parts.finish(50).unwrap();
        assert_eq!(image.extents.len(), 2, "{order:?}");
        assert_eq!(image.parts.len(), 1);
        let mut expected: Vec<u8> = (50..90).collect();
        expected.extend(91..101);
        conformance::reader(&image, &expected);
    }
}

#[test]
fn an_image_placed_in_images_reads_the_same() {
    let ramp = ramp();
    let mut inner = SparseImage::builder();
    inner.span(5, 20, &ramp, 0).unwrap();
    inner.bytes(25, Bytes::from_static(b"inner")).unwrap();
    let inner = inner.finish(40).unwrap();

    let mut middle = SparseImage::builder();
    middle.place(10, &inner).unwrap();
    middle.bytes(0, Bytes::from_static(b"middle")).unwrap();
    middle.place(60, &inner).unwrap();
    middle.place(100, &SparseImage::default()).unwrap();
    let middle = middle.finish(110).unwrap();
    assert_eq!(middle.parts.len(), 4, "the ramp is kept once");

    let mut outer = SparseImage::builder();
    outer
        .span(200, 110, &(Arc::new(middle.clone()) as _), 0)
        .unwrap();
    outer.place(0, &middle).unwrap();
    let outer = outer.finish(310).unwrap();

    let mut part = vec![0; 40];
    part[5..25].copy_from_slice(&(0..20).collect::<Vec<u8>>());
    part[25..30].copy_from_slice(b"inner");
    let mut expected = vec![0; 310];
    for base in [0, 200] {
        expected[base..base + 6].copy_from_slice(b"middle");
        expected[base + 10..base + 50].copy_from_slice(&part);
        expected[base + 60..base + 100].copy_from_slice(&part);
    }
    conformance::reader(&outer, &expected);
    assert_eq!(
        outer.run_at(206).unwrap(),
        Run::Hole(9),
        "holes of a span show"
    );
}

#[test]
fn two_claims_of_one_byte_are_an_overlap() {
    type Claim = fn(&mut SparseImageBuilder) -> Result<()>;
    let claims: [Claim; 5] = [
        |parts| parts.bytes(10, vec![1; 10].into()),
        |parts| parts.span(19, 1, &ramp(), 0),
        |parts| parts.hole(5, 6),
        |parts| parts.place(0, &SparseImage::builder().finish(11).unwrap()),
        |parts| parts.bytes(12, vec![1; 3].into()),
    ];
    for claim in &claims[1..] {
        for order in [[&claims[0], claim], [claim, &claims[0]]] {
            let mut parts = SparseImage::builder();
            for claim in order {
                claim(&mut parts).unwrap();
            }
            let error = parts.finish(100).unwrap_err();
            assert!(
                matches!(error, Error::Overlap { offset: 10..20, .. }),
                "{error}"
            );
        }
    }
}

#[test]
fn the_hole_of_a_placed_image_is_taken() {
    let mut parts = SparseImage::builder();
    parts
        .place(0, &SparseImage::builder().finish(100).unwrap())
        .unwrap();
    parts.bytes(50, vec![1].into()).unwrap();
    let error = parts.finish(100).unwrap_err();
    assert!(matches!(error, Error::Overlap { offset: 50, len: 1 }));
}

#[test]
fn parts_outside_their_bounds_are_out_of_range() {
    let mut parts = SparseImage::builder();
    for (at, len, offset) in [(0, 257, 0), (0, 1, 256), (0, 0, 257), (0, u64::MAX, 1)] {
        assert!(matches!(
            parts.span(at, len, &ramp(), offset),
            Err(Error::OutOfRange { size: 256, .. })
        ));
    }
    for at in [MAX_LEN, u64::MAX] {
        assert!(parts.bytes(at, vec![1].into()).is_err());
        assert!(parts.hole(at, 1).is_err());
        assert!(parts.span(at, 1, &ramp(), 0).is_err());
    }
    parts.bytes(99, vec![1, 2].into()).unwrap();
    let error = parts.finish(100).unwrap_err();
    assert!(matches!(
        error,
        Error::OutOfRange {
            offset: 99,
            len: 2,
            size: 100
        }
    ));
    assert!(SparseImage::builder().finish(MAX_LEN + 1).is_err());
}

#[test]
fn empty_parts_claim_nothing() {
    let mut parts = SparseImage::builder();
    parts.bytes(0, vec![1; 10].into()).unwrap();
    parts.bytes(5, Bytes::new()).unwrap();
    parts.span(5, 0, &ramp(), 256).unwrap();
    parts.hole(5, 0).unwrap();
    assert_eq!(parts.finish(10).unwrap().extents.len(), 1);
}

#[test]
fn errors_of_a_source_come_through() {
    #[derive(Debug)]
    struct Broken;
    impl BlockRead for Broken {
        fn len(&self) -> u64 {
            10
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
            Err(Error::Interrupted)
        }
    }
    let mut parts = SparseImage::builder();
    parts.span(5, 5, &(Arc::new(Broken) as _), 0).unwrap();
    let image = parts.finish(20).unwrap();
    image.read_at(0, &mut [0; 5]).unwrap();
    assert!(matches!(
        image.read_at(0, &mut [0; 6]),
        Err(Error::Interrupted)
    ));
}
