use super::*;

fn options(concatenated: bool, allow_missing_eof: bool) -> Options {
    Options {
        concatenated,
        allow_missing_eof,
        ..Options::default()
    }
}

#[test]
fn archive_without_members_is_fine_and_no_bytes_are_not() {
    for len in [1024, 1025, 10_240, 3 << 20] {
        assert_eq!(read(&vec![0; len]).unwrap(), []);
    }
    assert!(matches!(read(b""), Err(Error::Empty)));
    let lenient = options(true, true);
    assert!(matches!(read_with(b"", lenient), Err(Error::Empty)));
}

#[test]
fn what_is_no_tar_is_refused() {
    for bytes in [
        &b"short"[..],
        &[b'x'; 600],
        b"\x7fELF",
        &[1; 1024],
        &[0xff; 512],
    ] {
        let error = read(bytes).unwrap_err();
        assert!(matches!(error, Error::NotTar { .. }), "{error}");
    }
}

#[test]
fn missing_end_marker_needs_permission() {
    let member = file("a", b"content");
    let lone = [&member[..], &[0; 512]].concat();
    let part = [&member[..], &[0; 700]].concat();
    for (bytes, end) in [(&member, 1024), (&lone, 1536), (&part, 1724)] {
        let error = read(bytes).unwrap_err();
        assert!(
            matches!(error, Error::MissingEnd { offset } if offset == end),
            "{error}"
        );
        let all = read_with(bytes, options(false, true)).unwrap().0;
        assert_eq!(names(&all), ["a"]);
    }
}

#[test]
fn data_after_the_end_need_permission() {
    let two = [archive(&[file("a", b"1")]), archive(&[file("b", b"2")])].concat();
    let gap = [
        archive(&[file("a", b"1")]),
        vec![0; 2 << 20],
        archive(&[file("b", b"2")]),
    ]
    .concat();
    let lone = [file("a", b"1"), vec![0; 512], archive(&[file("b", b"2")])].concat();
    for (bytes, place) in [(&two, 2048), (&gap, 2048 + (2 << 20)), (&lone, 1536)] {
        let error = read(bytes).unwrap_err();
        assert!(
            matches!(error, Error::DataAfterEnd { offset } if offset == place),
            "{error}"
        );
        let all = read_with(bytes, options(true, false)).unwrap().0;
        assert_eq!(names(&all), ["a", "b"]);
    }
    let mut late = archive(&[file("a", b"1")]);
    late.resize(5000, 0);
    late.push(1);
    assert!(matches!(
        read(&late),
        Err(Error::DataAfterEnd { offset: 5000 })
    ));
    assert!(matches!(
        read_with(&late, options(true, false)),
        Err(Error::Truncated { .. })
    ));
}

#[test]
fn global_records_end_with_their_archive() {
    let global = extended(b'g', &[("uid", b"10")]);
    let two = [
        archive(&[global, file("a", b"")]),
        archive(&[file("b", b"")]),
    ]
    .concat();
    let all = read_with(&two, options(true, false)).unwrap().0;
    let owners = all
        .iter()
        .map(|seen| seen.entry.meta.uid)
        .collect::<Vec<_>>();
    assert_eq!(owners, [10, 1]);
}

#[test]
fn record_is_not_for_a_member_of_the_next_archive() {
    let two = [
        archive(&[pax(&[("uid", b"10")])]),
        archive(&[file("a", b"")]),
    ]
    .concat();
    let error = read_with(&two, options(true, false)).unwrap_err();
    assert!(matches!(error, Error::Dangling { offset: 0 }), "{error}");
}

#[test]
fn rest_of_the_input_is_read() {
    let mut input = std::io::Cursor::new([archive(&[file("a", b"1")]), vec![0; 3 << 20]].concat());
    let reader = Reader::new(&mut input);
    read_all(reader).unwrap();
    assert_eq!(
        input.position(),
        u64::try_from(input.get_ref().len()).unwrap()
    );
}

#[test]
fn archive_cut_at_any_byte_is_an_error() {
    let whole = of_every_kind();
    let all = read(&whole).unwrap();
    for end in 0..whole.len() {
        let error = read(&whole[..end]).expect_err(&format!("cut at {end}"));
        let expected = match error {
            Error::Empty => end == 0,
            Error::NotTar { .. } => end < 512,
            Error::MissingEnd { offset } | Error::Truncated { offset, .. } => {
                offset == u64::try_from(end).unwrap()
            }
            // Extended headers whose member is cut off, or a sparse map.
            _ => false,
        };
        assert!(expected, "cut at {end}: {error}");
        // Only between two members is the permission of any use.
        if let Ok((some, _)) = read_with(&whole[..end], options(false, true)) {
            assert!(matches!(error, Error::MissingEnd { .. }), "cut at {end}");
            assert!(all.starts_with(&some));
        }
    }
}

#[test]
fn extended_header_without_its_member_is_an_error() {
    let long = Raw::new(b'L', "././@LongLink").gnu().with(b"long\0");
    for (header, offset) in [(pax(&[("path", b"a")]), 512), (long, 512)] {
        let bytes = archive(&[file("a", b""), header.clone()]);
        let error = read(&bytes).unwrap_err();
        assert!(
            matches!(error, Error::Dangling { offset: at } if at == offset),
            "{error}"
        );
        let cut = [file("a", b""), header].concat();
        let error = read_with(&cut, options(false, true)).unwrap_err();
        assert!(matches!(error, Error::Dangling { .. }), "{error}");
    }
}
