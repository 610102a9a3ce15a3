//! Trees of contents: collected, played back, dumped.

use std::sync::Arc;

use forger_block::BlockRead;
use proptest::prelude::*;

use super::super::arbitrary::{self, Shape};
use super::super::*;
use crate::source::{self, BodyRun, Entry, EntryKind, Source};
use crate::tree::compare::{Change, Difference, Fact};

/// Entries from a list, contents from an origin or by bytes only.
struct Listed {
    entries: std::vec::IntoIter<(Entry, Vec<BodyRun<'static>>)>,
    runs: std::vec::IntoIter<BodyRun<'static>>,
    origin: Option<Arc<dyn BlockRead>>,
}

impl Source for Listed {
    fn next_entry(&mut self) -> Result<Option<Entry>, source::Error> {
        Ok(self.entries.next().map(|(entry, runs)| {
            self.runs = runs.into_iter();
            entry
        }))
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, source::Error> {
        Ok(self.runs.next())
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        self.origin.clone()
    }
}

fn listed(
    entries: Vec<(&str, EntryKind, Vec<BodyRun<'static>>)>,
    origin: Option<Arc<dyn BlockRead>>,
) -> Listed {
    let entries: Vec<_> = entries
        .into_iter()
        .zip(1u64..)
        .map(|((path, kind, runs), n)| {
            let entry = Entry {
                path: path.as_bytes().to_vec(),
                kind,
                meta: Meta::default(),
                offset: Some(n * 512),
            };
            (entry, runs)
        })
        .collect();
    Listed {
        entries: entries.into_iter(),
        runs: Vec::new().into_iter(),
        origin,
    }
}

fn data(bytes: &'static [u8], at: Option<u64>) -> BodyRun<'static> {
    BodyRun::Data { bytes, at }
}

fn content(tree: &Tree<Content>, path: &str) -> Content {
    match &tree.node(tree.get(path.as_bytes()).unwrap()).kind {
        Kind::File(content) => content.clone(),
        other => panic!("{path} is {}", other.name()),
    }
}

#[test]
fn contents_are_spans_of_the_origin_where_there_is_one() {
    let origin: Arc<dyn BlockRead> = Arc::new(b"0123456789".to_vec());
    let runs = || {
        vec![
            data(b"23", Some(2)),
            data(b"45", Some(4)),
            BodyRun::Hole(7),
            data(b"inline", None),
        ]
    };
    let file = EntryKind::File { size: 17 };
    let mut source = listed(vec![("a", file, runs())], Some(Arc::clone(&origin)));
    let tree = Tree::collect(&mut source, Policy::default()).unwrap();
    let spans = content(&tree, "a");
    let spans: Vec<_> = spans
        .spans()
        .iter()
        .map(|span| {
            (
                span.at,
                span.len,
                span.offset,
                Arc::ptr_eq(&span.origin, &origin),
            )
        })
        .collect();
    assert_eq!(spans, [(0, 4, 2, true), (11, 6, 0, false)]);
}

#[test]
fn contents_without_origin_are_held_up_to_a_limit() {
    let entries = || {
        let file = || EntryKind::File { size: 6 };
        vec![
            ("a", file(), vec![data(b"012", None), data(b"345", None)]),
            ("b", file(), vec![data(b"678", None), BodyRun::Hole(3)]),
        ]
    };
    let policy = Policy::default();
    let mut tree = Tree::new(Meta::default());
    tree.add(&mut listed(entries(), None), policy, 9).unwrap();
    assert_eq!(content(&tree, "a").spans().len(), 1);
    let mut tree = Tree::new(Meta::default());
    let error = tree.add(&mut listed(entries(), None), policy, 8);
    assert!(
        matches!(error, Err(CollectError::TooLarge { ref entry, limit: 8 }) if entry == "b"),
        "{error:?}"
    );
}

#[test]
fn refused_entry_is_named_with_its_place() {
    let entries = vec![
        ("ok", EntryKind::Fifo, vec![]),
        ("../x", EntryKind::File { size: 0 }, vec![]),
    ];
    let error = Tree::collect(&mut listed(entries, None), Policy::default()).unwrap_err();
    assert_eq!(error.to_string(), "../x (header at byte 1024)");
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "`..` leaves the root");
}

#[test]
fn link_with_body_and_late_target_are_settled() {
    let link = |target: &[u8], size| EntryKind::HardLink {
        target: target.to_vec(),
        size,
    };
    let entries = vec![
        ("early", link(b"a", 0), vec![]),
        ("a", EntryKind::File { size: 1 }, vec![data(b"1", None)]),
        ("body", link(b"a", 2), vec![data(b"22", None)]),
    ];
    let tree = Tree::collect(&mut listed(entries, None), Policy::default()).unwrap();
    assert_eq!(tree.get(b"early"), tree.get(b"a"));
    assert_eq!(content(&tree, "early").size(), 2);
    let entries = vec![("x", link(b"none", 0), vec![])];
    let error = Tree::collect(&mut listed(entries, None), Policy::default()).unwrap_err();
    let text = "hard link x to none, which does not exist";
    assert_eq!(error.to_string(), text);
}

/// A small tree with everything that a dump can say.
fn sample() -> Tree<Content> {
    let mut tree = Tree::new(Meta {
        mode: 0o755,
        ..Meta::default()
    });
    let policy = Policy::default();
    let mut meta = Meta {
        mode: 0o4755,
        uid: u32::MAX,
        gid: 7,
        mtime: Some(Time { sec: -5, nsec: 1 }),
        crtime: Some(Time::from_sec(9)),
        flags: InodeFlags(InodeFlags::IMMUTABLE),
        project: 12,
        ..Meta::default()
    };
    let mut set = |name: &[u8], value: &[u8]| meta.xattrs.insert(name.into(), value.into());
    set(b"user.a=b", b"\"1 2\\\0");
    set(b"user.c", b"");
    let mut sparse = Content::inline(&b"abc"[..]);
    sparse.push_hole(4093);
    sparse.push_inline(&b"d"[..]);
    tree.put(b"d/sparse", meta, Kind::File(sparse), policy)
        .unwrap();
    let device = Device { major: 1, minor: 3 };
    for (path, kind) in [
        (&b"d/null"[..], Kind::CharDevice(device)),
        (b"disk", Kind::BlockDevice(device)),
        (b"fifo", Kind::Fifo),
        (b"socket", Kind::Socket),
        (b"link with \xff", Kind::Symlink((*b"to this").into())),
        (b"e", Kind::directory()),
        (b"empty", Kind::File(Content::new())),
    ] {
        tree.put(path, Meta::default(), kind, policy).unwrap();
    }
    tree.link(b"z", b"d/sparse", None).unwrap();
    tree
}

#[test]
fn dump_has_a_line_for_every_name_with_every_fact() {
    let abcd = blake3::hash(b"abcd").to_hex();
    let empty = blake3::hash(b"").to_hex();
    let expected = format!(
        r#". directory 0755 0:0 implied
d directory 0755 0:0 implied
d/null char 0000 0:0 device=1:3
d/sparse file 4755 4294967295:7 mtime=-5.000000001 crtime=9.000000000 flags=0x10 project=12 user.a\x3db="\x221\x202\x5c\x00" user.c="" size=4097 data=0+3,4096+1, blake3={abcd}
disk block 0000 0:0 device=1:3
e directory 0000 0:0
empty file 0000 0:0 size=0 blake3={empty}
fifo fifo 0000 0:0
link\x20with\x20\xff symlink 0000 0:0 to to\x20this
socket socket 0000 0:0
z link d/sparse
"#
    );
    let dump = sample().dump(Holes::Shown).unwrap();
    assert_eq!(dump, expected);
}

#[test]
fn differences_are_the_facts_that_differ() {
    let (a, mut b) = (sample(), sample());
    assert_eq!(a.differences(&b, Holes::Shown).unwrap(), []);
    b.remove(b"fifo").unwrap();
    let e = b.get(b"e").unwrap();
    b.meta_mut(e).gid = 5;
    let owner = Fact::Owner {
        from: (0, 0),
        to: (0, 5),
    };
    let differences = [
        (&b"e"[..], Change::Changed(vec![owner])),
        (b"fifo", Change::Removed("fifo")),
    ];
    assert_eq!(
        a.differences(&b, Holes::Shown).unwrap(),
        differences.map(|(path, change)| Difference {
            path: path.to_vec(),
            change
        })
    );
}

#[test]
fn holes_and_zeros_differ_only_when_holes_are_shown() {
    let with = |content: Content| {
        let mut tree = Tree::new(Meta::default());
        let put = tree.put(
            b"a",
            Meta::default(),
            Kind::File(content),
            Policy::default(),
        );
        put.unwrap();
        tree
    };
    let (hole, zeros) = (with(Content::hole(5)), with(Content::inline(&[0; 5][..])));
    assert_eq!(hole.differences(&zeros, Holes::AsZeros).unwrap(), []);
    assert_eq!(hole.differences(&zeros, Holes::Shown).unwrap().len(), 1);
}

#[test]
fn empty_implied_folder_is_played_back_and_the_root_not() {
    let mut tree = Tree::new(Meta::default());
    let put = tree.put(b"a/b/c", Meta::default(), Kind::Fifo, Policy::default());
    put.unwrap();
    let paths = |tree: &Tree<Content>| {
        let mut source = TreeSource::new(tree);
        let mut paths = Vec::new();
        while let Some(entry) = source.next_entry().unwrap() {
            paths.push(shown(&entry.path));
        }
        paths
    };
    assert_eq!(paths(&tree), ["a/b/c"]);
    tree.remove(b"a/b/c").unwrap();
    assert_eq!(paths(&tree), ["a/b"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn tree_played_back_is_the_same_tree(tree in arbitrary::tree(Shape::default())) {
        let mut source = TreeSource::new(&tree);
        let again = Tree::collect(&mut source, Policy::default()).unwrap();
        let differences = tree.differences(&again, Holes::Shown).unwrap();
        prop_assert!(differences.is_empty(), "{:#?}", differences);
        prop_assert_eq!(tree.len(), again.len());
    }

    #[test]
    fn trees_differ_when_their_dumps_do(
        a in arbitrary::tree(Shape::default()),
        b in arbitrary::tree(Shape::default()),
        which in any::<prop::sample::Index>(),
        what in 0..6,
    ) {
        let equal = a.dump(Holes::Shown).unwrap() == b.dump(Holes::Shown).unwrap();
        let differences = a.differences(&b, Holes::Shown).unwrap();
        prop_assert_eq!(differences.is_empty(), equal, "{:#?}", differences);
        // One fact of one node.
        let mut c = a.clone();
        let ids: Vec<_> = c.ids().collect();
        let meta = c.meta_mut(*which.get(&ids));
        match what {
            0 => meta.mode ^= 0o100,
            1 => meta.uid ^= 1,
            2 => meta.gid ^= 1 << 31,
            3 => meta.ctime = Some(Time { sec: 77, nsec: meta.ctime.map_or(1, |t| t.nsec ^ 1) }),
            4 => meta.flags.0 ^= InodeFlags::NODUMP,
            _ => drop(meta.xattrs.insert((*b"user.not generated").into(), (*b"x").into())),
        }
        let differences = a.differences(&c, Holes::Shown).unwrap();
        prop_assert_eq!(differences.len(), 1, "{:#?}", differences);
        prop_assert!(a.differences(&a.clone(), Holes::Shown).unwrap().is_empty());
    }

    #[test]
    fn trees_are_generated_without_what_is_not_wanted(
        tree in arbitrary::tree(Shape { all_times: false, flags: false, ..Shape::default() })
    ) {
        for (_, node) in tree.iter() {
            let Meta { atime, ctime, crtime, flags, project, .. } = node.meta;
            prop_assert_eq!((atime, ctime, crtime), (None, None, None));
            prop_assert_eq!((flags.0, project), (0, 0));
        }
    }

    #[test]
    fn generated_attributes_fit_a_block(tree in arbitrary::tree(Shape::default())) {
        for (_, node) in tree.iter() {
            let xattrs = node.meta.xattrs.iter();
            let size: usize = xattrs.map(|(name, value)| 16 + name.len() + value.len() + 8).sum();
            prop_assert!(size < 4000, "{}", size);
            if let Kind::Symlink(target) = &node.kind {
                prop_assert!((1..=4095).contains(&target.len()));
            }
        }
    }
}

#[test]
fn generated_trees_have_everything() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let strategy = arbitrary::tree(Shape::default());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..300 {
        let tree = strategy.new_tree(&mut runner).unwrap().current();
        for (id, node) in tree.iter() {
            seen.insert(node.kind.name());
            let xattrs = &node.meta.xattrs;
            for (fact, holds) in [
                ("a linked file", node.names() > 1),
                ("an implied folder", node.implied() && id != tree.root()),
                ("the last owner", node.meta.uid == u32::MAX),
                (
                    "an ACL",
                    xattrs.contains_key(&b"system.posix_acl_access"[..]),
                ),
                (
                    "a time before 1970",
                    node.meta.mtime.is_some_and(|time| time.sec < 0),
                ),
                ("a flag", node.meta.flags.0 != 0),
                ("a project", node.meta.project != 0),
            ] {
                if holds {
                    seen.insert(fact);
                }
            }
            if let Kind::File(content) = &node.kind
                && content
                    .runs()
                    .any(|run| matches!(run, forger_block::Run::Hole(_)))
            {
                seen.insert("a hole");
            }
        }
    }
    assert_eq!(seen.len(), 7 + 8, "{seen:?}");
}
