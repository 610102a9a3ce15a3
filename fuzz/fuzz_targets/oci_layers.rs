//! Archives of any bytes, and archives of generated members, are laid over each other as layers.
//!
//! Oracle: laying ends, without a panic. Where it succeeds, no name begins with `.wh.` (but `.wh.` itself), and the
//! layer that makes the result of nothing makes it again.
#![no_main]

use forger_fs::source::{BodyRun, Entry, Error, Source};
use forger_fs::tar::Reader;
use forger_fs::tree::compare::Comparison;
use forger_fs::tree::{Content, Meta, Policy, Tree};
use forger_oci::layer::{DiffError, diff};
use forger_tests::archive::Archive;
use forger_tests::generated;
use libfuzzer_sys::fuzz_target;

/// An archive as a layer; one byte of the recipe makes its names whiteouts.
struct AsLayer<'a> {
    reader: Reader<&'a [u8]>,
    marks: &'a [u8],
    count: usize,
}

impl Source for AsLayer<'_> {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        let mut entry = self.reader.next_entry()?;
        if let Some(entry) = &mut entry {
            let mark = self
                .marks
                .get(self.count % self.marks.len().max(1))
                .copied();
            self.count += 1;
            let last = entry
                .path
                .iter()
                .rposition(|byte| *byte == b'/')
                .map_or(0, |at| at + 1);
            match mark {
                Some(mark) if mark % 8 == 1 => drop(entry.path.splice(last..last, *b".wh.")),
                Some(mark) if mark % 8 == 2 => {
                    entry.path.truncate(last);
                    entry.path.extend_from_slice(b".wh..wh..opq");
                }
                _ => {}
            }
        }
        Ok(entry)
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        self.reader.next_run()
    }

    fn has_whiteouts(&self) -> bool {
        true
    }
}

fn empty() -> Tree<Content> {
    Tree::new(Meta {
        mode: 0o755,
        ..Meta::default()
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((&kind, recipe)) = input.split_first() else {
        return;
    };
    let mut tree = empty();
    for part in recipe.chunks(recipe.len().div_ceil(3).max(1)) {
        let archive = match kind % 2 {
            0 => part.to_vec(),
            _ => {
                let mut archive = Archive::new();
                archive.extend(&generated::members(part));
                archive.finish()
            }
        };
        let mut layer = AsLayer {
            reader: Reader::new(&archive[..]),
            marks: part,
            count: 0,
        };
        // Contents of more than a mebibyte are refused.
        if tree.add(&mut layer, Policy::default(), 1 << 20).is_err() {
            return;
        }
    }
    let layer = match diff(&empty(), &tree, Vec::new(), &Default::default()) {
        Ok((layer, _)) => layer,
        Err(DiffError::Name { entry }) => panic!("{entry} is a whiteout"),
        Err(_) => return,
    };
    let mut again = empty();
    let mut source = AsLayer {
        reader: Reader::new(&layer[..]),
        marks: &[],
        count: 0,
    };
    again
        .add(&mut source, Policy::default(), 1 << 24)
        .expect("what was written is read");
    let differences: Vec<_> = tree.compare(&again, Comparison::default()).collect();
    assert!(differences.is_empty(), "{differences:?}");
});
