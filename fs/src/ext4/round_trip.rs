//! Written, read back with our own reader, compared: generated trees keep every fact.

use std::sync::Arc;

use forger_block::{BlockRead, Bytes, MemorySink, PlacedSink};
use proptest::prelude::*;

use super::{Image, Layer, Options, check, plan, write};
use crate::observe::Silent;
use crate::source::Source;
use crate::tar;
use crate::tree::arbitrary::{self, Shape};
use crate::tree::{Content, Holes, Kind, Meta, Policy, Time, Tree, TreeSource};

const SHAPE: Shape = Shape {
    entries: 40,
    data: 9000,
    hole: 1 << 20,
    sockets: true,
    all_times: true,
    flags: true,
};

/// Writes a tree into memory.
fn written(tree: &Tree<Content>, options: &Options) -> Bytes {
    of_source(TreeSource::new(tree), options)
}

/// Writes a source into memory.
fn of_source(mut source: impl Source, options: &Options) -> Bytes {
    let mut sink = Box::new(MemorySink::new());
    let output = sink.output();
    let mut layers = [Layer {
        source: &mut source,
        overlay: false,
    }];
    let summary = write(&mut layers, options, &mut *sink, &mut Silent).unwrap();
    sink.finish(summary.size).unwrap();
    output.bytes().unwrap()
}

/// Fills in what the writer decides for what the source leaves open.
fn completed(tree: &Tree<Content>, time: Time) -> Tree<Content> {
    let mut tree = tree.clone();
    if tree.get(b"lost+found").is_none() {
        let meta = Meta {
            mode: 0o700,
            ..Meta::default()
        };
        tree.put(b"lost+found", meta, Kind::directory(), Policy::default())
            .unwrap();
    }
    for id in tree.ids().collect::<Vec<_>>() {
        let symlink = matches!(tree.node(id).kind, Kind::Symlink(_));
        let meta = tree.meta_mut(id);
        let mtime = *meta.mtime.get_or_insert(time);
        meta.atime.get_or_insert(mtime);
        meta.ctime.get_or_insert(mtime);
        meta.crtime.get_or_insert(mtime);
        if symlink {
            meta.mode = 0o777;
        }
    }
    // In an image no folder is only implied.
    let mut implied = Vec::new();
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let node = tree.node(visit.node);
        if node.implied() {
            let path = if visit.depth == 0 { b"." } else { walk.path() };
            implied.push((path.to_vec(), node.meta.clone()));
        }
    }
    for (path, meta) in implied {
        tree.put(&path, meta, Kind::directory(), Policy::default())
            .unwrap();
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn reading_what_was_written_gives_the_same_tree(tree in arbitrary::tree(SHAPE)) {
        let lost_found = tree.get(b"lost+found").map(|id| tree.node(id).kind.is_directory());
        prop_assume!(lost_found != Some(false));
        let time = Time::from_sec(1_700_000_000);
        let options = Options { time: Some(time), ..Options::default() };
        let bytes = written(&tree, &options);
        let image = Image::open(Arc::new(bytes.clone())).unwrap();
        let findings = check(&image).unwrap().findings;
        prop_assert!(findings.is_empty(), "{:#?}", findings);
        let expected = completed(&tree, time);
        let differences = expected.differences(&image.tree().unwrap(), Holes::AsZeros).unwrap();
        prop_assert_eq!(differences, []);

        let mut source = TreeSource::new(&tree);
        let mut layers = [Layer { source: &mut source, overlay: false }];
        let (planned, _) = plan(&mut layers, &options, &mut Silent).unwrap();
        let mut read = vec![0; usize::try_from(planned.len()).unwrap()];
        planned.read_at(0, &mut read).unwrap();
        prop_assert!(read == bytes, "a planned image reads otherwise than a written one");
    }

    #[test]
    fn contents_that_nobody_looked_at_stand_where_they_would_if_they_were_read(
        tree in arbitrary::tree(Shape { sockets: false, ..SHAPE })
    ) {
        let lost_found = tree.get(b"lost+found").map(|id| tree.node(id).kind.is_directory());
        prop_assume!(lost_found != Some(false));
        let mut writer = tar::Writer::new(Vec::new());
        writer.append_tree(&tree).unwrap();
        let archive = Bytes::from(writer.finish().unwrap());
        let options = Options { unread: true, ..Options::default() };
        let once = tar::Reader::new(&archive[..]);
        let again = || tar::Reader::new(&archive[..]).with_origin(Arc::new(archive.clone()));
        let bytes = of_source(once, &options);
        prop_assert!(of_source(again(), &options) == bytes, "written of places");
        let mut source = again();
        let mut layers = [Layer { source: &mut source, overlay: false }];
        let (planned, _) = plan(&mut layers, &options, &mut Silent).unwrap();
        let mut read = vec![0; usize::try_from(planned.len()).unwrap()];
        planned.read_at(0, &mut read).unwrap();
        prop_assert!(read == bytes, "planned of places");
    }
}
