//! Two trees of generated members: the layer that makes one of the other.
//!
//! Oracle: the layer, laid over the first tree, gives the second; and nothing has to be laid over a tree to make
//! it itself.
#![no_main]

use forger_fs::source::{BodyRun, Entry, Error, Source};
use forger_fs::tar::Reader;
use forger_fs::tree::compare::Comparison;
use forger_fs::tree::{Content, Policy, Tree};
use forger_oci::layer::{Changes, diff};
use forger_tests::archive::Archive;
use forger_tests::generated;
use libfuzzer_sys::fuzz_target;

struct AsLayer<'a>(Reader<&'a [u8]>);

impl Source for AsLayer<'_> {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        self.0.next_entry()
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        self.0.next_run()
    }

    fn has_whiteouts(&self) -> bool {
        true
    }
}

fn tree(recipe: &[u8]) -> Option<Tree<Content>> {
    let mut archive = Archive::new();
    archive.extend(&generated::members(recipe));
    Tree::collect(&mut Reader::new(&archive.finish()[..]), Policy::default()).ok()
}

fuzz_target!(|input: &[u8]| {
    let (first, second) = input.split_at(input.len() / 2);
    let (Some(lower), Some(upper)) = (tree(first), tree(second)) else {
        return;
    };
    let Ok((layer, _)) = diff(&lower, &upper, Vec::new(), &Default::default()) else {
        return;
    };
    let mut result = lower;
    let mut source = AsLayer(Reader::new(&layer[..]));
    result
        .add(&mut source, Policy::default(), 1 << 26)
        .expect("what was written is read");
    let differences: Vec<_> = upper.compare(&result, Comparison::default()).collect();
    assert!(differences.is_empty(), "{differences:?}");
    let (none, changes) =
        diff(&upper, &upper, Vec::new(), &Default::default()).expect("memory takes it");
    assert_eq!((none.len(), changes), (1024, Changes::default()));
});
