use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::tools::{has, is_root, shell};
use super::*;
use crate::tar::{WriteError, WriteOptions, Writer};
use crate::tree::arbitrary::{self, Shape};
use crate::tree::{
    Content, Device, Holes, InodeFlags, Kind, Meta, Policy, Time, Tree, Xattrs, acl,
};

fn written(tree: &Tree<Content>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.append_tree(tree).unwrap();
    let archive = writer.finish().unwrap();
    assert_eq!(archive.len() % 512, 0);
    archive
}

fn collected(archive: &[u8]) -> Tree<Content> {
    Tree::collect(&mut Reader::new(archive), Policy::default()).unwrap()
}

fn meta(mode: u16) -> Meta {
    let mtime = Some(Time::from_sec(1_700_000_000));
    Meta {
        mode,
        mtime,
        ..Meta::default()
    }
}

/// A tree with everything that a root can extract from a tar.
fn sample() -> Tree<Content> {
    let mut tree = Tree::new(meta(0o755));
    let mut put = |path: &[u8], meta: Meta, kind| {
        tree.put(path, meta, kind, Policy::default()).unwrap();
    };
    put(b".", meta(0o755), Kind::directory());
    let file = |bytes: &'static [u8]| Kind::File(Content::inline(bytes));
    put(b"plain", meta(0o644), file(b"content"));
    put(b"empty", meta(0o000), file(b""));
    put(
        b"setuid",
        Meta {
            uid: 7,
            gid: 8,
            ..meta(0o6755)
        },
        file(b"\0"),
    );
    put(
        b"large-ids",
        Meta {
            uid: 4_000_000_000,
            gid: 2_097_152,
            ..meta(0o600)
        },
        file(b"x"),
    );
    let time = |sec, nsec| Meta {
        mtime: Some(Time { sec, nsec }),
        ..meta(0o644)
    };
    put(b"nanoseconds", time(1_700_000_000, 123_456_789), file(b"x"));
    put(b"before-1970", time(-2, 500_000_000), file(b"x"));
    put(b"after-2242", time(0o100_000_000_000, 0), file(b"x"));
    put(b"dir", meta(0o1777), Kind::directory());
    put(b"dir/fifo", meta(0o600), Kind::Fifo);
    put(
        b"dir/null",
        meta(0o666),
        Kind::CharDevice(Device { major: 1, minor: 3 }),
    );
    put(
        b"dir/disk",
        meta(0o660),
        Kind::BlockDevice(Device {
            major: 259,
            minor: 1_048_575,
        }),
    );
    put(
        b"soft",
        meta(0o777),
        Kind::Symlink((*b"dir/nothing").into()),
    );
    // All folders have times of their own, so that extracting gives them no others.
    for depth in 1..=13 {
        put(&b"component/".repeat(depth), meta(0o755), Kind::directory());
    }
    put(&b"p".repeat(150), meta(0o755), Kind::directory());
    let long = [b"component/".repeat(13), b"n".repeat(255)].concat();
    put(&long, meta(0o644), file(b"long"));
    let split = [b"p".repeat(150), b"/".to_vec(), b"n".repeat(99)].concat();
    put(&split, meta(0o644), file(b"split"));
    put(
        b"long-target",
        meta(0o777),
        Kind::Symlink(b"t/".repeat(200).into()),
    );
    put(b"latin-\xfc-\xff\n\t", meta(0o644), file(b"bytes"));
    put("größe".as_bytes(), meta(0o644), file(b"text"));
    let mut holes = Content::hole(1 << 20);
    holes.push_inline(vec![b'd'; 8192]);
    holes.push_hole(4 << 20);
    put(b"holes", meta(0o644), Kind::File(holes));
    put(b"hole", meta(0o644), Kind::File(Content::hole(1 << 20)));
    let acl = |text: &str| acl::Acl::parse(text.as_bytes()).unwrap().acl.to_attribute();
    let xattrs = |pairs: &[(&[u8], &[u8])]| {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        pairs.collect::<Xattrs>()
    };
    let access = acl("user::rw-,user:4000:rwx,group::r--,mask::rwx,other::---");
    let default = acl("user::rwx,group::r-x,group:4001:-w-,mask::rwx,other::---");
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let all = xattrs(&[
        (b"user.binary", b"\0\n=\xff"),
        (b"user.empty", b""),
        (b"user.we=ird%", b"x"),
        (b"security.capability", capability),
        (acl::ACCESS, &access),
    ]);
    put(
        b"attributes",
        Meta {
            xattrs: all,
            ..meta(0o670)
        },
        file(b"x"),
    );
    let both = xattrs(&[(acl::ACCESS, &access), (acl::DEFAULT, &default)]);
    put(
        b"inherited",
        Meta {
            xattrs: both,
            ..meta(0o670)
        },
        Kind::directory(),
    );
    tree.link(b"a-link", b"plain", None).unwrap();
    tree.link(b"dir/z-link", b"plain", None).unwrap();
    tree.link(b"soft2", b"soft", None).unwrap();
    tree
}

#[test]
fn sample_is_read_back_as_it_was() {
    let tree = sample();
    let again = collected(&written(&tree));
    assert_eq!(tree.differences(&again, Holes::Shown).unwrap(), []);
}

#[test]
fn members_stand_in_order_and_links_after_their_first_name() {
    let all = read(&written(&sample())).unwrap();
    assert_eq!(all[0].entry.path, b"./");
    assert_eq!(
        (&all[1].entry.path[..], &all[1].data[..]),
        (&b"a-link"[..], &b"content"[..])
    );
    let target = b"a-link".to_vec();
    for name in [&b"dir/z-link"[..], b"plain"] {
        let link = all.iter().find(|seen| seen.entry.path == name).unwrap();
        assert_eq!(
            link.entry.kind,
            EntryKind::HardLink {
                target: target.clone(),
                size: 0
            }
        );
    }
}

#[test]
fn bytes_are_always_the_same() {
    let digest = blake3::hash(&written(&sample())).to_hex();
    assert_eq!(
        digest.as_str(),
        "82e8f2bc5c514e3c0c7d934d3601796528776646f2ff693645fa43eb6a190512"
    );
}

#[test]
fn what_fits_a_header_has_no_records() {
    let mut tree = Tree::new(Meta {
        mode: 0o755,
        ..Meta::default()
    });
    let split = [b"p".repeat(155), b"/".to_vec(), b"n".repeat(100)].concat();
    // Components have 255 bytes at most, but the tree does not mind longer paths.
    for path in [&b"file"[..], &split] {
        let kind = Kind::File(Content::inline("x"));
        let largest = Meta {
            uid: 0o7_777_777,
            gid: 0o7_777_777,
            ..meta(0o7777)
        };
        let mtime = Some(Time::from_sec(0o77_777_777_777));
        tree.put(path, Meta { mtime, ..largest }, kind, Policy::default())
            .unwrap();
    }
    let archive = written(&tree);
    assert_eq!(archive.len(), 2 * 1024 + 1024);
    assert_eq!(
        tree.differences(&collected(&archive), Holes::Shown)
            .unwrap(),
        []
    );
}

/// Takes away what no tool restores from a tar: all times but mtime, and what is ours.
fn extractable(mut tree: Tree<Content>) -> Tree<Content> {
    for id in tree.ids().collect::<Vec<_>>() {
        let meta = tree.meta_mut(id);
        (meta.atime, meta.ctime, meta.crtime, meta.project) = (None, None, None, 0);
        meta.flags = InodeFlags::default();
    }
    tree
}

/// Extracts an archive with a tool, and reads what GNU tar makes of the result.
fn extracted(archive: &[u8], command: &str) -> Tree<Content> {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new("sh")
        .args(["-euc", command])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), archive).unwrap();
    assert!(child.wait().unwrap().success(), "{command}");
    let again = "tar --sparse --format=pax --xattrs --xattrs-include='*' --acls -c .";
    extractable(collected(&shell(folder.path(), again)))
}

#[test]
fn tools_extract_what_was_written() {
    if !is_root() {
        eprintln!("skipped: only root can extract everything");
        return;
    }
    let sample = || extractable(sample());
    let gnu =
        "tar --warning=no-unknown-keyword --numeric-owner --xattrs --xattrs-include='*' --acls -xp";
    let bsd = "bsdtar --numeric-owner --xattrs --acls -xpf -";
    for (tool, command, tree) in [
        ("tar", gnu, sample()),
        ("bsdtar", bsd, for_libarchive(sample())),
    ] {
        if !has(tool) {
            continue;
        }
        let mut found = extracted(&written(&tree), command);
        if tool == "bsdtar" {
            // It changes the folder that it extracts into after it has set its time.
            found.meta_mut(found.root()).mtime = tree.node(tree.root()).meta.mtime;
        }
        assert_eq!(
            tree.differences(&found, Holes::AsZeros).unwrap(),
            [],
            "{tool}"
        );
    }
}

/// Takes away what libarchive 3.6 reads otherwise than GNU tar: fractions of a second before 1970
/// (it counts them forward) and `=` and `%` in names of attributes (it knows no escapes there).
fn for_libarchive(mut tree: Tree<Content>) -> Tree<Content> {
    for id in tree.ids().collect::<Vec<_>>() {
        let meta = tree.meta_mut(id);
        meta.xattrs.remove(&b"user.we=ird%"[..]);
        if let Some(mtime) = meta.mtime.as_mut().filter(|mtime| mtime.sec < 0) {
            mtime.nsec = 0;
        }
    }
    tree
}

#[test]
fn what_tar_cannot_hold_is_refused() {
    let entry = |path: &[u8], kind| Entry {
        path: path.to_vec(),
        kind,
        meta: meta(0o644),
        offset: None,
    };
    let file = |size| EntryKind::File { size };
    let target = Vec::new();
    let strange = Meta {
        flags: InodeFlags(0x8_0000),
        ..meta(0o644)
    };
    for (entry, ignore) in [
        (entry(b"socket", EntryKind::Socket), Some("sockets")),
        (entry(b"", file(0)), None),
        (entry(b"a\0b", file(0)), None),
        (entry(b"/", file(0)), None),
        (entry(b"link", EntryKind::Symlink(target.clone())), None),
        (
            entry(b"link", EntryKind::HardLink { target, size: 0 }),
            None,
        ),
        (entry(b"size", file(5)), None),
        (
            Entry {
                meta: strange,
                ..entry(b"flags", file(0))
            },
            None,
        ),
    ] {
        let mut writer = Writer::new(Vec::new());
        let error = writer.append(&entry, &Content::inline("four")).unwrap_err();
        let expected =
            matches!(error, WriteError::Unrepresentable { ignore: found, .. } if found == ignore);
        assert!(expected, "{error}");
        assert_eq!(writer.finish().unwrap().len(), 1024, "nothing was written");
    }
    let options = WriteOptions {
        ignore_sockets: true,
        ..WriteOptions::default()
    };
    let mut writer = Writer::with_options(Vec::new(), options);
    writer
        .append(&entry(b"socket", EntryKind::Socket), &Content::new())
        .unwrap();
    assert!(matches!(&writer.take_notes()[..], [Note::Ignored { entry, .. }] if entry == "socket"));
}

#[test]
fn hard_link_with_a_body_is_written_so_that_it_is_read() {
    let kind = EntryKind::HardLink {
        target: b"a".to_vec(),
        size: 1024,
    };
    let entry = Entry {
        path: b"b".to_vec(),
        kind,
        meta: meta(0o644),
        offset: None,
    };
    // A body of zeros looks like the end of the archive.
    let mut writer = Writer::new(Vec::new());
    writer.append(&entry, &Content::hole(1024)).unwrap();
    let all = read(&writer.finish().unwrap()).unwrap();
    assert_eq!(
        (&all[0].entry.kind, &all[0].data[..]),
        (&entry.kind, &[0; 1024][..])
    );
}

#[test]
fn failing_output_is_an_error_with_its_place() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            let len = buf.len().min(self.0);
            self.0 -= len;
            if len == 0 {
                Err(std::io::ErrorKind::StorageFull.into())
            } else {
                Ok(len)
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut writer = Writer::new(Full(700));
    let result = writer
        .append_tree(&sample())
        .and_then(|()| writer.finish().map(drop));
    assert!(matches!(result, Err(WriteError::Io { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn written_trees_are_read_back_as_they_were(
        tree in arbitrary::tree(Shape { sockets: false, ..Shape::default() })
    ) {
        let archive = written(&tree);
        let again = collected(&archive);
        prop_assert_eq!(tree.differences(&again, Holes::Shown).unwrap(), []);
        prop_assert_eq!(written(&again), archive);
    }
}
