use super::*;

/// A file of 200,000 bytes: 512 of `a` at 0, 1000 of `b` at 100,000, and a hole at its end.
fn content() -> Vec<u8> {
    [vec![b'a'; 512], vec![b'b'; 1000]].concat()
}

const RUNS: [i64; 4] = [512, -(100_000 - 512), 1000, -(200_000 - 101_000)];

fn octal(value: usize) -> Vec<u8> {
    format!("{value:011o}\0").into_bytes()
}

/// The file in the old GNU format, its map spread over the header and an extension block.
pub(super) fn old_gnu() -> Vec<u8> {
    let pairs = [(0, 256), (256, 256), (100_000, 1), (100_001, 1)];
    let entries = pairs
        .iter()
        .flat_map(|(offset, len)| [octal(*offset), octal(*len)]);
    let header = Raw::new(b'S', "old-sparse").gnu().size(1512);
    let header = header
        .put(386, &entries.flatten().collect::<Vec<_>>())
        .put(482, &[1]);
    let header = header.put(483, &octal(200_000)).sealed();
    let rest = [octal(100_002), octal(998), octal(200_000), octal(0)].concat();
    [header, padded(&rest), padded(&content())].concat()
}

/// The file in PAX format 1.0.
pub(super) fn in_body() -> Vec<u8> {
    version_1(
        b"3\n0\n512\n100000\n1000\n200000\n0\n",
        b"200000",
        &content(),
    )
}

fn version_1(map: &[u8], realsize: &[u8], content: &[u8]) -> Vec<u8> {
    let records: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"new-sparse"),
        ("GNU.sparse.realsize", realsize),
    ];
    let body = [&padded(map)[..], content].concat();
    [
        pax(&records),
        Raw::new(b'0', "GNUSparseFile.1/new-sparse").with(&body),
    ]
    .concat()
}

fn version_0(records: &[(&str, &[u8])], content: &[u8]) -> Vec<u8> {
    let named: [(&str, &[u8]); 1] = [("GNU.sparse.name", b"sparse")];
    [
        pax(&[&named[..], records].concat()),
        Raw::new(b'0', "x").with(content),
    ]
    .concat()
}

#[test]
fn sparse_file_of_every_format_is_read() {
    let pairs: [(&str, &[u8]); 8] = [
        ("GNU.sparse.size", b"200000"),
        ("GNU.sparse.numblocks", b"3"),
        ("GNU.sparse.offset", b"0"),
        ("GNU.sparse.numbytes", b"512"),
        ("GNU.sparse.offset", b"100000"),
        ("GNU.sparse.numbytes", b"1000"),
        ("GNU.sparse.offset", b"200000"),
        ("GNU.sparse.numbytes", b"0"),
    ];
    let list: [(&str, &[u8]); 3] = [
        ("GNU.sparse.size", b"200000"),
        ("GNU.sparse.numblocks", b"3"),
        ("GNU.sparse.map", b"0,512,100000,1000,200000,0"),
    ];
    for (name, member) in [
        ("old-sparse", old_gnu()),
        ("new-sparse", in_body()),
        ("sparse", version_0(&pairs, &content())),
        ("sparse", version_0(&list, &content())),
    ] {
        let all = read(&archive(&[member, file("next", b"x")])).unwrap();
        assert_eq!(names(&all), [name, "next"]);
        assert_eq!(
            all[0].entry.kind,
            EntryKind::File { size: 200_000 },
            "{name}"
        );
        assert_eq!(all[0].runs, RUNS, "{name}");
        assert_eq!(all[0].data, content(), "{name}");
    }
}

#[test]
fn file_that_is_all_hole_is_read() {
    for member in [
        version_1(b"0\n", b"8192", b""),
        version_1(b"1\n8192\n0\n", b"8192", b""),
    ] {
        let seen = one(&[member]);
        assert_eq!((&seen.runs[..], seen.data.len()), (&[-8192][..], 0));
    }
    let records: [(&str, &[u8]); 2] =
        [("GNU.sparse.size", b"8192"), ("GNU.sparse.numblocks", b"0")];
    assert_eq!(one(&[version_0(&records, b"")]).runs, [-8192]);
}

#[test]
fn pax_size_is_that_of_the_stored_bytes() {
    let mut sized = pax(&[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.realsize", b"4096"),
        ("size", b"515"),
    ]);
    sized.extend(Raw::new(b'0', "a").sealed());
    sized.extend(padded(&[&padded(b"1\n4093\n3\n")[..], b"end"].concat()));
    let seen = one(&[sized]);
    assert_eq!(
        (&seen.runs[..], &seen.data[..]),
        (&[-4093, 3][..], &b"end"[..])
    );
}

#[test]
fn map_in_many_blocks_is_read() {
    let runs = (0..5000).map(|run| format!("{}\n{}\n", run * 8192 + 100, 10));
    let map = format!("5000\n{}", runs.collect::<String>());
    let content = vec![b'x'; 50_000];
    let seen = one(&[version_1(map.as_bytes(), b"99999999", &content)]);
    assert_eq!((seen.runs.len(), seen.data.len()), (10_001, 50_000));
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let list = |map: &'static [u8], size: &'static [u8], stored: &[u8]| {
        version_0(
            &[("GNU.sparse.size", size), ("GNU.sparse.map", map)],
            stored,
        )
    };
    let old = |at: usize, bytes: &[u8]| {
        let mut member = old_gnu();
        let header = Raw(member[..512].try_into().unwrap())
            .put(at, bytes)
            .sealed();
        member.splice(..512, header);
        member
    };
    for (what, member) in [
        ("overlap", list(b"0,4,3,1", b"10", b"12345")),
        ("descending", list(b"5,1,0,1", b"10", b"12")),
        ("outside", list(b"8,3", b"10", b"123")),
        ("overflow", list(b"18446744073709551615,2", b"10", b"12")),
        ("huge file", list(b"0,1", b"9223372036854775808", b"1")),
        ("more stored", list(b"0,4", b"10", b"12345")),
        ("less stored", list(b"0,6", b"10", b"12345")),
        ("more stored", version_1(b"1\n0\n4\n", b"10", b"12345")),
        ("endless map", version_1(b"9\n", b"10", b"")),
        ("huge map", version_1(b"18446744073709551615\n", b"10", b"")),
        ("map without count", version_1(b"", b"10", b"")),
        ("no map", Raw::new(b'S', "a").sealed()),
        ("negative offset", old(386, &[0xff; 12])),
        ("map after its end", old(398, &[0; 12])),
        ("size not octal", old(483, b"zzz")),
        ("negative size", old(483, &[0xff; 12])),
        (
            "a directory",
            [
                pax(&[("GNU.sparse.size", b"1"), ("GNU.sparse.map", b"0,1")]),
                Raw::new(b'5', "d").sealed(),
            ]
            .concat(),
        ),
    ] {
        let error = read(&archive(&[member])).unwrap_err();
        assert!(
            matches!(error, Error::Sparse { .. } | Error::Field { .. }),
            "{what}: {error}"
        );
    }
}

#[test]
fn number_of_runs_is_limited() {
    let options = Options {
        max_sparse_runs: 2,
        ..Options::default()
    };
    let limited = |member: Vec<u8>| read_with(&archive(&[member]), options.clone()).unwrap_err();
    for member in [old_gnu(), in_body()] {
        assert!(matches!(limited(member), Error::Sparse { .. }));
    }
    let records: [(&str, &[u8]); 2] = [
        ("GNU.sparse.size", b"9"),
        ("GNU.sparse.map", b"0,1,2,1,4,1"),
    ];
    assert!(matches!(
        limited(version_0(&records, b"123")),
        Error::Sparse { .. }
    ));
}
