//! Random edits give what the same changes give in a map of paths.

use std::collections::BTreeMap;

use super::*;
use crate::ext4::FileType;

/// What a path stands for, in the model.
#[derive(Clone, Debug, PartialEq)]
struct Thing {
    kind: FileType,
    mode: u16,
    uid: u32,
    content: Vec<u8>,
    xattr: Option<Vec<u8>>,
}

#[derive(Default)]
struct Model {
    names: BTreeMap<String, usize>,
    things: Vec<Thing>,
}

impl Model {
    fn folder_exists(&self, path: &str) -> bool {
        let (above, _) = path.rsplit_once('/').unwrap();
        above.is_empty() || self.is_folder(above)
    }

    fn is_folder(&self, path: &str) -> bool {
        self.names
            .get(path)
            .is_some_and(|at| self.things[*at].kind == FileType::Directory)
    }

    fn below(&self, path: &str) -> Vec<String> {
        let prefix = format!("{path}/");
        let inside = |name: &&String| name.starts_with(&prefix);
        self.names.keys().filter(inside).cloned().collect()
    }

    fn add(&mut self, path: &str, kind: FileType, mode: u16, content: Vec<u8>) {
        self.things.push(Thing {
            kind,
            mode,
            uid: 1000,
            content,
            xattr: None,
        });
        self.names.insert(path.to_owned(), self.things.len() - 1);
    }

    fn list(&self) -> BTreeMap<String, (Thing, u16)> {
        self.names
            .iter()
            .map(|(path, at)| {
                let thing = self.things[*at].clone();
                let links = if thing.kind == FileType::Directory {
                    let folders = self.below(path).into_iter().filter(|name| {
                        self.is_folder(name) && !name[path.len() + 1..].contains('/')
                    });
                    2 + folders.count()
                } else {
                    self.names.values().filter(|other| *other == at).count()
                };
                (path.clone(), (thing, u16::try_from(links).unwrap()))
            })
            .collect()
    }
}

fn found(image: &Image) -> BTreeMap<String, (Thing, u16)> {
    fn visit(image: &Image, at: InodeNo, path: &str, out: &mut BTreeMap<String, (Thing, u16)>) {
        for entry in image.list(&image.inode(at).unwrap()).unwrap() {
            let name = format!("{path}/{}", String::from_utf8(entry.name).unwrap());
            if name == "/lost+found" {
                continue;
            }
            let inode = image.inode(entry.inode).unwrap();
            let kind = inode.file_type();
            let content = match kind {
                FileType::File => {
                    let mut bytes = vec![0; usize::try_from(inode.size()).unwrap()];
                    image
                        .content(&inode)
                        .unwrap()
                        .read_at(0, &mut bytes)
                        .unwrap();
                    bytes
                }
                FileType::Symlink => image.symlink(&inode).unwrap(),
                _ => Vec::new(),
            };
            let xattrs = image.xattrs(&inode).unwrap();
            let thing = Thing {
                kind,
                mode: inode.mode(),
                uid: inode.uid(),
                content,
                xattr: xattrs.get(&b"user.x"[..]).map(|value| value.to_vec()),
            };
            out.insert(name.clone(), (thing, inode.links()));
            if kind == FileType::Directory {
                visit(image, entry.inode, &name, out);
            }
        }
    }
    let mut out = BTreeMap::new();
    visit(image, InodeNo::ROOT, "", &mut out);
    out
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn path(&mut self) -> String {
        let depth = 1 + self.roll(3);
        (0..depth)
            .map(|_| {
                let name = char::from(b"abcdef"[self.roll(6)]);
                let more = if name == 'f' { 160 } else { 0 };
                format!("/{name}{}", "x".repeat(more))
            })
            .collect()
    }
}

/// Does one random edit in both; the editor must allow exactly what the model allows.
fn step(dice: &mut Dice, editor: &mut Editor, model: &mut Model) {
    let (path, other) = (dice.path(), dice.path());
    let (p, o) = (path.as_bytes(), other.as_bytes());
    let mode = u16::try_from(dice.roll(0o10000)).unwrap();
    let there = model.names.get(&path).copied();
    let above = model.folder_exists(&path);
    let action = dice.roll(10);
    let (allowed, result) = match action {
        0..=2 => {
            let seed = u8::try_from(dice.roll(200)).unwrap();
            let len = [0, 5, 1000, 5000, 70_000][dice.roll(5)];
            let content = bytes(len, seed);
            let mut copy = vec![0; len];
            content.read_at(0, &mut copy).unwrap();
            let ok = above && !model.is_folder(&path);
            if ok {
                model.add(&path, FileType::File, mode, copy);
            }
            (ok, editor.put(p, &meta(mode), content))
        }
        3 | 4 => {
            let ok = above && there.is_none();
            if ok {
                model.add(&path, FileType::Directory, mode, Vec::new());
            }
            (ok, editor.mkdir(p, &meta(mode), false))
        }
        5 => {
            let ok = there.is_some();
            for name in model.below(&path) {
                model.names.remove(&name);
            }
            model.names.remove(&path);
            (ok, editor.remove(p, true))
        }
        6 => {
            let target = model.names.get(&other).copied();
            let ok = above && there.is_none() && target.is_some() && !model.is_folder(&other);
            if let (true, Some(target)) = (ok, target) {
                model.names.insert(path.clone(), target);
            }
            (ok, editor.link(o, p))
        }
        7 => {
            let from = model.names.get(&other).copied();
            let same = from.is_some() && from == there;
            let folder = model.is_folder(&other);
            let fits = match there {
                None => true,
                Some(_) if same => true,
                Some(_) => model.is_folder(&path) == folder && model.below(&path).is_empty(),
            };
            let inside = folder && format!("{path}/").starts_with(&format!("{other}/"));
            let ok = from.is_some() && above && fits && (!inside || same);
            if ok && !same {
                for name in model.below(&other) {
                    let at = model.names.remove(&name).unwrap();
                    model
                        .names
                        .insert(format!("{path}{}", &name[other.len()..]), at);
                }
                let at = model.names.remove(&other).unwrap();
                model.names.insert(path.clone(), at);
            }
            // A folder onto itself is refused as "inside itself", which is as good.
            let result = editor.rename(o, p);
            if same && inside {
                return;
            }
            (ok, result)
        }
        8 => {
            if let Some(at) = there {
                model.things[at].mode = mode;
                model.things[at].uid = 7;
            }
            let result = editor.chmod(p, mode);
            let again = editor.chown(p, Some(7), None);
            assert_eq!(result.is_ok(), again.is_ok());
            (there.is_some(), result)
        }
        _ => {
            let value = vec![b'v'; [3, 60, 500][dice.roll(3)]];
            if let Some(at) = there {
                model.things[at].xattr = Some(value.clone());
            }
            (there.is_some(), editor.set_xattr(p, b"user.x", &value))
        }
    };
    assert_eq!(
        allowed,
        result.is_ok(),
        "{action} {path} {other}: {result:?}"
    );
}

fn run(path: &Path, seed: u64, when: &str) {
    let mut dice = Dice(seed);
    let mut model = Model::default();
    for round in 0..4 {
        edit(path, |editor| {
            (0..120).for_each(|_| step(&mut dice, editor, &mut model));
            Ok(())
        });
        assert_clean(path, &format!("{when}, seed {seed}, round {round}"));
        let image = Image::open(Arc::new(FileReader::open(path).unwrap())).unwrap();
        assert_eq!(
            found(&image),
            model.list(),
            "{when}, seed {seed}, round {round}"
        );
    }
}

#[test]
fn random_edits_give_what_the_model_gives() {
    if !tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (seed, form) in (1..).zip(FORMS) {
        let path = make(folder.path(), form, "64M");
        run(&path, seed, &format!("{form:?}"));
    }
}

#[test]
fn images_of_our_own_are_edited() {
    if !tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own");
    let options = crate::ext4::Options {
        size: crate::ext4::Size::Exact(64 << 20),
        ..Default::default()
    };
    let empty = crate::tree::Tree::<crate::tree::Content>::new(Meta {
        mode: 0o755,
        ..Meta::default()
    });
    let mut source = crate::tree::TreeSource::new(&empty);
    let mut layers = [crate::ext4::Layer {
        source: &mut source,
        overlay: false,
    }];
    let (image, _) = crate::ext4::plan(&mut layers, &options, &mut crate::observe::Silent).unwrap();
    let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
    image.read_at(0, &mut bytes).unwrap();
    std::fs::write(&path, bytes).unwrap();
    run(&path, 99, "our own");
}
