use super::*;

/// What an archive of one member is refused for.
#[track_caller]
fn refusal(parts: &[Vec<u8>]) -> Error {
    read(&archive(parts)).expect_err("a refusal")
}

#[test]
fn damaged_checksums_are_refused_with_their_place() {
    let mut damaged = file("b", b"");
    damaged[0] ^= 1;
    for damage in [
        damaged,
        Raw::new(b'0', "b").0.to_vec(),
        Raw::new(b'0', "b").put(148, b"zzz").0.to_vec(),
    ] {
        let error = refusal(&[file("a", b"x"), damage]);
        assert!(
            matches!(&error, Error::Checksum { offset: 1024, after, .. } if after == "a"),
            "{error}"
        );
    }
}

#[test]
fn fields_that_are_no_numbers_are_refused_by_name() {
    let minus = [0xff; 12];
    let huge = [[0x80, 0, 0, 0].as_slice(), &[0xff; 8]].concat();
    for (flag, at, bytes, name) in [
        (b'0', 100, &b"0000648\0"[..], "mode"),
        (b'0', 100, &minus[..8], "mode"),
        (b'0', 108, b"x", "uid"),
        (b'0', 108, &minus[..8], "uid"),
        (b'0', 108, &huge[4..], "uid"),
        (b'0', 116, &minus[..8], "gid"),
        (b'0', 124, b"0000000001z", "size"),
        (b'0', 124, b"-0000000001", "size"),
        (b'0', 124, &minus, "size"),
        (b'0', 124, &huge, "size"),
        (b'0', 136, b"yesterday", "mtime"),
        (b'0', 136, &huge, "mtime"),
        (b'3', 329, &minus[..8], "devmajor"),
        (b'4', 337, b"99", "devminor"),
        (b'D', 124, &minus, "size"),
        (b'x', 124, &minus, "size"),
        (b'L', 124, &huge, "size"),
        (b'g', 124, b"zz", "size"),
        (b'1', 157, b"\0", "linkname"),
        (b'2', 157, b"\0", "linkname"),
        (b'0', 0, b"\0\0", "name"),
    ] {
        let link = if name == "linkname" { "" } else { "target" };
        let header = Raw::new(flag, "a").link(link).put(at, bytes).sealed();
        let error = refusal(&[file("first", b""), header]);
        let expected = matches!(&error, Error::Field { offset: 512, field, .. } if *field == name);
        assert!(expected, "{name} {}: {error}", bytes.escape_ascii());
    }
}

#[test]
fn size_below_its_limit_but_not_there_is_a_truncation() {
    let huge = Raw::new(b'0', "a").put(
        124,
        &[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255],
    );
    let error = refusal(&[huge.sealed()]);
    assert!(
        matches!(&error, Error::Truncated { entry, .. } if entry == "a"),
        "{error}"
    );
}

#[test]
fn pax_records_that_lie_are_refused_with_their_place() {
    let raw = |body: &[u8]| Raw::new(b'x', "PaxHeaders/a").with(body);
    for body in [
        &b"11 path=a/b\n"[..],
        b"13 path=a/b\n",
        b"0 path=a/b\n",
        b"-12 path=a/b\n",
        b"x path=a/b\n",
        b"99999999999999999999 path=a/b\n",
        b"12 path=a/bx",
        b"9 path/a\n",
        b"5 =a\n",
        b"7 uid=\nx",
        b"9 uid=-1\n",
        b"10 size=x\n",
        b"13 mtime=now\n",
    ] {
        let error = refusal(&[file("first", b""), raw(body), file("a", b"")]);
        let expected = matches!(&error, Error::Pax { offset, .. } if (1024..1036).contains(offset));
        assert!(expected, "{}: {error}", body.escape_ascii());
        let global = Raw::new(b'g', "global").with(body);
        let error = refusal(&[file("first", b""), global, file("a", b"")]);
        assert!(
            matches!(error, Error::Pax { .. }),
            "{}: {error}",
            body.escape_ascii()
        );
    }
}

#[test]
fn names_that_cannot_be_are_refused() {
    let long = |flag, body: &[u8]| Raw::new(flag, "././@LongLink").gnu().with(body);
    let link = Raw::new(b'2', "a").link("b").sealed();
    for parts in [
        [pax(&[("path", b"a\0b")]), file("x", b"")],
        [pax(&[("linkpath", b"a\0b")]), link.clone()],
        [
            pax(&[("GNU.sparse.name", b"a\0b"), ("GNU.sparse.size", b"0")]),
            file("x", b""),
        ],
        [long(b'L', b"a\0b\0"), file("x", b"")],
        [long(b'L', b"\0"), file("x", b"")],
        [long(b'L', b""), file("x", b"")],
        [long(b'K', b"a\0b\0"), link.clone()],
        [long(b'K', b"\0"), link],
    ] {
        let error = refusal(&parts);
        assert!(
            matches!(
                error,
                Error::Field {
                    field: "name" | "linkname",
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn what_is_kept_in_memory_is_limited() {
    let claimed = |flag| Raw::new(flag, "claimed").size(2 << 30).sealed();
    for flag in [b'x', b'X', b'g', b'L', b'K'] {
        let error = refusal(&[claimed(flag)]);
        assert!(matches!(error, Error::TooLong { .. }), "{error}");
    }
    let options = Options {
        max_name: 20,
        max_pax: 60,
        ..Options::default()
    };
    let limited = |parts: &[Vec<u8>]| read_with(&archive(parts), options.clone());
    let name = &b"123456789012345678901"[..];
    let global = |keyword: &str| extended(b'g', &[(keyword, b"user::r--,group::r--,other::r--")]);
    for parts in [
        &[pax(&[("path", name)]), file("a", b"")][..],
        &[
            Raw::new(b'L', "x").gnu().with(&[name, b"\0"].concat()),
            file("a", b""),
        ],
        &[
            pax(&[("uid", b"1"), ("comment", &[b'x'; 60])]),
            file("a", b""),
        ],
        &[
            pax(&[("comment", &[b'x'; 30])]),
            pax(&[("comment", &[b'x'; 30])]),
            file("a", b""),
        ],
        &[
            global("SCHILY.acl.access"),
            global("SCHILY.acl.default"),
            file("a", b""),
        ],
    ] {
        let error = limited(parts).unwrap_err();
        assert!(matches!(error, Error::TooLong { .. }), "{error}");
    }
    assert!(limited(&[pax(&[("path", &name[..20])]), file("a", b"")]).is_ok());
}

#[test]
fn type_flags_without_a_place_are_refused_by_name() {
    for flag in [b'A', b'E', b'I', b'M', b'N', b'8', b'Z', 0xff, b' '] {
        let error = refusal(&[file("first", b""), Raw::new(flag, "a").with(b"body")]);
        let named = matches!(&error, Error::TypeFlag { offset: 512, entry, .. } if entry == "a");
        assert!(named, "{error}");
    }
}

#[test]
fn directory_by_its_name_may_not_have_content() {
    let error = refusal(&[file("a/", b"content")]);
    assert!(
        matches!(error, Error::Field { field: "size", .. }),
        "{error}"
    );
}

#[test]
fn global_records_that_cannot_be_for_all_are_refused() {
    for keyword in ["size", "GNU.sparse.map", "GNU.sparse.major"] {
        let error = refusal(&[extended(b'g', &[(keyword, b"1")]), file("a", b"")]);
        assert!(matches!(error, Error::Pax { offset: 512, .. }), "{error}");
    }
}

#[test]
fn messages_name_entry_place_and_remedy() {
    let sized = Raw::new(b'0', "etc/\u{fc}").put(124, b"0000000zz").sealed();
    let error = refusal(&[sized]);
    assert_eq!(
        error.to_string(),
        "etc/\u{fc} (header at byte 0): field size: `0000000zz00` is not octal"
    );
    let cut = [file("etc/passwd", &[b'x'; 1000]), vec![]].concat();
    assert_eq!(
        read(&cut[..700]).unwrap_err().to_string(),
        "etc/passwd: the archive ends at byte 700, 812 bytes before the end of its content"
    );
}
