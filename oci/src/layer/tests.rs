//! Layers read, written, and held against a model.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::ext4::Layer;
use forger_fs::observe::Silent;
use forger_fs::source::{BodyPlace, BodyRun, Entry, Error as SourceError, Source};
use forger_fs::tar;
use forger_fs::tree::arbitrary::{Shape, tree};
use forger_fs::tree::compare::Comparison;
use forger_fs::tree::{Content, Kind, Meta, Policy, Tree, TreeSource};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::blob::Blobs;
use crate::{Descriptor, Digest, Error, ImageManifest, MediaType, Result};

/// Blobs in memory.
#[derive(Debug, Default)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    fn put(&mut self, media_type: MediaType, bytes: Vec<u8>) -> Descriptor {
        let digest = Digest::of(&bytes);
        let descriptor = Descriptor::new(media_type, bytes.len() as u64, digest);
        self.0.insert(digest.to_string(), bytes);
        descriptor
    }
}

impl Blobs for Memory {
    fn open_raw(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        let bytes = self.0.get(blob.digest().as_ref()).cloned();
        bytes
            .map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn Read + Send>)
            .ok_or_else(|| Error::Missing {
                what: blob.digest().to_string(),
                place: self.place(),
            })
    }

    fn standing(&self, blob: &Descriptor) -> Result<Option<Arc<dyn BlockRead>>> {
        let bytes = self.0.get(blob.digest().as_ref()).cloned();
        Ok(bytes.map(|bytes| Arc::new(bytes) as Arc<dyn BlockRead>))
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

fn image(layers: Vec<Descriptor>) -> ImageManifest {
    oci_spec::image::ImageManifestBuilder::default()
        .schema_version(2u32)
        .config(Descriptor::new(
            MediaType::ImageConfig,
            2,
            Digest::of(b"{}"),
        ))
        .layers(layers)
        .build()
        .unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Reads all layers; returns what goes wrong, with all its causes.
fn read(
    blobs: Memory,
    image: &ImageManifest,
    ids: &[Digest],
    options: &LayerOptions,
) -> std::result::Result<Tree<Content>, String> {
    let blobs: Arc<dyn Blobs> = Arc::new(blobs);
    let mut sources = open(&blobs, image, ids, options).map_err(|error| error.to_string())?;
    let mut layers: Vec<Layer<'_>> = sources
        .iter_mut()
        .map(|source| Layer {
            source: source as &mut dyn Source,
            overlay: false,
        })
        .collect();
    collect(&mut layers, &std::env::temp_dir(), &mut Silent).map_err(|error| {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    })
}

fn archive(names: &[&str]) -> Vec<u8> {
    let mut tree: Tree<Content> = Tree::new(Meta::default());
    for name in names {
        let content = Kind::File(Content::inline(name.as_bytes().to_vec()));
        tree.put(name.as_bytes(), Meta::default(), content, Policy::default())
            .unwrap();
    }
    let mut writer = tar::Writer::new(Vec::new());
    writer.append_tree(&tree).unwrap();
    writer.finish().unwrap()
}

#[test]
fn layers_of_every_compression_are_laid_over_each_other() {
    let mut blobs = Memory::default();
    let tars = [
        archive(&["a", "b"]),
        archive(&[".wh.a", "c"]),
        archive(&["d"]),
    ];
    let ids: Vec<Digest> = tars.iter().map(|tar| Digest::of(tar)).collect();
    let layers = vec![
        blobs.put(MediaType::ImageLayerGzip, gzip(&tars[0])),
        blobs.put(
            MediaType::ImageLayerZstd,
            zstd::encode_all(&tars[1][..], 1).unwrap(),
        ),
        blobs.put(MediaType::ImageLayer, tars[2].clone()),
    ];
    for threads in [1, 3] {
        let options = LayerOptions {
            threads,
            ..LayerOptions::default()
        };
        let blobs = Memory(blobs.0.clone());
        let tree = read(blobs, &image(layers.clone()), &ids, &options).unwrap();
        let names = ["a", "b", "c", "d"].map(|name| tree.get(name.as_bytes()).is_some());
        assert_eq!(names, [false, true, true, true]);
    }
}

#[test]
fn what_is_not_what_it_is_said_to_be_is_refused() {
    let tar = archive(&["a"]);
    let id = Digest::of(&tar);
    let try_with = |bytes: Vec<u8>, size: u64, id: Digest, options: &LayerOptions| {
        let mut blobs = Memory::default();
        let blob = blobs.put(MediaType::ImageLayerGzip, bytes);
        let blob = Descriptor::new(MediaType::ImageLayerGzip, size, blob.digest().clone());
        read(blobs, &image(vec![blob]), &[id], options).map(drop)
    };
    let good = gzip(&tar);
    let len = good.len() as u64;
    let options = LayerOptions::default();
    try_with(good.clone(), len, id, &options).unwrap();
    assert!(
        try_with(good.clone(), len + 1, id, &options)
            .unwrap_err()
            .contains("its descriptor says")
    );
    assert!(
        try_with(good.clone(), len - 1, id, &options)
            .unwrap_err()
            .contains("its descriptor says")
    );
    assert!(
        try_with(good.clone(), len, Digest::of(b""), &options)
            .unwrap_err()
            .contains("diff_id")
    );
    let trailing = [&good[..], b"garbage"].concat();
    let len = trailing.len() as u64;
    assert!(try_with(trailing, len, id, &options).is_err());
}

#[test]
fn bombs_are_bounded() {
    // A file of 1 GiB of zeros in a few kilobytes.
    let mut tree: Tree<Content> = Tree::new(Meta::default());
    tree.put(
        b"zeros",
        Meta::default(),
        Kind::File(Content::inline(vec![0; 64 << 20])),
        Policy::default(),
    )
    .unwrap();
    let mut writer = tar::Writer::new(Vec::new());
    writer.append_tree(&tree).unwrap();
    let tar = writer.finish().unwrap();
    let options = LayerOptions {
        max_size: 1 << 20,
        ..LayerOptions::default()
    };
    let packed = [
        (MediaType::ImageLayerGzip, gzip(&tar)),
        (
            MediaType::ImageLayerZstd,
            zstd::encode_all(&tar[..], 1).unwrap(),
        ),
    ];
    for (media_type, packed) in packed {
        let mut blobs = Memory::default();
        let blob = blobs.put(media_type, packed);
        let error = read(blobs, &image(vec![blob]), &[Digest::of(&tar)], &options).unwrap_err();
        assert!(error.contains("the limit is 1048576"), "{error}");
    }
}

#[test]
fn a_layer_that_is_not_compressed_is_read_where_it_stands_and_verified_all_the_same() {
    let mut blobs = Memory::default();
    let tars = [archive(&["a", "b"]), archive(&["c"])];
    let ids: Vec<Digest> = tars.iter().map(|tar| Digest::of(tar)).collect();
    let layers = vec![
        blobs.put(MediaType::ImageLayer, tars[0].clone()),
        blobs.put(MediaType::ImageLayerGzip, gzip(&tars[1])),
    ];
    let options = LayerOptions {
        in_place: true,
        ..LayerOptions::default()
    };
    let opened = |blobs: Memory| {
        let blobs: Arc<dyn Blobs> = Arc::new(blobs);
        open(&blobs, &image(layers.clone()), &ids, &options).unwrap()
    };
    for (mut source, stands) in opened(Memory(blobs.0.clone()))
        .into_iter()
        .zip([true, false])
    {
        while let Some(entry) = source.next_entry().unwrap() {
            assert_eq!(source.origin().is_some(), stands);
            let Some(place) = source.next_place().unwrap() else {
                assert!(!stands);
                continue;
            };
            let BodyPlace::Data { at, len } = place else {
                panic!("{place:?}")
            };
            let mut content = vec![0; usize::try_from(len).unwrap()];
            source.origin().unwrap().read_at(at, &mut content).unwrap();
            assert_eq!(content, entry.path);
        }
    }
    // A byte of a content that nobody looked at.
    let mut damaged = tars[0].clone();
    damaged[512] ^= 1;
    blobs.0.insert(ids[0].to_string(), damaged);
    let mut sources = opened(blobs);
    let mut end = sources[0].next_entry();
    while let Ok(Some(_)) = end {
        while sources[0].next_place().unwrap().is_some() {}
        end = sources[0].next_entry();
    }
    assert!(end.is_err());
}

/// An archive as a layer.
struct AsLayer<'a>(tar::Reader<&'a [u8]>);

impl Source for AsLayer<'_> {
    fn next_entry(&mut self) -> std::result::Result<Option<Entry>, SourceError> {
        self.0.next_entry()
    }

    fn next_run(&mut self) -> std::result::Result<Option<BodyRun<'_>>, SourceError> {
        self.0.next_run()
    }

    fn has_whiteouts(&self) -> bool {
        true
    }
}

fn applied(lower: &Tree<Content>, layer: &[u8]) -> Tree<Content> {
    let mut tree = Tree::new(Meta {
        mode: 0o755,
        ..Meta::default()
    });
    tree.add(&mut TreeSource::new(lower), Policy::default(), 1 << 30)
        .unwrap();
    tree.settle().unwrap();
    tree.add(
        &mut AsLayer(tar::Reader::new(layer)),
        Policy::default(),
        1 << 30,
    )
    .unwrap();
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn diff_applied_to_the_first_tree_gives_the_second(
        mut trees in vec(tree(Shape { sockets: false, hole: 1 << 20, ..Shape::default() }), 2..3)
    ) {
        trees.iter_mut().for_each(|tree| drop(tree.settle()));
        let (lower, upper) = (&trees[0], &trees[1]);
        let layer = match diff(lower, upper, Vec::new(), &Default::default()) {
            Ok((layer, _)) => layer,
            Err(DiffError::Name { .. }) => return Ok(()),
            Err(error) => panic!("{error}"),
        };
        let result = applied(lower, &layer);
        let how = Comparison { holes: true, ..Comparison::default() };
        let differences: Vec<_> = upper.compare(&result, how).collect();
        prop_assert!(differences.is_empty(), "{differences:?}");
        let (none, changes) = diff(upper, upper, Vec::new(), &Default::default()).unwrap();
        prop_assert_eq!((none.len(), changes), (1024, Changes::default()));
    }

    #[test]
    fn stacks_equal_the_model(layers in vec(vec(operation(), 0..10), 1..5)) {
        let mut tree: Tree<u32> = Tree::new(Meta { mode: 0o755, ..Meta::default() });
        let mut model = Model::default();
        let mut number = 0;
        for layer in &layers {
            let mut upper = tree.begin_layer();
            model.whiteouts(layer);
            for operation in layer {
                number += 1;
                let mode = 0o1000 + number;
                let meta = Meta { mode, ..Meta::default() };
                match operation {
                    Operation::Folder(path) | Operation::File(path) => {
                        let folder = matches!(operation, Operation::Folder(_));
                        let kind = if folder { Kind::directory() } else { Kind::File(0) };
                        tree.put(path.as_bytes(), meta, kind, Policy::default()).unwrap();
                        tree.touch(&mut upper, path.as_bytes());
                        model.put(path, mode);
                    }
                    Operation::Gone(path) => {
                        let whiteout = forger_fs::tree::Whiteout::Name(path.clone().into_bytes());
                        tree.whiteout(&upper, &whiteout).unwrap();
                    }
                    Operation::Opaque(path) => {
                        let whiteout = forger_fs::tree::Whiteout::Opaque(path.clone().into_bytes());
                        tree.whiteout(&upper, &whiteout).unwrap();
                    }
                }
            }
        }
        let mut found = BTreeMap::new();
        let mut walk = tree.walk();
        while let Some(visit) = walk.next() {
            if visit.depth > 0 {
                let path = String::from_utf8(walk.path().to_vec()).unwrap();
                found.insert(path, tree.node(visit.node).meta.mode);
            }
        }
        prop_assert_eq!(found, model.0);
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Folder(String),
    File(String),
    Gone(String),
    Opaque(String),
}

/// Folders are folders and files are files, so that every order is legal.
fn operation() -> impl Strategy<Value = Operation> {
    let folder = proptest::sample::select(vec!["d", "e", "d/d", "d/e", "e/d"]);
    let file = proptest::sample::select(vec!["f", "d/f", "d/g", "e/f", "d/d/f", "d/e/f", "e/d/g"]);
    prop_oneof![
        folder
            .clone()
            .prop_map(|path| Operation::Folder(path.to_owned())),
        file.clone()
            .prop_map(|path| Operation::File(path.to_owned())),
        prop_oneof![folder.clone(), file].prop_map(|path| Operation::Gone(path.to_owned())),
        folder.prop_map(|path| Operation::Opaque(path.to_owned())),
    ]
}

/// What the specification says, in the simplest way: all whiteouts of a layer first, then its entries.
#[derive(Default)]
struct Model(BTreeMap<String, u16>);

impl Model {
    fn whiteouts(&mut self, layer: &[Operation]) {
        for operation in layer {
            match operation {
                Operation::Gone(path) => {
                    self.0.retain(|name, _| name != path && !below(name, path));
                }
                Operation::Opaque(path) => {
                    self.0.retain(|name, _| !below(name, path));
                }
                Operation::Folder(_) | Operation::File(_) => {}
            }
        }
    }

    fn put(&mut self, path: &str, mode: u16) {
        for (at, _) in path.match_indices('/') {
            self.0.entry(path[..at].to_owned()).or_insert(0o755);
        }
        self.0.insert(path.to_owned(), mode);
    }
}

fn below(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}
