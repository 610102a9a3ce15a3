//! The walk through both trees at once.

use std::collections::BTreeMap;
use std::iter::Peekable;

use forger_block::Result;

use super::facts::{self, Fact};
use super::{Change, Comparable, Comparison, Difference, word};
use crate::tree::{NodeId, Tree};

/// A folder's names, in order.
type Names<'a> = Peekable<std::vec::IntoIter<(&'a [u8], NodeId)>>;

/// The differences of two trees, in the order of a [walk](Tree::walk).
///
/// After an error it can go on with the next name.
#[derive(Debug)]
pub struct Differences<'a, C> {
    trees: [&'a Tree<C>; 2],
    how: Comparison,
    /// The start, until it was compared.
    start: Option<[NodeId; 2]>,
    open: Vec<Level<'a>>,
    path: Vec<u8>,
    /// The first name that is in both trees, of each node of several names.
    firsts: [BTreeMap<NodeId, Box<[u8]>>; 2],
}

/// A folder that is open in one tree or both.
#[derive(Debug)]
struct Level<'a> {
    path: usize,
    names: [Names<'a>; 2],
}

impl<'a, C: Comparable> Differences<'a, C> {
    pub(super) fn new(
        (own, node): (&'a Tree<C>, NodeId),
        (other, others): (&'a Tree<C>, NodeId),
        how: Comparison,
    ) -> Self {
        Self {
            trees: [own, other],
            how,
            start: Some([node, others]),
            open: Vec::new(),
            path: Vec::new(),
            firsts: Default::default(),
        }
    }

    /// Compares two nodes of the current path, and opens them where they are folders.
    fn pair(&mut self, nodes: [NodeId; 2]) -> Result<Option<Difference>> {
        let [own, other] = self.trees;
        let [a, b] = [own.node(nodes[0]), other.node(nodes[1])];
        let names = a.names() > 1 || b.names() > 1;
        let mut found = Vec::new();
        if names {
            let firsts = self.first_names(nodes);
            // The pair was compared where both had their first names.
            if let [Some(first), Some(others)] = &firsts
                && first == others
            {
                return Ok(None);
            }
            let differ = firsts[0] != firsts[1];
            if differ && !self.how.ignore_links {
                let [from, to] = firsts.map(|first| first.map(Vec::from));
                found.push(Fact::Link { from, to });
            }
        }
        self.enter([Some(nodes[0]), Some(nodes[1])]);
        facts::compare(a, b, self.how, &mut found)?;
        if found.is_empty() {
            return Ok(None);
        }
        found.sort();
        Ok(Some(self.difference(Change::Changed(found))))
    }

    /// Returns the names under which each node was met before, in both trees; remembers this one for
    /// nodes that were not.
    fn first_names(&mut self, nodes: [NodeId; 2]) -> [Option<Box<[u8]>>; 2] {
        let path: &[u8] = &self.path;
        let mut sides = self.firsts.iter_mut().zip(nodes);
        let mut first = || {
            let (firsts, node) = sides.next()?;
            let first = firsts.get(&node).cloned();
            if first.is_none() {
                firsts.insert(node, path.into());
            }
            first
        };
        [first(), first()]
    }

    fn enter(&mut self, nodes: [Option<NodeId>; 2]) {
        let names = |side: usize| -> Names<'a> {
            let tree = self.trees[side];
            let directory = nodes[side].and_then(|node| tree.node(node).directory());
            let names: Vec<_> = directory.map_or_else(Vec::new, |folder| folder.iter().collect());
            names.into_iter().peekable()
        };
        let names = [names(0), names(1)];
        if names.iter().any(|names| names.len() > 0) {
            self.open.push(Level {
                path: self.path.len(),
                names,
            });
        }
    }

    fn difference(&self, change: Change) -> Difference {
        Difference {
            path: self.path.clone(),
            change,
        }
    }

    /// Takes a name that only one tree has.
    fn alone(&mut self, side: usize, node: NodeId) -> Difference {
        let kind = word(&self.trees[side].node(node).kind);
        let difference = self.difference(match side {
            0 => Change::Removed(kind),
            _ => Change::Added(kind),
        });
        let mut nodes = [None; 2];
        nodes[side] = Some(node);
        self.enter(nodes);
        difference
    }

    fn step(&mut self) -> Option<Result<Option<Difference>>> {
        if let Some(nodes) = self.start.take() {
            return Some(self.pair(nodes));
        }
        loop {
            let level = self.open.last_mut()?;
            self.path.truncate(level.path);
            let [own, others] = &mut level.names;
            let order = match (own.peek(), others.peek()) {
                (None, None) => {
                    self.open.pop();
                    continue;
                }
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let next = match order {
                std::cmp::Ordering::Less => [own.next(), None],
                std::cmp::Ordering::Greater => [None, others.next()],
                std::cmp::Ordering::Equal => [own.next(), others.next()],
            };
            let (name, _) = next[0].or(next[1])?;
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            return Some(match next {
                [Some((_, a)), Some((_, b))] => self.pair([a, b]),
                [Some((_, node)), None] => Ok(Some(self.alone(0, node))),
                [None, Some((_, node))] => Ok(Some(self.alone(1, node))),
                [None, None] => Ok(None),
            });
        }
    }
}

impl<C: Comparable> Iterator for Differences<'_, C> {
    type Item = Result<Difference>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step()? {
                Ok(None) => {}
                Ok(Some(difference)) => return Some(Ok(difference)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<C> Differences<'_, C> {
    /// Returns the path of the name that was compared last, as [`Difference::path`] has it.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }
}
