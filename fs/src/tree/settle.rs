//! The end: pending hard links are bound to what holds their targets' names by now.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::BTreeMap;

use super::link::{Pending, Target};
use super::{Error, NodeId, Tree, shown};

impl<C> Tree<C> {
    /// Binds all pending links to what holds their targets' names now, and returns the contents
    /// that bodies of links replaced. On an error nothing has changed.
    ///
    /// # Errors
    /// The first link in order of arrival whose target does not exist, is a folder, cannot have the
    /// link's content, or leads back to the link.
    pub fn settle(&mut self) -> Result<Vec<C>, Error> {
        if self.pending.is_empty() {
            return Ok(Vec::new());
        }
        let nodes = self.settled()?;
        let mut links: Vec<_> = std::mem::take(&mut self.pending)
            .into_iter()
            .flat_map(|(parent, names)| {
                let tagged = move |(last, link): (Box<[u8]>, Pending<C>)| (parent, last, link);
                names.into_iter().map(tagged)
            })
            .collect();
        links.sort_by_key(|(_, _, link)| link.arrival);
        let mut released = Vec::new();
        for (parent, last, link) in links {
            self.refund(link.cost());
            let Some(&node) = nodes.get(&link.arrival) else {
                continue;
            };
            let linked = self.bind(parent, &last, node, link.body);
            released.extend(linked.released);
        }
        Ok(released)
    }

    /// Finds the node of every pending link, by its arrival.
    fn settled(&self) -> Result<BTreeMap<u64, NodeId>, Error> {
        let mut order: Vec<_> = self.pending.values().flat_map(BTreeMap::values).collect();
        order.sort_by_key(|link| link.arrival);
        let count = order.len();
        let mut nodes = BTreeMap::new();
        let mut names = BTreeMap::<NodeId, u32>::new();
        for first in order {
            // The links from here to the first one whose target is no pending link.
            let mut chain = vec![first];
            let mut link = first;
            let node = loop {
                if let Some(&node) = nodes.get(&link.arrival) {
                    break node;
                }
                match self.target(&link.link, &link.target)? {
                    Target::Node(node) => break node,
                    Target::Nothing => return Err(link.nothing()),
                    Target::Pending(parent, last) => {
                        let next = self.pending_at(parent, &last);
                        link = next.ok_or_else(|| link.nothing())?;
                        // A chain without a repetition is no longer than there are links.
                        if chain.len() > count {
                            return Err(link.cycle());
                        }
                        chain.push(link);
                    }
                }
            };
            for link in chain {
                if nodes.insert(link.arrival, node).is_some() {
                    continue;
                }
                if link.body.is_some() {
                    self.check_body(node, &link.link, &link.target)?;
                }
                let more = names.entry(node).or_insert(0);
                *more = more.saturating_add(1);
                self.check_names(node, *more, &link.target)?;
            }
        }
        Ok(nodes)
    }
}

impl<C> Pending<C> {
    fn nothing(&self) -> Error {
        Error::LinkToNothing {
            link: shown(&self.link),
            target: shown(&self.target),
        }
    }

    fn cycle(&self) -> Error {
        Error::LinkCycle {
            link: shown(&self.link),
            target: shown(&self.target),
        }
    }
}
