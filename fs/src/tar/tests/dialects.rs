use super::*;
use crate::tree::{Device, InodeFlags, Time, acl};

#[test]
fn member_of_every_kind_is_read() {
    let all = read(&of_every_kind()).unwrap();
    let long = "long/".repeat(60);
    let device = |major, minor| Device { major, minor };
    let expected = [
        ("./", EntryKind::Directory),
        ("./empty", EntryKind::File { size: 0 }),
        ("./small", EntryKind::File { size: 7 }),
        ("./blocks", EntryKind::File { size: 1536 }),
        ("./v7", EntryKind::File { size: 3 }),
        (
            "./hard",
            EntryKind::HardLink {
                target: b"./small".to_vec(),
                size: 0,
            },
        ),
        ("./soft", EntryKind::Symlink(b"./small".to_vec())),
        ("./char", EntryKind::CharDevice(device(5, 1))),
        ("./block", EntryKind::BlockDevice(device(8, 0))),
        ("./fifo", EntryKind::Fifo),
        (
            &format!("{long}name"),
            EntryKind::Symlink(format!("{long}link").into_bytes()),
        ),
        ("pax", EntryKind::File { size: 11 }),
        ("old-sparse", EntryKind::File { size: 200_000 }),
        ("new-sparse", EntryKind::File { size: 200_000 }),
    ];
    assert_eq!(names(&all), expected.each_ref().map(|(name, _)| *name));
    for (seen, (name, kind)) in all.iter().zip(expected) {
        let meta = &seen.entry.meta;
        assert_eq!(seen.entry.kind, kind, "{name}");
        assert_eq!((meta.mode, meta.uid, meta.gid), (0o644, 1, 2), "{name}");
        assert_eq!(
            meta.crtime,
            Some(Time {
                sec: 5,
                nsec: 500_000_000
            }),
            "{name}"
        );
    }
    assert_eq!(all[2].data, b"content");
    assert_eq!(all[2].entry.offset, Some(2048));
    assert_eq!(
        all[11].entry.meta.mtime,
        Some(Time {
            sec: -2,
            nsec: 500_000_000
        })
    );
    let xattrs = all[11]
        .entry
        .meta
        .xattrs
        .iter()
        .map(|(name, value)| (&name[..], &value[..]));
    assert_eq!(
        xattrs.collect::<Vec<_>>(),
        [(&b"user.a"[..], &b"1\n2\0"[..])]
    );
}

#[test]
fn input_in_single_bytes_is_read_alike() {
    struct Single<'a>(&'a [u8]);
    impl Read for Single<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let len = buf.len().min(1);
            self.0.read(&mut buf[..len])
        }
    }
    let archive = of_every_kind();
    let slowly = read_all(Reader::new(Single(&archive))).unwrap().0;
    assert_eq!(slowly, read(&archive).unwrap());
}

#[test]
fn unread_content_is_skipped() {
    let archive = of_every_kind();
    let mut reader = Reader::new(&archive[..]);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(entry.path);
        // Of every third content something is read.
        if names.len() % 3 == 0 {
            reader.next_run().unwrap();
        }
    }
    let all = read(&archive).unwrap();
    assert_eq!(
        names,
        all.into_iter()
            .map(|seen| seen.entry.path)
            .collect::<Vec<_>>()
    );
}

#[test]
fn large_content_arrives_in_runs_that_end_at_boundaries() {
    let content = (0..5_000_001u32)
        .map(|at| (at / 7).to_le_bytes()[0])
        .collect::<Vec<_>>();
    let archive = archive(&[file("first", b"x"), file("large", &content)]);
    // An odd size of reads, as a pipe may have it.
    let pieces = archive.chunks(70_001).map(std::io::Cursor::new);
    let input = pieces.fold(Box::new(std::io::empty()) as Box<dyn Read>, |all, piece| {
        Box::new(all.chain(piece))
    });
    let origin = std::sync::Arc::new(Nothing(archive.len()));
    let mut reader = Reader::new(input).with_origin(origin);
    reader.next_entry().unwrap();
    reader.next_entry().unwrap();
    let mut position = 0;
    while let Some(run) = reader.next_run().unwrap() {
        let BodyRun::Data { bytes, at } = run else {
            panic!("a hole")
        };
        let offset = usize::try_from(at.unwrap()).unwrap();
        assert_eq!(bytes, &archive[offset..offset + bytes.len()]);
        assert_eq!(bytes, &content[position..position + bytes.len()]);
        position += bytes.len();
        assert!(position % 4096 == 0 || position == content.len());
    }
    assert_eq!(position, content.len());
    assert!(reader.origin().is_some());
    assert!(reader.next_entry().unwrap().is_none());

    #[derive(Debug)]
    struct Nothing(usize);
    impl forger_block::BlockRead for Nothing {
        fn len(&self) -> u64 {
            u64::try_from(self.0).unwrap()
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> forger_block::Result<()> {
            unreachable!("the reader does not read its origin")
        }
    }
}

#[test]
fn prefix_belongs_to_posix_and_star_only() {
    let raw = || Raw::new(b'0', "name").put(345, b"prefix");
    assert_eq!(one(&[raw().sealed()]).name(), "prefix/name");
    assert_eq!(one(&[raw().v7().sealed()]).name(), "name");
    let star = raw()
        .put(476, b"00000000012 00000000013 ")
        .put(508, b"tar\0");
    let star = one(&[star.sealed()]);
    let times = (star.entry.meta.atime, star.entry.meta.ctime);
    assert_eq!(star.name(), "prefix/name");
    assert_eq!(times, (Some(Time::from_sec(10)), Some(Time::from_sec(11))));
    let gnu = Raw::new(b'0', "name")
        .gnu()
        .put(345, b"00000000012\x0000000000013\0");
    let gnu = one(&[gnu.sealed()]);
    assert_eq!((gnu.entry.meta.atime, gnu.entry.meta.ctime), times);
    let full = Raw::new(b'0', &"n".repeat(100)).put(345, &[b'p'; 155]);
    assert_eq!(
        one(&[full.sealed()]).name(),
        format!("{}/{}", "p".repeat(155), "n".repeat(100))
    );
}

#[test]
fn base256_numbers_are_read() {
    let large = [0x80, 0, 0, 0, 0x80, 0, 0, 1];
    let minus_two = [[0xff; 11].as_slice(), &[0xfe]].concat();
    let seen = one(&[Raw::new(b'0', "a")
        .gnu()
        .put(108, &large)
        .put(136, &minus_two)
        .sealed()]);
    assert_eq!(seen.entry.meta.uid, 0x8000_0001);
    assert_eq!(seen.entry.meta.mtime, Some(Time::from_sec(-2)));
}

#[test]
fn checksum_of_signed_bytes_is_accepted() {
    let raw = Raw::new(b'0', "\u{fc}ber").put(148, b"        ");
    let sum = raw
        .0
        .iter()
        .map(|byte| i32::from(byte.cast_signed()))
        .sum::<i32>();
    let header = raw.put(148, format!("{sum:06o}\0 ").as_bytes()).0.to_vec();
    assert_eq!(one(&[header]).name(), "\u{fc}ber");
}

#[test]
fn type_flags_that_mean_the_same_are_read_alike() {
    let directory = |flag, name: &str| one(&[Raw::new(flag, name).sealed()]).entry.kind;
    for (flag, name) in [
        (b'5', "a"),
        (b'0', "a/"),
        (0, "a/"),
        (b'7', "a/"),
        (b'D', "a"),
    ] {
        assert_eq!(directory(flag, name), EntryKind::Directory, "{flag} {name}");
    }
    for flag in [0, b'0', b'7'] {
        assert_eq!(
            one(&[Raw::new(flag, "a").with(b"body")]).data,
            b"body",
            "{flag}"
        );
    }
    let dump = Raw::new(b'D', "a").gnu().with(b"Ysome\0Nnames\0\0");
    assert_eq!(
        names(&read(&archive(&[dump, file("b", b"")])).unwrap()),
        ["a", "b"]
    );
    let solaris = extended(b'X', &[("path", b"longer")]);
    assert_eq!(one(&[solaris, file("a", b"")]).name(), "longer");
}

#[test]
fn kinds_without_a_body_ignore_their_size() {
    for flag in [b'2', b'3', b'4', b'5', b'6'] {
        let header = Raw::new(flag, "a").link("target").size(1000).sealed();
        let sized = pax(&[("size", b"1000")]);
        let all = read(&archive(&[sized, header, file("b", b"body")])).unwrap();
        assert_eq!(names(&all), ["a", "b"]);
    }
}

#[test]
fn volume_label_is_noted() {
    let archive = archive(&[Raw::new(b'V', "backup 7").gnu().sealed(), file("a", b"")]);
    let (all, notes) = read_with(&archive, Options::default()).unwrap();
    assert_eq!(names(&all), ["a"]);
    assert_eq!(
        notes,
        [Note::Other("the archive's label is `backup 7`".to_owned())]
    );
}

#[test]
fn hard_link_has_a_body_if_there_is_one() {
    let link = |size: usize| Raw::new(b'1', "b").link("a").size(size);
    let target = b"a".to_vec();
    let kind = |size| EntryKind::HardLink {
        target: target.clone(),
        size,
    };
    // With its body, before another member and at the end, in every dialect.
    for header in [link(4), link(4).gnu(), link(4).v7()] {
        let with = [header.clone().sealed(), padded(b"body")].concat();
        for rest in [vec![], file("c", b"x")] {
            let all = read(&archive(&[with.clone(), rest.clone()])).unwrap();
            assert_eq!(
                (&all[0].entry.kind, &all[0].data[..]),
                (&kind(4), &b"body"[..])
            );
        }
        // The size of the target, but no body.
        for rest in [vec![], file("c", b"x")] {
            let all = read(&archive(&[header.clone().sealed(), rest.clone()])).unwrap();
            assert_eq!((&all[0].entry.kind, all[0].data.len()), (&kind(0), 0));
        }
    }
    // A PAX size is believed, even if the body looks like a header.
    let inner = file("inner", b"");
    let size = inner.len().to_string();
    let sized = pax(&[("size", size.as_bytes())]);
    let all = read(&archive(&[
        sized,
        link(0).sealed(),
        inner.clone(),
        file("c", b""),
    ]))
    .unwrap();
    assert_eq!(names(&all), ["b", "c"]);
    assert_eq!(all[0].data, inner);
}

#[test]
fn all_pax_keywords_reach_the_entry() {
    let acl = b"user::rw-,user:7:r--,group::r--,mask::r--,other::---";
    let seen = one(&[
        pax(&[
            ("path", b"a\xff\nb"),
            ("uid", b"4000000000"),
            ("gid", b"3000000000"),
            ("uname", b"root"),
            ("gname", b"root"),
            ("mtime", b"1700000000.123456789"),
            ("atime", b"5000000000"),
            ("ctime", b"-0.25"),
            ("LIBARCHIVE.creationtime", b"1"),
            ("hdrcharset", b"BINARY"),
            ("charset", b"ISO-IR 8859 1 1998"),
            ("comment", b"a comment\nwith = and \0"),
            ("SCHILY.xattr.user.binary", b"\0\n\xff"),
            ("SCHILY.xattr.user.empty", b""),
            ("LIBARCHIVE.xattr.user.%3D", b"AP8"),
            ("RHT.security.selinux", b"system_u:object_r:etc_t:s0"),
            ("SCHILY.acl.access", acl),
            ("SCHILY.fflags", b"nodump,noatime"),
            ("SCHILY.dev", b"2049"),
            ("SCHILY.ino", b"12"),
            ("SCHILY.nlink", b"1"),
            ("LIBARCHIVE.symlinktype", b"file"),
            ("FORGER.project", b"42"),
        ]),
        file("short", b""),
    ]);
    let (entry, meta) = (&seen.entry, &seen.entry.meta);
    let time = |sec, nsec| Some(Time { sec, nsec });
    assert_eq!(entry.path, b"a\xff\nb");
    assert_eq!(
        (meta.uid, meta.gid, meta.project),
        (4_000_000_000, 3_000_000_000, 42)
    );
    assert_eq!(
        (meta.mtime, meta.atime),
        (time(1_700_000_000, 123_456_789), time(5_000_000_000, 0))
    );
    assert_eq!(
        (meta.ctime, meta.crtime),
        (time(-1, 750_000_000), time(1, 0))
    );
    assert_eq!(
        meta.flags,
        InodeFlags(InodeFlags::NODUMP | InodeFlags::NOATIME)
    );
    let xattrs = meta
        .xattrs
        .iter()
        .map(|(name, value)| (&name[..], &value[..]));
    let acl = acl::Acl::parse(acl).unwrap().acl.to_attribute();
    let expected: [(&[u8], &[u8]); 5] = [
        (b"security.selinux", b"system_u:object_r:etc_t:s0\0"),
        (b"system.posix_acl_access", &acl),
        (b"user.=", b"\0\xff"),
        (b"user.binary", b"\0\n\xff"),
        (b"user.empty", b""),
    ];
    assert_eq!(xattrs.collect::<Vec<_>>(), expected);
}

#[test]
fn device_numbers_come_from_records_first() {
    let records: [(&str, &[u8]); 2] = [
        ("SCHILY.devmajor", b"4294967295"),
        ("SCHILY.devminor", b"70000"),
    ];
    let device = Raw::new(b'3', "a")
        .put(329, b"0000001\0")
        .put(337, b"0000002\0")
        .sealed();
    let seen = one(&[pax(&records), device]);
    assert_eq!(
        seen.entry.kind,
        EntryKind::CharDevice(Device {
            major: u32::MAX,
            minor: 70_000
        })
    );
}

#[test]
fn record_is_for_the_next_member_and_not_for_a_long_name_between() {
    let long = |name: &[u8]| {
        Raw::new(b'L', "././@LongLink")
            .gnu()
            .with(&[name, b"\0"].concat())
    };
    let sized = || pax(&[("size", b"600"), ("uid", b"9")]);
    let body = [7; 600];
    // The header says 0, the record 600; the long name has its own size.
    let member = || [Raw::new(b'0', "short").sealed(), padded(&body)].concat();
    for parts in [[sized(), long(b"long")], [long(b"long"), sized()]] {
        let all = read(&archive(&[parts.concat(), member(), file("next", b"abc")])).unwrap();
        assert_eq!(names(&all), ["long", "next"]);
        assert_eq!(
            (&all[0].data[..], &all[1].data[..]),
            (&body[..], &b"abc"[..])
        );
        assert_eq!((all[0].entry.meta.uid, all[1].entry.meta.uid), (9, 1));
    }
    // Neither for another PAX header, global or not.
    let global = extended(b'g', &[("gid", b"8")]);
    let all = read(&archive(&[
        sized(),
        global,
        pax(&[("path", b"p")]),
        member(),
    ]))
    .unwrap();
    assert_eq!((all[0].name(), all[0].data.len()), ("p", 600));
    assert_eq!((all[0].entry.meta.uid, all[0].entry.meta.gid), (9, 8));
}

#[test]
fn pax_name_wins_over_long_name_and_header() {
    let long = Raw::new(b'L', "././@LongLink").gnu().with(b"long\0\0");
    let pax = pax(&[("path", b"pax")]);
    assert_eq!(
        one(&[pax.clone(), long.clone(), file("short", b"")]).name(),
        "pax"
    );
    assert_eq!(one(&[long, pax, file("short", b"")]).name(), "pax");
}

#[test]
fn global_records_last_until_they_are_replaced() {
    let global = |records: &[(&str, &[u8])]| extended(b'g', records);
    let all = read(&archive(&[
        global(&[
            ("uid", b"10"),
            ("gid", b"20"),
            ("SCHILY.xattr.user.a", b"x"),
        ]),
        file("both", b""),
        pax(&[("uid", b"11")]),
        file("overridden", b""),
        pax(&[("uid", b""), ("SCHILY.xattr.user.a", b"")]),
        file("taken back", b""),
        global(&[("gid", b"")]),
        file("one", b""),
        global(&[("comment", b"at the end")]),
    ]));
    let owners = |seen: &Seen| {
        (
            seen.entry.meta.uid,
            seen.entry.meta.gid,
            seen.entry.meta.xattrs.len(),
        )
    };
    let owners = all.unwrap().iter().map(owners).collect::<Vec<_>>();
    assert_eq!(owners, [(10, 20, 1), (11, 20, 1), (1, 20, 0), (10, 2, 1)]);
}

#[test]
fn unknown_keywords_are_noted_once() {
    let unknown = |name: &[u8]| pax(&[("path", name), ("VENDOR.what", b"x"), ("mystery", b"")]);
    let charset = extended(b'g', &[("hdrcharset", b"KOI8-R"), ("VENDOR.all", b"y")]);
    let archive = archive(&[
        charset,
        unknown(b"a"),
        file("", b""),
        unknown(b"b"),
        file("", b""),
    ]);
    let (_, notes) = read_with(&archive, Options::default()).unwrap();
    let note = |keyword: &str, entry: &str| Note::UnknownKeyword {
        keyword: keyword.to_owned(),
        entry: entry.to_owned(),
    };
    let global = "PaxHeaders/x";
    let expected = [
        note("hdrcharset", global),
        note("VENDOR.all", global),
        note("VENDOR.what", "a"),
        note("mystery", "a"),
    ];
    assert_eq!(notes, expected);
}

#[test]
fn notes_about_unknown_keywords_end_some_time() {
    let many = (0..1000)
        .map(|n| (format!("VENDOR.k{n}"), &b"x"[..]))
        .collect::<Vec<_>>();
    let many = many
        .iter()
        .map(|(keyword, value)| (&keyword[..], *value))
        .collect::<Vec<_>>();
    let (_, notes) =
        read_with(&archive(&[pax(&many), file("a", b"")]), Options::default()).unwrap();
    assert_eq!(notes.len(), 257);
    assert!(matches!(notes.last(), Some(Note::Other(_))));
}

#[test]
fn what_options_ignore_is_noted_with_the_entry() {
    let acl = b"user::rw-,user:joe:r--,group::r--,mask::r--,other::---";
    let archive = archive(&[
        pax(&[("SCHILY.acl.access", acl), ("SCHILY.fflags", b"uchg")]),
        file("a", b""),
    ]);
    let options = Options {
        ignore_acl_names: true,
        ignore_flags: true,
        ..Options::default()
    };
    let (_, notes) = read_with(&archive, options).unwrap();
    assert_eq!(notes.len(), 2);
    assert!(
        notes
            .iter()
            .all(|note| matches!(note, Note::Ignored { entry, .. } if entry == "a"))
    );
    assert!(matches!(
        read(&archive),
        Err(Error::Unrepresentable {
            ignore: Some("acls"),
            ..
        })
    ));
}
