//! Any archive that the generator can make becomes an image that reads back as the same tree.
//!
//! Oracle: ingest and plan succeed, for the generator makes legal archives only; forger's own reader
//! opens the image, believes every checksum in it, and finds the tree that the archive means; the
//! verifier has nothing to say; the image written in one pass has the same bytes as the planned one. (e2fsck and the kernel judge
//! the same generator's images in `tests/property.rs`.)
#![no_main]

use std::sync::Arc;

use forger_block::{BlockRead, Bytes, MemorySink, PlacedSink, SparseImage};
use forger_fs::ext4::{self, Free, Image, Journal, Layer, Options, Size};
use forger_fs::observe::Silent;
use forger_fs::tar::Reader;
use forger_fs::tree::{Content, Holes, Policy, Tree};
use forger_tests::archive::Archive;
use forger_tests::generated;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|recipe: &[u8]| {
    let mut archive = Archive::new();
    archive.extend(&generated::members(recipe));
    let archive = Bytes::from(archive.finish());
    let options = options(recipe.first().copied().unwrap_or_default());
    let image = planned(&archive, &options);
    if recipe.len().is_multiple_of(8) {
        assert_same_bytes(&image, &archive, &options);
    }
    let opened = Image::open(Arc::new(image)).expect("the image opens");
    let report = ext4::check(&opened).expect("the image can be read");
    let found = report.findings;
    assert!(found.is_empty(), "{found:#?}");
    let is = lines(&opened.tree().expect("the image reads back"));
    let meant = Tree::collect(&mut reader(&archive), Policy::default()).expect("a legal archive");
    let meant = lines(&meant);
    assert_eq!(is, meant);
});

/// Small images, some with a journal, so that little time goes into free space.
fn options(choice: u8) -> Options {
    let journal = if choice & 1 == 0 {
        Journal::None
    } else {
        Journal::Bytes(4 << 20)
    };
    Options {
        journal,
        size: Size::Auto(Free::Bytes(0)),
        // Contents that are not looked at, of which a pipe shows all, give the same bytes too.
        unread: choice & 2 != 0,
        ..Options::default()
    }
}

fn reader(archive: &Bytes) -> Reader<&[u8]> {
    Reader::new(&archive[..]).with_origin(Arc::new(archive.clone()))
}

fn planned(archive: &Bytes, options: &Options) -> SparseImage {
    let mut reader = reader(archive);
    let mut layers = [Layer {
        source: &mut reader,
        overlay: false,
    }];
    ext4::plan(&mut layers, options, &mut Silent)
        .expect("a legal archive")
        .0
}

fn assert_same_bytes(image: &SparseImage, archive: &Bytes, options: &Options) {
    let mut planned = vec![0; usize::try_from(image.len()).expect("a small image")];
    image
        .read_at(0, &mut planned)
        .expect("contents are in memory");
    let mut sink = Box::new(MemorySink::new());
    let output = sink.output();
    let mut reader = Reader::new(&archive[..]);
    let mut layers = [Layer {
        source: &mut reader,
        overlay: false,
    }];
    let summary = ext4::write(&mut layers, options, &mut *sink, &mut Silent);
    sink.finish(summary.expect("a legal archive").size)
        .expect("nothing beyond the end");
    assert!(output.bytes().is_some_and(|written| written == planned));
}

/// Describes a tree without what an archive does not say: times it lacks, the mode of symlinks,
/// and `lost+found`.
fn lines(tree: &Tree<Content>) -> Vec<String> {
    tree.dump(Holes::AsZeros)
        .expect("contents are in memory")
        .lines()
        .filter(|line| !line.starts_with("lost+found ") && !line.starts_with(". "))
        .map(said)
        .collect()
}

fn said(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    if words.get(1) == Some(&"symlink") {
        words.remove(2);
    }
    let unsaid = ["atime=", "ctime=", "crtime=", "implied"];
    words.retain(|word| !unsaid.iter().any(|start| word.starts_with(start)));
    words.join(" ")
}
