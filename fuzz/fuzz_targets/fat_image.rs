//! A damaged or hostile FAT is read to an end, and a tree of any names becomes one that reads back.
//!
//! Oracle: a volume with the input's bytes put into it is read without a panic, within bounds; what it
//! holds is planned anew, and that volume reads back as the same tree. What cannot be a FAT is an error.
#![no_main]

use std::sync::{Arc, OnceLock};

use forger_block::{BlockRead, Bytes};
use forger_fs::fat::{Options, Size, Volume, plan};
use forger_fs::observe::Silent;
use forger_fs::tree::{Content, Holes, Kind, Meta, Policy, Tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|patches: &[u8]| {
    let mut image = base().to_vec();
    for patch in patches.chunks_exact(5) {
        let [a, b, c, value @ ..] = patch else {
            continue;
        };
        // Boot sector, tables and folders stand at the start.
        let at = u32::from_le_bytes([*a, *b, *c & 1, 0]) as usize % (image.len() - 1);
        image[at..at + 2].copy_from_slice(value);
    }
    let source: Arc<dyn BlockRead> = Arc::new(Bytes::from(image));
    let Ok(volume) = Volume::open(source) else {
        return;
    };
    volume.free_clusters().expect("the table is in memory");
    let Ok(tree) = volume.tree() else {
        return;
    };
    let options = Options {
        size: Size::Auto { free: 0 },
        ..Options::default()
    };
    // A name that only a damaged volume has is refused.
    let Ok((image, summary)) = plan(&tree, &options, &mut Silent) else {
        return;
    };
    let again = Volume::open(Arc::new(image)).expect("a planned volume opens");
    assert_eq!(
        again.free_clusters().expect("in memory"),
        summary.free_clusters
    );
    let mut again = again.tree().expect("a planned volume reads back");
    let mut tree = tree;
    for tree in [&mut tree, &mut again] {
        for id in tree.ids().collect::<Vec<_>>() {
            let meta = tree.meta_mut(id);
            // Times that no calendar has become others.
            (meta.mtime, meta.atime, meta.crtime) = (None, None, None);
        }
    }
    let differences = tree.differences(&again, Holes::AsZeros).expect("in memory");
    assert!(differences.is_empty(), "{differences:?}");
});

/// Returns a volume with folders, long names and contents.
fn base() -> &'static [u8] {
    static BASE: OnceLock<Vec<u8>> = OnceLock::new();
    BASE.get_or_init(|| {
        let mut tree = Tree::new(Meta::default());
        for i in 0..40_usize {
            let name = format!("folder {}/a file with a long name {i}.txt", i % 5);
            let file = Kind::File(Content::inline(vec![i as u8; i * 100]));
            tree.put(name.as_bytes(), Meta::default(), file, Policy::default())
                .expect("a legal name");
        }
        let options = Options {
            size: Size::Auto { free: 0 },
            ..Options::default()
        };
        let (image, _) = plan(&tree, &options, &mut Silent).expect("a legal tree");
        let mut bytes = vec![0; image.len() as usize];
        image.read_at(0, &mut bytes).expect("in memory");
        bytes
    })
}
