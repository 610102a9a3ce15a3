//! The tree against a second, simpler implementation of the same rules.
//!
//! The model knows nothing of nodes in folders: it is a map from canonical paths to numbers, and
//! what it does for an entry it does by looking through the whole map.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

type Path = Vec<String>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    File(u32),
    Folder { implied: bool, owner: u32 },
    Symlink(String),
    Fifo,
}

#[derive(Clone, Debug, Default)]
struct Model {
    /// Canonical path to node; the root is the empty path.
    names: BTreeMap<Path, usize>,
    items: Vec<Item>,
    /// Canonical path to order of arrival, target and body.
    waiting: BTreeMap<Path, (usize, String, Option<u32>)>,
    arrivals: usize,
    released: BTreeSet<u32>,
}

#[derive(Clone, Debug)]
enum Op {
    Put(String, Item, bool),
    Link(String, String, Option<u32>),
    Remove(String),
    Settle,
}

impl Model {
    fn new() -> Self {
        let mut model = Self::default();
        let implied = true;
        model.set(vec![], Item::Folder { implied, owner: 0 });
        model
    }

    fn item(&self, path: &Path) -> Option<&Item> {
        self.names.get(path).map(|&node| &self.items[node])
    }

    fn set(&mut self, path: Path, item: Item) {
        self.items.push(item);
        self.names.insert(path, self.items.len() - 1);
    }

    /// Splits into steps; `None` when `..` leaves the root as text, or there is nothing.
    fn steps(path: &str) -> Option<Path> {
        let steps = path.split('/').filter(|step| !["", "."].contains(step));
        let steps: Path = steps.map(str::to_owned).collect();
        let mut depth = 0;
        for step in &steps {
            depth += if step == ".." { -1 } else { 1 };
            if depth < 0 {
                return None;
            }
        }
        (!path.is_empty()).then_some(steps)
    }

    /// Finds the canonical path of a folder, existing or to be made.
    fn folder(&self, start: Path, steps: &[String], member: bool) -> Option<Path> {
        let mut todo: VecDeque<(String, bool)> =
            steps.iter().map(|step| (step.clone(), member)).collect();
        let (mut at, mut links) = (start, 0);
        while let Some((step, member)) = todo.pop_front() {
            if step == ".." {
                if at.pop().is_none() && member {
                    return None;
                }
                continue;
            }
            at.push(step);
            if self.waiting.contains_key(&at) {
                return None;
            }
            match self.item(&at) {
                None | Some(Item::Folder { .. }) => {}
                Some(Item::Symlink(target)) => {
                    links += 1;
                    if links > 40 {
                        return None;
                    }
                    at.pop();
                    if target.starts_with('/') {
                        at.clear();
                    }
                    let steps = target.split('/').filter(|step| !["", "."].contains(step));
                    for step in steps.rev() {
                        todo.push_front((step.to_owned(), false));
                    }
                }
                Some(_) => return None,
            }
        }
        Some(at)
    }

    /// Finds the canonical path of a name; `true` when it names a folder by itself.
    fn place(&self, path: &str) -> Option<(Path, bool)> {
        let steps = Self::steps(path)?;
        match steps.split_last() {
            None => Some((vec![], true)),
            Some((last, _)) if last == ".." => Some((self.folder(vec![], &steps, true)?, true)),
            Some((last, front)) => {
                let mut at = self.folder(vec![], front, true)?;
                at.push(last.clone());
                Some((at, false))
            }
        }
    }

    fn make_folders(&mut self, path: &[String]) {
        for len in 1..=path.len() {
            let folder = path[..len].to_vec();
            if self.item(&folder).is_none() {
                let implied = true;
                self.set(folder, Item::Folder { implied, owner: 0 });
            }
        }
    }

    /// Removes a name and what is below it, and what then has no name from the items.
    fn clear(&mut self, path: &Path) {
        self.names.retain(|name, _| !name.starts_with(path));
        let gone: Vec<_> = self.waiting.keys().cloned().collect();
        for name in gone.into_iter().filter(|name| name.starts_with(path)) {
            let (_, _, body) = self.waiting.remove(&name).unwrap();
            self.released.extend(body);
        }
    }

    /// Notes the contents that have lost their last name.
    fn release(&mut self, before: &BTreeSet<u32>) {
        let now = self.contents();
        self.released.extend(before.difference(&now));
    }

    fn contents(&self) -> BTreeSet<u32> {
        let items = self.names.values().map(|&node| &self.items[node]);
        let contents = items.filter_map(|item| match item {
            Item::File(content) => Some(*content),
            _ => None,
        });
        contents.collect()
    }

    fn apply(&mut self, op: &Op) -> Option<()> {
        let before = self.contents();
        match op {
            Op::Put(path, item, keep) => self.put(path, item, *keep)?,
            Op::Link(path, target, body) => self.link(path, target, *body)?,
            Op::Remove(path) => {
                let (at, folder) = self.place(path)?;
                if folder || (self.item(&at).is_none() && !self.waiting.contains_key(&at)) {
                    return None;
                }
                self.clear(&at);
            }
            Op::Settle => self.settle()?,
        }
        self.release(&before);
        Some(())
    }

    fn put(&mut self, path: &str, item: &Item, keep: bool) -> Option<()> {
        let (at, by_itself) = self.place(path)?;
        let Item::Folder { owner, .. } = *item else {
            if by_itself {
                return None;
            }
            self.clear(&at);
            self.make_folders(&at[..at.len() - 1]);
            self.set(at, item.clone());
            return Some(());
        };
        if by_itself {
            self.make_folders(&at);
        }
        let new = Item::Folder {
            implied: false,
            owner,
        };
        match self.item(&at).cloned() {
            Some(Item::Folder { .. }) => {
                let node = self.names[&at];
                self.items[node] = new;
                return Some(());
            }
            Some(Item::Symlink(target)) if keep => {
                let steps: Path = target
                    .split('/')
                    .filter(|step| !["", "."].contains(step))
                    .map(str::to_owned)
                    .collect();
                let mut start = at[..at.len() - 1].to_vec();
                if target.starts_with('/') {
                    start.clear();
                }
                let led = self.folder(start, &steps, false);
                if led.is_some_and(|led| self.item(&led).is_some()) {
                    return Some(());
                }
            }
            _ => {}
        }
        self.clear(&at);
        self.make_folders(&at[..at.len() - 1]);
        self.set(at, new);
        Some(())
    }

    fn link(&mut self, path: &str, target: &str, body: Option<u32>) -> Option<()> {
        let (at, by_itself) = self.place(path)?;
        let (to, _) = self.place(target)?;
        if by_itself || matches!(self.item(&to), Some(Item::Folder { .. })) {
            return None;
        }
        match self.item(&to) {
            Some(item) => {
                if body.is_some() && !matches!(item, Item::File(_)) {
                    return None;
                }
                let node = self.names[&to];
                if self.names.get(&at) != Some(&node) {
                    self.clear(&at);
                    self.make_folders(&at[..at.len() - 1]);
                    self.names.insert(at, node);
                }
                if let Some(body) = body {
                    self.items[node] = Item::File(body);
                }
            }
            None => {
                self.clear(&at);
                self.make_folders(&at[..at.len() - 1]);
                let waiting = (self.arrivals, target.to_owned(), body);
                self.waiting.insert(at, waiting);
                self.arrivals += 1;
            }
        }
        Some(())
    }

    fn settle(&mut self) -> Option<()> {
        // Where each link leads in the end, one step at a time.
        let mut nodes = BTreeMap::new();
        for path in self.waiting.keys() {
            let mut at = path.clone();
            for _ in 0..=self.waiting.len() {
                let Some((_, target, _)) = self.waiting.get(&at) else {
                    break;
                };
                at = self.place(target)?.0;
            }
            let node = *self.names.get(&at)?;
            if matches!(self.items[node], Item::Folder { .. }) {
                return None;
            }
            nodes.insert(path.clone(), node);
        }
        let mut waiting: Vec<_> = self.waiting.clone().into_iter().collect();
        waiting.sort_by_key(|(_, (arrival, ..))| *arrival);
        for (path, (_, _, body)) in &waiting {
            if body.is_some() && !matches!(self.items[nodes[path]], Item::File(_)) {
                return None;
            }
        }
        self.waiting.clear();
        for (path, (_, _, body)) in waiting {
            let node = nodes[&path];
            self.names.insert(path, node);
            if let Some(body) = body {
                if let Item::File(old) = self.items[node] {
                    self.released.insert(old);
                }
                self.items[node] = Item::File(body);
            }
        }
        Some(())
    }

    /// Lists every path with its item and all names of the same node.
    fn list(&self) -> Vec<String> {
        let line = |(path, node): (&Path, &usize)| {
            let same = self.names.values().filter(|other| *other == node).count();
            format!("/{} {:?} {same}", path.join("/"), self.items[*node])
        };
        let mut lines: Vec<_> = self.names.iter().map(line).collect();
        lines.sort();
        lines
    }
}

fn list(tree: &Tree<u32>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let node = tree.node(visit.node);
        let item = match &node.kind {
            Kind::File(content) => Item::File(*content),
            Kind::Symlink(target) => Item::Symlink(shown(target)),
            Kind::Directory(_) => Item::Folder {
                implied: node.implied(),
                owner: node.meta.uid,
            },
            _ => Item::Fifo,
        };
        lines.push(format!("/{} {item:?} {}", shown(walk.path()), node.names()));
    }
    lines.sort();
    lines
}

fn apply(tree: &mut Tree<u32>, op: &Op, released: &mut BTreeSet<u32>) -> Result<(), Error> {
    let more = match op {
        Op::Put(path, item, keep) => {
            let (kind, uid) = match item {
                Item::File(content) => (Kind::File(*content), 0),
                Item::Folder { owner, .. } => (Kind::directory(), *owner),
                Item::Symlink(target) => (Kind::Symlink(target.as_bytes().into()), 0),
                Item::Fifo => (Kind::Fifo, 0),
            };
            let meta = Meta {
                uid,
                ..Meta::default()
            };
            let policy = Policy {
                keep_directory_symlink: *keep,
            };
            if !kind.is_directory() {
                assert_eq!(
                    tree.check(path.as_bytes()).is_ok(),
                    tree.clone()
                        .put(path.as_bytes(), meta.clone(), kind.clone(), policy)
                        .is_ok(),
                    "check says what put says"
                );
            }
            tree.put(path.as_bytes(), meta, kind, policy)?.released
        }
        Op::Link(path, target, body) => {
            tree.link(path.as_bytes(), target.as_bytes(), *body)?
                .released
        }
        Op::Remove(path) => tree.remove(path.as_bytes())?,
        Op::Settle => tree.settle()?,
    };
    for content in more {
        assert!(released.insert(content), "{content} was released twice");
    }
    Ok(())
}

fn path() -> impl Strategy<Value = String> {
    let step = select(vec!["a", "b", "c", "a", "b", "c", "..", "."]);
    (any::<bool>(), vec(step, 0..=4)).prop_map(|(absolute, steps)| {
        let start = if absolute { "/" } else { "" };
        start.to_owned() + &steps.join("/")
    })
}

fn op() -> impl Strategy<Value = Op> {
    let target = path().prop_filter("a symlink's target is not empty", |path| !path.is_empty());
    let body = proptest::option::weighted(0.3, Just(0));
    let folder = (1u32..100).prop_map(|owner| Item::Folder {
        implied: false,
        owner,
    });
    let item = prop_oneof![
        3 => Just(Item::File(0)),
        4 => folder,
        3 => target.prop_map(Item::Symlink),
        1 => Just(Item::Fifo),
    ];
    prop_oneof![
        8 => (path(), item, any::<bool>()).prop_map(|(path, item, keep)| Op::Put(path, item, keep)),
        4 => (path(), path(), body).prop_map(|(path, to, body)| Op::Link(path, to, body)),
        1 => path().prop_map(Op::Remove),
        1 => Just(Op::Settle),
    ]
}

/// Gives every content a number of its own.
fn number(ops: &mut [Op]) {
    let mut next = 0;
    for op in ops {
        if let Op::Put(_, Item::File(content), _) | Op::Link(_, _, Some(content)) = op {
            next += 1;
            *content = next;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn tree_does_what_a_map_of_paths_would_do(mut ops in vec(op(), 0..24)) {
        number(&mut ops);
        let mut tree = Tree::new(Meta::default());
        let mut model = Model::new();
        let mut released = BTreeSet::new();
        ops.push(Op::Settle);
        for op in &ops {
            let expected = model.clone().apply(op);
            let result = apply(&mut tree, op, &mut released);
            prop_assert_eq!(result.is_ok(), expected.is_some(), "{:?}: {:?}", op, result);
            if expected.is_some() {
                model.apply(op);
            }
            prop_assert_eq!(list(&tree), model.list(), "after {:?}", op);
            prop_assert_eq!(&released, &model.released, "after {:?}", op);
            prop_assert_eq!(tree.pending(), model.waiting.len());
            let live: BTreeSet<_> = model.names.values().collect();
            prop_assert_eq!(tree.len(), live.len());
            prop_assert_eq!(tree.ids().count(), live.len());
        }
    }
}
