//! A damaged or hostile image is read and checked to an end.
//!
//! Oracle: opening, replaying, looking up, listing, walking, reading the whole tree and its
//! contents, and checking come to an end without a panic, within the memory that the caller allows; where the
//! verifier finds nothing, everything can be read. The image is one of forger's own with the input's bytes
//! put into it. Its feature `metadata_csum` is taken away, so that damage gets past the checksums.
#![no_main]

use std::sync::{Arc, OnceLock};

use forger_block::{BlockRead, Bytes};
use forger_fs::ext4::{self, Free, Image, Journal, Layer, Options, ReadError, Size};
use forger_fs::observe::Silent;
use forger_fs::tar::Reader;
use forger_fs::tree::{Kind, shown};
use forger_tests::archive::Archive;
use forger_tests::generated;
use libfuzzer_sys::fuzz_target;

/// How many bytes of memory a tree may take.
const MEMORY: u64 = 64 << 20;
/// How many bytes of a content are read.
const CONTENT: u64 = 1 << 20;

fuzz_target!(|patches: &[u8]| {
    let mut image = base().to_vec();
    for patch in patches.chunks_exact(6) {
        let [a, b, c, d, value @ ..] = patch else {
            continue;
        };
        let at = u32::from_le_bytes([*a, *b, *c, *d]) as usize % (image.len() - 1);
        image[at..at + 2].copy_from_slice(value);
    }
    let source: Arc<dyn BlockRead> = Arc::new(Bytes::from(image));
    let Ok(image) = Image::open(source) else {
        return;
    };
    let report = ext4::check_within(&image, 100).expect("the image is in memory");
    let read = read(&image);
    let looked = look(&image);
    let _orphans = image.orphans();
    if report.findings.is_empty() && !matches!(read, Err(ReadError::Memory { .. })) {
        read.expect("a clean image can be read");
        looked.expect("a clean image can be looked into");
    }
});

/// Walks through all names, as the commands do that look into images.
fn look(image: &Image) -> Result<(), ReadError> {
    let root = image.lookup(b"/", true)?;
    for step in image.walk(&root, b"/")? {
        let inode = image.inode(step?.entry.inode)?;
        image.map(&inode)?;
        image.xattrs(&inode)?;
    }
    Ok(())
}

fn read(image: &Image) -> Result<(), ReadError> {
    let tree = image.tree_within(MEMORY)?;
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let found = image.lookup(walk.path(), false)?;
        assert_eq!(
            found.uid(),
            tree.node(visit.node).meta.uid,
            "{}",
            shown(walk.path())
        );
        if let Kind::File(content) = &tree.node(visit.node).kind {
            let mut bytes = vec![0; content.size().min(CONTENT) as usize];
            content.read_at(0, &mut bytes)?;
        }
    }
    Ok(())
}

/// Returns an image without checksums.
fn base() -> &'static [u8] {
    static BASE: OnceLock<Vec<u8>> = OnceLock::new();
    BASE.get_or_init(|| {
        let recipe: Vec<u8> = (0..=255).cycle().take(2000).collect();
        let mut archive = Archive::new();
        archive.extend(&generated::members(&recipe));
        let archive = Bytes::from(archive.finish());
        let mut reader = Reader::new(&archive[..]).with_origin(Arc::new(archive.clone()));
        let mut layers = [Layer {
            source: &mut reader,
            overlay: false,
        }];
        let options = Options {
            journal: Journal::None,
            size: Size::Auto(Free::Bytes(0)),
            ..Options::default()
        };
        let (plan, _) = ext4::plan(&mut layers, &options, &mut Silent).expect("a legal archive");
        let mut image = vec![0; plan.len() as usize];
        plan.read_at(0, &mut image).expect("contents are in memory");
        // s_feature_ro_compat, bit 0x400.
        image[1024 + 0x65] &= !0x04;
        image
    })
}
